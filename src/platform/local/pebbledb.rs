//! A source on `pebbledb`, read as the tree of files that it would be on file storage.
//!
//! Nobody but OpenBao reads such a store, it is locked as long as a server runs on it, and opening it writes to it. So its files
//! are copied, and `bao operator migrate` lays the copy out as a tree. The store itself is only read.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use uuid::Uuid;

use super::layout::NodeFiles;
use super::platform::LocalPlatform;
use super::relay::{Relay, blocking};
use super::{config, files, migrate};
use crate::meter::{Meter, Unit};
use crate::platform::pebbledb::{LOCK, LOG, TOMBSTONE, is_of_store};
use crate::platform::{Error, Result};
use crate::storage::{Digest, DigestList};

/// How often a store that changes meanwhile is copied anew, and how long after.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// The file that keeps every server from opening the store.
pub(super) fn tombstone(node: &NodeFiles) -> PathBuf {
    node.store().join(TOMBSTONE)
}

impl LocalPlatform {
    /// The tree of a member's store. It is laid out anew unless the store is still the one that it was made of.
    pub(super) async fn laid_out(&self, name: &str, meter: &dyn Meter) -> Result<PathBuf> {
        let node = self.files(name);
        let (store, place) = (node.store(), node.laid_out());
        let (tree, made_of) = (place.join("tree"), place.join("store.manifest"));
        // It is written last, so that there is a whole tree beside it.
        if made_of.exists() {
            let (now, made_of) = (store.clone(), made_of.clone());
            let same = move |relay: &Relay| {
                Ok(read(&now, None, relay)? == Some(DigestList::load(&made_of)?))
            };
            if blocking(meter, same).await? {
                return Ok(tree);
            }
        }
        files::remove_folder(&place)?;
        // One that a killed run began may go on for a moment: it must not find the new one's files.
        let folder = place.join(Uuid::new_v4().to_string());
        let (copied, made) = (folder.join("store"), folder.join("tree"));
        files::make_folder(&made)?;
        meter.waiting("a copy of the store");
        let to = copied.clone();
        let list = blocking(meter, move |relay| copy(&store, &to, relay)).await?;
        let bao = self.topology().bao.clone();
        let text = config::laying_out(&copied, &made);
        migrate::run(&bao, &folder, &text, meter).await?;
        fs::rename(&made, &tree).map_err(files::io("moving", &made))?;
        files::remove_folder(&folder)?;
        list.save(&made_of)?;
        Ok(tree)
    }
}

/// Copies a store that a server may be writing to, as a crash at one moment would leave it.
pub(super) fn copy(store: &Path, to: &Path, relay: &Relay) -> Result<DigestList> {
    for _ in 0..TRIES {
        files::remove_folder(to)?;
        files::make_folder(to)?;
        if let Some(copied) = read(store, Some(to), relay)? {
            return Ok(copied);
        }
        std::thread::sleep(PAUSE);
    }
    Err(Error::Refused(format!(
        "{} changes faster than it can be copied; try again when less is written to it",
        store.display()
    )))
}

/// The digests of a store's files, which are copied on request; `None` when they changed meanwhile.
///
/// Whatever is moved out of a log goes into a new table and is named in the manifest; a new log, or an old one that is used again,
/// has a new name. As long as nothing but logs grew, each log holds what had been written when it was read, and the rest fits it.
/// A log that is missing would be nobody's error, only its data gone.
fn read(store: &Path, to: Option<&Path>, relay: &Relay) -> Result<Option<DigestList>> {
    let before = sizes(store)?;
    let mut digests = DigestList::default();
    for name in before.keys() {
        if relay.cancelled() {
            return Err(Error::Refused("the copy was given up".to_owned()));
        }
        let from = store.join(name);
        let Some(bytes) = files::read(&from)? else {
            return Ok(None);
        };
        if let Some(to) = to {
            let to = to.join(name);
            files::create_private(&to)?
                .write_all(&bytes)
                .map_err(files::io("writing", &to))?;
        }
        relay.advance(Unit::Bytes, bytes.len() as u64);
        digests.push(name, Digest::of(&bytes))?;
    }
    Ok((sizes(store)? == before).then_some(digests))
}

/// The names of a store's files and their sizes, none for a log. The tombstone and the lock are nothing of the data.
fn sizes(store: &Path) -> Result<BTreeMap<String, u64>> {
    let listing = || files::io("listing", store);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(store).map_err(listing())? {
        let entry = entry.map_err(listing())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == LOCK || name.starts_with(TOMBSTONE) || !is_of_store(&name) {
            continue;
        }
        let size = match entry.metadata() {
            Ok(_) if name.ends_with(LOG) => 0,
            Ok(meta) => meta.len(),
            // It goes at this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(files::io("looking at", &entry.path())(error)),
        };
        found.insert(name, size);
    }
    Ok(found)
}
