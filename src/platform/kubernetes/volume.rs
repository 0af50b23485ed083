//! The data volume of a member, seen through a shell: the same looks and changes as on a local folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};
use uuid::Uuid;

use super::exec::{Ended, Shell};
use super::helper::{Place, Site};
use super::helper_pod::WORK;
use super::listing;
use super::tar_watch::TarWatch;
use crate::meter::{Meter, Unit};
use crate::platform::migration::{AT_ONCE, Said};
use crate::platform::{Error, Result, Volume};
use crate::storage::key::folders_of;
use crate::storage::{Digest, DigestList, Phase, tree};

const LOOK: &str = include_str!("scripts/look.sh");
const MANIFEST: &str = concat!(
    include_str!("scripts/tops.sh"),
    include_str!("scripts/manifest.sh")
);
const COPY: &str = concat!(
    include_str!("scripts/tops.sh"),
    include_str!("scripts/copy.sh")
);
const COPY_OF: &str = include_str!("scripts/copy_of.sh");
const LAY_OUT: &str = concat!(
    include_str!("scripts/store.sh"),
    include_str!("scripts/lay_out.sh")
);
const READ_ENTRY: &str = include_str!("scripts/read_entry.sh");
const WRITE_ENTRY: &str = concat!(
    include_str!("scripts/synced.sh"),
    include_str!("scripts/write_entry.sh")
);
const REMOVE_ENTRY: &str = concat!(
    include_str!("scripts/synced.sh"),
    include_str!("scripts/remove_entry.sh")
);
const SET_ASIDE: &str = concat!(
    include_str!("scripts/synced.sh"),
    include_str!("scripts/set_aside.sh")
);
const REMOVE_FILES: &str = concat!(
    include_str!("scripts/synced.sh"),
    include_str!("scripts/remove_files.sh")
);
pub(super) const REMOVE_FOLDER: &str = concat!(
    include_str!("scripts/synced.sh"),
    include_str!("scripts/remove_folder.sh")
);
/// How the last line of `lay_out.sh` begins.
const LAID_OUT: &str = "laid out in ";

/// What `read_entry.sh` ends with when there is no such file.
const ABSENT: i32 = 44;
/// Bytes of changed files up to which they are read apart.
const WORTH_IT: u64 = 32 << 20;
/// How often a tree that changes meanwhile is read.
const TRIES: u32 = 4;

/// What stands on the member's volume. A claim that is absent or was never bound does not exist.
pub async fn look(site: &Site, member: &str) -> Result<Volume> {
    let Some(place) = site.place(member).await? else {
        return Ok(Volume {
            exists: false,
            file_tree: false,
            store: false,
            raft_files: false,
            aside: Vec::new(),
            free_bytes: 0,
        });
    };
    let seen = place.shell.run(LOOK, &[&place.data]).await?;
    looked(&String::from_utf8_lossy(&seen))
}

fn looked(seen: &str) -> Result<Volume> {
    let mut aside: Vec<String> = prefixed(seen, "aside ").map(str::to_owned).collect();
    aside.sort_unstable();
    let room = prefixed(seen, "room ").next().and_then(available);
    let found = |what: &str| seen.lines().any(|line| line == what);
    Ok(Volume {
        exists: true,
        file_tree: found("tree"),
        store: found("store"),
        raft_files: found("raft"),
        aside,
        free_bytes: room.ok_or_else(|| {
            Error::Refused(format!(
                "`df -Pk` of the volume gave no number of free blocks: {seen:?}"
            ))
        })?,
    })
}

fn prefixed<'text>(text: &'text str, prefix: &'static str) -> impl Iterator<Item = &'text str> {
    text.lines()
        .filter_map(move |line| line.strip_prefix(prefix))
}

/// The free bytes in a line of `df -Pk`: the number before the percentage. Names around it may have spaces.
fn available(line: &str) -> Option<u64> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let percentage = words.iter().rposition(|word| {
        word.strip_suffix('%')
            .is_some_and(|number| number.parse::<u32>().is_ok())
    })?;
    let blocks: u64 = words.get(percentage.checked_sub(1)?)?.parse().ok()?;
    blocks.checked_mul(1024)
}

