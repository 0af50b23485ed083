//! The source's file tree, a real one, and archives of entries.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use baoctl::meter::Silent;
use baoctl::storage::key::path_of_key;
use baoctl::storage::{
    self, ArchiveReader, ConvertOptions, Digest, DigestList, Phase, Source, TreeOptions, tree,
};

/// Storage entries by key.
pub type Entries = BTreeMap<String, Vec<u8>>;

pub const MIGRATION: &str = "core/migration";
/// The uuid of the mount that has entries.
pub const MOUNTED: &str = "11111111-2222-3333-4444-555555555555";
pub const RAFT_TLS: &str = "core/raft/tls";
const TABLES: [&str; 4] = [
    "core/mounts",
    "core/auth",
    "core/local-mounts",
    "core/local-auth",
];

/// What the keys of the one child namespace begin with, where there is one, and the mounts of its own: an engine, a local
/// one and an auth method.
pub const CHILD: &str = "namespaces/c0c0c0c0-1111-4222-8333-444455556666/";
pub const CHILD_ROWS: [&str; 3] = [
    "core/mounts/c1c1c1c1-1111-4222-8333-444455556666",
    "core/local-mounts/c2c2c2c2-1111-4222-8333-444455556666",
    "core/auth/c3c3c3c3-1111-4222-8333-444455556666",
];
/// How the rows of its tables name it.
pub const CHILD_ID: &str = "chi1d0";

/// What a server that was just initialised holds.
pub fn fresh(keyring: &str) -> Entries {
    [
        "core/hsm/barrier-unseal-keys",
        "core/root-key",
        "core/cluster/local/info",
        "core/keyring",
        "core/seal-config",
        "core/shamir-kek",
    ]
    .into_iter()
    .map(|key| (key.to_owned(), format!("{keyring} {key}").into_bytes()))
    .collect()
}

/// What the source holds.
pub fn source(keyring: &str) -> Entries {
    let mut entries = fresh(keyring);
    let more = [
        "core/audit",
        "core/auth",
        "core/local-audit",
        "core/local-mounts",
        "core/mounts",
        "core/wal/prefix",
        "logical/11111111-2222-3333-4444-555555555555/metadata/one",
        "logical/11111111-2222-3333-4444-555555555555/versions/0ab/1",
        "logical/11111111-2222-3333-4444-555555555555/versions/0ab/2",
        "sys/expire/id/auth/token/create/x",
        "sys/policy/default",
        "sys/token/salt",
    ];
    entries.extend(more.map(|key| (key.to_owned(), format!("data of {key}").into_bytes())));
    entries
}

/// What a child namespace adds to it.
pub fn child() -> Entries {
    let known = CHILD.replace("namespaces/", "core/namespaces/");
    let more = [
        "logical/c1c1c1c1-1111-4222-8333-444455556666/secret",
        "sys/policy/default",
    ];
    let keys = TABLES
        .iter()
        .chain(&more)
        .map(|key| format!("{CHILD}{key}"));
    keys.chain([known.trim_end_matches('/').to_owned()])
        .map(|key| (key.clone(), format!("data of {key}").into_bytes()))
        .collect()
}

/// Whether a server that is unsealed on these entries panics: its root's tables are split already, a child's are not.
pub fn breaks(entries: &Entries) -> bool {
    let whole = |of: &str| {
        TABLES
            .iter()
            .any(|table| entries.contains_key(&format!("{of}{table}")))
    };
    whole(CHILD) && !whole("") && knows_child(entries)
}

fn knows_child(entries: &Entries) -> bool {
    entries
        .keys()
        .any(|key| key.starts_with("core/namespaces/"))
}

