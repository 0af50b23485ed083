//! Made trees and archives for the tests of this layer.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest as _, Sha256};

use super::archive::{ArchiveReader, Meta};
use super::error::StorageError;
use super::key::path_of_key;
use super::tree::encode;

/// Writes a tree of the file backend below `root`.
pub(crate) fn plant(root: &Path, entries: &[(&str, &[u8])]) {
    for (key, value) in entries {
        file(root, &path_of_key(key).unwrap(), &encode(value));
    }
}

pub(crate) fn file(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A tar with its end marker.
pub(crate) fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn meta(size: usize) -> Vec<u8> {
    serde_json::to_vec(&Meta::converted("openbao-0", "127.0.0.1:8201", size as u64)).unwrap()
}

pub(crate) fn sums(members: &[(&str, &[u8])]) -> Vec<u8> {
    let line = |(name, content): &(&str, &[u8])| {
        format!("{}  {name}\n", hex::encode(Sha256::digest(content)))
    };
    members.iter().map(line).collect::<String>().into_bytes()
}

/// The unpacked tar of an archive around the given `state.bin`, with everything else in order.
pub(crate) fn unpacked(state: &[u8]) -> Vec<u8> {
    let meta = meta(state.len());
    let sums = sums(&[("meta.json", &meta), ("state.bin", state)]);
    tar(&[
        ("meta.json", &meta),
        ("state.bin", state),
        ("SHA256SUMS", &sums),
    ])
}

pub(crate) type Pairs = Vec<(String, Vec<u8>)>;

pub(crate) fn read_all(archive: impl Read) -> Result<Pairs, StorageError> {
    let mut pairs = Vec::new();
    ArchiveReader::new(archive).for_each(|key, value| {
        pairs.push((key.to_owned(), value.to_vec()));
        Ok(())
    })?;
    Ok(pairs)
}
