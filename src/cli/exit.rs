//! The exit codes, which scripts rely on.

use std::process::ExitCode;

/// How the process ends. Documented in the README and in `baoctl --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: done; for `snapshot diff`, no difference.
    Done,
    /// 1: failed; for `snapshot diff`, different.
    Failed,
    /// 2: the command line, a runbook or another input is wrong.
    Usage,
    /// 3: the operator declined, or nobody was there to agree.
    Declined,
    /// 4: the server or the platform did not authorise a call.
    NotAuthorised,
    /// 5: a preflight check failed, or the run does not fit its journal; nothing was changed.
    Preflight,
    /// 6: another process runs this migration.
    Locked,
    /// 7: it is unknown whether a call was carried out; `baoctl resume` looks.
    Unknown,
    /// 128 plus the number of the signal that stopped it.
    Signal(u8),
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Declined => 3,
            Self::NotAuthorised => 4,
            Self::Preflight => 5,
            Self::Locked => 6,
            Self::Unknown => 7,
            Self::Signal(number) => 128 + number,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Whether an answer's status says that the right to a call is missing.
pub(super) const fn denied(status: Option<u16>) -> bool {
    matches!(status, Some(401 | 403))
}

/// How a call ends that was answered with this status, or not at all.
pub(super) const fn of_status(status: Option<u16>) -> Exit {
    if denied(status) {
        Exit::NotAuthorised
    } else {
        Exit::Failed
    }
}

/// Prints an error with the next commands and hands its exit code on.
pub(super) fn fail(message: impl std::fmt::Display, next: &[&str], exit: Exit) -> Exit {
    crate::ui::error(&message.to_string(), next);
    exit
}
