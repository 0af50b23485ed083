//! One line: its shape, its checksum, and how a record becomes one and comes back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{FORMAT, Record};

/// Before and after the checksum's eight digits.
const CRC_OPEN: &[u8] = b",\"crc\":\"";
const CRC_CLOSE: &[u8] = b"\"}";
const CRC_DIGITS: usize = 8;
const CRC_PART: usize = CRC_OPEN.len() + CRC_DIGITS + CRC_CLOSE.len();

/// A line that was read.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub seq: u64,
    pub time: Timestamp,
    pub record: Record,
    /// The checksum over this line and all before it.
    pub crc: u32,
}

/// Why bytes are no line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LineError {
    /// They are not what was written here.
    Damaged(String),
    /// They are what was written, by a later version.
    Newer {
        what: String,
        written_by: Option<String>,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    seq: u64,
    time: String,
    entry: &'a Record,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    seq: u64,
    time: Timestamp,
    entry: Value,
    #[serde(rename = "crc")]
    _crc: String,
}

/// The tool's clock as a journal has it: whole milliseconds.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// The line of a record, with its line end. `before` is the checksum of the line before, 0 for the first.
pub(super) fn encode(
    seq: u64,
    time: Timestamp,
    record: &Record,
    before: u32,
) -> serde_json::Result<Vec<u8>> {
    let time = format!("{time:.3}");
    let mut line = serde_json::to_vec(&Written {
        seq,
        time,
        entry: record,
    })?;
    line.pop();
    let crc = crc32c::crc32c_append(before, &line);
    line.extend_from_slice(CRC_OPEN);
    line.extend_from_slice(format!("{crc:08x}").as_bytes());
    line.extend_from_slice(CRC_CLOSE);
    line.push(b'\n');
    Ok(line)
}

/// Reads the line `seq`, given without its line end.
pub(super) fn decode(line: &[u8], seq: u64, before: u32) -> Result<Line, LineError> {
    let (covered, crc) = split(line)
        .ok_or_else(|| LineError::Damaged("it does not end in a checksum".to_owned()))?;
    if crc32c::crc32c_append(before, covered) != crc {
        return Err(LineError::Damaged(
            "its checksum does not match, so it or a line before it was changed, removed or moved"
                .to_owned(),
        ));
    }
    let read: Read = serde_json::from_slice(line).map_err(not_json)?;
    if read.seq != seq {
        return Err(LineError::Damaged(format!(
            "it has the number {} instead of {seq}",
            read.seq
        )));
    }
    Ok(Line {
        seq,
        time: read.time,
        record: record(read.entry)?,
        crc,
    })
}

/// The length of the line that `bytes` begins with, when that line is whole and only what follows it is not.
pub(super) fn starts_with_a_line(bytes: &[u8], before: u32) -> Option<usize> {
    (CRC_PART..=bytes.len()).find(|&end| {
        bytes[..end].ends_with(CRC_CLOSE)
            && split(&bytes[..end])
                .is_some_and(|(covered, crc)| crc32c::crc32c_append(before, covered) == crc)
    })
}

/// The bytes under the checksum, and the checksum. Only the digits that are written count, so that no changed byte passes.
fn split(line: &[u8]) -> Option<(&[u8], u32)> {
    let (covered, part) = line.split_at_checked(line.len().checked_sub(CRC_PART)?)?;
    let digits = part.strip_prefix(CRC_OPEN)?.strip_suffix(CRC_CLOSE)?;
    let crc = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    (digits == format!("{crc:08x}").as_bytes()).then_some((covered, crc))
}

/// The checksum holds, so this is what was written: what is unknown in it comes from a later version.
fn record(entry: Value) -> Result<Record, LineError> {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
    let kind = text("record").unwrap_or_default();
    if !Record::KINDS.contains(&kind.as_str()) {
        return Err(LineError::Newer {
            what: format!("a record `{kind}`"),
            written_by: None,
        });
    }
    match entry.get("format").and_then(Value::as_u64) {
        Some(format) if kind == "started" && format > u64::from(FORMAT) => Err(LineError::Newer {
            what: format!("format {format}"),
            written_by: text("baoctl"),
        }),
        _ => serde_json::from_value(entry).map_err(not_json),
    }
}

#[allow(clippy::needless_pass_by_value)] // for `map_err`
fn not_json(error: serde_json::Error) -> LineError {
    LineError::Damaged(format!("it is no record ({error})"))
}
