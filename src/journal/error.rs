//! What can go wrong with a journal. Each text says what to do.

use std::path::{Path, PathBuf};

use super::fold::FoldError;
use super::lock::Holder;

/// The result of a journal call.
pub type Result<T> = std::result::Result<T, Error>;

/// A refused or failed journal call. Nothing was written, unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{doing} the journal {}: {source}", path.display())]
    Io {
        /// What was being done, for example `reading`.
        doing: &'static str,
        /// The journal.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// There is no such file.
    #[error("there is no journal {}; name the one of the run, or begin a run", path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The process that began the run was killed before its first record was whole: nothing has happened yet.
    #[error("the journal {} holds no record yet, so nothing was changed; begin the run again", path.display())]
    Empty {
        /// The journal.
        path: PathBuf,
    },
    /// A new run may not write over an earlier one.
    #[error("the journal {} already exists; resume its run, or choose another file for a new one", path.display())]
    Exists {
        /// The journal.
        path: PathBuf,
    },
    /// The records in the cluster are not those in the file.
    #[error(
        "the journal {} and the copy in the cluster part after record {same}: they are of two runs, or of two \
         processes that both went on; move the file aside to take the cluster's copy, or resume from the file without it",
        path.display()
    )]
    Parted {
        /// The journal.
        path: PathBuf,
        /// The last record that both have.
        same: u64,
    },
    /// Another process writes to it.
    #[error(
        "the journal {} is in use by {}; wait for it to end or stop it, then try again",
        path.display(),
        holder.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string)
    )]
    Locked {
        /// The journal.
        path: PathBuf,
        /// Who writes, when that could be read.
        holder: Option<Holder>,
    },
    /// It was removed or put elsewhere while it was being opened.
    #[error("the journal {} was replaced while it was being opened; try again", path.display())]
    Replaced {
        /// The journal.
        path: PathBuf,
    },
    /// A line is not as it was written.
    #[error(
        "the journal {} is damaged in line {line}: {why}; restore the file from a copy. \
         Without one, look at where the target stands before beginning a new run in another file",
        path.display()
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A later version of this tool wrote it.
    #[error(
        "the journal {} has {what} in line {line}, which baoctl {} does not know; use {}",
        path.display(),
        env!("CARGO_PKG_VERSION"),
        written_by.as_ref().map_or_else(|| "a later one".to_owned(), |by| format!("baoctl {by} or later"))
    )]
    Newer {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is unknown.
        what: String,
        /// The version that wrote it, when the journal says.
        written_by: Option<String>,
    },
    /// A record does not fit those before it.
    #[error("line {line} of the journal {} does not fit those before it: {source}", path.display())]
    Order {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Why.
        source: FoldError,
    },
    /// A record would not read back as it is, and was not written.
    #[error("a record for the journal {} cannot be written: {why}", path.display())]
    Unwritable {
        /// The journal.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// An earlier write failed, so that what is in the file is not known.
    #[error(
        "the journal {} takes no more records since a write failed ({why}); make room or repair the disk, then resume",
        path.display()
    )]
    Poisoned {
        /// The journal.
        path: PathBuf,
        /// The failure.
        why: String,
    },
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}
