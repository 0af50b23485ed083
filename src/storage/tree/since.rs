//! A copy of a tree made of an earlier copy and of what has changed since.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::types::{Phase, Source, TreeOptions};
use crate::meter::Silent;
use crate::storage::digests::{DigestList, DigestSource};
use crate::storage::error::StorageError;
use crate::storage::key::path_of_key;
use crate::storage::manifest::manifest;

/// The files of the manifest that the tar `base` lacks or has otherwise, by their path in the tree; and their bytes.
pub fn stale(base: &Path, wanted: &DigestList) -> Result<(Vec<String>, u64), StorageError> {
    let tar = Source::Tar(Box::new(opened(base)?));
    let (held, _) = manifest(tar, &TreeOptions::new(Phase::Live), &Silent)?;
    let (mut paths, mut bytes) = (Vec::new(), 0);
    let (mut all, mut key) = (wanted.digests(), String::new());
    while let Some(digest) = all.next_digest(&mut key)? {
        if held.get(&key) != Some(digest) {
            paths.push(path_of_key(&key)?);
            bytes += digest.bytes;
        }
    }
    Ok((paths, bytes))
}

/// Writes the tar `to`, synced and for the owner alone: the files of `news`, and those of `base` that are in `wanted` and
/// not in `news`. Whether each of them is as it should be is for whoever reads it with the manifest.
pub fn merge(base: &Path, news: &Path, wanted: &DigestList, to: &Path) -> Result<(), StorageError> {
    let mut kept = HashSet::new();
    let (mut all, mut key) = (wanted.digests(), String::new());
    while all.next_digest(&mut key)?.is_some() {
        kept.insert(path_of_key(&key)?);
    }
    let failed = |error| StorageError::io("write", to)(error);
    // A leftover may have another mode.
    let _ = std::fs::remove_file(to);
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(failed)?;
    let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, file));
    append(news, &mut tar, |path| {
        kept.remove(path);
        true
    })
    .map_err(failed)?;
    append(base, &mut tar, |path| kept.contains(path)).map_err(failed)?;
    let mut out = tar.into_inner().map_err(failed)?;
    out.flush().map_err(failed)?;
    out.get_ref().sync_all().map_err(failed)
}

fn append(
    from: &Path,
    tar: &mut tar::Builder<impl Write>,
    mut takes: impl FnMut(&str) -> bool,
) -> io::Result<()> {
    let mut archive = tar::Archive::new(BufReader::with_capacity(1 << 18, File::open(from)?));
    for member in archive.entries()? {
        let member = member?;
        let path = member.path()?.into_owned();
        let name = path.to_string_lossy();
        if member.header().entry_type().is_file() && takes(name.trim_start_matches("./")) {
            let mut header = member.header().clone();
            tar.append_data(&mut header, &path, member)?;
        }
    }
    Ok(())
}

fn opened(path: &Path) -> Result<File, StorageError> {
    File::open(path).map_err(StorageError::io("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::digests::Digest;

    fn tar(path: &Path, files: &[(&str, &str)]) {
        let mut tar = tar::Builder::new(File::create(path).unwrap());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.finish().unwrap();
    }

    fn value(text: &str) -> String {
        String::from_utf8(super::super::encode(text.as_bytes())).unwrap()
    }

    #[test]
    fn what_changed_is_fetched_and_the_rest_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let long = format!("logical/{}/_x", "d".repeat(150));
        let (one, two, new) = (value("one"), value("two"), value("new"));
        tar(
            &at("base"),
            &[
                ("./core/_a", &one),
                ("b/_gone", &two),
                ("b/_c", &one),
                (&long, &two),
            ],
        );
        let mut wanted = DigestList::default();
        for (key, text) in [
            ("core/a", &one),
            ("b/c", &new),
            ("b/more", &two),
            (long.replace("/_x", "/x").as_str(), &two),
        ] {
            wanted.push(key, Digest::of(text.as_bytes())).unwrap();
        }
        wanted.sort().unwrap();
        let (paths, bytes) = stale(&at("base"), &wanted).unwrap();
        assert_eq!(paths, ["b/_c", "b/_more"]);
        assert_eq!(bytes, (new.len() + two.len()) as u64);

        tar(&at("news"), &[("b/_c", &new), ("b/_more", &two)]);
        merge(&at("base"), &at("news"), &wanted, &at("whole")).unwrap();
        assert_eq!(stale(&at("whole"), &wanted).unwrap(), (Vec::new(), 0));
        let whole = Source::Tar(Box::new(File::open(at("whole")).unwrap()));
        let (found, _) = manifest(whole, &TreeOptions::new(Phase::Live), &Silent).unwrap();
        assert!(found == wanted, "and nothing else");
    }
}
