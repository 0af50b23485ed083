//! A compact, sortable set of keys with a payload each.

use std::cmp::Ordering;

use super::error::StorageError;
use super::key::split;

/// Keys in two arenas (directories once per run of neighbours, last segments), 12 bytes of index per key.
///
/// A KV v2 key is some 150 bytes, 90 of them its directory, which neighbours share.
#[derive(Debug)]
pub(crate) struct Keys<T> {
    directories: String,
    /// Start of each directory in `directories`; its end is the next one's start.
    starts: Vec<u32>,
    names: String,
    rows: Vec<Row<T>>,
    sorted: bool,
}

#[derive(Debug, Clone, Copy)]
struct Row<T> {
    directory: u32,
    name: u32,
    /// At most 32,768, see [`super::key::MAX_KEY_BYTES`].
    length: u16,
    payload: T,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self {
            directories: String::new(),
            starts: Vec::new(),
            names: String::new(),
            rows: Vec::new(),
            sorted: true,
        }
    }
}

impl<T: Copy> Keys<T> {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether the keys are strictly ascending so far.
    pub(crate) fn is_sorted(&self) -> bool {
        self.sorted
    }

    pub(crate) fn push(&mut self, key: &str, payload: T) -> Result<(), StorageError> {
        let (directory, name) = split(key);
        if self.sorted && !self.rows.is_empty() {
            self.sorted = self.compare(self.rows.len() - 1, key) == Ordering::Less;
        }
        let last = self.starts.len();
        if last == 0 || self.directory(last - 1) != directory {
            self.starts.push(narrow(self.directories.len())?);
            self.directories.push_str(directory);
        }
        let row = Row {
            directory: narrow(self.starts.len() - 1)?,
            name: narrow(self.names.len())?,
            length: u16::try_from(name.len()).map_err(|_| StorageError::TooManyKeys)?,
            payload,
        };
        narrow(self.names.len() + name.len())?;
        self.names.push_str(name);
        self.rows.push(row);
        Ok(())
    }

    /// Sorts by the keys' bytes; a key that occurs twice is an error.
    pub(crate) fn sort(&mut self) -> Result<(), StorageError> {
        if self.sorted {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by(|a, b| self.compare_rows(a, b));
        self.rows = rows;
        for pair in self.rows.windows(2) {
            if self.compare_rows(&pair[0], &pair[1]) == Ordering::Equal {
                let (directory, name) = self.parts(&pair[0]);
                let key = format!("{directory}{name}");
                return Err(StorageError::Duplicate { key });
            }
        }
        self.sorted = true;
        Ok(())
    }

    /// Puts the key at `index` into `into` and returns its payload.
    pub(crate) fn get(&self, index: usize, into: &mut String) -> Option<T> {
        let row = self.rows.get(index)?;
        let (directory, name) = self.parts(row);
        into.clear();
        into.push_str(directory);
        into.push_str(name);
        Some(row.payload)
    }

    /// Where `key` is, in a sorted set.
    pub(crate) fn find(&self, key: &str) -> Option<(usize, T)> {
        let (mut low, mut high) = (0, self.rows.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.compare(middle, key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Some((middle, self.rows[middle].payload)),
            }
        }
        None
    }

    fn compare(&self, index: usize, key: &str) -> Ordering {
        let (directory, name) = self.parts(&self.rows[index]);
        let (other, last) = split(key);
        ordering((directory, name), (other, last))
    }

    fn compare_rows(&self, a: &Row<T>, b: &Row<T>) -> Ordering {
        ordering(self.parts(a), self.parts(b))
    }

    fn parts(&self, row: &Row<T>) -> (&str, &str) {
        let start = row.name as usize;
        let name = &self.names[start..start + row.length as usize];
        (self.directory(row.directory as usize), name)
    }

    fn directory(&self, index: usize) -> &str {
        let start = self.starts[index] as usize;
        let end = self
            .starts
            .get(index + 1)
            .map_or(self.directories.len(), |end| *end as usize);
        &self.directories[start..end]
    }
}

/// Compares two keys given as directory and last segment, as if each were one string.
fn ordering(a: (&str, &str), b: (&str, &str)) -> Ordering {
    if a.0 == b.0 {
        return a.1.as_bytes().cmp(b.1.as_bytes());
    }
    a.0.bytes()
        .chain(a.1.bytes())
        .cmp(b.0.bytes().chain(b.1.bytes()))
}

fn narrow(length: usize) -> Result<u32, StorageError> {
    u32::try_from(length).map_err(|_| StorageError::TooManyKeys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_by_whole_keys_and_finds() {
        let mut keys = Keys::default();
        let words = ["b/c", "a/x", "a!", "a", "a/b/c", "b"];
        for (number, word) in words.iter().enumerate() {
            keys.push(word, number).unwrap();
        }
        keys.sort().unwrap();
        let mut expected = words;
        expected.sort_unstable();
        let mut key = String::new();
        for (index, word) in expected.iter().enumerate() {
            let payload = keys.get(index, &mut key).unwrap();
            assert_eq!((key.as_str(), words[payload]), (*word, *word));
            assert_eq!(keys.find(word), Some((index, payload)));
        }
        assert_eq!(keys.find("a/"), None);
    }

    #[test]
    fn names_a_key_that_occurs_twice() {
        let mut keys = Keys::default();
        for key in ["b", "a/x", "b"] {
            keys.push(key, ()).unwrap();
        }
        let error = keys.sort().unwrap_err();
        assert_eq!(error.to_string(), "the key b occurs twice");
    }
}
