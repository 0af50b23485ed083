//! A source server for rehearsals: sample data of every kind that matters, or a copy of the operator's own tree.

mod children;
mod fill;
mod golden;
mod server;
mod source;
mod special;
mod tree;
mod verify;

pub use golden::{
    AppRole, Entity, Golden, KvSample, NamespaceSample, PolicySample, TokenSample, TransitSample,
};
pub use source::{SampleOptions, make_source};
pub use tree::{from_tree, keep_keys_of};
pub use verify::verify;
