//! A snapshot archive, read entry by entry and verified on the way.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::meta::Meta;
use super::state::State;
use super::tarred::Members;
use crate::storage::error::StorageError;

const META: &str = "meta.json";
const STATE: &str = "state.bin";
const SUMS: &str = "SHA256SUMS";
const SEALED_SUMS: &str = "SHA256SUMS.sealed";

/// No small member of a real archive comes near this, in bytes.
const SMALL: u64 = 1 << 20;

/// Hands out the entries one by one. Nothing is proven before [`next_entry`](Self::next_entry) returned none: only then all
/// checksums, sizes and end markers have been seen, and [`meta`](Self::meta) is there for certain.
pub struct ArchiveReader<R: Read> {
    members: Members<R>,
    state: Option<State>,
    in_state: bool,
    finished: bool,
    meta: Option<Meta>,
    sums: Option<Vec<u8>>,
    sealed_sums: Option<Vec<u8>>,
    actual: BTreeMap<&'static str, String>,
}

impl<R: Read> std::fmt::Debug for ArchiveReader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ArchiveReader")
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}

impl ArchiveReader<File> {
    /// Reads a file.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        File::open(path)
            .map(Self::new)
            .map_err(StorageError::io("open", path))
    }
}

impl<R: Read> ArchiveReader<R> {
    /// Reads a stream, which is buffered here.
    pub fn new(stream: R) -> Self {
        Self {
            members: Members::new(stream),
            state: None,
            in_state: false,
            finished: false,
            meta: None,
            sums: None,
            sealed_sums: None,
            actual: BTreeMap::new(),
        }
    }

    /// The next entry, or none when the whole archive is read and proven.
    pub fn next_entry(&mut self) -> Result<Option<(&str, &[u8])>, StorageError> {
        loop {
            if self.finished {
                return Ok(None);
            }
            if self.in_state && self.advance()? {
                break;
            }
            if !self.in_state {
                self.member()?;
            }
        }
        Ok(self.state.as_ref().map(State::entry))
    }

    /// Calls `each` with every key and value, then returns the metadata of the proven archive.
    pub fn for_each(
        mut self,
        mut each: impl FnMut(&str, &[u8]) -> Result<(), StorageError>,
    ) -> Result<Meta, StorageError> {
        while let Some((key, value)) = self.next_entry()? {
            each(key, value)?;
        }
        self.proven_meta()
    }

    /// The metadata after the last entry.
    pub(super) fn proven_meta(&self) -> Result<Meta, StorageError> {
        match &self.meta {
            Some(meta) if self.finished => Ok(meta.clone()),
            _ => Err(self.members.error("it is not read to its end")),
        }
    }

    /// What the archive says about itself, once that was read.
    pub fn meta(&self) -> Option<&Meta> {
        self.meta.as_ref()
    }

    /// `SHA256SUMS`, once it was read.
    pub fn sums(&self) -> Option<&[u8]> {
        self.sums.as_deref()
    }

    /// `SHA256SUMS.sealed`, once it was read: a server made the archive.
    pub fn sealed_sums(&self) -> Option<&[u8]> {
        self.sealed_sums.as_deref()
    }

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.state.as_ref().map_or(0, State::entries)
    }

    /// Length of `state.bin` in bytes, once it was reached.
    pub fn state_bytes(&self) -> u64 {
        self.state.as_ref().map_or(0, State::size)
    }

    fn advance(&mut self) -> Result<bool, StorageError> {
        let Some(state) = &mut self.state else {
            return Ok(false);
        };
        let more = state.advance(&mut self.members)?;
        if !more {
            self.actual.insert(STATE, hex::encode(state.sha256()));
            self.in_state = false;
        }
        Ok(more)
    }

    fn member(&mut self) -> Result<(), StorageError> {
        let Some((name, size)) = self.members.next()? else {
            self.prove()?;
            self.finished = true;
            return Ok(());
        };
        let again = match name.as_str() {
            META => self.meta.is_some(),
            STATE => self.state.is_some(),
            SUMS => self.sums.is_some(),
            SEALED_SUMS => self.sealed_sums.is_some(),
            _ => return Err(self.members.error("no such member belongs in a snapshot")),
        };
        if again {
            return Err(self.members.error("the member occurs twice"));
        }
        match name.as_str() {
            STATE => {
                self.state = Some(State::new(size));
                self.in_state = true;
            }
            META => {
                let content = self.members.whole(SMALL)?;
                let meta = serde_json::from_slice(&content)
                    .map_err(|error| self.members.error(error.to_string()))?;
                self.actual
                    .insert(META, hex::encode(Sha256::digest(&content)));
                self.meta = Some(meta);
            }
            SUMS => self.sums = Some(self.members.whole(SMALL)?),
            _ => self.sealed_sums = Some(self.members.whole(SMALL)?),
        }
        Ok(())
    }

    /// All members are there and agree with each other.
    fn prove(&self) -> Result<(), StorageError> {
        let (Some(meta), Some(state), Some(sums)) = (&self.meta, &self.state, &self.sums) else {
            return Err(self.members.error(
                "a member is missing: meta.json, state.bin and SHA256SUMS belong in a snapshot",
            ));
        };
        if meta.size != state.size() {
            let problem = format!(
                "meta.json says {} bytes of state.bin, there are {}",
                meta.size,
                state.size()
            );
            return Err(self.members.error(problem));
        }
        let mut left = self.actual.clone();
        for line in String::from_utf8_lossy(sums).lines() {
            let (sum, name) = line.split_once("  ").unwrap_or((line, ""));
            match left.remove(name) {
                None => {
                    return Err(self
                        .members
                        .error(format!("SHA256SUMS has an unexpected line: {line:?}")));
                }
                Some(actual) if actual != sum => {
                    return Err(self.members.error(format!(
                        "the SHA-256 of {name} is {actual}, SHA256SUMS says {sum:?}"
                    )));
                }
                Some(_) => {}
            }
        }
        match left.first_key_value() {
            Some((name, _)) => Err(self
                .members
                .error(format!("SHA256SUMS does not list {name}"))),
            None => Ok(()),
        }
    }
}
