//! The file backend's tree: single entries, and a copy of the whole as a tar file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::files;
use super::relay::Relay;
use super::volume;
use crate::meter::{Meter, Unit};
use crate::platform::{Error, Result};
use crate::storage::key::{TEMP_SUFFIX, folders_of, path_of_key};
use crate::storage::{
    self, Digest, DigestList, Phase, Source, StorageError, TreeOptions, TreeProblem,
};

/// The key that keeps a server on file storage from starting.
pub(super) const MIGRATION: &str = "core/migration";

/// The file of an entry: key `a/b/c` is the file `a/b/_c`.
pub(super) fn entry_file(data: &Path, key: &str) -> Result<PathBuf> {
    Ok(data.join(path_of_key(key)?))
}

/// Writes an entry's file as the server does: a temporary file, then the name.
pub(super) fn write_entry(path: &Path, file: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        files::make_folder(folder)?;
    }
    files::replace(path, file)
}

/// Removes an entry's file, and what a write of it that was cut off left.
pub(super) fn remove_entry(path: &Path) -> Result<()> {
    files::remove(path)?;
    files::remove(&files::with_suffix(path, TEMP_SUFFIX))
}

/// The manifest of the tree. A `core/migration` is left out whoever wrote it: its maker is for the caller to judge.
pub(super) fn manifest(data: &Path, phase: Phase, relay: &Relay) -> Result<DigestList> {
    let options = TreeOptions {
        phase,
        tombstone: files::read(&entry_file(data, MIGRATION)?)?,
    };
    let mut tries = 0;
    loop {
        let made = storage::manifest::manifest(Source::Directory(data), &options, relay);
        match made {
            // A server that has just been sealed may still be draining.
            Err(StorageError::Tree {
                problem: TreeProblem::Vanished,
                ..
            }) if tries < 3 => tries += 1,
            made => return Ok(made?.0),
        }
    }
}

/// Copies the tree to `to` as a tar file that is there whole or not at all.
pub(super) fn copy(data: &Path, to: &Path, relay: &Relay) -> Result<()> {
    let partial = files::with_suffix(to, ".partial");
    let copied = archive(data, &partial, relay);
    if copied.is_err() {
        // Best effort: the error that is on its way matters more, and the next try truncates the file.
        let _ = fs::remove_file(&partial);
    }
    copied?;
    files::publish(&partial, to)
}

fn archive(data: &Path, partial: &Path, relay: &Relay) -> Result<()> {
    let writer = BufWriter::with_capacity(1 << 20, files::create_private(partial)?);
    let mut tar = tar::Builder::new(writer);
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let Some(children) = children(data, &folder)? else {
            continue;
        };
        for child in children {
            if relay.cancelled() {
                return Err(Error::Refused("the copy was given up".to_owned()));
            }
            if child.is_folder {
                folders.push(child.path);
            } else {
                append(&mut tar, data, &child.path, relay)
                    .map_err(files::io("copying", &data.join(&child.path)))?;
            }
        }
    }
    let finished = tar.into_inner().and_then(|mut writer| {
        writer.flush()?;
        writer.get_ref().sync_all()
    });
    finished.map_err(files::io("writing", partial))
}

/// Every file that is neither of raft nor moved aside, with its digest.
pub(super) fn files(data: &Path, relay: &Relay) -> Result<BTreeMap<String, Digest>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        if !data.join(&folder).exists() {
            continue;
        }
        for child in children(data, &folder)?.unwrap_or_default() {
            if relay.cancelled() {
                return Err(Error::Refused(
                    "the look at the files was given up".to_owned(),
                ));
            }
            if child.is_folder {
                folders.push(child.path);
                continue;
            }
            let full = data.join(&child.path);
            let bytes = fs::read(&full).map_err(files::io("reading", &full))?;
            relay.advance(Unit::Entries, 1);
            found.insert(
                child.path.to_string_lossy().into_owned(),
                Digest::of(&bytes),
            );
        }
    }
    Ok(found)
}

/// Removes files, and the folders above them that hold nothing then.
pub(super) fn remove(data: &Path, paths: &[String], relay: &Relay) -> Result<()> {
    for path in paths {
        if relay.cancelled() {
            return Err(Error::Refused("the removal was given up".to_owned()));
        }
        let full = data.join(path);
        match fs::remove_file(&full) {
            Err(error) if !vanished(&error) => return Err(files::io("removing", &full)(error)),
            _ => {}
        }
    }
    // Those below sort behind those above.
    for folder in folders_of(paths).iter().rev() {
        // One that holds anything stays, which is the error it gives.
        let _ = fs::remove_dir(data.join(folder));
    }
    files::sync_folder(data)
}

struct Child {
    path: PathBuf,
    is_folder: bool,
}

