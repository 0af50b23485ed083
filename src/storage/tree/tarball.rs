//! A tar stream of a tree, which may have been cut anywhere.

use std::io::{self, Read};

use super::chunk::{Chunk, is_foreign, is_ignored, is_unfinished};
use super::types::{SkipReason, TreeOptions};
use crate::storage::error::{StorageError, TreeProblem};
use crate::storage::key::key_of_path;

const BLOCK: usize = 512;

/// Counts, and remembers whether the end was reached: the `tar` crate takes a stream that just ends for a whole one.
struct Counted<R> {
    inner: R,
    offset: u64,
    ended: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.offset += read as u64;
        self.ended |= read == 0 && !into.is_empty();
        Ok(read)
    }
}

/// Reads the files of a tar stream in the stream's order.
pub(super) fn tarball(
    stream: impl Read,
    options: &TreeOptions,
    hash: bool,
    each: &mut dyn FnMut(Chunk) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut files = 0;
    let mut archive = tar::Archive::new(Counted {
        inner: io::BufReader::with_capacity(1 << 18, stream),
        offset: 0,
        ended: false,
    });
    let mut last = 0;
    let broken = |error: &io::Error, offset, files| StorageError::TarStream {
        problem: error.to_string(),
        offset,
        files,
    };
    let mut chunk = Chunk::default();
    let mut buffer = Vec::new();
    let members = archive.entries().map_err(|error| broken(&error, 0, 0))?;
    for member in members {
        let mut member = member.map_err(|error| broken(&error, last, files))?;
        last = member.raw_file_position();
        let Some(key) = key_of(&member)? else {
            continue;
        };
        files += 1;
        if is_unfinished(&key, options.phase) {
            chunk.skip(key, SkipReason::Temporary);
        } else {
            let claimed = member.size();
            buffer.clear();
            member
                .read_to_end(&mut buffer)
                .map_err(|error| broken(&error, last, files))?;
            if buffer.len() as u64 != claimed {
                let error =
                    io::Error::other(format!("{key} has {} of {claimed} bytes", buffer.len()));
                return Err(broken(&error, last, files));
            }
            chunk.file(key, &buffer, options, hash)?;
        }
        if chunk.is_full() {
            each(std::mem::take(&mut chunk))?;
        }
    }
    ended_properly(archive.into_inner(), files)?;
    each(chunk)
}

/// The key of a member, none for a directory and for what is not data.
fn key_of<R: Read>(member: &tar::Entry<'_, R>) -> Result<Option<String>, StorageError> {
    let path = member.path_bytes();
    let lossy = || String::from_utf8_lossy(&path).into_owned();
    let path = std::str::from_utf8(&path)
        .map_err(|_| StorageError::tree(lossy(), TreeProblem::NotUtf8))?;
    let path = path.strip_prefix("./").unwrap_or(path);
    let top = path.split('/').next().unwrap_or_default();
    if is_foreign(top) {
        return Ok(None);
    }
    let kind = member.header().entry_type();
    if kind.is_dir() {
        return Ok(None);
    }
    if !(kind.is_file() || kind.is_contiguous()) {
        let what = if kind.is_symlink() {
            "symbolic link"
        } else if kind.is_hard_link() {
            "hard link"
        } else {
            "special file"
        };
        return Err(StorageError::tree(path, TreeProblem::NotAFile(what)));
    }
    let key = key_of_path(path)?;
    Ok((!is_ignored(&key)).then_some(key))
}

/// The archive stopped at its end or at a first zero block: a second one must follow, then nothing but zeros.
fn ended_properly<R: Read>(mut stream: Counted<R>, files: u64) -> Result<(), StorageError> {
    let cut = |problem: &str, offset| StorageError::TarStream {
        problem: problem.to_owned(),
        offset,
        files,
    };
    if stream.ended {
        return Err(cut(
            "it ends without the end-of-archive marker",
            stream.offset,
        ));
    }
    let mut after = 0;
    let mut buffer = [0; 16 * BLOCK];
    loop {
        let offset = stream.offset;
        let read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(cut(&error.to_string(), offset)),
        };
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Err(cut("data after the end-of-archive marker", offset));
        }
        after += read;
    }
    if after < BLOCK {
        return Err(cut("its end-of-archive marker is cut", stream.offset));
    }
    Ok(())
}
