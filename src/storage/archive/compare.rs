//! Two sorted lists of entries side by side.

use std::cmp::Ordering;
use std::io::Read;

use serde::Serialize;

use super::reader::ArchiveReader;
use crate::storage::bounded::Bounded;
use crate::storage::digests::{Digest, DigestSource};
use crate::storage::error::StorageError;

/// The digests of an archive's values. Dropped before its end, nothing about the archive is proven.
#[derive(Debug)]
pub struct ArchiveDigests<R: Read>(pub ArchiveReader<R>);

impl<R: Read> DigestSource for ArchiveDigests<R> {
    fn next_digest(&mut self, into: &mut String) -> Result<Option<Digest>, StorageError> {
        Ok(self.0.next_entry()?.map(|(key, value)| {
            into.clear();
            into.push_str(key);
            Digest::of(value)
        }))
    }
}

/// How two lists of entries differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Keys with equal values.
    pub identical: u64,
    /// Keys with different values.
    pub changed: Bounded<String>,
    /// Keys only the left one has.
    pub only_left: Bounded<String>,
    /// Keys only the right one has.
    pub only_right: Bounded<String>,
}

impl Diff {
    /// Whether there is no difference.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.only_left.is_empty() && self.only_right.is_empty()
    }
}

/// Compares two sorted lists of entries, reading each to its end: archives ([`ArchiveDigests`]), the values of a
/// tree ([`entries`](crate::storage::tree::entries)), or a stored list ([`DigestLines`](crate::storage::DigestLines)).
pub fn diff(
    left: &mut dyn DigestSource,
    right: &mut dyn DigestSource,
) -> Result<Diff, StorageError> {
    let mut found = Diff::default();
    merge(left, right, &mut |key, left, right| match (left, right) {
        (Some(_), None) => found.only_left.push_with(|| key.to_owned()),
        (None, Some(_)) => found.only_right.push_with(|| key.to_owned()),
        (left, right) if left != right => found.changed.push_with(|| key.to_owned()),
        _ => found.identical += 1,
    })?;
    Ok(found)
}

/// Gets a key with its digest on the left and on the right.
type EachPair<'a> = dyn FnMut(&str, Option<Digest>, Option<Digest>) + 'a;

/// Calls `each` once for every key of either list, in ascending order.
pub(crate) fn merge(
    left: &mut dyn DigestSource,
    right: &mut dyn DigestSource,
    each: &mut EachPair<'_>,
) -> Result<(), StorageError> {
    let (mut left_key, mut right_key) = (String::new(), String::new());
    let mut left_now = left.next_digest(&mut left_key)?;
    let mut right_now = right.next_digest(&mut right_key)?;
    loop {
        let order = match (left_now, right_now) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), Some(_)) => left_key.cmp(&right_key),
        };
        match order {
            Ordering::Less => each(&left_key, left_now, None),
            Ordering::Greater => each(&right_key, None, right_now),
            Ordering::Equal => each(&left_key, left_now, right_now),
        }
        if order != Ordering::Greater {
            left_now = left.next_digest(&mut left_key)?;
        }
        if order != Ordering::Less {
            right_now = right.next_digest(&mut right_key)?;
        }
    }
}
