//! The Kubernetes platform: a release of the chart, reached through the API server alone.

mod client;
mod exec;
mod forward;
mod helper;
mod helper_pod;
mod listing;
mod tar_watch;
pub mod volume;

pub use client::{Cluster, absent_ok, call};
pub use exec::{Ended, Shell};
pub use forward::Forwards;
pub use helper::{Options, Place, Site};
