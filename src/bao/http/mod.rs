//! One node over HTTP.

mod body;
mod calls;
mod client;
mod error;
mod forward;
mod path;
mod snapshot;
#[cfg(test)]
mod tests;

pub use client::{Deadlines, HttpNode, Transport, install_crypto};
pub(crate) use forward::{FORWARD_BROKEN, FORWARD_HEADER, FORWARD_UNREACHABLE};
