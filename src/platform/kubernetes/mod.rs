//! The Kubernetes platform: a release of the chart, reached through the API server alone.

mod access;
mod actors;
mod certificate;
mod client;
mod config;
mod contract;
mod exec;
mod flip;
mod forward;
mod helm;
mod helper;
mod helper_pod;
mod inspect;
mod layout;
mod lease;
mod listing;
mod mirror;
mod mounts;
mod platform;
mod pods;
mod probe;
mod reasons;
mod scratch;
mod secrets;
mod surroundings;
mod suspend;
mod tar_watch;
mod template;
pub mod volume;

pub use client::{Cluster, absent_ok, call};
pub use exec::{Ended, Shell};
pub use forward::Forwards;
pub use helper::{Options as SiteOptions, Place, Site};
pub use lease::{Claim, ClaimError, Claimant, Holder, holder, lease_name};
pub use mirror::{ClusterMirror, Copied, Earlier, read_copy};
pub use platform::{KubernetesPlatform, Options};
