//! Finding the server's program and asking for its version.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::platform::{Error, Result, StorageKind};

/// Finds the `bao` program: `explicit`, then `BAOCTL_BAO`, then the newest `.cache/bao/*/bao` under the
/// current directory that serves from such a storage, then `PATH`. The answer is absolute.
pub fn find_bao(explicit: Option<&Path>, storage: StorageKind) -> Result<PathBuf> {
    let from_environment = std::env::var_os("BAOCTL_BAO").map(PathBuf::from);
    let named = match (explicit, &from_environment) {
        (Some(path), _) => Some((path, "--bao")),
        (None, Some(path)) if !path.as_os_str().is_empty() => Some((path.as_path(), "BAOCTL_BAO")),
        _ => None,
    };
    if let Some((path, by)) = named {
        // A program that was named is used or missed, never replaced by another one.
        return absolute(path).filter(|path| runnable(path)).ok_or_else(|| {
            missing(
                &path.display().to_string(),
                &format!("{by} names it, but it is not a program there"),
            )
        });
    }
    newest_cached(Path::new(".cache/bao"), storage)
        .or_else(on_path)
        .and_then(|path| absolute(&path))
        .ok_or_else(|| {
            missing(
                "bao",
                "looked at --bao, BAOCTL_BAO, .cache/bao/*/bao and PATH",
            )
        })
}

fn missing(program: &str, why: &str) -> Error {
    Error::MissingProgram {
        program: program.to_owned(),
        why: format!("{why}; run `make bao` or pass `--bao PATH`"),
    }
}

fn absolute(path: &Path) -> Option<PathBuf> {
    std::path::absolute(path).ok()
}

fn runnable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn newest_cached(cache: &Path, storage: StorageKind) -> Option<PathBuf> {
    std::fs::read_dir(cache)
        .ok()?
        .filter_map(|entry| {
            let folder = entry.ok()?;
            let version = folder.file_name().into_string().ok()?;
            let program = folder.path().join("bao");
            let numbers = numbers(&version);
            let fits = serves(&numbers, storage) && runnable(&program);
            fits.then_some((numbers, program))
        })
        .max()
        .map(|(_, program)| program)
}

/// Refuses a version that cannot serve from the storage.
pub(super) fn check_serves(version: &str, storage: StorageKind) -> Result<()> {
    if serves(&numbers(version), storage) {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "OpenBao {version} does not serve from {} storage: up to 2.6 it has `file`, from 2.7 on `pebbledb`; name another program with \
         --bao, or another --source",
        storage.name()
    )))
}

/// Whether a version serves from a storage: 2.7 has `pebbledb` in the place of `file`.
fn serves(version: &[u64], storage: StorageKind) -> bool {
    let newer = version >= &[2, 7][..];
    match storage {
        StorageKind::File => !newer,
        StorageKind::Pebbledb => newer,
        StorageKind::Raft => true,
    }
}

/// A version's numbers, so that 2.10.0 is newer than 2.9.1.
fn numbers(version: &str) -> Vec<u64> {
    version
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|part| part.parse().ok())
        .collect()
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("bao"))
        .find(|program| runnable(program))
}

/// Refuses a program that is not there (any more).
pub(super) fn check(program: &Path) -> Result<()> {
    if runnable(program) {
        return Ok(());
    }
    Err(missing(
        &program.display().to_string(),
        "it is not a program there",
    ))
}

/// What the program says its version is, for example `2.6.2`.
pub(super) async fn version_of(program: &Path) -> Result<String> {
    let failed = |why: String| missing(&program.display().to_string(), &why);
    check(program)?;
    let run = Command::new(program)
        .arg("version")
        .env_clear()
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(30), run)
        .await
        .map_err(|_| failed("it did not tell its version within 30 s".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    said.split_whitespace()
        .find_map(|word| word.strip_prefix('v'))
        .filter(|version| version.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
        .ok_or_else(|| failed(format!("it does not tell its version: {}", said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts_by_number() {
        let cache = tempfile::tempdir().unwrap();
        for version in ["2.9.1", "2.10.0", "2.6.2"] {
            let folder = cache.path().join(version);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join("bao"), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(folder.join("bao"), std::fs::Permissions::from_mode(0o755))
                .unwrap();
        }
        std::fs::create_dir(cache.path().join("3.0.0")).unwrap();
        let found = newest_cached(cache.path(), StorageKind::Pebbledb).unwrap();
        assert_eq!(found, cache.path().join("2.10.0/bao"));
        let found = newest_cached(cache.path(), StorageKind::File).unwrap();
        assert_eq!(found, cache.path().join("2.6.2/bao"));
    }

    #[test]
    fn a_named_program_that_is_missing_is_an_error_that_tells_the_cure() {
        let error = find_bao(Some(Path::new("/nonexistent/bao")), StorageKind::File).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("make bao") && text.contains("--bao PATH"),
            "{text}"
        );
    }
}
