//! Reading a tree from either source.

use super::chunk::{Chunk, Item};
use super::tarball::tarball;
use super::types::{Entry, Skipped, Source, TreeOptions, TreeSummary};
use super::walk::directory;
use crate::meter::{Meter, Unit};
use crate::storage::bounded::Sized;
use crate::storage::digests::{Digest, DigestList};
use crate::storage::error::StorageError;
use crate::storage::key::MAX_ENTRY_BYTES;

/// Reads every file of a tree and hands it to `each`: a directory in ascending order of the keys, a tar stream in
/// its own order and without a check for keys that occur twice. `hash` asks for the SHA-256 of each file besides
/// that of its value.
pub fn read(
    source: Source<'_>,
    options: &TreeOptions,
    hash: bool,
    meter: &dyn Meter,
    each: &mut dyn FnMut(&Entry<'_>) -> Result<(), StorageError>,
) -> Result<TreeSummary, StorageError> {
    let mut summary = TreeSummary::default();
    let mut namespaces = std::collections::BTreeSet::new();
    let mut take = |chunk: Chunk| {
        let (mut files, mut bytes) = (0, 0);
        for item in chunk.items() {
            files += 1;
            let entry = match item {
                Item::Entry(entry) => entry,
                Item::Skipped(key, reason, read) => {
                    summary.skipped.push_with(|| Skipped {
                        key: key.to_owned(),
                        reason,
                    });
                    let Some(entry) = read else { continue };
                    entry
                }
            };
            bytes += entry.file_bytes;
            if let Some((value, _)) = entry.value {
                tally(&mut summary, entry.key, value.len() as u64);
                if let Some(id) = child_namespace(entry.key).filter(|id| !namespaces.contains(*id))
                {
                    namespaces.insert(id.to_owned());
                }
            }
            each(&entry)?;
        }
        summary.file_bytes += bytes;
        meter.advance(Unit::Entries, files);
        meter.advance(Unit::Bytes, bytes);
        Ok(())
    };
    match source {
        Source::Directory(root) => directory(root, options, hash, &mut take)?,
        Source::Tar(stream) => tarball(stream, options, hash, &mut take)?,
    }
    summary.child_namespaces = namespaces.into_iter().collect();
    Ok(summary)
}

/// The values of a tree as a sorted list of digests.
pub fn entries(
    source: Source<'_>,
    options: &TreeOptions,
    meter: &dyn Meter,
) -> Result<(DigestList, TreeSummary), StorageError> {
    let mut list = DigestList::default();
    let summary = read(
        source,
        options,
        false,
        meter,
        &mut |entry| match entry.value {
            Some((value, sha256)) => list.push(
                entry.key,
                Digest {
                    bytes: value.len() as u64,
                    sha256,
                },
            ),
            None => Ok(()),
        },
    )?;
    list.sort()?;
    Ok((list, summary))
}

fn tally(summary: &mut TreeSummary, key: &str, bytes: u64) {
    summary.entries += 1;
    summary.value_bytes += bytes;
    summary.largest.offer(key, bytes);
    if bytes > MAX_ENTRY_BYTES {
        summary.oversized.push_with(|| Sized {
            key: key.to_owned(),
            bytes,
        });
    }
}

/// The namespace that a key belongs to or describes: `namespaces/<id>/...` or `core/namespaces/<id>`.
pub(crate) fn child_namespace(key: &str) -> Option<&str> {
    let rest = key
        .strip_prefix("namespaces/")
        .or_else(|| key.strip_prefix("core/namespaces/"))?;
    rest.split('/').next()
}
