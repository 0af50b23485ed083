//! The Kubernetes platform: a release of the chart, reached through the API server alone.

mod client;
mod exec;
mod forward;
mod helper;
mod helper_pod;
mod lease;
mod listing;
mod mirror;
mod tar_watch;
pub mod volume;

pub use client::{Cluster, absent_ok, call};
pub use exec::{Ended, Shell};
pub use forward::Forwards;
pub use helper::{Options, Place, Site};
pub use lease::{Claim, ClaimError, Claimant, Holder, holder, lease_name};
pub use mirror::{ClusterMirror, Copied, Earlier, read_copy};
