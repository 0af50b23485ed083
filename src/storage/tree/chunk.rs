//! Decoded files on their way between threads.

use sha2::{Digest as _, Sha256};

use super::entry::decode;
use super::types::{Entry, Phase, SkipReason, TreeOptions};
use crate::storage::error::{StorageError, TreeProblem};
use crate::storage::key::{TEMP_SUFFIX, path_of_key};

/// A chunk is handed on at this size in bytes, so that few large values do not pile up.
const FULL: usize = 1 << 20;

const LOCK: &str = "core/lock";
const MIGRATION: &str = "core/migration";

/// Files decoded into one buffer.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    data: Vec<u8>,
    files: Vec<FileRecord>,
}

#[derive(Debug)]
struct FileRecord {
    key: String,
    bytes: u64,
    sha256: Option<[u8; 32]>,
    outcome: Outcome,
    /// Whether the file was read, and so belongs in a manifest.
    read: bool,
}

#[derive(Debug)]
enum Outcome {
    Value { end: usize, sha256: [u8; 32] },
    Skipped(SkipReason),
}

/// What one file of a chunk is.
pub(super) enum Item<'a> {
    Entry(Entry<'a>),
    /// Skipped; with its bytes where it was read.
    Skipped(&'a str, SkipReason, Option<Entry<'a>>),
}

/// Whether a top-level name has nothing to do with the file backend.
pub(super) fn is_foreign(top: &str) -> bool {
    matches!(top, "vault.db" | "raft" | "lost+found")
        || top.starts_with("raft-aside-")
        || top.starts_with(".baoctl")
}

/// Whether a key holds the state of a running server rather than data.
pub(super) fn is_ignored(key: &str) -> bool {
    key == LOCK
}

/// Whether a file is left alone without reading it.
pub(super) fn is_unfinished(key: &str, phase: Phase) -> bool {
    phase == Phase::Live && key.ends_with(TEMP_SUFFIX)
}

impl Chunk {
    pub(super) fn is_full(&self) -> bool {
        self.data.len() >= FULL
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub(super) fn skip(&mut self, key: String, reason: SkipReason) {
        self.files.push(FileRecord {
            key,
            bytes: 0,
            sha256: None,
            outcome: Outcome::Skipped(reason),
            read: false,
        });
    }

    /// Judges one file by its contents.
    pub(super) fn file(
        &mut self,
        key: String,
        file: &[u8],
        options: &TreeOptions,
        hash: bool,
    ) -> Result<(), StorageError> {
        let at = |problem| {
            let path = path_of_key(&key).unwrap_or_else(|_| key.clone());
            StorageError::tree(path, problem)
        };
        let start = self.data.len();
        let mut read = true;
        let outcome = if file.is_empty() {
            Outcome::Skipped(SkipReason::Empty)
        } else if key == MIGRATION {
            if options.tombstone.as_deref() != Some(file) {
                return Err(at(TreeProblem::ForeignMigration));
            }
            read = false;
            Outcome::Skipped(SkipReason::Tombstone)
        } else {
            match decode(file, &mut self.data) {
                Ok(()) => Outcome::Value {
                    end: self.data.len(),
                    sha256: Sha256::digest(&self.data[start..]).into(),
                },
                Err(_) if key.ends_with(TEMP_SUFFIX) => {
                    Outcome::Skipped(SkipReason::TemporaryUnreadable)
                }
                Err(problem) => return Err(at(problem)),
            }
        };
        self.files.push(FileRecord {
            key,
            bytes: file.len() as u64,
            sha256: hash.then(|| Sha256::digest(file).into()),
            outcome,
            read,
        });
        Ok(())
    }

    /// The files in the order they were added.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let mut start = 0;
        self.files.iter().map(move |file| {
            let mut entry = Entry {
                key: &file.key,
                file_bytes: file.bytes,
                file_sha256: file.sha256,
                value: None,
            };
            match file.outcome {
                Outcome::Value { end, sha256 } => {
                    entry.value = Some((&self.data[start..end], sha256));
                    start = end;
                    Item::Entry(entry)
                }
                Outcome::Skipped(reason) => {
                    Item::Skipped(&file.key, reason, file.read.then_some(entry))
                }
            }
        })
    }
}
