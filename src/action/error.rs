//! Why an action could not do its work.

use std::time::Duration;

use crate::event::Finding;

/// The result of an action's method.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed action. Texts never carry a secret.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place.
    #[error(transparent)]
    Platform(#[from] crate::platform::Error),
    /// A node.
    #[error(transparent)]
    Node(#[from] crate::bao::Error),
    /// A file, a tree or an archive.
    #[error(transparent)]
    Storage(#[from] crate::storage::Error),
    /// A guard said no; nothing was done by this action.
    #[error("{why}")]
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// A node refused the unseal shares.
    #[error("{member} refuses the unseal key: {why}")]
    WrongKey {
        /// The member.
        member: String,
        /// The server's words.
        why: String,
    },
    /// Preflight found obstacles; nothing was changed.
    #[error("{} of {of} checks failed: {}", failed.len(), ids(failed))]
    Preflight {
        /// The checks that failed.
        failed: Vec<Finding>,
        /// Checks made.
        of: usize,
    },
    /// A condition did not come about in time.
    #[error("waited {}s for {what}; last seen: {last}", after.as_secs())]
    Stuck {
        /// What was awaited.
        what: String,
        /// What was last seen.
        last: String,
        /// How long.
        after: Duration,
    },
    /// A fact that an earlier action records is missing.
    #[error(
        "the journal has no `{fact}` yet: it comes from the action `{from}`, which must be run before this one"
    )]
    MissingFact {
        /// The fact.
        fact: &'static str,
        /// The action's kind.
        from: &'static str,
    },
    /// A program of the runbook did not end well.
    #[error("`{program}` {how}")]
    Program {
        /// What was run.
        program: String,
        /// How it ended, and where its output is.
        how: String,
    },
    /// The journal could not be written.
    #[error("{0}")]
    Journal(String),
}

fn ids(findings: &[Finding]) -> String {
    let ids: Vec<&str> = findings.iter().map(|finding| finding.id.as_str()).collect();
    ids.join(", ")
}

impl Error {
    /// A guard's no.
    pub fn refused(why: impl Into<String>) -> Self {
        Self::Refused { why: why.into() }
    }

    /// True for failures of looking that another look may not have: no connection, no answer in time.
    pub const fn is_transient(&self) -> bool {
        use crate::bao::Error as Node;
        use crate::platform::Error as Platform;
        match self {
            Self::Node(node) | Self::Platform(Platform::Node(node)) => matches!(
                node,
                Node::Unreachable { .. } | Node::Timeout { .. } | Node::Broken { .. }
            ),
            Self::Platform(platform) => platform.is_transient(),
            _ => false,
        }
    }

    /// The HTTP status a node or the Kubernetes API answered with, if it is that.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Node(error) => error.status(),
            Self::Platform(error) => error.status(),
            _ => None,
        }
    }
}
