//! Where the server lives: one trait, one folder per kind of place.

mod contract;
mod error;
pub mod kubernetes;
pub mod local;

pub use contract::{
    Applicability, Flip, FlipPlan, Instance, Part, Platform, Release, SecretData, SecretName,
    StorageKind, Target, Volume,
};
pub use error::{Error, Result};
