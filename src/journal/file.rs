//! The file: one writer, one `fsync` per record.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use super::error::{Error, Result};
use super::fold::State;
use super::line;
use super::lock::Lock;
use super::record::{Header, Record};
use super::scan::{Scan, Tail, scan};
use crate::armed::Armed;

/// A journal that is open for writing, which holds its lock.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    state: State,
    crc: u32,
    /// Bytes of whole records.
    length: u64,
    poisoned: Option<String>,
    // Last, so that the lock goes after everything else.
    _lock: Lock,
}

impl Journal {
    /// Begins a journal (mode 0600) with its first record, which is on disk with its folder's entry on return.
    ///
    /// A file that holds no whole record is taken over: its process was killed before anything happened.
    pub fn create(path: &Path, header: Header) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(Error::io("creating", path))?;
        let mut journal = Self::locked(path, file)?;
        let bytes = read_bytes(&mut journal.file, path)?;
        // Not only an empty scan: bytes that are no torn first line are somebody's file.
        if !scan(path, &bytes).is_ok_and(|scan| scan.lines.is_empty() && is_torn_start(&bytes)) {
            return Err(Error::Exists {
                path: path.to_owned(),
            });
        }
        if !bytes.is_empty() {
            journal.cut(0)?;
        }
        let mode = Permissions::from_mode(0o600);
        journal
            .file
            .set_permissions(mode)
            .map_err(Error::io("protecting", path))?;
        journal.append(Record::Started(header))?;
        sync_folder(path).map_err(Error::io("making the folder's entry last for", path))?;
        Ok(journal)
    }

    /// Opens a journal to go on with it: locks, reads and verifies it, and cuts off a torn last line.
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(path)
            .map_err(opening(path))?;
        let mut journal = Self::locked(path, file)?;
        let bytes = read_bytes(&mut journal.file, path)?;
        let Scan {
            lines,
            state,
            tail,
            good,
            crc,
        } = scan(path, &bytes)?;
        if lines.is_empty() {
            return Err(Error::Empty {
                path: path.to_owned(),
            });
        }
        journal.state = state;
        journal.crc = crc;
        journal.length = good;
        match tail {
            Tail::Whole => {}
            Tail::NoLineEnd => {
                journal
                    .file
                    .write_all(b"\n")
                    .map_err(Error::io("completing", path))?;
                journal.length += 1;
            }
            Tail::Torn => journal.cut(good)?,
        }
        // What was read may have been written by a process that was killed before its own `fsync`.
        journal
            .file
            .sync_data()
            .map_err(Error::io("syncing", path))?;
        sync_folder(path).map_err(Error::io("making the folder's entry last for", path))?;
        Ok(journal)
    }

    /// Adds a record and returns its number. It is on disk on return.
    ///
    /// After a failed write or `fsync` what is in the file is not known, and no more records are taken.
    pub fn append(&mut self, record: Record) -> Result<u64> {
        if let Some(why) = &self.poisoned {
            return Err(Error::Poisoned {
                path: self.path.clone(),
                why: why.clone(),
            });
        }
        let seq = self.state.records() + 1;
        let bytes = line::encode(seq, line::now(), &record, self.crc).map_err(|error| {
            Error::Unwritable {
                path: self.path.clone(),
                why: error.to_string(),
            }
        })?;
        drop(record);
        // The state takes in what will be read back, so that a live run and its replay cannot differ.
        let written = line::decode(&bytes[..bytes.len() - 1], seq, self.crc).map_err(|error| {
            Error::Unwritable {
                path: self.path.clone(),
                why: format!("it would not read back: {error:?}"),
            }
        })?;
        self.state
            .check(seq, &written.record)
            .map_err(|source| Error::Order {
                path: self.path.clone(),
                line: seq,
                source,
            })?;
        if let Err(error) = self
            .file
            .write_all(&bytes)
            .and_then(|()| self.file.sync_data())
        {
            self.poisoned = Some(error.to_string());
            return Err(Error::io("writing", &self.path)(error));
        }
        self.state.take(seq, written.time, &written.record);
        self.crc = written.crc;
        self.length += bytes.len() as u64;
        Ok(seq)
    }

    /// Records that an action is about to act. With [`Journal::intend_undo`] the only maker of [`Armed`]: nothing acts
    /// without a record on disk.
    pub fn intend(
        &mut self,
        step: &str,
        action: usize,
        kind: &str,
        calls: Vec<String>,
        facts: BTreeMap<String, Value>,
    ) -> Result<Armed> {
        let seq = self.append(Record::Intent {
            step: step.to_owned(),
            action,
            kind: kind.to_owned(),
            calls,
            facts,
        })?;
        Ok(Armed::by_record(seq))
    }

    /// Records that an action's effect is about to be taken back.
    pub fn intend_undo(
        &mut self,
        step: &str,
        action: usize,
        kind: &str,
        calls: Vec<String>,
    ) -> Result<Armed> {
        let seq = self.append(Record::Undoing {
            step: step.to_owned(),
            action,
            kind: kind.to_owned(),
            calls,
        })?;
        Ok(Armed::by_record(seq))
    }

    /// Where the run stands.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The lines from byte `at` on, as they stand in the file: whole ones alone, each of them on disk.
    pub fn lines(&self, at: u64) -> Result<Vec<u8>> {
        let ahead = self.length.saturating_sub(at);
        let mut lines = vec![0; usize::try_from(ahead).unwrap_or(usize::MAX)];
        self.file
            .read_exact_at(&mut lines, at)
            .map_err(Error::io("reading", &self.path))?;
        Ok(lines)
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn locked(path: &Path, file: File) -> Result<Self> {
        Ok(Self {
            _lock: Lock::take(&file, path)?,
            file,
            path: path.to_owned(),
            state: State::default(),
            crc: 0,
            length: 0,
            poisoned: None,
        })
    }

    fn cut(&mut self, length: u64) -> Result<()> {
        self.file
            .set_len(length)
            .map_err(Error::io("cutting a torn line off", &self.path))
    }
}

/// Where the run of the journal at `path` stands, without its lock: another process may be writing.
pub fn read(path: &Path) -> Result<State> {
    let scan = scan_file(path)?;
    if scan.lines.is_empty() {
        return Err(Error::Empty {
            path: path.to_owned(),
        });
    }
    Ok(scan.state)
}

/// Every record of the journal at `path` with its time, in order, without its lock.
pub fn records(path: &Path) -> Result<Vec<(Timestamp, Record)>> {
    let lines = scan_file(path)?.lines.into_iter();
    Ok(lines.map(|line| (line.time, line.record)).collect())
}

fn scan_file(path: &Path) -> Result<Scan> {
    let mut file = File::open(path).map_err(opening(path))?;
    let bytes = read_bytes(&mut file, path)?;
    scan(path, &bytes)
}

fn opening(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => Error::Missing {
            path: path.to_owned(),
        },
        _ => Error::io("opening", path)(error),
    }
}

/// As much as the file is long now: a device in its place has no end.
pub(super) fn read_bytes(file: &mut File, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.metadata()
        .and_then(|is| file.take(is.len()).read_to_end(&mut bytes))
        .map_err(Error::io("reading", path))?;
    Ok(bytes)
}

/// Whether the bytes can be what is left of a first line. A hole in place of what was never written reads as zeros.
pub(super) fn is_torn_start(bytes: &[u8]) -> bool {
    const START: &[u8] = b"{\"seq\":1,";
    let length = bytes.len().min(START.len());
    bytes[..length] == START[..length] || bytes.iter().all(|byte| *byte == 0)
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
