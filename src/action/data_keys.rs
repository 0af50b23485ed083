//! The keys that the data is encrypted with, as the old shares open them in a copy of the tree.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::context::blocking;
use super::keys::Keys;
use super::{Context, Result, Source};
use crate::event::Level;
use crate::storage::ArchiveReader;
use crate::storage::barrier::{Barrier, KEYRING, ROOT_KEY, UNSEAL_KEYS};

/// A fingerprint by term, keyed with the run; none where this tool cannot tell, which is no word against the keys.
pub async fn data_keys(
    ctx: &Context,
    old: &Keys,
    snapshot: PathBuf,
) -> Result<BTreeMap<u32, String>> {
    let source: Source = ctx.fact()?;
    let threshold = source.threshold as usize;
    let shares = old.decoded();
    let entries = blocking(move || -> Result<_> {
        let mut entries = BTreeMap::new();
        ArchiveReader::open(&snapshot)?.for_each(|key, value| {
            if [UNSEAL_KEYS, KEYRING].contains(&key) {
                entries.insert(key.to_owned(), value.to_vec());
            }
            Ok(())
        })?;
        Ok(entries)
    })
    .await?;
    let entry = |key| entries.get(key).map(Vec::as_slice).unwrap_or_default();
    let (unseal_keys, keyring) = (entry(UNSEAL_KEYS), entry(KEYRING));
    let salt = ctx.run.as_bytes();
    let barrier = Barrier::open(&shares, threshold, unseal_keys, keyring);
    let found = barrier.map(|barrier| barrier.fingerprints(salt));
    Ok(found.unwrap_or_else(|error| {
        ctx.note(
            Level::Detail,
            format!("the data keys were not read: {error}"),
        );
        BTreeMap::new()
    }))
}

/// Whether these changed entries are those that a server writes when it saves its keyring.
pub fn of_a_saved_keyring(changed: &[&str]) -> bool {
    changed.iter().all(|key| [KEYRING, ROOT_KEY].contains(key))
}
