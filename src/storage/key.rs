//! The file backend's mapping between keys and files: key `a/b/c` is the file `a/b/_c`.
//!
//! Source: `physical/file/file.go` of OpenBao (`expandPath`, `ListPage`).

use std::collections::BTreeSet;

use super::error::{StorageError, TreeProblem};

/// The longest key that raft's store (bbolt, `MaxKeySize`) holds, in bytes.
pub const MAX_KEY_BYTES: usize = 32_768;

/// Raft's default `max_entry_size` in bytes: larger values can be restored and read, but not written again.
pub const MAX_ENTRY_BYTES: u64 = 1 << 20;

/// The suffix of the file that an unfinished write leaves.
pub const TEMP_SUFFIX: &str = ".temp";

/// The key of a file, given its path relative to the tree's root.
pub fn key_of_path(path: &str) -> Result<String, StorageError> {
    let (directory, name) = split(path);
    let Some(last) = name.strip_prefix('_') else {
        return Err(StorageError::tree(path, TreeProblem::NoUnderscore));
    };
    let key = format!("{directory}{last}");
    check(&key).map_err(|problem| StorageError::tree(path, problem))?;
    Ok(key)
}

/// The path, relative to the tree's root, of the file that holds `key`.
pub fn path_of_key(key: &str) -> Result<String, StorageError> {
    check(key).map_err(|problem| StorageError::tree(key, problem))?;
    let (directory, last) = split(key);
    Ok(format!("{directory}_{last}"))
}

/// The folders above these paths, in ascending order: each comes before those in it.
pub fn folders_of(paths: &[String]) -> BTreeSet<&str> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let mut rest = path.as_str();
        while let Some(slash) = rest.rfind('/') {
            rest = &rest[..slash];
            if !folders.insert(rest) {
                break;
            }
        }
    }
    folders
}

/// A key's directory with its trailing slash (empty at the top) and its last segment.
pub(crate) fn split(key: &str) -> (&str, &str) {
    key.split_at(key.rfind('/').map_or(0, |slash| slash + 1))
}

fn check(key: &str) -> Result<(), TreeProblem> {
    if key
        .split('/')
        .any(|segment| matches!(segment, "" | "." | ".."))
        || key.contains('\0')
    {
        return Err(TreeProblem::BadSegment);
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(TreeProblem::KeyTooLong(key.len()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn maps_both_ways() {
        assert_eq!(key_of_path("core/_keyring").unwrap(), "core/keyring");
        assert_eq!(key_of_path("_x/__y").unwrap(), "_x/_y");
        assert_eq!(path_of_key("top").unwrap(), "_top");
    }

    #[test]
    fn refuses_what_the_backend_cannot_have_written() {
        for path in [
            "core/keyring",
            "_",
            "a/_",
            "a//_b",
            "../_a",
            "a/_..",
            "a/_.",
        ] {
            let error = key_of_path(path).unwrap_err().to_string();
            assert!(error.starts_with(path), "{error}");
        }
        let error = key_of_path(&format!("_{}", "k".repeat(MAX_KEY_BYTES + 1))).unwrap_err();
        assert!(error.to_string().contains("32769 bytes"));
    }

    proptest! {
        #[test]
        fn round_trips(key in "[^/\0]{1,12}(/[^/\0]{1,12}){0,5}") {
            prop_assume!(!key.split('/').any(|segment| segment == "." || segment == ".."));
            prop_assert_eq!(key_of_path(&path_of_key(&key).unwrap()).unwrap(), key);
        }
    }
}
