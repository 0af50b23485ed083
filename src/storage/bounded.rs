//! Lists that count everything and keep only the first few.

use serde::Serialize;

/// How many items a [`Bounded`] keeps.
pub const KEPT: usize = 50;

/// All items counted, the first [`KEPT`] kept: what a report can show of a list of any length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bounded<T> {
    /// How many there were.
    pub total: u64,
    /// The first of them, in the order they came.
    pub first: Vec<T>,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self {
            total: 0,
            first: Vec::new(),
        }
    }
}

impl<T> Bounded<T> {
    /// Counts `item`, and keeps it if there is room.
    pub fn push(&mut self, item: T) {
        self.push_with(|| item);
    }

    /// Counts an item that is only made when there is room for it.
    pub fn push_with(&mut self, make: impl FnOnce() -> T) {
        self.total += 1;
        if self.first.len() < KEPT {
            self.first.push(make());
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }
}

/// The largest few of many named sizes, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Largest(pub Vec<Sized>);

/// A key and the length of its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sized {
    /// The storage key.
    pub key: String,
    /// Length of the value in bytes.
    pub bytes: u64,
}

impl Largest {
    const KEPT: usize = 10;

    pub(crate) fn offer(&mut self, key: &str, bytes: u64) {
        if self.0.len() == Self::KEPT && self.0.last().is_some_and(|least| least.bytes >= bytes) {
            return;
        }
        let place = self.0.partition_point(|held| held.bytes >= bytes);
        let key = key.to_owned();
        self.0.insert(place, Sized { key, bytes });
        self.0.truncate(Self::KEPT);
    }
}
