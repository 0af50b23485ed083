//! A tree of the file backend, or another archive, becomes a raft snapshot archive.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::archive::{ArchiveReader, Meta, RAFT_TLS, Written, state_bytes, write};
use super::digests::{Digest, DigestList, LineWriter};
use super::durable::Partial;
use super::error::StorageError;
use super::manifest::Checker;
use super::spool::Spool;
use super::tree::{Source, TreeOptions, TreeSummary, read};
use crate::meter::{Meter, Unit};

/// The entries that the server's seal is made of: as long as they stay the same, the same unseal keys open it.
pub const SEAL_MATERIAL: [&str; 5] = [
    "core/seal-config",
    "core/keyring",
    "core/hsm/barrier-unseal-keys",
    "core/shamir-kek",
    "core/root-key",
];

/// Without these a server that is unsealed mounts nothing, and so revokes and rotates nothing. One that knows of no child
/// namespace takes what is below `namespaces/` for nothing that is its own.
const ACTIVE: [&str; 7] = [
    "core/mounts",
    "core/local-mounts",
    "core/auth",
    "core/local-auth",
    "core/audit",
    "core/local-audit",
    "core/namespaces",
];

/// What names the devices that requests are written to.
const AUDIT: [&str; 2] = ["core/audit", "core/local-audit"];

/// What a server on raft makes anew for itself when it leads; the lock is not encrypted.
const OF_RAFT: [&str; 3] = [RAFT_TLS, "core/lock", "core/leader"];

/// Which entries are converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// All of them.
    Everything,
    /// All but the mounts, auth methods, audit devices, namespaces and leases: a server on this copy can decrypt every entry and
    /// acts on none.
    Inert,
    /// All but the audit devices.
    Unaudited,
}

impl Filter {
    /// Whether an entry is converted.
    pub fn keeps(self, key: &str) -> bool {
        let below = |tables: &[&str]| {
            tables.iter().any(|table| {
                key.strip_prefix(table)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        match self {
            Self::Everything => true,
            Self::Inert => !key.starts_with("sys/expire/") && !below(&ACTIVE) && !below(&OF_RAFT),
            Self::Unaudited => !below(&AUDIT),
        }
    }
}

/// How to convert.
#[derive(Debug, Clone)]
pub struct ConvertOptions<'a> {
    /// How to read the tree.
    pub tree: TreeOptions,
    /// Which entries to convert.
    pub filter: Filter,
    /// The value of `core/raft/tls` to graft in, from [`raft_tls_of`](super::archive::raft_tls_of).
    pub raft_tls: Option<Vec<u8>>,
    /// Node id for `meta.json`.
    pub node_id: String,
    /// Cluster address of that node for `meta.json`, `host:port`.
    pub address: String,
    /// The manifest that the tree must match, file by file.
    pub manifest: Option<&'a DigestList>,
    /// A directory with room for a second copy of the values, for a temporary file.
    pub scratch: PathBuf,
    /// Whether to write the digests of the values beside the archive, see [`values_path`].
    pub write_values: bool,
}

impl ConvertOptions<'_> {
    /// Everything in a tree of that phase, with a temporary file in `scratch`.
    pub fn new(tree: TreeOptions, scratch: &Path) -> Self {
        Self {
            tree,
            filter: Filter::Everything,
            raft_tls: None,
            node_id: "openbao-0".to_owned(),
            address: "127.0.0.1:8201".to_owned(),
            manifest: None,
            scratch: scratch.to_owned(),
            write_values: false,
        }
    }
}

/// What a conversion did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conversion {
    /// What was in the tree, before the filter.
    pub tree: TreeSummary,
    /// Entries in the archive, a grafted one included.
    pub entries: u64,
    /// Entries that the filter dropped.
    pub filtered: u64,
    /// Bytes of the values in the archive.
    pub value_bytes: u64,
    /// Length of `state.bin` in bytes.
    pub state_bytes: u64,
    /// Whether `core/raft/tls` was grafted in.
    pub grafted: bool,
    /// The archive.
    pub archive: Written,
    /// The file with the digests of the values (without a grafted one), and the SHA-256 of that file in hex.
    pub values: Option<(PathBuf, String)>,
    /// SHA-256 in hex of those [`SEAL_MATERIAL`] entries that exist.
    pub seal_material: BTreeMap<String, String>,
}

/// Where the digests of an archive's values are written: `ARCHIVE.values`.
pub fn values_path(archive: &Path) -> PathBuf {
    let mut name = OsString::from(archive);
    name.push(".values");
    name.into()
}

