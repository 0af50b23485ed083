//! Sorted lists of key, length and SHA-256: the manifest of a tree's files, the reference of an archive's values.
//!
//! The text form has one line per key, `<sha256 in hex>  <bytes>  <key>`, in ascending order of the keys' bytes, and
//! a last line `# <number> entries`, so that a list cut between two lines is noticed. Like `sha256sum` it writes a
//! backslash, line feed or carriage return in a key as `\\`, `\n` or `\r`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::durable::Partial;
use super::error::StorageError;
use super::keys::Keys;

/// Length and SHA-256 of a file or a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
}

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self {
            bytes: content.len() as u64,
            sha256: Sha256::digest(content).into(),
        }
    }
}

/// Keys with digests in ascending order, one after the other.
pub trait DigestSource {
    /// Puts the next key into `key`; none at the end.
    fn next_digest(&mut self, key: &mut String) -> Result<Option<Digest>, StorageError>;
}

/// A list in memory: some 52 bytes per entry besides the keys, of which neighbours share the directory.
#[derive(Debug, Default)]
pub struct DigestList {
    keys: Keys<Digest>,
}

impl DigestList {
    /// Adds an entry; [`sort`](Self::sort) when all are there.
    pub fn push(&mut self, key: &str, digest: Digest) -> Result<(), StorageError> {
        self.keys.push(key, digest)
    }

    /// Sorts by key; a key that occurs twice is an error.
    pub fn sort(&mut self) -> Result<(), StorageError> {
        self.keys.sort()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest of a key, in a sorted list.
    pub fn get(&self, key: &str) -> Option<Digest> {
        self.keys.find(key).map(|(_, digest)| digest)
    }

    /// Position and digest of a key, in a sorted list.
    pub(crate) fn find(&self, key: &str) -> Option<(usize, Digest)> {
        self.keys.find(key)
    }

    /// Puts the key at a position into `key`.
    pub(crate) fn at(&self, index: usize, key: &mut String) -> Option<Digest> {
        self.keys.get(index, key)
    }

    /// Goes through the list.
    pub fn digests(&self) -> DigestIter<'_> {
        DigestIter {
            list: self,
            next: 0,
        }
    }

    /// Writes the text form and returns its SHA-256 in hex.
    pub fn write_to(&self, out: impl Write) -> io::Result<String> {
        let mut lines = LineWriter::new(out);
        let mut key = String::new();
        let mut index = 0;
        while let Some(digest) = self.keys.get(index, &mut key) {
            lines.line(&key, digest)?;
            index += 1;
        }
        Ok(lines.finish()?.1)
    }

    /// Writes the text form to a file of mode 0600 that appears whole or not at all; returns its SHA-256 in hex.
    pub fn save(&self, path: &Path) -> Result<String, StorageError> {
        let mut file = Partial::create(path)?;
        let failed = StorageError::io("write", file.path());
        let mut out = BufWriter::with_capacity(1 << 18, &mut file);
        let digest = self
            .write_to(&mut out)
            .and_then(|digest| out.flush().map(|()| digest))
            .map_err(failed)?;
        drop(out);
        file.finish()?;
        Ok(digest)
    }

    /// Reads the text form.
    pub fn read_from(text: impl BufRead) -> Result<Self, StorageError> {
        let mut lines = DigestLines::new(text);
        let mut list = Self::default();
        let mut key = String::new();
        while let Some(digest) = lines.next_digest(&mut key)? {
            list.push(&key, digest)?;
        }
        Ok(list)
    }