async fn listed(place: &Place, meter: &dyn Meter) -> Result<(Vec<u8>, Ended)> {
    let mut out = Vec::new();
    let mut on_bytes = |piece: &[u8]| {
        meter.advance(Unit::Entries, listing::names_in(piece));
    };
    let ended = place
        .shell
        .stream(MANIFEST, &[&place.data], &mut out, &mut on_bytes)
        .await?;
    place.shell.well(&ended)?;
    Ok((out, ended))
}

/// Every file that is neither of raft nor moved aside, with its digest.
pub async fn files(
    site: &Site,
    member: &str,
    meter: &dyn Meter,
) -> Result<BTreeMap<String, Digest>> {
    let Some(place) = site.place(member).await? else {
        return Ok(BTreeMap::new());
    };
    let (out, ended) = listed(&place, meter).await?;
    listing::files(&out, &ended)
}

/// Removes files, and the folders above them that hold nothing then.
pub async fn remove_files(site: &Site, member: &str, paths: &[String]) -> Result<()> {
    let Some(place) = site.place(member).await? else {
        return Ok(());
    };
    let folders = folders_of(paths);
    let files: Vec<&str> = paths.iter().map(String::as_str).collect();
    // Those below sort behind those above.
    let folders: Vec<&str> = folders.into_iter().rev().collect();
    for (what, names) in [("files", files), ("folders", folders)] {
        let each = names.iter().flat_map(|name| ["./", name, "\0"]);
        let names: String = each.collect();
        let length = names.len().to_string();
        let args = [place.data.as_str(), what, &length];
        place
            .shell
            .feed(REMOVE_FILES, &args, names.as_bytes())
            .await?;
    }
    Ok(())
}

/// Removes one of the folders that [`set_aside`] made.
pub async fn remove_aside(site: &Site, member: &str, folder: &str) -> Result<()> {
    if !folder.starts_with("raft-aside-") || folder.contains('/') {
        return Err(Error::Refused(format!(
            "{folder:?} is no folder of raft files that were moved aside"
        )));
    }
    remove_folder(site, member, folder).await
}

/// Removes a folder of this tool's own in the data folder; absent is fine.
pub async fn remove_folder(site: &Site, member: &str, folder: &str) -> Result<()> {
    let Some(place) = site.place(member).await? else {
        return Ok(());
    };
    place
        .shell
        .run(REMOVE_FOLDER, &[&place.data, folder])
        .await
        .map(drop)
}

/// Where the file tree stands on the member's volume.
pub async fn tree(site: &Site, member: &str) -> Result<Place> {
    needed(member, site.place(member).await?)
}

/// The tree of a store of `pebbledb`, laid out in the member's helper pod. It is laid out anew unless the store is still the one
/// that it was made of.
pub async fn laid_out(site: &Site, member: &str, meter: &dyn Meter) -> Result<Place> {
    let place = needed(member, site.helper(member).await?)?;
    meter.waiting("the store, laid out as a tree of files");
    let name = Uuid::new_v4().to_string();
    let (mut said, mut line, mut tree) = (Said::default(), Vec::new(), None);
    let mut on_bytes = |piece: &[u8]| {
        for byte in piece {
            if *byte != b'\n' {
                line.push(*byte);
                continue;
            }
            let text = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
            match text.strip_prefix(LAID_OUT) {
                Some(folder) => tree = Some(folder.to_owned()),
                None if text.is_empty() => {}
                None => said.hear(text, meter),
            }
        }
    };
    let args = [place.data.as_str(), WORK, &name, AT_ONCE];
    let ended = place
        .shell
        .stream(LAY_OUT, &args, &mut tokio::io::sink(), &mut on_bytes)
        .await?;
    match tree {
        Some(data) if ended.code == 0 => Ok(Place { data, ..place }),
        _ => Err(said.failed(&ended.last_lines())),
    }
}

