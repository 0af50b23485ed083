//! A source from a copy of the operator's own tree.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::server::unseal;
use super::source::{first_member, keep_keys};
use crate::armed::Armed;
use crate::meter::Meter;
use crate::platform::local::relay::{Relay, blocking};
use crate::platform::local::{LocalPlatform, files, pebbledb, volume};
use crate::platform::{Error, Platform, Result, StorageKind};
use crate::storage::{self, DigestList, Phase, Source, StorageError, TreeOptions};

/// What `bao operator init -format=json` prints, as far as it is needed.
#[derive(Deserialize)]
struct Keys {
    unseal_keys_b64: Vec<SecretString>,
    #[serde(alias = "token")]
    root_token: SecretString,
}

/// Copies a file tree (a folder, or a tar file of its contents), or the folder of a store of `pebbledb` where that is the source's
/// storage, into the first member, starts it and unseals it with the keys in the JSON file `keys`, which are kept in the Secret of the release.
pub async fn from_tree(
    platform: &LocalPlatform,
    tree: &Path,
    keys: &Path,
    meter: &dyn Meter,
) -> Result<()> {
    // No journal: the copy is this run's own and the operator's tree is only read.
    let armed = Armed::for_own_server();
    let first = first_member(platform).await?;
    let (whence, keys) = (keys, read_keys(keys)?);
    let (from, node) = (tree.to_owned(), platform.files(&first));
    let storage = platform.topology().source();
    meter.waiting("the copy of the tree");
    blocking(meter, move |relay| match storage {
        StorageKind::Pebbledb => pebbledb::copy(&from, &node.store(), relay).map(drop),
        StorageKind::File | StorageKind::Raft => copy(&from, &node.data(), relay),
    })
    .await?;
    keep_keys(platform, &keys.unseal_keys_b64, &keys.root_token, &armed).await?;
    meter.waiting("the first start of the source");
    platform.replace(&first, &armed).await?;
    let node = platform.http_node(&first)?;
    let opened = unseal(platform, &node, &keys.unseal_keys_b64, &armed).await;
    opened.map_err(|error| match error.status() {
        Some(400) => Error::Refused(format!(
            "the shares in {} do not open this tree",
            whence.display()
        )),
        _ => error,
    })
}

/// Keeps the keys in the JSON file `keys` in the Secret of a release that has no server yet.
pub async fn keep_keys_of(platform: &LocalPlatform, keys: &Path) -> Result<()> {
    // No journal: nothing is there that could be lost.
    let armed = Armed::for_own_server();
    let keys = read_keys(keys)?;
    keep_keys(platform, &keys.unseal_keys_b64, &keys.root_token, &armed).await
}

fn read_keys(path: &Path) -> Result<Keys> {
    let bytes = fs::read(path)
        .map(Zeroizing::new)
        .map_err(files::io("reading", path))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        // The parser's own words may quote a value.
        Error::Refused(format!(
            "{} is not the output of `bao operator init -format=json` with unseal_keys_b64 and root_token \
             (line {} column {})",
            path.display(),
            error.line(),
            error.column()
        ))
    })
}

/// Copies and then compares: what was written must be what was read.
fn copy(from: &Path, data: &Path, relay: &Relay) -> Result<()> {
    files::make_folder(data)?;
    let is_folder = from
        .metadata()
        .map_err(files::io("looking at", from))?
        .is_dir();
    let source = if is_folder {
        copy_folder(from, data, relay)?;
        manifest(Source::Directory(from))?
    } else {
        // Read whole first: the tar crate takes an archive that was cut between two members for a whole one.
        let listed = manifest(Source::Tar(Box::new(open(from)?)))?;
        unpack(from, data, relay)?;
        listed
    };
    if source.is_empty() {
        return Err(Error::Refused(format!("{} holds no entry", from.display())));
    }
    if manifest(Source::Directory(data))? != source {
        return Err(Error::Refused(format!(
            "the copy of {} differs from it; is a server writing to it?",
            from.display()
        )));
    }
    Ok(())
}

fn manifest(source: Source<'_>) -> std::result::Result<DigestList, StorageError> {
    let options = TreeOptions::new(Phase::Live);
    storage::manifest::manifest(source, &options, &crate::meter::Silent).map(|made| made.0)
}

fn open(path: &Path) -> Result<io::BufReader<fs::File>> {
    fs::File::open(path)
        .map(|file| io::BufReader::with_capacity(1 << 20, file))
        .map_err(files::io("opening", path))
}

fn copy_folder(from: &Path, data: &Path, relay: &Relay) -> Result<()> {
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let full = from.join(&folder);
        for entry in fs::read_dir(&full).map_err(files::io("listing", &full))? {
            let entry = entry.map_err(files::io("listing", &full))?;
            let name = entry.file_name();
            let top = folder.as_os_str().is_empty();
            if top && name.to_str().is_some_and(volume::is_foreign) {
                continue;
            }
            let path = folder.join(&name);
            let kind = entry
                .file_type()
                .map_err(files::io("looking at", &entry.path()))?;
            if kind.is_dir() {
                folders.push(path);
            } else {
                let bytes = fs::read(entry.path()).map_err(files::io("reading", &entry.path()))?;
                place(data, &path, &bytes, relay)?;
            }
        }
    }
    Ok(())
}

fn unpack(from: &Path, data: &Path, relay: &Relay) -> Result<()> {
    let mut archive = tar::Archive::new(open(from)?);
    let entries = archive.entries().map_err(files::io("reading", from))?;
    for entry in entries {
        let mut entry = entry.map_err(files::io("reading", from))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = inside(&entry.path().map_err(files::io("reading", from))?)?;
        let foreign = |part: &std::ffi::OsStr| part.to_str().is_some_and(volume::is_foreign);
        if path.iter().next().is_some_and(foreign) {
            continue;
        }
        let mut bytes = Vec::new();
        entry
            .read_to_end(&mut bytes)
            .map_err(files::io("reading", from))?;
        place(data, &path, &bytes, relay)?;
    }
    Ok(())
}

/// A member's path without a leading `./`; one that leads out of the folder is refused.
fn inside(path: &Path) -> Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            _ => {
                return Err(Error::Refused(format!(
                    "the tar file holds {}, which leads out of its folder",
                    path.display()
                )));
            }
        }
    }
    Ok(inside)
}

/// Writes one file. Without a sync each: a copy for a rehearsal that is lost is made again.
fn place(data: &Path, path: &Path, bytes: &[u8], relay: &Relay) -> Result<()> {
    use crate::meter::Unit;
    if relay.cancelled() {
        return Err(Error::Refused("the copy was given up".to_owned()));
    }
    let to = data.join(path);
    if let Some(folder) = to.parent() {
        files::make_folder(folder)?;
    }
    files::create_private(&to)?
        .write_all(bytes)
        .map_err(files::io("writing", &to))?;
    relay.advance(Unit::Entries, 1);
    relay.advance(Unit::Bytes, bytes.len() as u64);
    Ok(())
}
