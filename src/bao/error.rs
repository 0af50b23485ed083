//! What can go wrong when a node is called.

use std::path::PathBuf;
use std::time::Duration;

/// The result of a call to one node.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call. Texts carry the node, the call and the server's own words, never a request body or a token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection came about: the call was certainly not carried out.
    #[error("{node}: {call}: cannot connect: {why}")]
    Unreachable {
        /// The node's name.
        node: String,
        /// Method and path.
        call: String,
        /// The transport's words.
        why: String,
    },
    /// The deadline passed: whether the call was carried out is unknown.
    #[error("{node}: {call}: no answer within {}s", after.as_secs())]
    Timeout {
        /// The node's name.
        node: String,
        /// Method and path.
        call: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// The connection broke after the request was (perhaps partly) sent: the outcome is unknown.
    #[error("{node}: {call}: the connection broke: {why}")]
    Broken {
        /// The node's name.
        node: String,
        /// Method and path.
        call: String,
        /// The transport's words.
        why: String,
    },
    /// The server answered with an error status.
    #[error("{node}: {call}: {status}: {}", errors.join("; "))]
    Status {
        /// The node's name.
        node: String,
        /// Method and path.
        call: String,
        /// HTTP status code.
        status: u16,
        /// The `errors` of the answer's body.
        errors: Vec<String>,
    },
    /// A standby pointed to its leader; talk to that node instead.
    #[error(
        "{node}: {call}: a standby redirects to its leader; find the leader with sys/leader and call it directly"
    )]
    Redirected {
        /// The node's name.
        node: String,
        /// Method and path.
        call: String,
    },
    /// The answer is not what this version of the API promises.
    #[error("{node}: {call}: unexpected answer: {why}")]
    Malformed {
        /// The node's name.
        node: String,
        /// Method and path.
        call: String,
        /// What was wrong with it.
        why: String,
    },
    /// A local file of a snapshot transfer failed.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Error {
    /// The HTTP status, where the server answered at all.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// True when the server may have carried out the call although no answer came.
    pub const fn outcome_unknown(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Broken { .. })
    }
}
