//! What stands on a data volume, and moving the raft files on it aside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files;
use crate::platform::{Error, Result, Volume};

/// What a raft node keeps in its data folder: the state and the folder with the log and the snapshots.
pub(super) const RAFT: [&str; 2] = ["vault.db", "raft"];
/// How the folders with raft files that were moved aside begin.
pub(super) const ASIDE: &str = "raft-aside-";
/// What a store of `pebbledb` is kept in.
pub(super) const STORE: &str = "pebbledb";
/// Entries that a file server writes before it holds anything, and the tombstone of a migration.
const NOT_DATA: [&str; 2] = ["_lock", "_migration"];

/// Looks at the data folder.
pub(super) fn look(data: &Path) -> Result<Volume> {
    let mut raft_files = false;
    for name in RAFT {
        raft_files |= exists(&data.join(name))?;
    }
    let mut aside: Vec<String> = names(data)?
        .into_iter()
        .filter(|name| name.starts_with(ASIDE))
        .collect();
    aside.sort_unstable();
    // A member that never started has no folder yet: its room is that of where the folder will be.
    let mut place = data;
    while let (false, Some(parent)) = (exists(place)?, place.parent()) {
        place = parent;
    }
    let room =
        rustix::fs::statvfs(place).map_err(|error| files::io("measuring", place)(error.into()))?;
    Ok(Volume {
        exists: exists(data)?,
        file_tree: has_tree(&data.join("core"))?,
        store: exists(&data.join(STORE))?,
        raft_files,
        aside,
        free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
    })
}

/// Whether the file backend's `core` holds an entry.
fn has_tree(core: &Path) -> Result<bool> {
    Ok(names(core)?
        .iter()
        .any(|name| name.starts_with('_') && !NOT_DATA.contains(&name.as_str())))
}

/// Moves the raft files into `raft-aside-<label>`. A move that was cut short goes on where it was; a label
/// that holds an earlier set already gets a number.
pub(super) fn set_aside(data: &Path, label: &str) -> Result<()> {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if label.is_empty() || !label.chars().all(plain) {
        return Err(Error::Refused(format!(
            "{label:?} cannot be part of a folder's name; use letters, digits, '-', '_' and '.'"
        )));
    }
    let mut pending = Vec::new();
    for name in RAFT {
        if exists(&data.join(name))? {
            pending.push(name);
        }
    }
    if pending.is_empty() {
        return Ok(());
    }
    let folder = room_for(data, label, &pending)?;
    files::make_folder(&folder)?;
    for name in pending {
        let from = data.join(name);
        fs::rename(&from, folder.join(name)).map_err(files::io("moving aside", &from))?;
    }
    files::sync_folder(&folder)?;
    files::sync_folder(data)
}

/// Removes one of the folders that [`set_aside`] made.
pub(super) fn remove_aside(data: &Path, folder: &str) -> Result<()> {
    if !folder.starts_with(ASIDE) || folder.contains('/') {
        return Err(Error::Refused(format!(
            "{folder:?} is no folder of raft files that were moved aside"
        )));
    }
    files::remove_folder(&data.join(folder))?;
    files::sync_folder(data)
}

fn room_for(data: &Path, label: &str, pending: &[&str]) -> Result<PathBuf> {
    let mut number = 1_u32;
    loop {
        let folder = if number == 1 {
            data.join(format!("{ASIDE}{label}"))
        } else {
            data.join(format!("{ASIDE}{label}.{number}"))
        };
        let mut free = true;
        for name in pending {
            free &= !exists(&folder.join(name))?;
        }
        if free {
            return Ok(folder);
        }
        number += 1;
    }
}

/// Whether a name of the data folder's top level is not part of the file tree.
pub(super) fn is_foreign(name: &str) -> bool {
    RAFT.contains(&name) || name == "lost+found" || name.starts_with(ASIDE)
}

fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(files::io("looking at", path)(error)),
    }
}

/// The names in a folder; none when it is absent.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(files::io("listing", folder)(error)),
    };
    entries
        .map(|entry| {
            entry
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .map_err(files::io("listing", folder))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume() -> tempfile::TempDir {
        let data = tempfile::tempdir().unwrap();
        fs::create_dir_all(data.path().join("core")).unwrap();
        fs::write(data.path().join("core/_keyring"), "{}").unwrap();
        raft(data.path());
        data
    }

    fn raft(data: &Path) {
        fs::write(data.join("vault.db"), "db").unwrap();
        fs::create_dir_all(data.join("raft/snapshots")).unwrap();
        fs::write(data.join("raft/raft.db"), "log").unwrap();
    }

    #[test]
    fn moves_the_raft_files_and_nothing_else() {
        let data = volume();
        let before = look(data.path()).unwrap();
        assert!(before.file_tree && before.raft_files && before.free_bytes > 0);
        set_aside(data.path(), "run1").unwrap();
        set_aside(data.path(), "run1").unwrap();
        let after = look(data.path()).unwrap();
        assert!(after.file_tree && !after.raft_files);
        assert_eq!(after.aside, ["raft-aside-run1"]);
        assert!(data.path().join("raft-aside-run1/raft/raft.db").exists());
    }

    #[test]
    fn goes_on_with_a_move_that_was_cut_short() {
        let data = volume();
        let folder = data.path().join("raft-aside-run1");
        fs::create_dir(&folder).unwrap();
        fs::rename(data.path().join("vault.db"), folder.join("vault.db")).unwrap();
        set_aside(data.path(), "run1").unwrap();
        assert!(folder.join("vault.db").exists() && folder.join("raft/raft.db").exists());
        assert_eq!(look(data.path()).unwrap().aside.len(), 1);
    }

    #[test]
    fn a_second_set_under_one_label_does_not_replace_the_first() {
        let data = volume();
        set_aside(data.path(), "run1").unwrap();
        raft(data.path());
        set_aside(data.path(), "run1").unwrap();
        let after = look(data.path()).unwrap();
        assert_eq!(after.aside, ["raft-aside-run1", "raft-aside-run1.2"]);
        assert!(!after.raft_files);
    }

    #[test]
    fn an_empty_or_absent_volume_holds_nothing() {
        let data = tempfile::tempdir().unwrap();
        let seen = look(data.path()).unwrap();
        assert!(seen.exists && !seen.file_tree && !seen.raft_files);
        assert!(!look(&data.path().join("absent")).unwrap().exists);
        assert!(set_aside(data.path(), "../up").is_err());
    }
}
