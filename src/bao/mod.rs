//! A typed client for one OpenBao node: every call has a deadline, no redirect is followed, no secret can be printed.

mod error;
mod http;
mod model;
mod node;

pub use error::{Error, Result};
pub use http::{Deadlines, HttpNode, install_crypto};
pub use model::{
    AuditDevice, Health, InitKeys, Leader, Mount, RaftConfiguration, RaftServer, SealStatus,
    VoterState,
};
pub use node::Node;
