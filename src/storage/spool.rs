//! Entries put aside on disk and handed back in the order of their keys.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::digests::Digest;
use super::error::StorageError;
use super::keys::Keys;

/// Length (8 bytes, little-endian) and SHA-256 of the value before each value.
const HEADER: usize = 40;
/// Reading ahead pays only when the entries came in order.
const READ_AHEAD: usize = 1 << 18;
const READ_ONE: usize = 1 << 12;

/// Values in an unnamed temporary file; only the keys stay in memory.
pub(crate) struct Spool {
    file: BufWriter<File>,
    directory: PathBuf,
    offset: u64,
    keys: Keys<u64>,
}

impl Spool {
    pub(crate) fn create(directory: &Path) -> Result<Self, StorageError> {
        let file = tempfile::tempfile_in(directory)
            .map_err(StorageError::io("make a temporary file in", directory))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, file),
            directory: directory.to_owned(),
            offset: 0,
            keys: Keys::default(),
        })
    }

    pub(crate) fn push(
        &mut self,
        key: &str,
        value: &[u8],
        sha256: [u8; 32],
    ) -> Result<(), StorageError> {
        self.keys.push(key, self.offset)?;
        self.file
            .write_all(&(value.len() as u64).to_le_bytes())
            .and_then(|()| self.file.write_all(&sha256))
            .and_then(|()| self.file.write_all(value))
            .map_err(StorageError::io(
                "write a temporary file in",
                &self.directory,
            ))?;
        self.offset += (HEADER + value.len()) as u64;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Sorts, and makes the entries readable.
    pub(crate) fn sorted(mut self) -> Result<Sorted, StorageError> {
        let read_ahead = if self.keys.is_sorted() {
            READ_AHEAD
        } else {
            READ_ONE
        };
        self.keys.sort()?;
        let directory = self.directory;
        let failed = StorageError::io("write a temporary file in", &directory);
        let file = self
            .file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        Ok(Sorted {
            file,
            directory,
            keys: self.keys,
            next: 0,
            end: self.offset,
            window: Vec::new(),
            window_at: 0,
            read_ahead,
        })
    }
}

/// The entries of a [`Spool`] in ascending order of their keys.
pub(crate) struct Sorted {
    file: File,
    directory: PathBuf,
    keys: Keys<u64>,
    next: usize,
    end: u64,
    window: Vec<u8>,
    window_at: u64,
    read_ahead: usize,
}

impl Sorted {
    /// Puts the next key into `key` and returns its value and digest.
    pub(crate) fn next(
        &mut self,
        key: &mut String,
    ) -> Result<Option<(Digest, &[u8])>, StorageError> {
        let Some(offset) = self.keys.get(self.next, key) else {
            return Ok(None);
        };
        self.next += 1;
        let start = self.fill(offset, HEADER)?;
        let (length, sha256) = self.window[start..start + HEADER].split_at(8);
        let bytes = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let sha256 = sha256.try_into().unwrap_or_default();
        let length = usize::try_from(bytes).map_err(|_| StorageError::TooManyKeys)?;
        let start = self.fill(offset + HEADER as u64, length)?;
        Ok(Some((
            Digest { bytes, sha256 },
            &self.window[start..start + length],
        )))
    }

    /// Makes `length` bytes from `offset` on available; returns where in the window they begin.
    fn fill(&mut self, offset: u64, length: usize) -> Result<usize, StorageError> {
        let within = offset
            .checked_sub(self.window_at)
            .and_then(|within| usize::try_from(within).ok());
        if let Some(start) = within.filter(|start| start + length <= self.window.len()) {
            return Ok(start);
        }
        let rest = usize::try_from(self.end - offset).unwrap_or(usize::MAX);
        self.window.resize(length.max(self.read_ahead).min(rest), 0);
        self.window_at = offset;
        self.file
            .read_exact_at(&mut self.window, offset)
            .map_err(StorageError::io(
                "read a temporary file in",
                &self.directory,
            ))?;
        Ok(0)
    }
}
