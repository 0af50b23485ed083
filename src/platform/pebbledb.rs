//! The files of a store of `pebbledb`, wherever it stands.

/// The tombstone of a store: it marks a format that no version knows, so that no server opens the store. All else in it stays as
/// it is.
pub const TOMBSTONE: &str = "marker.format-version.999999.moved-to-raft";
/// Held by whoever has the store open.
pub(super) const LOCK: &str = "LOCK";
/// How the names of its write-ahead logs end: they grow all the time.
pub(super) const LOG: &str = ".log";

/// Whether a file in the folder of a store has a name that Pebble gives, the lock's and the tombstone's among them. Raft files have
/// none, and whatever else somebody put there should not.
///
/// Source: `internal/base/filenames.go`, `wal/wal.go`, `objstorage/objstorageprovider/remoteobjcat` and `vfs/atomicfs/marker.go` of
/// Pebble: numbers have six digits or more, the index of a further log of the same number three.
pub fn is_of_store(name: &str) -> bool {
    let digits =
        |it: &str, least| it.len() >= least && it.bytes().all(|byte| byte.is_ascii_digit());
    let number = |it: &str| digits(it, 6);
    match name.splitn(4, '.').collect::<Vec<_>>()[..] {
        ["CURRENT" | LOCK] => true,
        [name] => ["MANIFEST-", "OPTIONS-", "REMOTE-OBJ-CATALOG-"]
            .iter()
            .any(|it| name.strip_prefix(it).is_some_and(number)),
        [table, "sst" | "blob"] => number(table),
        [log, "log"] => match log.split_once('-') {
            Some((log, index)) => number(log) && digits(index, 3),
            None => number(log),
        },
        ["CURRENT" | "temporary", it, "dbtmp"] => number(it),
        ["marker", of, it, value] => !of.is_empty() && number(it) && !value.is_empty(),
        _ => false,
    }
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
            "1000000.sst",
            "CURRENT",
            "CURRENT.000001.dbtmp",
            "temporary.000012.dbtmp",
            "REMOTE-OBJ-CATALOG-000001",
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
            "2026-11-28.log",
            "000004-001.sst",
            "000002.log.1",
            "CURRENT-backup.tgz",
            "MANIFEST-000001.gz",
            "OPTIONS-",
            "temporary.tar",
            "marker.txt",
            "marker.a.b.c",
            "notes.txt",
            "_top",
            ".log",
        ] {
            assert!(!is_of_store(name), "{name}");
        }
    }
}
