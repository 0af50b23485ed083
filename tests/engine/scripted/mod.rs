//! A platform that lives in memory and in virtual time: it does what a real one does, refuses what a real server
//! refuses, and can be told to let the program die at any point.
mod everywhere;
mod fate;
mod lab;
pub mod native;
mod node;
mod platform;
mod raft;
mod server;
pub mod tree;
mod world;

pub use everywhere::everywhere;
pub use fate::{Doom, Fate, Loss, Witness};
pub use lab::{Consent, Ended, Lab, Shares, in_virtual_time};
pub use raft::RaftFiles;
pub use server::Server;
pub use world::{KeySet, Mishap};
