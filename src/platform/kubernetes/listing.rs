//! What `manifest.sh` prints, turned into digests by key.
//!
//! Programs differ in how they print a name with a line feed or a backslash in it. Here each name is known before it
//! is printed, so that each way is recognised for certain.

use std::collections::BTreeMap;

use super::exec::Ended;
use crate::platform::{Error, Result, is_of_store};
use crate::storage::key::{TEMP_SUFFIX, key_of_path, split};
use crate::storage::{Digest, DigestList, Phase, StorageError, TreeProblem};

/// The state of a running server, and a migration's mark.
const LOCK: &str = "core/lock";
pub(super) const MIGRATION: &str = "core/migration";

/// A manifest, or why there is none yet.
#[derive(Debug)]
pub(super) enum Made {
    /// Nothing changed meanwhile.
    Whole(DigestList),
    /// Files changed or went; without those, where the rest is certain.
    Changed(Option<DigestList>, String),
}

/// How many names end in a piece of the output.
pub(super) fn names_in(piece: &[u8]) -> u64 {
    piece.split(|byte| *byte == 0).skip(1).map(|_| 1).sum()
}

/// Reads the script's output as the tree that a file server wrote.
pub(super) fn digests(out: &[u8], phase: Phase, ended: &Ended) -> Result<Made> {
    let mut list = DigestList::default();
    let mut changed: Option<String> = None;
    let codes = each(out, &mut |path, digest| {
        let path = std::str::from_utf8(path)
            .map_err(|_| StorageError::tree(String::from_utf8_lossy(path), TreeProblem::NotUtf8))?;
        let key = key_of_path(path)?;
        if key == LOCK || (phase == Phase::Live && key.ends_with(TEMP_SUFFIX)) {
            return Ok(());
        }
        match digest {
            Some(digest) if key == MIGRATION && digest.bytes > 0 => {}
            Some(digest) => list.push(&key, digest)?,
            None => changed = Some(format!("{key} changed")),
        }
        Ok(())
    })?;
    list.sort()?;
    complaints(ended)?;
    if codes != [0, 0, 0] {
        // A folder that went while it was listed: what else is missing is unknown.
        return Ok(Made::Changed(None, disturbed(ended)));
    }
    Ok(match changed {
        None => Made::Whole(list),
        Some(what) => Made::Changed(Some(list), what),
    })
}

/// Reads the script's output as files of whatever sort, by their paths. One that changed or went meanwhile, and that no server would
/// name so, is as if it were empty: a log grows all the time.
pub(super) fn files(out: &[u8], ended: &Ended) -> Result<BTreeMap<String, Digest>> {
    let mut files = BTreeMap::new();
    let codes = each(out, &mut |path, digest| {
        let path = String::from_utf8_lossy(path).into_owned();
        let (_, name) = split(&path);
        let digest = match digest {
            Some(digest) => digest,
            None if name.starts_with('_') || is_of_store(name) => {
                return Err(Error::Refused(format!(
                    "{path} changes while it is read: find out what writes to it, and try again when nothing does"
                )));
            }
            None => Digest::of(b""),
        };
        files.insert(path, digest);
        Ok(())
    })?;
    complaints(ended)?;
    if codes == [0, 0, 0] {
        Ok(files)
    } else {
        Err(Error::Refused(disturbed(ended)))
    }
}

fn disturbed(ended: &Ended) -> String {
    format!("the listing was disturbed: {}", ended.last_lines())
}

/// Names that were not found are those that went.
fn complaints(ended: &Ended) -> Result<()> {
    let mut complaints = ended
        .complaints
        .lines()
        .filter(|line| !line.trim().is_empty());
    match complaints.find(|line| !line.contains("No such file")) {
        None => Ok(()),
        Some(bad) => Err(Error::Refused(format!(
            "the tree cannot be read whole: {}",
            bad.trim()
        ))),
    }
}

/// Gets a path, with a digest where the file did not change meanwhile.
type EachFile<'a> = dyn FnMut(&[u8], Option<Digest>) -> Result<()> + 'a;

/// Calls `file` for each file of the script's output; the exit codes at its end.
fn each(out: &[u8], file: &mut EachFile<'_>) -> Result<[u64; 3]> {
    let mut cursor = Cursor { rest: out };
    if let Some(odd) = cursor.name().filter(|name| !name.is_empty()) {
        let path = String::from_utf8_lossy(plain(odd)).into_owned();
        let problem = TreeProblem::NotAFile("link or special file");
        return Err(StorageError::tree(path, problem).into());
    }
    while cursor.take(b"batch ") {
        let count = cursor.number().filter(|_| cursor.take(b"\n"));
        let count = count.ok_or_else(|| cursor.lost())?;
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(cursor.name().ok_or_else(|| cursor.lost())?);
        }
        let before: Vec<_> = names.iter().map(|name| cursor.stat(name)).collect();
        let sums: Vec<_> = names.iter().map(|name| cursor.sum(name)).collect();
        let after: Vec<_> = names.iter().map(|name| cursor.stat(name)).collect();
        if !cursor.take(b"end\n") {
            return Err(cursor.lost());
        }
        for (index, name) in names.iter().enumerate() {
            let digest = match (before[index], sums[index], after[index]) {
                (Some(before), Some(sha256), Some(after)) if before == after => Some(Digest {
                    bytes: before.size,
                    sha256,
                }),
                _ => None,
            };
            file(plain(name), digest)?;
        }
    }
    cursor.codes().ok_or_else(|| cursor.lost())
}

