//! What is read of a snapshot before a server has it, whole and proven by its sums.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;

use super::data::Tally;
use crate::action::Result;
use crate::bao::AuditDevice;
use crate::meter::{Meter, Unit};
use crate::storage::barrier::{KEYRING, UNSEAL_KEYS};
use crate::storage::{self, ArchiveReader};

pub(super) const SEAL: &str = "core/seal-config";
pub(super) const CLUSTER: &str = "core/cluster/local/info";
pub(super) const AUDIT: [&str; 2] = ["core/audit", "core/local-audit"];
/// Without these no server opens it, or none as what it was.
pub(super) const NEEDED: [&str; 4] = [SEAL, KEYRING, UNSEAL_KEYS, CLUSTER];
/// An entry for each version of the server that has run on the data.
const VERSIONS: &str = "core/versions/";
/// Raft has them row by row: one that is whole breaks a child namespace at the second unseal.
const TABLES: [&str; 4] = [
    "core/mounts",
    "core/auth",
    "core/local-mounts",
    "core/local-auth",
];
/// What the ids of tokens are salted with, and where these stand.
pub(super) const SALT: &str = "sys/token/salt";
const TOKENS: &str = "sys/token/id/";
pub(super) const SEALED_SUMS: &str = "SHA256SUMS.sealed";

/// An archive that was read to its end and is whole.
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) sha256: String,
    pub(super) index: u64,
    sums: Vec<u8>,
    pub(super) sealed_sums: Vec<u8>,
    pub(super) tally: Tally,
    /// Those of [`NEEDED`] and [`AUDIT`] that there are, and [`SALT`].
    pub(super) entries: BTreeMap<String, Vec<u8>>,
    /// The newest of [`VERSIONS`].
    pub(super) version: Option<Version>,
    /// A table of a child namespace that is whole.
    pub(super) whole_table: Option<String>,
}

impl Archive {
    pub(super) fn read(path: &Path, meter: &dyn Meter) -> Result<Self> {
        // First: whoever reads the file later must find the one that was looked at from here on.
        let sha256 = storage::sha256_of(path)?;
        let mut archive = ArchiveReader::open(path)?;
        let (mut tally, mut entries) = (Tally::default(), BTreeMap::new());
        let (mut version, mut whole_table) = (None, None);
        while let Some((key, value)) = archive.next_entry()? {
            let bytes = value.len() as u64;
            tally.take(key, bytes, bytes);
            meter.advance(Unit::Entries, 1);
            if NEEDED.contains(&key) || AUDIT.contains(&key) || key == SALT {
                entries.insert(key.to_owned(), value.to_vec());
            }
            if let Some(found) = key.strip_prefix(VERSIONS) {
                version = version.max(Version::parsed(found));
            }
            let child = key.strip_prefix("namespaces/");
            let within = child.and_then(|rest| rest.split_once('/'));
            if within.is_some_and(|(_, key)| TABLES.contains(&key)) {
                whole_table.get_or_insert_with(|| key.to_owned());
            }
        }
        Ok(Self {
            path: path.to_owned(),
            sha256,
            index: archive.meta().map_or(0, |meta| meta.index),
            sums: archive.sums().unwrap_or_default().to_vec(),
            sealed_sums: archive.sealed_sums().unwrap_or_default().to_vec(),
            tally,
            entries,
            version,
            whole_table,
        })
    }

    pub(super) fn entry(&self, key: &str) -> &[u8] {
        self.entries.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether these are its sums.
    pub(super) fn has_sums(&self, sums: &[u8]) -> bool {
        lines(sums) == lines(&self.sums)
    }

    /// Looks for a token by its salted id.
    pub(super) fn has_token(path: &Path, id: &str) -> Result<bool> {
        let (wanted, mut there) = (format!("{TOKENS}{id}"), false);
        ArchiveReader::open(path)?.for_each(|key, _| {
            there |= key == wanted;
            Ok(())
        })?;
        Ok(there)
    }
}

/// Numbers of a version, to be compared, with its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) Vec<u64>, pub(super) String);

impl Version {
    pub(super) fn parsed(text: &str) -> Option<Self> {
        let core = text.split(['-', '+']).next()?;
        let numbers = core.split('.').map(|number| number.parse().ok());
        Some(Self(numbers.collect::<Option<_>>()?, text.to_owned()))
    }
}

/// `core/seal-config`, which is not encrypted.
#[derive(Deserialize)]
pub(super) struct Seal {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    pub(super) secret_shares: u32,
    pub(super) secret_threshold: u32,
}

/// `core/cluster/local/info`.
#[derive(Deserialize)]
pub(super) struct Identity {
    pub(super) id: String,
}

/// `core/audit`, as far as stanzas say the same.
#[derive(Deserialize)]
struct AuditTable {
    entries: Option<Vec<AuditRow>>,
}

#[derive(Deserialize)]
struct AuditRow {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    options: Option<BTreeMap<String, String>>,
}

/// The server writes each list in an order of its own.
fn lines(sums: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = sums.split(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines
}

/// The devices of a table: JSON, as a rule behind a `G` and packed with gzip (`jsonutil.EncodeJSONAndCompress` of the server).
pub(super) fn unpacked(table: &[u8]) -> Option<BTreeMap<String, AuditDevice>> {
    let mut json = Vec::new();
    match table.split_first()? {
        (b'G', packed) => {
            GzDecoder::new(packed).read_to_end(&mut json).ok()?;
        }
        _ => json.extend_from_slice(table),
    }
    let table: AuditTable = serde_json::from_slice(&json).ok()?;
    let device = |row: AuditRow| {
        let options = row.options.unwrap_or_default();
        let kind = row.kind;
        (row.path, AuditDevice { kind, options })
    };
    Some(table.entries.into_iter().flatten().map(device).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text: &str| Version::parsed(text).unwrap().0;
        assert!(version("2.10.0") > version("2.9.3"));
        assert_eq!(version("2.6.2+ent"), version("2.6.2"));
        assert!(Version::parsed("dev").is_none());
    }

    #[test]
    fn an_audit_table_is_read_packed_or_not() {
        let table =
            br#"{"type":"audit","entries":[{"table":"audit-config","path":"file/","type":"file",
            "options":{"file_path":"a.log"}},{"path":"bare/","type":"syslog","options":null}]}"#;
        let mut gzip = GzEncoder::new(b"G".to_vec(), Compression::best());
        gzip.write_all(table).unwrap();
        for form in [table.to_vec(), gzip.finish().unwrap()] {
            let found = unpacked(&form).unwrap();
            assert_eq!(found.len(), 2);
            assert_eq!(found["file/"].options["file_path"], "a.log");
            assert!(found["bare/"].options.is_empty());
        }
        assert_eq!(unpacked(br#"{"entries":null}"#).unwrap().len(), 0);
        assert!(unpacked(b"Gno gzip").is_none() && unpacked(b"").is_none());
    }

    #[test]
    fn sums_are_the_same_in_any_order() {
        assert_eq!(lines(b"a  x\nb  y\n"), lines(b"b  y\na  x\n"));
        assert_ne!(lines(b"a  x\nb  y\n"), lines(b"a  x\nb  x\n"));
    }
}
