//! A whole file: its lines, and what its end is like.

use std::path::Path;

use super::error::{Error, Result};
use super::fold::State;
use super::line::{self, Line, LineError};
use super::record::Record;

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// With a whole line.
    Whole,
    /// With a whole line that lacks its line end: the write was cut by one byte.
    NoLineEnd,
    /// With a part of a line, which never took effect since its `fsync` never returned.
    Torn,
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Scan {
    pub lines: Vec<Line>,
    pub state: State,
    pub tail: Tail,
    /// The length of what counts, without a torn line.
    pub good: u64,
    /// The checksum that the next line builds on.
    pub crc: u32,
}

/// Reads and verifies the bytes of the journal at `path`.
pub(super) fn scan(path: &Path, bytes: &[u8]) -> Result<Scan> {
    let mut scan = Scan {
        lines: Vec::new(),
        state: State::default(),
        tail: Tail::Whole,
        good: 0,
        crc: 0,
    };
    let mut written_by = None;
    for (seq, piece) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let whole = piece.strip_suffix(b"\n");
        let line = match line::decode(whole.unwrap_or(piece), seq, scan.crc) {
            Ok(line) => line,
            Err(LineError::Damaged(why)) if whole.is_none() => {
                // More than a whole line is not what a cut write leaves.
                if line::starts_with_a_line(piece, scan.crc).is_some_and(|end| end < piece.len()) {
                    return Err(damaged(path, seq, why));
                }
                scan.tail = Tail::Torn;
                break;
            }
            Err(LineError::Damaged(why)) => return Err(damaged(path, seq, why)),
            Err(LineError::Newer {
                what,
                written_by: by,
            }) => {
                return Err(Error::Newer {
                    path: path.to_owned(),
                    line: seq,
                    what,
                    written_by: by.or(written_by),
                });
            }
        };
        if let Record::Started(super::Header { baoctl, .. }) | Record::Resumed { baoctl, .. } =
            &line.record
        {
            written_by = Some(baoctl.clone());
        }
        scan.state
            .apply(seq, line.time, &line.record)
            .map_err(|source| Error::Order {
                path: path.to_owned(),
                line: seq,
                source,
            })?;
        scan.crc = line.crc;
        scan.good += piece.len() as u64;
        if whole.is_none() {
            scan.tail = Tail::NoLineEnd;
        }
        scan.lines.push(line);
    }
    Ok(scan)
}

fn damaged(path: &Path, line: u64, why: String) -> Error {
    Error::Damaged {
        path: path.to_owned(),
        line,
        why,
    }
}
