//! The messages of `state.bin`.

use std::io::Read;

use sha2::{Digest as _, Sha256};

use super::tarred::Members;
use crate::storage::error::StorageError;
use crate::storage::key::MAX_KEY_BYTES;

/// Field 1, length-delimited.
const KEY: u64 = 0x0a;
/// Field 2, length-delimited.
const VALUE: u64 = 0x12;

/// Appends one message. An empty value is left out, as protobuf has it.
pub(super) fn put(key: &str, value: &[u8], into: &mut Vec<u8>) {
    let field = |length: usize| 1 + varint_length(length) + length;
    let value_field = if value.is_empty() {
        0
    } else {
        field(value.len())
    };
    put_varint(field(key.len()) + value_field, into);
    into.push(0x0a);
    put_varint(key.len(), into);
    into.extend_from_slice(key.as_bytes());
    if !value.is_empty() {
        into.push(0x12);
        put_varint(value.len(), into);
        into.extend_from_slice(value);
    }
}

/// How many bytes [`put`] appends for a key and value of these lengths.
pub(super) fn put_length(key: usize, value: usize) -> usize {
    let field = |length: usize| 1 + varint_length(length) + length;
    let message = field(key) + if value == 0 { 0 } else { field(value) };
    varint_length(message) + message
}

fn varint_length(value: usize) -> usize {
    let bits = usize::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

fn put_varint(mut value: usize, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    into.push(value.to_le_bytes()[0]);
}

/// Reads the messages and nothing but well-formed ones, in strictly ascending order.
#[derive(Debug)]
pub(super) struct State {
    hasher: Sha256,
    /// Offset in `state.bin`, and where the current entry began.
    offset: u64,
    start: u64,
    size: u64,
    index: u64,
    key: String,
    last: String,
    value: Vec<u8>,
    key_read: bool,
}

impl State {
    pub(super) fn new(size: u64) -> Self {
        Self {
            hasher: Sha256::new(),
            offset: 0,
            start: 0,
            size,
            index: 0,
            key: String::new(),
            last: String::new(),
            value: Vec::new(),
            key_read: false,
        }
    }

    pub(super) fn entries(&self) -> u64 {
        self.index
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn sha256(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    pub(super) fn entry(&self) -> (&str, &[u8]) {
        (&self.key, &self.value)
    }

    fn bad(&self, problem: impl Into<String>) -> StorageError {
        StorageError::Entry {
            index: self.index,
            key: self.key_read.then(|| self.key.clone()),
            offset: self.start,
            problem: problem.into(),
        }
    }

    /// Reads the next message; false at the end.
    pub(super) fn advance<R: Read>(&mut self, from: &mut Members<R>) -> Result<bool, StorageError> {
        if self.offset == self.size {
            return Ok(false);
        }
        self.start = self.offset;
        self.key_read = false;
        let end = self.length(from, self.size, "message")?;
        if self.tag(from, end)? != KEY {
            return Err(self.bad("the first field is not the key"));
        }
        let key_end = self.length(from, end, "key")?;
        let key_bytes = key_end - self.offset;
        if key_bytes == 0 || key_bytes > MAX_KEY_BYTES as u64 {
            return Err(self.bad(format!(
                "a key of {key_bytes} bytes; raft storage holds 1 to {MAX_KEY_BYTES}"
            )));
        }
        let mut key = std::mem::take(&mut self.last).into_bytes();
        std::mem::swap(&mut self.last, &mut self.key);
        key.clear();
        self.bytes(from, key_end, &mut key)?;
        match String::from_utf8(key) {
            Ok(key) => self.key = key,
            Err(_) => return Err(self.bad("the key is not UTF-8")),
        }
        self.key_read = true;
        if self.index > 0 && self.key <= self.last {
            let order = if self.key == self.last {
                "the same key as"
            } else {
                "not above"
            };
            return Err(self.bad(format!("{order} the entry before it ({})", self.last)));
        }
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        if self.offset < end {
            match self.tag(from, end)? {
                VALUE => {}
                KEY => return Err(self.bad("two keys")),
                tag => {
                    return Err(self.bad(format!(
                        "unknown field {} of type {}",
                        tag >> 3,
                        tag & 7
                    )));
                }
            }
            let value_end = self.length(from, end, "value")?;
            self.bytes(from, value_end, &mut value)?;
            if self.offset < end {
                return Err(self.bad("more than a key and a value"));
            }
        }
        self.value = value;
        self.index += 1;
        Ok(true)
    }

    fn tag<R: Read>(&mut self, from: &mut Members<R>, end: u64) -> Result<u64, StorageError> {
        self.varint(from, end)
    }

    /// A length that must fit before `end`; returns where its bytes end.
    fn length<R: Read>(
        &mut self,
        from: &mut Members<R>,
        end: u64,
        what: &str,
    ) -> Result<u64, StorageError> {
        let length = self.varint(from, end)?;
        let left = end - self.offset;
        if length > left {
            return Err(self.bad(format!("a {what} of {length} bytes where {left} are left")));
        }
        Ok(self.offset + length)
    }

    fn varint<R: Read>(&mut self, from: &mut Members<R>, end: u64) -> Result<u64, StorageError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            if self.offset == end {
                return Err(self.bad("a number is cut"));
            }
            let byte = match from.chunk()?.first() {
                Some(byte) => *byte,
                None => return Err(self.bad("a number is cut")),
            };
            self.take(from, &[byte]);
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                if (shift == 63 && byte > 1) || (shift > 0 && byte == 0) {
                    break;
                }
                return Ok(value);
            }
        }
        Err(self.bad("a number is not a canonical varint"))
    }

    /// Appends what lies before `end`, growing `into` by what arrives and not by what is claimed.
    fn bytes<R: Read>(
        &mut self,
        from: &mut Members<R>,
        end: u64,
        into: &mut Vec<u8>,
    ) -> Result<(), StorageError> {
        while self.offset < end {
            let most = usize::try_from(end - self.offset).unwrap_or(usize::MAX);
            let chunk = from.chunk()?;
            let chunk = &chunk[..chunk.len().min(most)];
            if chunk.is_empty() {
                return Err(self.bad("it is cut"));
            }
            into.extend_from_slice(chunk);
            let taken = chunk.len();
            self.hasher.update(chunk);
            self.offset += taken as u64;
            from.consume(taken);
        }
        Ok(())
    }

    fn take<R: Read>(&mut self, from: &mut Members<R>, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        from.consume(bytes.len());
    }
}
