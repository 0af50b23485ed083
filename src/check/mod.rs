//! What must be so before anything is changed: one file per group, each finding with a stable identifier.

mod archive;
mod data;
mod finding;
mod release;
mod room;
mod server;
mod snapshot;

pub use data::{MOVES_NAMESPACES, NOT_MOVED};
pub use finding::{Checked, all, lacking, passed};
pub use snapshot::held;
