//! One node over HTTP.

mod body;
mod calls;
mod client;
mod error;
mod path;
mod snapshot;
#[cfg(test)]
mod tests;

pub use client::{Deadlines, HttpNode, install_crypto};
