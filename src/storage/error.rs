//! What can go wrong with stored bytes.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Any failure of the storage layer. Each names the file or entry and, in streams, the byte offset.
#[derive(Debug, Error)]
pub enum StorageError {
    /// A file could not be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A volume is full.
    #[error(
        "no room left on the volume of {} (to {doing} it): free some, or name a directory on another volume; nothing but this file was changed",
        path.display()
    )]
    NoRoom {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file of the tree is not what the file backend writes.
    #[error("{path}: {problem}")]
    Tree {
        /// Path relative to the tree's root.
        path: String,
        /// What is wrong with it.
        problem: TreeProblem,
    },
    /// The tar stream of a tree broke off or is damaged.
    #[error(
        "the tar stream of the tree is not whole: {problem} (byte {offset}, after {files} files)"
    )]
    TarStream {
        /// What was found.
        problem: String,
        /// Offset in the tar stream.
        offset: u64,
        /// Files read before.
        files: u64,
    },
    /// A snapshot archive is damaged outside its entries.
    #[error(
        "the snapshot archive is not valid: {part}, byte {offset} of the unpacked tar: {problem}"
    )]
    Archive {
        /// Member or layer.
        part: String,
        /// Offset in the unpacked tar.
        offset: u64,
        /// What was found.
        problem: String,
    },
    /// An entry of a snapshot archive's `state.bin` is damaged.
    #[error("the snapshot archive is not valid: entry {index} ({}) at byte {offset} of state.bin: {problem}", key.as_deref().unwrap_or("key unread"))]
    Entry {
        /// Position among the entries, from 0.
        index: u64,
        /// The key, when it could be read.
        key: Option<String>,
        /// Offset of the entry in `state.bin`.
        offset: u64,
        /// What was found.
        problem: String,
    },
    /// A stream failed in reading or writing.
    #[error("{what} failed at byte {offset}: {source}")]
    Stream {
        /// Which stream.
        what: &'static str,
        /// Offset in it.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A key occurs twice.
    #[error("the key {key} occurs twice")]
    Duplicate {
        /// The key.
        key: String,
    },
    /// A tree is not the one its manifest was made from.
    #[error("the tree differs from its manifest: {}", differences.join("; "))]
    Manifest {
        /// The first differences, one phrase each.
        differences: Vec<String>,
    },
    /// A digest list's text is damaged.
    #[error("line {line} of the digest list: {problem}")]
    List {
        /// From 1.
        line: u64,
        /// What was found.
        problem: String,
    },
    /// More keys than the index can address.
    #[error("the keys take more than 4 GiB")]
    TooManyKeys,
}

/// What is wrong with one file of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TreeProblem {
    /// The file backend prefixes the name of each of its files.
    #[error("not a file of the file backend: the name does not begin with an underscore")]
    NoUnderscore,
    /// A segment that the file backend cannot have written.
    #[error("not a path of the file backend: a segment is empty, `.` or `..`")]
    BadSegment,
    /// Keys are text.
    #[error("the name is not UTF-8")]
    NotUtf8,
    /// Only files and directories belong in a tree.
    #[error("a {0}, where only files and directories belong")]
    NotAFile(&'static str),
    /// Raft's store cannot hold the key.
    #[error("the key has {0} bytes; raft storage holds at most {max}", max = super::key::MAX_KEY_BYTES)]
    KeyTooLong(usize),
    /// The contents are not the file backend's JSON.
    #[error("not an entry of the file backend, at byte {offset} of the file: {reason}")]
    NotAnEntry {
        /// Offset in the file.
        offset: usize,
        /// What the parser found.
        reason: String,
    },
    /// A migration's lock or another run's tombstone.
    #[error(
        "a storage migration's mark that this run did not write: another migration began or crashed here"
    )]
    ForeignMigration,
    /// The tree changed although it should be frozen.
    #[error(
        "vanished while the tree was read, although the server is sealed: something still writes here"
    )]
    Vanished,
}

impl StorageError {
    /// Wraps an I/O failure on a file; a full volume gets its own variant.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom {
                doing,
                path,
                source,
            },
            _ => Self::Io {
                doing,
                path,
                source,
            },
        }
    }

    pub(crate) fn tree(path: impl Into<String>, problem: TreeProblem) -> Self {
        let path = path.into();
        Self::Tree { path, problem }
    }
}