/// The manifest of a file tree, made beside the data. Unlike the local one it does not read what the files hold.
pub async fn manifest(place: &Place, phase: Phase, meter: &dyn Meter) -> Result<DigestList> {
    let mut tries = 1;
    loop {
        let (out, ended) = listed(place, meter).await?;
        match listing::digests(&out, phase, &ended)? {
            listing::Made::Whole(list) => return Ok(list),
            listing::Made::Changed(list, what) => {
                // A server that has just been sealed may still be draining; a live one never rests.
                if tries >= TRIES {
                    return match (phase, list) {
                        (Phase::Live, Some(list)) => Ok(list),
                        _ => Err(Error::Refused(format!(
                            "the tree in pod {} changes while it is read, although its server should be sealed: {what}",
                            place.shell.pod()
                        ))),
                    };
                }
                tries += 1;
                meter.waiting(&format!("{what}; reading the tree again"));
            }
        }
    }
}

/// Copies a file tree as one tar file to `to`: there whole or not at all, for the owner alone.
pub async fn copy(place: &Place, to: &Path, meter: &dyn Meter) -> Result<()> {
    let partial = with_suffix(to, ".partial");
    let mut tries = 1;
    let copied = loop {
        match copy_once(place, &partial, meter).await {
            Ok(Copied::Whole) => break Ok(()),
            // What came and went is for the manifest to judge; the archive itself is whole.
            Ok(Copied::Changed(_)) if tries >= TRIES => break Ok(()),
            Ok(Copied::Changed(what)) => {
                meter.waiting(&format!("{what}; copying the tree again"));
                tries += 1;
            }
            Err(error) => break Err(error),
        }
    };
    if copied.is_err() {
        // Best effort: the error that is on its way matters more, and the next try truncates the file.
        let _ = tokio::fs::remove_file(&partial).await;
    }
    copied?;
    tokio::fs::rename(&partial, to)
        .await
        .map_err(at("replacing", to))?;
    let folder = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let opened = File::open(folder).await.map_err(at("syncing", folder))?;
    opened.sync_all().await.map_err(at("syncing", folder))
}

/// The same from an earlier copy and the files that differ from it, where those are few.
pub async fn copy_since(
    place: &Place,
    base: &Path,
    manifest: &Arc<DigestList>,
    to: &Path,
    meter: &dyn Meter,
) -> Result<()> {
    let news = with_suffix(to, ".news");
    let copied = changes(place, base, manifest, &news).await;
    let merged = match copied {
        Ok(true) => {
            let (base, wanted, to) = (base.to_owned(), manifest.clone(), to.to_owned());
            let from = news.clone();
            let merge = move || tree::merge(&base, &from, &wanted, &to);
            tokio::task::spawn_blocking(merge)
                .await
                .is_ok_and(|it| it.is_ok())
        }
        // Whatever the reason: the whole tree is still there to be copied.
        Ok(false) | Err(_) => false,
    };
    let _ = tokio::fs::remove_file(&news).await;
    if merged {
        return Ok(());
    }
    copy(place, to, meter).await
}

/// Writes what the manifest has otherwise than `base` to `news`; `false` where that is too much to be worth it.
async fn changes(
    place: &Place,
    base: &Path,
    manifest: &Arc<DigestList>,
    news: &Path,
) -> Result<bool> {
    let (from, wanted) = (base.to_owned(), manifest.clone());
    let found = tokio::task::spawn_blocking(move || tree::stale(&from, &wanted)).await;
    let Ok(Ok((paths, bytes))) = found else {
        return Ok(false);
    };
    let plain = paths.iter().all(|path| !path.contains('\n'));
    if !plain || bytes > WORTH_IT || paths.len() > manifest.len() / 2 {
        return Ok(false);
    }
    let names: String = paths.iter().flat_map(|path| [path, "\n"]).collect();
    let length = names.len().to_string();
    let tar = place
        .shell
        .feed(COPY_OF, &[&place.data, &length], names.as_bytes())
        .await?;
    let mut file = private(news).await?;
    file.write_all(&tar).await.map_err(at("writing", news))?;
    file.flush().await.map_err(at("writing", news))?;
    Ok(true)
}

/// A new file for the owner alone; a leftover may have another mode.
async fn private(path: &Path) -> Result<File> {
    let _ = tokio::fs::remove_file(path).await;
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .await
        .map_err(at("creating", path))
}