    /// Reads a file that [`save`](Self::save) wrote.
    pub fn load(path: &Path) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(StorageError::io("open", path))?;
        Self::read_from(BufReader::with_capacity(1 << 18, file))
    }

    /// SHA-256 of the text form, in hex.
    pub fn sha256(&self) -> String {
        // A sink does not fail.
        self.write_to(io::sink()).unwrap_or_default()
    }

    /// The first differences between this list and another of the same tree, as phrases; none when they are equal.
    pub fn differences(&self, now: &Self, most: usize) -> Result<Vec<String>, StorageError> {
        let mut found = Vec::new();
        super::archive::merge(
            &mut self.digests(),
            &mut now.digests(),
            &mut |key, was, is| {
                if found.len() >= most {
                    return;
                }
                match (was, is) {
                    (Some(_), None) => found.push(format!("{key} is gone")),
                    (None, Some(_)) => found.push(format!("{key} is new")),
                    (Some(was), Some(is)) if was.bytes != is.bytes => {
                        found.push(format!("{key} had {} bytes, has {}", was.bytes, is.bytes));
                    }
                    (Some(was), Some(is)) if was != is => {
                        found.push(format!("{key} has other contents"))
                    }
                    _ => {}
                }
            },
        )?;
        Ok(found)
    }
}

impl PartialEq for DigestList {
    fn eq(&self, other: &Self) -> bool {
        let (mut a, mut b) = (String::new(), String::new());
        self.len() == other.len()
            && (0..self.len())
                .all(|index| self.at(index, &mut a) == other.at(index, &mut b) && a == b)
    }
}

impl Eq for DigestList {}

/// A list in memory, gone through.
#[derive(Debug)]
pub struct DigestIter<'a> {
    list: &'a DigestList,
    next: usize,
}

impl DigestSource for DigestIter<'_> {
    fn next_digest(&mut self, key: &mut String) -> Result<Option<Digest>, StorageError> {
        self.next += 1;
        Ok(self.list.at(self.next - 1, key))
    }
}

/// Writes the text form line by line.
pub(crate) struct LineWriter<W> {
    out: W,
    hasher: Sha256,
    entries: u64,
    line: Vec<u8>,
}

impl<W: Write> LineWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            hasher: Sha256::new(),
            entries: 0,
            line: Vec::new(),
        }
    }

    pub(crate) fn line(&mut self, key: &str, digest: Digest) -> io::Result<()> {
        let mut hexed = [0; 64];
        hex::encode_to_slice(digest.sha256, &mut hexed).map_err(io::Error::other)?;
        self.line.clear();
        self.line.extend_from_slice(&hexed);
        write!(self.line, "  {}  ", digest.bytes)?;
        if key.contains(['\\', '\n', '\r']) {
            let escaped = key
                .replace('\\', "\\\\")
                .replace('\n', "\\n")
                .replace('\r', "\\r");
            self.line.extend_from_slice(escaped.as_bytes());
        } else {
            self.line.extend_from_slice(key.as_bytes());
        }
        self.line.push(b'\n');
        self.entries += 1;
        self.put()
    }

    /// Writes the last line; returns what was written to, and the SHA-256 of all lines in hex.
    pub(crate) fn finish(mut self) -> io::Result<(W, String)> {
        self.line.clear();
        writeln!(self.line, "# {} entries", self.entries)?;
        self.put()?;
        self.out.flush()?;
        Ok((self.out, hex::encode(self.hasher.finalize())))
    }

    fn put(&mut self) -> io::Result<()> {
        self.hasher.update(&self.line);
        self.out.write_all(&self.line)
    }
}

/// The text form, read line by line and checked for order and completeness.
#[derive(Debug)]
pub struct DigestLines<R> {
    text: R,
    line: String,
    number: u64,
    last: Option<String>,
    finished: bool,
}

impl<R: BufRead> DigestLines<R> {
    /// Reads from `text`.
    pub fn new(text: R) -> Self {
        Self {
            text,
            line: String::new(),
            number: 0,
            last: None,
            finished: false,
        }
    }

    fn bad(&self, problem: impl Into<String>) -> StorageError {
        let problem = problem.into();
        StorageError::List {
            line: self.number,
            problem,
        }
    }

    fn read_line(&mut self) -> Result<bool, StorageError> {
        self.number += 1;
        self.line.clear();
        match self.text.read_line(&mut self.line) {
            Ok(0) => Ok(false),
            Ok(_) if self.line.pop() == Some('\n') => Ok(true),
            Ok(_) => Err(self.bad("the line is cut")),
            Err(error) => Err(self.bad(error.to_string())),
        }
    }
}

