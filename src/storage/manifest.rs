//! The manifest of a tree: key, size and SHA-256 of each of its files, made beside the data.
//!
//! It lists every file that is read, also the empty ones and unfinished writes that a conversion then skips; not
//! those that belong to a running server (`core/lock`), a migration's mark, or another storage backend.

use super::digests::{Digest, DigestList};
use super::error::StorageError;
use super::tree::{Entry, Source, TreeOptions, TreeSummary, read};
use crate::meter::Meter;

/// Reads a tree for the sake of its manifest alone.
pub fn manifest(
    source: Source<'_>,
    options: &TreeOptions,
    meter: &dyn Meter,
) -> Result<(DigestList, TreeSummary), StorageError> {
    let mut list = DigestList::default();
    let summary = read(
        source,
        options,
        true,
        meter,
        &mut |entry| match digest(entry) {
            Some(digest) => list.push(entry.key, digest),
            None => Ok(()),
        },
    )?;
    list.sort()?;
    Ok((list, summary))
}

fn digest(entry: &Entry<'_>) -> Option<Digest> {
    entry.file_sha256.map(|sha256| Digest {
        bytes: entry.file_bytes,
        sha256,
    })
}

/// Compares a tree with its manifest while it is read for something else.
#[derive(Debug)]
pub(crate) struct Checker<'a> {
    manifest: &'a DigestList,
    seen: Vec<bool>,
    differences: Vec<String>,
}

impl<'a> Checker<'a> {
    const MOST: usize = 5;

    pub(crate) fn new(manifest: &'a DigestList) -> Self {
        Self {
            manifest,
            seen: vec![false; manifest.len()],
            differences: Vec::new(),
        }
    }

    pub(crate) fn check(&mut self, entry: &Entry<'_>) {
        let key = entry.key;
        match self.manifest.find(key) {
            None => self.note(format!("{key} is new")),
            Some((index, listed)) => {
                self.seen[index] = true;
                if digest(entry) != Some(listed) {
                    self.note(format!("{key} is different"));
                }
            }
        }
    }

    pub(crate) fn finish(mut self) -> Result<(), StorageError> {
        let mut key = String::new();
        for index in 0..self.seen.len() {
            if self.differences.len() >= Self::MOST {
                break;
            }
            if !self.seen[index] && self.manifest.at(index, &mut key).is_some() {
                self.note(format!("{key} is missing"));
            }
        }
        let differences = self.differences;
        if differences.is_empty() {
            Ok(())
        } else {
            Err(StorageError::Manifest { differences })
        }
    }

    fn note(&mut self, difference: String) {
        if self.differences.len() < Self::MOST {
            self.differences.push(difference);
        }
    }
}