/// Converts a tree into a snapshot archive at `out`, which appears whole or not at all. Nothing is written to `out`
/// before the tree is read to its end and matches the manifest.
pub fn convert(
    source: Source<'_>,
    out: &Path,
    options: &ConvertOptions<'_>,
    meter: &dyn Meter,
) -> Result<Conversion, StorageError> {
    let mut intake = Intake::new(options)?;
    let mut checker = options.manifest.map(Checker::new);
    let hash = checker.is_some();
    let tree = read(source, &options.tree, hash, meter, &mut |entry| {
        if let Some(checker) = &mut checker {
            checker.check(entry);
        }
        match entry.value {
            Some((value, sha256)) => intake.take(entry.key, value, sha256),
            None => Ok(()),
        }
    })?;
    checker.map_or(Ok(()), Checker::finish)?;
    intake.written(tree, out, meter)
}

/// The same with the entries of another archive, which is proven on the way: of `options` all counts but how a tree is read and
/// what it must match.
pub fn rewrite(
    mut archive: ArchiveReader<File>,
    out: &Path,
    options: &ConvertOptions<'_>,
    meter: &dyn Meter,
) -> Result<Conversion, StorageError> {
    let mut intake = Intake::new(options)?;
    let mut tree = TreeSummary::default();
    while let Some((key, value)) = archive.next_entry()? {
        tree.entries += 1;
        tree.value_bytes += value.len() as u64;
        meter.advance(Unit::Entries, 1);
        intake.take(key, value, Digest::of(value).sha256)?;
    }
    intake.written(tree, out, meter)
}

struct Intake<'a> {
    spool: Spool,
    options: &'a ConvertOptions<'a>,
    state_bytes: u64,
    value_bytes: u64,
    filtered: u64,
    seal_material: BTreeMap<String, String>,
}

impl<'a> Intake<'a> {
    fn new(options: &'a ConvertOptions<'a>) -> Result<Self, StorageError> {
        Ok(Self {
            spool: Spool::create(&options.scratch)?,
            options,
            state_bytes: 0,
            value_bytes: 0,
            filtered: 0,
            seal_material: BTreeMap::new(),
        })
    }

    fn take(&mut self, key: &str, value: &[u8], sha256: [u8; 32]) -> Result<(), StorageError> {
        if SEAL_MATERIAL.contains(&key) {
            self.seal_material
                .insert(key.to_owned(), hex::encode(sha256));
        }
        let replaced = key == RAFT_TLS && self.options.raft_tls.is_some();
        if replaced || !self.options.filter.keeps(key) {
            self.filtered += 1;
            return Ok(());
        }
        self.put(key, value, sha256)
    }

    fn put(&mut self, key: &str, value: &[u8], sha256: [u8; 32]) -> Result<(), StorageError> {
        self.state_bytes += state_bytes(key, value.len());
        self.value_bytes += value.len() as u64;
        self.spool.push(key, value, sha256)
    }

    /// All that was taken, with the graft, as an archive.
    fn written(
        mut self,
        tree: TreeSummary,
        out: &Path,
        meter: &dyn Meter,
    ) -> Result<Conversion, StorageError> {
        let options = self.options;
        if let Some(value) = &options.raft_tls {
            self.put(RAFT_TLS, value, Digest::of(value).sha256)?;
        }
        let entries = self.spool.len() as u64;
        meter.waiting("the archive is written");
        let meta = Meta::converted(&options.node_id, &options.address, self.state_bytes);
        let (archive, values) = put_out(self.spool, out, options, &meta)?;
        Ok(Conversion {
            tree,
            entries,
            filtered: self.filtered,
            value_bytes: self.value_bytes,
            state_bytes: self.state_bytes,
            grafted: options.raft_tls.is_some(),
            archive,
            values,
            seal_material: self.seal_material,
        })
    }
}

type PutOut = (Written, Option<(PathBuf, String)>);

/// Writes the archive and, before it appears, the digests of its values.
fn put_out(
    spool: Spool,
    out: &Path,
    options: &ConvertOptions<'_>,
    meta: &Meta,
) -> Result<PutOut, StorageError> {
    let mut sorted = spool.sorted()?;
    let values = values_path(out);
    let mut lines = None;
    if options.write_values {
        lines = Some(LineWriter::new(BufWriter::with_capacity(
            1 << 18,
            Partial::create(&values)?,
        )));
    }
    let mut key = String::new();
    let graft = options.raft_tls.is_some();
    let (values_file, lines_now) = (&values, &mut lines);
    let written = write(out, meta, move |put| {
        let Some((digest, value)) = sorted.next(&mut key)? else {
            return Ok(false);
        };
        put(&key, value);
        if let Some(lines) = lines_now
            && !(graft && key == RAFT_TLS)
        {
            lines
                .line(&key, digest)
                .map_err(StorageError::io("write", values_file))?;
        }
        Ok(true)
    })?;
    let Some(lines) = lines else {
        return Ok((written, None));
    };
    let failed = || StorageError::io("write", &values);
    let (file, sha256) = lines.finish().map_err(failed())?;
    file.into_inner()
        .map_err(|error| failed()(error.into_error()))?
        .finish()?;
    Ok((written, Some((values, sha256))))
}

#[cfg(test)]
mod tests;
