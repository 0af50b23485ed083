//! A typed client for one OpenBao node: every call has a deadline, no redirect is followed, no secret can be printed.

mod error;
mod http;
mod model;
mod node;

pub use error::{Error, Result};
pub use http::{Deadlines, HttpNode, Transport, install_crypto};
pub(crate) use http::{FORWARD_BROKEN, FORWARD_HEADER, FORWARD_UNREACHABLE};
pub use model::{
    AuditDevice, Health, InitKeys, Leader, Mount, RaftConfiguration, RaftServer, SealStatus,
    TokenDetails, VoterState,
};
pub use node::Node;
