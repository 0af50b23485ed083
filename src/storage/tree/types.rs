//! What goes into reading a tree and what comes out.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde::Serialize;

use crate::storage::bounded::{Bounded, Largest, Sized};

/// Where a tree is read from.
pub enum Source<'a> {
    /// The directory that the server's `storage "file"` stanza names.
    Directory(&'a Path),
    /// An uncompressed tar stream of that directory's contents; a leading `./` is dropped.
    Tar(Box<dyn Read + Send + 'a>),
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => f.debug_tuple("Directory").field(path).finish(),
            Self::Tar(_) => f.write_str("Tar"),
        }
    }
}

/// Whether the server may be writing to the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The server serves: files come and go, unfinished writes are left out.
    Live,
    /// The server is sealed: nothing may change, and a whole `_x.temp` is the entry `x.temp`, as the server lists it.
    Sealed,
}

/// How to read a tree.
#[derive(Debug, Clone)]
pub struct TreeOptions {
    /// Whether the server may be writing.
    pub phase: Phase,
    /// The exact contents of the `core/migration` file that this run wrote. It is left out; any other
    /// `core/migration` is an error.
    pub tombstone: Option<Vec<u8>>,
}

impl TreeOptions {
    /// Options without a tombstone.
    pub const fn new(phase: Phase) -> Self {
        Self {
            phase,
            tombstone: None,
        }
    }
}

/// One file of the tree, handed out in the order of the source (a directory: ascending keys).
#[derive(Debug)]
pub struct Entry<'a> {
    /// The storage key.
    pub key: &'a str,
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// SHA-256 of the file, if asked for.
    pub file_sha256: Option<[u8; 32]>,
    /// The decoded value and its SHA-256; none for a file that is skipped although it was read.
    pub value: Option<(&'a [u8], [u8; 32])>,
}

/// Why a file is not an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// A leftover that the server treats as absent.
    Empty,
    /// A write in progress in a live tree.
    Temporary,
    /// A write that never finished, after the seal.
    TemporaryUnreadable,
    /// Removed by the live server between listing and reading.
    Vanished,
    /// The `core/migration` that this run wrote.
    Tombstone,
}

/// A file that is not an entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The key that the file stands for.
    pub key: String,
    /// Why it is skipped.
    pub reason: SkipReason,
}

/// What was in a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TreeSummary {
    /// Entries handed out with a value.
    pub entries: u64,
    /// Bytes of all their values.
    pub value_bytes: u64,
    /// Bytes of all files read.
    pub file_bytes: u64,
    /// Files that are not entries.
    pub skipped: Bounded<Skipped>,
    /// Identifiers of child namespaces, in ascending order.
    pub child_namespaces: Vec<String>,
    /// Entries whose value is above raft's default `max_entry_size`
    /// ([`MAX_ENTRY_BYTES`](crate::storage::key::MAX_ENTRY_BYTES)).
    pub oversized: Bounded<Sized>,
    /// The largest values.
    pub largest: Largest,
}
