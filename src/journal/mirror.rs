//! A copy of the journal elsewhere, so that another machine can go on when this one is gone.
//!
//! The copy is the file's own bytes: the checksums run through it, and it reads back as the file does.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::error::{Error, Result};
use super::file::{is_torn_start, read_bytes, sync_folder};
use super::fold::State;
use super::lock::Lock;
use super::scan::{Tail, scan};

/// Why a mirror does not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// Somebody else goes on with the run: this process must not act any more.
    #[error("the run was taken over by {holder}")]
    Lost {
        /// Who, as far as is known.
        holder: String,
    },
    /// It holds records that the journal does not have: whoever wrote them went further.
    #[error("the copy of the journal in the cluster holds other records: {why}")]
    Parted {
        /// How.
        why: String,
    },
    /// It holds less than was there before: somebody removed a part of it.
    #[error("the copy of the journal in the cluster ends at byte {held}")]
    Behind {
        /// The bytes that it holds.
        held: u64,
    },
    /// It cannot be reached, or said no; whether a push arrived is not known.
    #[error("{why}")]
    Unavailable {
        /// Why.
        why: String,
    },
}

impl MirrorError {
    /// Whether another try cannot help and the run must stop.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Parted { .. })
    }
}

/// Holds a copy of the journal's first bytes, for one holder at a time.
///
/// A call may be dropped before it ends: whether it took effect is then not known, and the next push begins with the same byte.
#[async_trait]
pub trait Mirror: Send + Sync {
    /// Makes the copy reach to the end of `lines`, which stand in the journal from byte `at` on and are all there is.
    ///
    /// What it holds of them already must be the same bytes, and it may hold none beyond, else it has [`MirrorError::Parted`]. Refused
    /// with [`MirrorError::Lost`] once another holder came.
    async fn push(&self, at: u64, lines: &[u8]) -> std::result::Result<(), MirrorError>;

    /// Whether this process is the holder still, asked anew.
    async fn check(&self) -> std::result::Result<(), MirrorError>;

    /// Comes back once it is known, without being asked, that another holder came.
    async fn lost(&self) -> MirrorError {
        std::future::pending().await
    }
}

/// What [`restore`] did with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restored {
    /// There was none, and now there is.
    Written,
    /// It lacked the last records, and has them now.
    Extended,
    /// It has every record of the copy, and perhaps more.
    Kept,
}

/// Where the run stands whose journal has these bytes.
pub fn mirrored(bytes: &[u8]) -> Result<State> {
    let copy = Path::new("in the cluster");
    let scan = scan(copy, bytes)?;
    if scan.lines.is_empty() {
        return Err(Error::Empty {
            path: PathBuf::from(copy),
        });
    }
    Ok(scan.state)
}

/// Makes the journal at `path` (mode 0600) hold at least the records of the copy; it is on disk on return. A torn last line of
/// the copy counts as little as one of a file. A file with other records stays as it is.
pub fn restore(path: &Path, copy: &[u8]) -> Result<Restored> {
    mirrored(copy)?;
    let copied = scan(path, copy)?;
    let copy = &copy[..usize::try_from(copied.good).unwrap_or(copy.len())];
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(Error::io("creating", path))?;
    let _lock = Lock::take(&file, path)?;
    let bytes = read_bytes(&mut file, path)?;
    let there = scan(path, &bytes)?;
    if there.lines.is_empty() && !is_torn_start(&bytes) {
        return Err(Error::Exists {
            path: path.to_owned(),
        });
    }
    let good = usize::try_from(there.good).unwrap_or(bytes.len());
    let known = &bytes[..good];
    if known.starts_with(copy.strip_suffix(b"\n").unwrap_or(copy)) {
        return Ok(Restored::Kept);
    }
    let Some(more) = copy.strip_prefix(known) else {
        let both = known
            .iter()
            .zip(copy)
            .take_while(|(one, other)| one == other);
        let same = both.filter(|(byte, _)| **byte == b'\n').count() as u64;
        return Err(Error::Parted {
            path: path.to_owned(),
            same,
        });
    };
    if there.tail == Tail::Torn {
        file.set_len(there.good)
            .map_err(Error::io("cutting a torn line off", path))?;
    }
    append(&mut file, path, more, copied.tail)?;
    Ok(if known.is_empty() {
        Restored::Written
    } else {
        Restored::Extended
    })
}

/// Killed in the middle, it leaves a torn journal: the next try completes it.
fn append(file: &mut File, path: &Path, more: &[u8], tail: Tail) -> Result<()> {
    file.write_all(more)
        .and_then(|()| match tail {
            Tail::NoLineEnd => file.write_all(b"\n"),
            Tail::Whole | Tail::Torn => Ok(()),
        })
        .and_then(|()| file.sync_data())
        .and_then(|()| sync_folder(path))
        .map_err(Error::io("writing", path))
}