/// A folder's files and folders in order; `None` when it vanished, as folders do in a live tree.
fn children(data: &Path, folder: &Path) -> Result<Option<Vec<Child>>> {
    let full = data.join(folder);
    let entries = match fs::read_dir(&full) {
        Ok(entries) => entries,
        Err(error) if vanished(&error) && !folder.as_os_str().is_empty() => return Ok(None),
        Err(error) => return Err(files::io("listing", &full)(error)),
    };
    let top = folder.as_os_str().is_empty();
    let mut children = Vec::new();
    for entry in entries {
        let entry = entry.map_err(files::io("listing", &full))?;
        let name = entry.file_name();
        if top && name.to_str().is_some_and(volume::is_foreign) {
            continue;
        }
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) if vanished(&error) => continue,
            Err(error) => return Err(files::io("looking at", &entry.path())(error)),
        };
        if !kind.is_dir() && !kind.is_file() {
            return Err(Error::Refused(format!(
                "{} is neither a file nor a folder; the file backend makes no such thing",
                entry.path().display()
            )));
        }
        children.push(Child {
            path: folder.join(name),
            is_folder: kind.is_dir(),
        });
    }
    children.sort_unstable_by(|left, right| left.path.cmp(&right.path));
    Ok(Some(children))
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    data: &Path,
    path: &Path,
    relay: &Relay,
) -> io::Result<()> {
    // Read whole before its header is written: the length in the header must be the length that follows,
    // and the server may replace the file meanwhile.
    let bytes = match fs::read(data.join(path)) {
        Ok(bytes) => bytes,
        Err(error) if vanished(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, path, bytes.as_slice())?;
    relay.advance(Unit::Entries, 1);
    relay.advance(Unit::Bytes, bytes.len() as u64);
    Ok(())
}

fn vanished(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn keys_are_files_with_an_underscore() {
        let data = Path::new("/d");
        let file = |key| entry_file(data, key).unwrap();
        assert_eq!(file("core/migration"), Path::new("/d/core/_migration"));
        assert_eq!(file("top"), Path::new("/d/_top"));
        for key in ["", "a/", "/a", "a//b", "../a", "a/..", "a/./b", "a\0b"] {
            assert!(entry_file(data, key).is_err(), "{key}");
        }
    }

    #[test]
    fn the_copy_holds_the_tree_and_nothing_beside_it() {
        let work = tempfile::tempdir().unwrap();
        let data = work.path().join("data");
        let long = format!("logical/{}/{}", "a".repeat(90), "b".repeat(90));
        write_entry(&entry_file(&data, "core/keyring").unwrap(), b"one").unwrap();
        write_entry(&entry_file(&data, &long).unwrap(), b"two").unwrap();
        fs::write(data.join("vault.db"), "db").unwrap();
        for folder in ["raft", "raft-aside-x", "lost+found"] {
            fs::create_dir(data.join(folder)).unwrap();
            fs::write(data.join(folder).join("file"), "no").unwrap();
        }
        let to = work.path().join("copy.tar");
        copy(&data, &to, &Relay::default()).unwrap();

        let mut archive = tar::Archive::new(fs::File::open(&to).unwrap());
        let found: BTreeMap<String, String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                let mut text = String::new();
                entry.read_to_string(&mut text).unwrap();
                (path, text)
            })
            .collect();
        let expected = format!("logical/{}/_{}", "a".repeat(90), "b".repeat(90));
        assert_eq!(
            found,
            BTreeMap::from([
                ("core/_keyring".to_owned(), "one".to_owned()),
                (expected, "two".to_owned())
            ])
        );
        assert!(!work.path().join("copy.tar.partial").exists());
    }

    #[test]
    fn what_is_named_goes_and_all_else_stays() {
        let work = tempfile::tempdir().unwrap();
        let data = work.path().join("data");
        write_entry(&entry_file(&data, "core/keyring").unwrap(), b"one").unwrap();
        write_entry(&entry_file(&data, "core/hsm/barrier").unwrap(), b"two").unwrap();
        write_entry(&entry_file(&data, "logical/a/b").unwrap(), b"three").unwrap();
        fs::write(data.join("logical/notes.txt"), "mine").unwrap();
        fs::write(data.join("vault.db"), "db").unwrap();
        let found = files(&data, &Relay::default()).unwrap();
        let (notes, named): (Vec<String>, Vec<String>) =
            found.into_keys().partition(|path| path.contains("notes"));
        assert_eq!(notes, ["logical/notes.txt"]);
        remove(&data, &named, &Relay::default()).unwrap();
        remove(&data, &named, &Relay::default()).unwrap();
        let left = files(&data, &Relay::default()).unwrap();
        assert_eq!(left.into_keys().collect::<Vec<_>>(), notes);
        assert!(!data.join("core").exists() && !data.join("logical/a").exists());
        assert!(data.join("vault.db").exists());
    }
}