fn plain(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"./").unwrap_or(name)
}

/// What `stat` says; a file that is replaced has another inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    size: u64,
    inode: u64,
    modified: u64,
}

struct Cursor<'out> {
    rest: &'out [u8],
}

impl<'out> Cursor<'out> {
    fn take(&mut self, text: &[u8]) -> bool {
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn name(&mut self) -> Option<&'out [u8]> {
        let end = self.rest.iter().position(|byte| *byte == 0)?;
        let name = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        Some(name)
    }

    fn number(&mut self) -> Option<u64> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit());
        let (number, rest) = self.rest.split_at(digits.count());
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        self.rest = rest;
        Some(number)
    }

    /// One line when it is about `name`; else nothing is taken, and the file was not there.
    fn line<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.rest;
        let read = read(self);
        if read.is_none() {
            self.rest = start;
        }
        read
    }

    fn stat(&mut self, name: &[u8]) -> Option<Stat> {
        self.line(|cursor| {
            let mut number = || cursor.number().filter(|_| cursor.take(b" "));
            let (size, inode, modified) = (number()?, number()?, number()?);
            (cursor.take(name) && cursor.take(b"\n")).then_some(Stat {
                size,
                inode,
                modified,
            })
        })
    }

    fn sum(&mut self, name: &[u8]) -> Option<[u8; 32]> {
        self.line(|cursor| {
            let escaped = cursor.take(b"\\");
            let mut sha256 = [0; 32];
            let digits = cursor.rest.get(..64)?;
            hex::decode_to_slice(digits, &mut sha256).ok()?;
            cursor.rest = &cursor.rest[64..];
            let spelt = if escaped {
                // Some programs escape carriage returns as well, some do not.
                let with_returns = escape(name, true);
                let found = cursor.take(b"  ")
                    && (cursor.take(&with_returns) || cursor.take(&escape(name, false)));
                found && cursor.take(b"\n")
            } else {
                cursor.take(b"  ") && cursor.take(name) && cursor.take(b"\n")
            };
            spelt.then_some(sha256)
        })
    }

    /// The exit codes of both searches and of the work on the files.
    fn codes(&mut self) -> Option<[u64; 3]> {
        if !self.take(b"codes ") {
            return None;
        }
        let odd = self.number().filter(|_| self.take(b" "))?;
        let found = self.number().filter(|_| self.take(b" "))?;
        let worked = self.number().filter(|_| self.take(b"\n"))?;
        self.rest.is_empty().then_some([odd, found, worked])
    }

    fn lost(&self) -> Error {
        let next = &self.rest[..self.rest.len().min(60)];
        Error::Refused(format!(
            "the listing of the tree is not as expected at {:?}; the programs in that image may be too different, name another with --helper-image",
            String::from_utf8_lossy(next)
        ))
    }
}

fn escape(name: &[u8], returns: bool) -> Vec<u8> {
    let mut spelt = Vec::with_capacity(name.len() + 2);
    for byte in name {
        match byte {
            b'\\' => spelt.extend_from_slice(b"\\\\"),
            b'\n' => spelt.extend_from_slice(b"\\n"),
            b'\r' if returns => spelt.extend_from_slice(b"\\r"),
            byte => spelt.push(*byte),
        }
    }
    spelt
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_grows_beside_a_store_is_none_of_its_files() {
        let sum = "0".repeat(64);
        let listed = |name: &str| {
            let out = format!(
                "\0batch 1\n./{name}\x003 9 1 ./{name}\n{sum}  ./{name}\n4 9 1 ./{name}\nend\ncodes 0 0 0\n"
            );
            let ended = Ended {
                code: 0,
                complaints: String::new(),
            };
            files(out.as_bytes(), &ended)
        };
        for name in ["audit.log", "2026-11-28.log", "logs/openbao.1"] {
            let found = listed(name).unwrap();
            assert_eq!(found, BTreeMap::from([(name.to_owned(), Digest::of(b""))]));
        }
        for name in ["000002.log", "pebbledb/CURRENT", "core/_keyring"] {
            let said = listed(name).unwrap_err().to_string();
            assert!(said.contains("find out what writes to it"), "{said}");
        }
    }
}