#[derive(Debug, PartialEq, Eq)]
enum Copied {
    Whole,
    /// The archive is whole, but files changed or vanished under `tar`.
    Changed(String),
}

async fn copy_once(place: &Place, partial: &Path, meter: &dyn Meter) -> Result<Copied> {
    let mut file = BufWriter::with_capacity(1 << 20, private(partial).await?);
    let mut watch = TarWatch::default();
    let mut on_bytes = |piece: &[u8]| {
        meter.advance(Unit::Bytes, piece.len() as u64);
        meter.advance(Unit::Entries, watch.feed(piece));
    };
    let ended = place
        .shell
        .stream(COPY, &[&place.data], &mut file, &mut on_bytes)
        .await?;
    let copied = judged(&place.shell, &ended, &watch)?;
    file.flush().await.map_err(at("writing", partial))?;
    file.get_ref()
        .sync_all()
        .await
        .map_err(at("syncing", partial))?;
    Ok(copied)
}

fn judged(shell: &Shell, ended: &Ended, watch: &TarWatch) -> Result<Copied> {
    if ended.code != 0 && !only_changes(&ended.complaints) {
        shell.well(ended)?;
    }
    if let Err(why) = watch.whole() {
        return Err(Error::Refused(format!(
            "the copy of the tree from pod {} is not whole: {why}; {}",
            shell.pod(),
            ended.last_lines()
        )));
    }
    if ended.code == 0 {
        Ok(Copied::Whole)
    } else {
        Ok(Copied::Changed(ended.last_lines()))
    }
}

/// Whether all that `tar` complains of is that a server works in the tree. A file that shrank is not among them: its
/// copy is filled up with zeros.
fn only_changes(complaints: &str) -> bool {
    const CHANGES: [&str; 4] = [
        "changed as we read it",
        "removed before we read it",
        "No such file or directory",
        "previous errors",
    ];
    let mut lines = complaints
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    lines.peek().is_some() && lines.all(|line| CHANGES.iter().any(|it| line.contains(it)))
}

/// A file by its path in the data folder, `None` when absent.
pub async fn file(site: &Site, member: &str, path: &str) -> Result<Option<Vec<u8>>> {
    let Some(place) = site.place(member).await? else {
        return Ok(None);
    };
    let (ended, file) = place
        .shell
        .answer(READ_ENTRY, &[&place.data, path], None)
        .await?;
    if ended.code == ABSENT {
        return Ok(None);
    }
    place.shell.well(&ended)?;
    Ok(Some(file))
}

/// Writes a file: a temporary file beside it, sync, rename. The same again is the same.
pub async fn write_file(site: &Site, member: &str, path: &str, file: &[u8]) -> Result<()> {
    let place = tree(site, member).await?;
    let length = file.len().to_string();
    let args = [place.data.as_str(), path, &length];
    place.shell.feed(WRITE_ENTRY, &args, file).await.map(drop)
}

/// Removes a file, and what a write of it that was cut off left; absent is fine.
pub async fn remove_file(site: &Site, member: &str, path: &str) -> Result<()> {
    let Some(place) = site.place(member).await? else {
        return Ok(());
    };
    place
        .shell
        .run(REMOVE_ENTRY, &[&place.data, path])
        .await
        .map(drop)
}

/// Moves `vault.db` and `raft/` into `raft-aside-<label>` on the same volume. A move that was cut short goes on where
/// it was; a label that holds an earlier set already gets a number.
pub async fn set_aside(site: &Site, member: &str, label: &str) -> Result<()> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if label.is_empty() || !label.chars().all(plain) {
        return Err(Error::Refused(format!(
            "{label:?} cannot be part of a folder's name; use letters, digits, '-', '_' and '.'"
        )));
    }
    let Some(place) = site.place(member).await? else {
        return Ok(());
    };
    place
        .shell
        .run(SET_ASIDE, &[&place.data, label])
        .await
        .map(drop)
}

fn needed(member: &str, place: Option<Place>) -> Result<Place> {
    place.ok_or_else(|| {
        Error::Refused(format!(
            "{member} has no data volume: its claim is absent or not bound"
        ))
    })
}

fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io {
        doing,
        path,
        source,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests;