impl<R: BufRead> DigestSource for DigestLines<R> {
    fn next_digest(&mut self, key: &mut String) -> Result<Option<Digest>, StorageError> {
        if self.finished {
            return Ok(None);
        }
        if !self.read_line()? {
            return Err(self.bad("the list is cut: its last line is missing"));
        }
        if let Some(count) = self.line.strip_prefix("# ") {
            if count
                .strip_suffix(" entries")
                .and_then(|count| count.parse().ok())
                != Some(self.number - 1)
            {
                return Err(self.bad("its last line does not give the number of lines before it"));
            }
            if self.read_line()? {
                return Err(self.bad("more lines after the last"));
            }
            self.finished = true;
            return Ok(None);
        }
        let digest =
            parse(&self.line, key).ok_or_else(|| self.bad("not `<sha256>  <bytes>  <key>`"))?;
        match &mut self.last {
            Some(last) if last.as_str() >= key.as_str() => {
                return Err(self.bad(format!("the key {key} is not above the one before it")));
            }
            Some(last) => last.clone_from(key),
            none => *none = Some(key.clone()),
        }
        Ok(Some(digest))
    }
}

fn parse(line: &str, key: &mut String) -> Option<Digest> {
    let mut parts = line.splitn(3, "  ");
    let mut sha256 = [0; 32];
    hex::decode_to_slice(parts.next()?, &mut sha256).ok()?;
    let bytes = parts.next()?.parse().ok()?;
    key.clear();
    let mut letters = parts.next()?.chars();
    while let Some(letter) = letters.next() {
        key.push(match letter {
            '\\' => match letters.next()? {
                '\\' => '\\',
                'n' => '\n',
                'r' => '\r',
                _ => return None,
            },
            letter => letter,
        });
    }
    Some(Digest { bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(keys: &[&str]) -> DigestList {
        let mut list = DigestList::default();
        for key in keys {
            list.push(key, Digest::of(key.as_bytes())).unwrap();
        }
        list.sort().unwrap();
        list
    }

    fn text(list: &DigestList) -> Vec<u8> {
        let mut text = Vec::new();
        list.write_to(&mut text).unwrap();
        text
    }

    #[test]
    fn the_text_is_as_documented() {
        let expected = format!("{}  1  a\n# 1 entries\n", hex::encode(Sha256::digest(b"a")));
        assert_eq!(String::from_utf8(text(&list(&["a"]))).unwrap(), expected);
        assert_eq!(list(&["a"]).sha256(), hex::encode(Sha256::digest(expected)));
    }

    #[test]
    fn a_cut_text_is_refused_at_every_byte() {
        let whole = text(&list(&["a/b", "a/c", "b"]));
        for cut in 0..whole.len() {
            assert!(
                DigestList::read_from(&whole[..cut]).is_err(),
                "cut at {cut}"
            );
        }
        let unsorted = [&whole[71..142], &whole[..71], b"# 2 entries\n"].concat();
        let error = DigestList::read_from(&unsorted[..]).unwrap_err();
        assert!(error.to_string().starts_with("line 2"), "{error}");
    }

    #[test]
    fn differences_are_phrases() {
        let (mut was, mut is) = (list(&["a", "b"]), list(&["a", "c"]));
        was.push("d", Digest::of(b"1")).unwrap();
        is.push("d", Digest::of(b"2")).unwrap();
        assert_eq!(
            was.differences(&is, 9).unwrap(),
            ["b is gone", "c is new", "d has other contents"]
        );
        assert_eq!(was.differences(&was, 9).unwrap(), Vec::<String>::new());
        assert_ne!(was, is);
    }

    proptest! {
        #[test]
        fn text_round_trips(keys in proptest::collection::btree_set("[a-c/\\\\\n\r ]{1,6}", 0..20)) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let before = list(&keys);
            let after = DigestList::read_from(&text(&before)[..]).unwrap();
            prop_assert_eq!(before, after);
        }
    }
}
