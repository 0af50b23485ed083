//! The local platform: real `bao server` processes on loopback, for rehearsals and tests.

mod binary;
mod config;
mod contract;
mod files;
mod flip;
mod layout;
mod migrate;
mod pebbledb;
mod platform;
mod process;
mod relay;
mod sample;
mod secrets;
mod servers;
mod topology;
mod tree;
mod volume;

pub use binary::find_bao;
pub use platform::{CreateOptions, LocalPlatform, MemberStatus};
pub use sample::{
    AppRole, Entity, Golden, KvSample, NamespaceSample, PolicySample, SampleOptions, TokenSample,
    TransitSample, from_tree, keep_keys_of, make_source, verify,
};
