//! The files of a store of `pebbledb`, wherever it stands.

/// The tombstone of a store: it marks a format that no version knows, so that no server opens the store. All else in it stays as
/// it is.
pub const TOMBSTONE: &str = "marker.format-version.999999.moved-to-raft";
/// Held by whoever has the store open.
pub(super) const LOCK: &str = "LOCK";
/// How the names of its write-ahead logs end: they grow all the time.
pub(super) const LOG: &str = ".log";

/// Whether a file in the folder of a store is one of those that it consists of, its lock and its tombstone among them. Raft
/// files, and whatever else somebody put there, are not.
///
/// Source: `internal/base/filenames.go` and `vfs/atomicfs/marker.go` of Pebble.
pub fn is_of_store(name: &str) -> bool {
    let numbered = |(number, kind): (&str, &str)| {
        let digits = |it: char| it.is_ascii_digit() || it == '-';
        !number.is_empty() && number.chars().all(digits) && ["log", "sst", "blob"].contains(&kind)
    };
    let begins = [
        "CURRENT",
        "MANIFEST-",
        "OPTIONS-",
        "REMOTE-OBJ-CATALOG-",
        "marker.",
        "temporary.",
    ];
    name == LOCK
        || name.split_once('.').is_some_and(numbered)
        || begins.iter().any(|it| name.starts_with(it))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_told_from_what_stands_beside_it() {
        for name in [
            "000002.log",
            "000004-001.log",
            "000008.sst",
            "000009.blob",
            "CURRENT",
            "LOCK",
            "MANIFEST-000001",
            "OPTIONS-000003",
            "marker.manifest.000001.MANIFEST-000001",
            TOMBSTONE,
        ] {
            assert!(is_of_store(name), "{name}");
        }
        for name in [
            "vault.db",
            "raft",
            "audit.log",
            "2026.log.gz",
            "notes.txt",
            "_top",
            ".log",
        ] {
            assert!(!is_of_store(name), "{name}");
        }
    }
}