/// What a raft server makes of its entries when it leads for the first time. The rows of a child come below the root.
pub fn lead(entries: &mut Entries) {
    for table in TABLES {
        if entries.remove(table).is_none() {
            continue;
        }
        let row = format!("{table}/0e2d1c3b-1111-4222-8333-444455556666");
        entries.insert(row, b"{\"namespace_id\":\"root\"}".to_vec());
        let rows = CHILD_ROWS
            .iter()
            .filter(|row| row.starts_with(&format!("{table}/")));
        for row in rows.filter(|_| knows_child(entries)).collect::<Vec<_>>() {
            let value = format!("{{\"namespace_id\":\"{CHILD_ID}\"}}");
            entries.insert((*row).to_owned(), value.into_bytes());
        }
    }
    entries
        .entry(RAFT_TLS.to_owned())
        .or_insert_with(|| b"a tls keyring".to_vec());
    entries.insert("core/leader/0e2d1c3b".to_owned(), b"advertisement".to_vec());
}

/// What must be the same in two clusters, in spite of what their servers made of it.
pub fn essence(entries: &Entries) -> Entries {
    let mut entries = entries.clone();
    lead(&mut entries);
    for row in CHILD_ROWS {
        if let Some(value) = entries.remove(row) {
            entries.insert(format!("{CHILD}{row}"), value);
        }
    }
    for table in TABLES {
        entries.remove(&format!("{CHILD}{table}"));
    }
    entries.remove(RAFT_TLS);
    entries
}

pub fn file_of(data: &Path, key: &str) -> PathBuf {
    data.join(path_of_key(key).unwrap())
}

pub fn put(data: &Path, key: &str, file: &[u8]) {
    let path = file_of(data, key);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
}

pub fn plant(data: &Path, entries: &Entries) {
    for (key, value) in entries {
        put(data, key, &tree::encode(value));
    }
}

/// Every file below `data`, the tombstone left out.
pub fn files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![data.to_owned()];
    while let Some(folder) = folders.pop() {
        for child in fs::read_dir(folder).unwrap() {
            let path = child.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path != file_of(data, MIGRATION) {
                found.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Every file below `data`, the tombstone as well, by its path there.
pub fn digests(data: &Path) -> BTreeMap<String, Digest> {
    let tombstone = file_of(data, MIGRATION);
    let mut all = files(data);
    if let Ok(file) = fs::read(&tombstone) {
        all.insert(tombstone, file);
    }
    let name = |path: PathBuf| path.strip_prefix(data).unwrap().display().to_string();
    all.into_iter()
        .map(|(path, file)| (name(path), Digest::of(&file)))
        .collect()
}

pub fn manifest(data: &Path, phase: Phase) -> Result<DigestList, storage::Error> {
    let options = TreeOptions {
        phase,
        tombstone: fs::read(file_of(data, MIGRATION)).ok(),
    };
    Ok(storage::manifest::manifest(Source::Directory(data), &options, &Silent)?.0)
}

pub fn copy(data: &Path, to: &Path) {
    let mut files: Vec<(PathBuf, Vec<u8>)> = files(data).into_iter().collect();
    if let Ok(tombstone) = fs::read(file_of(data, MIGRATION)) {
        files.push((file_of(data, MIGRATION), tombstone));
    }
    let files = files
        .into_iter()
        .map(|(path, file)| (path.strip_prefix(data).unwrap().to_owned(), file));
    fs::write(to, tar(files)).unwrap();
}

fn tar(files: impl Iterator<Item = (PathBuf, Vec<u8>)>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, file) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, path, file.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Writes a snapshot archive.
pub fn pack(entries: &Entries, to: &Path) {
    let files = entries
        .iter()
        .map(|(key, value)| (path_of_key(key).unwrap().into(), tree::encode(value)));
    let source = Source::Tar(Box::new(Cursor::new(tar(files))));
    let options = ConvertOptions::new(TreeOptions::new(Phase::Sealed), to.parent().unwrap());
    storage::convert(source, to, &options, &Silent).unwrap();
}

/// Reads a snapshot archive.
pub fn unpack(from: &Path) -> Result<Entries, storage::Error> {
    let mut entries = Entries::new();
    ArchiveReader::open(from)?.for_each(|key, value| {
        entries.insert(key.to_owned(), value.to_vec());
        Ok(())
    })?;
    Ok(entries)
}
