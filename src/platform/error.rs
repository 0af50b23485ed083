//! What can go wrong with the place a server lives in.

use std::path::PathBuf;

/// The result of a platform call.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed platform call. Texts never carry a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was being done, for example `reading`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A program that is needed is not there.
    #[error("{program} was not found: {why}")]
    MissingProgram {
        /// The program, as it was looked for.
        program: String,
        /// Where it was looked for and how to get it.
        why: String,
    },
    /// A port that a server needs is taken by another process.
    #[error(
        "{member} needs port {port} on 127.0.0.1, but another process listens there; stop it and resume"
    )]
    PortTaken {
        /// The member that needs it.
        member: String,
        /// The port.
        port: u16,
    },
    /// A process did not start or ended early; the last lines of its log tell why.
    #[error("{member} did not start: {why}\n{}", log.join("\n"))]
    DidNotStart {
        /// The member.
        member: String,
        /// What was seen.
        why: String,
        /// The last lines of its log.
        log: Vec<String>,
    },
    /// `bao operator migrate` did not end well; its last lines tell why.
    #[error(
        "`bao operator migrate` failed: {why}. The file tree is whole, and nothing of the raft store is in its place yet\n{}",
        log.join("\n")
    )]
    Migration {
        /// What was seen.
        why: String,
        /// The last lines that it said.
        log: Vec<String>,
    },
    /// The storage layer refused what it read or could not write.
    #[error(transparent)]
    Storage(#[from] crate::storage::Error),
    /// The node itself answered with an error.
    #[error(transparent)]
    Node(#[from] crate::bao::Error),
    /// The Kubernetes API said no, or could not be asked.
    #[error("{doing}: {why}")]
    Cluster {
        /// What was being done, for example `reading pod openbao-0`.
        doing: String,
        /// The reason, and what to do about it.
        why: String,
        /// The HTTP status, where the API answered at all; 401 also stands for credentials that could not be had.
        status: Option<u16>,
    },
    /// There is no such release where it was looked for.
    #[error("{0}")]
    NoRelease(String),
    /// Something is not as the platform needs it; the text says what and what to do.
    #[error("{0}")]
    Refused(String),
}

impl Error {
    /// True when the same look may go well a moment later.
    pub const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Cluster {
                status: None | Some(429 | 500..),
                ..
            }
        )
    }

    /// The HTTP status that a node or the Kubernetes API answered with, if it is that.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Cluster { status, .. } => *status,
            Self::Node(error) => error.status(),
            _ => None,
        }
    }
}
