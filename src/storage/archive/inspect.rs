//! What is in an archive.

use std::collections::BTreeMap;
use std::io::Read;

use serde::Serialize;

use super::meta::Meta;
use super::reader::ArchiveReader;
use crate::meter::{Meter, Unit};
use crate::storage::bounded::{Bounded, KeySize, Largest};
use crate::storage::error::StorageError;
use crate::storage::key::MAX_ENTRY_BYTES;
use crate::storage::tree::child_namespace;

/// The entry with the certificates that raft's voters trust each other by.
pub const RAFT_TLS: &str = "core/raft/tls";

/// More prefixes than this are counted together, under an empty one.
const PREFIXES: usize = 1_000;

/// A proven archive in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// What it says about itself.
    pub meta: Meta,
    /// Number of entries.
    pub entries: u64,
    /// Bytes of all values.
    pub value_bytes: u64,
    /// Whether it has `core/raft/tls`, without which it bricks more than one voter.
    pub raft_tls: bool,
    /// Whether it has `SHA256SUMS.sealed`: a server made it.
    pub sealed_sums: bool,
}

/// Entries below one prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PrefixCount {
    /// Number of entries.
    pub entries: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// A proven archive at length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The short form.
    pub verified: Verified,
    /// Entries by the first one or two segments of their key, for example `sys/token/`; all beyond the first
    /// thousand prefixes under the empty one.
    pub prefixes: BTreeMap<String, PrefixCount>,
    /// The largest values.
    pub largest: Largest,
    /// Values above raft's default `max_entry_size`.
    pub oversized: Bounded<KeySize>,
    /// Identifiers of child namespaces.
    pub child_namespaces: Vec<String>,
}

/// Reads all of an archive and proves it.
pub fn verify<R: Read>(
    archive: ArchiveReader<R>,
    meter: &dyn Meter,
) -> Result<Verified, StorageError> {
    walk(archive, meter, &mut |_, _| {})
}

/// Reads all of an archive, proves it and tells what is in it.
pub fn inspect<R: Read>(
    archive: ArchiveReader<R>,
    meter: &dyn Meter,
) -> Result<Inspection, StorageError> {
    let mut prefixes = BTreeMap::<String, PrefixCount>::new();
    let mut largest = Largest::default();
    let mut oversized = Bounded::default();
    let mut child_namespaces = std::collections::BTreeSet::new();
    let verified = walk(archive, meter, &mut |key, value| {
        let bytes = value.len() as u64;
        let mut prefix = prefix_of(key);
        if prefixes.len() >= PREFIXES && !prefixes.contains_key(prefix) {
            prefix = "";
        }
        if !prefixes.contains_key(prefix) {
            prefixes.insert(prefix.to_owned(), PrefixCount::default());
        }
        if let Some(count) = prefixes.get_mut(prefix) {
            count.entries += 1;
            count.bytes += bytes;
        }
        largest.offer(key, bytes);
        if bytes > MAX_ENTRY_BYTES {
            oversized.push_with(|| KeySize {
                key: key.to_owned(),
                bytes,
            });
        }
        if let Some(id) = child_namespace(key)
            && !child_namespaces.contains(id)
        {
            child_namespaces.insert(id.to_owned());
        }
    })?;
    Ok(Inspection {
        verified,
        prefixes,
        largest,
        oversized,
        child_namespaces: child_namespaces.into_iter().collect(),
    })
}

/// The value of `core/raft/tls` in an archive, after all of it is proven.
pub fn raft_tls_of<R: Read>(archive: ArchiveReader<R>) -> Result<Option<Vec<u8>>, StorageError> {
    let mut found = None;
    archive.for_each(|key, value| {
        if key == RAFT_TLS {
            found = Some(value.to_vec());
        }
        Ok(())
    })?;
    Ok(found)
}

/// The directory of a key, at most two segments of it; a key without one is its own prefix.
pub(crate) fn prefix_of(key: &str) -> &str {
    let end = key
        .match_indices('/')
        .take(2)
        .last()
        .map_or(key.len(), |(slash, _)| slash + 1);
    &key[..end]
}

fn walk<R: Read>(
    mut archive: ArchiveReader<R>,
    meter: &dyn Meter,
    each: &mut dyn FnMut(&str, &[u8]),
) -> Result<Verified, StorageError> {
    let mut value_bytes = 0;
    let mut raft_tls = false;
    let mut announced = false;
    while let Some((key, value)) = archive.next_entry()? {
        value_bytes += value.len() as u64;
        raft_tls |= key == RAFT_TLS;
        each(key, value);
        let length = value.len() as u64;
        if !announced {
            meter.total(Unit::Bytes, archive.state_bytes());
            announced = true;
        }
        meter.advance(Unit::Entries, 1);
        meter.advance(Unit::Bytes, length);
    }
    Ok(Verified {
        meta: archive.proven_meta()?,
        entries: archive.entries(),
        value_bytes,
        raft_tls,
        sealed_sums: archive.sealed_sums().is_some(),
    })
}
