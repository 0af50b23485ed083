//! Where the server lives: one trait, one folder per kind of place.

mod contract;
mod error;
pub mod kubernetes;
pub mod local;
mod migration;
mod pebbledb;

pub use contract::{
    AUTOPILOT_LOOKS, Actor, Aim, Applicability, Before, Flip, FlipPlan, Grade, Instance, JobState,
    Part, Platform, Release, Remark, SecretData, SecretName, StorageKind, SuspendedBy, Target,
    UNSEAL_KEY, Volume,
};
pub use error::{Error, Result};
pub use pebbledb::{TOMBSTONE, is_of_store};
