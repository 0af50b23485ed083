//! A source on `pebbledb`, read as the tree of files that it would be on file storage: the same as on this machine, in the helper
//! pod beside the volume. The folder of the store is the one that raft gets, whose files stand beside it.

use super::helper::Place;
use super::listing::MIGRATION;
use super::platform::KubernetesPlatform;
use super::volume;
use crate::meter::Meter;
use crate::platform::pebbledb::TOMBSTONE;
use crate::platform::{Error, Result, StorageKind};
use crate::storage::key::path_of_key;

impl KubernetesPlatform {
    /// Whether a member keeps its data in a store. Once the release is on raft the tombstone tells, which is in the store by then.
    pub(super) async fn on_pebbledb(&self, member: &str) -> Result<bool> {
        let look = || async {
            let marked = volume::file(&self.site, member, TOMBSTONE).await;
            marked.map(|tombstone| tombstone.is_some())
        };
        self.source_on_pebbledb.get_or_try_init(look).await.copied()
    }

    /// Where a member's data stands as a tree of files.
    pub(super) async fn tree(&self, member: &str, meter: &dyn Meter) -> Result<Place> {
        self.layout.ordinal(member)?;
        if self.on_pebbledb(member).await? {
            volume::laid_out(&self.site, member, meter).await
        } else {
            volume::tree(&self.site, member).await
        }
    }

    /// Removes the helper pod after a look at a member's volume: one that stays would keep the volume on its node. Not one that has
    /// a store laid out, as long as the release is on that, nor a run's, by a process that only looks.
    pub(super) async fn look_done(&self, member: &str) -> Result<()> {
        if self.options.look_only {
            return Ok(());
        }
        let laid_out = member == self.layout.member(0)
            && self.source_on_pebbledb.get() == Some(&true)
            && self.server_config().await?.kind()? == StorageKind::Pebbledb;
        if laid_out {
            return Ok(());
        }
        self.helper_done(member).await
    }

    /// Removes what the claim's holder needs beside a source that serves, which is made again: a helper pod keeps the volume on its
    /// node, and the node from being drained.
    pub async fn leave(&self) -> Result<()> {
        self.helper_done(&self.layout.member(0)).await
    }

    /// The file of an entry, by its path in the data folder. A store has one for its tombstone alone.
    pub(super) async fn entry_file(&self, member: &str, key: &str) -> Result<String> {
        self.layout.ordinal(member)?;
        if !self.on_pebbledb(member).await? {
            return Ok(path_of_key(key)?);
        }
        if key == MIGRATION {
            return Ok(TOMBSTONE.to_owned());
        }
        Err(Error::Refused(format!(
            "the entry {key} of a store of pebbledb has no file of its own"
        )))
    }
}

/// Whether a release with this storage has such a source; unknown where it is on raft already.
pub(super) const fn kept_in_store(kind: StorageKind) -> Option<bool> {
    match kind {
        StorageKind::File => Some(false),
        StorageKind::Pebbledb => Some(true),
        StorageKind::Raft => None,
    }
}
