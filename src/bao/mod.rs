//! A typed client for one OpenBao node: every call has a deadline, no redirect is followed, no secret can be printed.

mod error;
mod model;
mod node;

pub use error::{Error, Result};
pub use model::{
    AuditDevice, Health, InitKeys, Leader, Mount, RaftConfiguration, RaftServer, SealStatus,
    VoterState,
};
pub use node::Node;
