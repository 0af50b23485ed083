//! The reference of a conversion against a native snapshot of the new cluster, entry by entry.
//!
//! The rules are as tight as OpenBao 2.6.2 allows. With no client about, one and three voters changed nothing after
//! the restore and two further unseals but this: the four mount tables became one entry per mount, a leader
//! advertisement, a lock and a TLS keyring appeared, and what belongs to tokens and leases that ran out went.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::archive::{RAFT_TLS, merge, prefix_of};
use super::bounded::Bounded;
use super::digests::DigestSource;
use super::error::StorageError;

/// Legacy tables, and whether an empty one is plausible.
const TABLES: [(&str, bool); 4] = [
    ("core/mounts", false),
    ("core/auth", false),
    ("core/local-mounts", false),
    ("core/local-auth", true),
];

const TOKEN_ID: &str = "sys/token/id/";
const TOKEN_ACCESSOR: &str = "sys/token/accessor/";
const TOKEN_PARENT: &str = "sys/token/parent/";
const LEASE: &str = "sys/expire/id/";
const LEASE_BY_TOKEN: &str = "sys/expire/token/";

/// What the caller knows about the time since the first unseal.
#[derive(Debug, Clone, Default)]
pub struct ParityOptions {
    /// Prefixes below which anything may have changed, for example `logical/<uuid>/` of a database engine.
    pub volatile_prefixes: Vec<String>,
    /// `logical/<uuid>/` of the cubbyhole mount: entries below it go with the tokens they belong to.
    pub cubbyhole: Option<String>,
    /// Clients could write: entries added below `logical/` and `auth/` are volatile then. Changed and missing
    /// ones stay findings unless a prefix covers them.
    pub served: bool,
}

/// Every key of either side in exactly one class. It passes when `missing` and `unexplained` are empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Parity {
    /// Same value on both sides.
    pub identical: u64,
    /// Mount tables that the server split into one entry per mount, and those entries.
    pub rewritten: Bounded<String>,
    /// Entries that a raft server makes for itself.
    pub new: Bounded<String>,
    /// Changed for a reason: tokens, leases, and what the caller named.
    pub volatile: Bounded<String>,
    /// Leases that ran out, with their tokens and what belonged to those.
    pub expired: Bounded<String>,
    /// In the reference only, and for no reason.
    pub missing: Bounded<String>,
    /// Different or new, and for no reason.
    pub unexplained: Bounded<String>,
    /// Number of volatile entries by the first one or two segments of their key.
    pub volatile_by_prefix: BTreeMap<String, u64>,
}

impl Parity {
    /// Whether nothing is missing or unexplained.
    pub fn passed(&self) -> bool {
        self.missing.is_empty() && self.unexplained.is_empty()
    }
}

/// Compares the reference (the value digests of a conversion) with a snapshot that the new cluster made.
pub fn parity(
    reference: &mut dyn DigestSource,
    snapshot: &mut dyn DigestSource,
    options: &ParityOptions,
) -> Result<Parity, StorageError> {
    let mut judge = Judge {
        options,
        found: Parity::default(),
        gone: Vec::new(),
        tables: BTreeMap::new(),
    };
    merge(reference, snapshot, &mut |key, was, is| match (was, is) {
        (Some(_), None) => judge.removed(key),
        (None, Some(_)) => judge.added(key),
        (was, is) if was == is => judge.found.identical += 1,
        _ => judge.changed(key),
    })?;
    Ok(judge.finish())
}

struct Judge<'a> {
    options: &'a ParityOptions,
    found: Parity,
    /// Token, lease and cubbyhole entries that are gone: whether for a reason shows only at the end.
    gone: Vec<String>,
    /// Mount tables that are gone, and those whose entries appeared: `(gone, entries)`.
    tables: BTreeMap<&'static str, (bool, u64)>,
}

impl Judge<'_> {
    fn added(&mut self, key: &str) {
        let table = TABLES.iter().find(|(table, _)| is_row(key, table));
        if let Some((table, _)) = table {
            self.tables.entry(table).or_default().1 += 1;
            self.found.rewritten.push(key.to_owned());
        } else if key == "core/lock"
            || key == RAFT_TLS
            || key.starts_with("core/leader/")
            || key.starts_with("core/versions/")
        {
            self.found.new.push(key.to_owned());
        } else if self.is_volatile(key)
            || (self.options.served && (key.starts_with("logical/") || key.starts_with("auth/")))
        {
            self.volatile(key);
        } else {
            self.found.unexplained.push(key.to_owned());
        }
    }

    fn changed(&mut self, key: &str) {
        // The server replaces a keyring of 24 hours.
        if key == RAFT_TLS {
            self.found.new.push(key.to_owned());
        } else if self.is_volatile(key) {
            self.volatile(key);
        } else {
            self.found.unexplained.push(key.to_owned());
        }
    }

    fn removed(&mut self, key: &str) {
        if let Some((table, _)) = TABLES.iter().find(|(table, _)| *table == key) {
            self.tables.entry(table).or_default().0 = true;
        } else if self.is_named(key) {
            self.volatile(key);
        } else if is_of_token(key) || self.is_cubbyhole(key) {
            self.gone.push(key.to_owned());
        } else {
            self.found.missing.push(key.to_owned());
        }
    }

    fn finish(mut self) -> Parity {
        for (table, may_be_empty) in TABLES {
            match self.tables.get(table) {
                Some((true, 0)) if !may_be_empty => self.found.missing.push(table.to_owned()),
                Some((true, _)) => self.found.rewritten.push(table.to_owned()),
                _ => {}
            }
        }
        self.expired();
        self.found
    }

    /// A lease may run out. A token may go with its lease, and one accessor per token; the rest of the token's
    /// entries with any of them. Whole prefixes that vanished on the way are no such thing.
    fn expired(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        let ids: HashSet<&str> = gone
            .iter()
            .filter_map(|key| key.strip_prefix(TOKEN_ID))
            .collect();
        let leases: HashSet<&str> = gone
            .iter()
            .filter(|key| key.starts_with(LEASE))
            .filter_map(|key| token_of(key))
            .collect();
        let any_lease = gone.iter().any(|key| key.starts_with(LEASE));
        let mut accessors = ids.iter().filter(|id| leases.contains(*id)).count();
        for key in &gone {
            let reason = if let Some(id) = key.strip_prefix(TOKEN_ID) {
                leases.contains(id)
            } else if key.starts_with(LEASE) {
                token_of(key).is_none_or(|id| ids.contains(id))
            } else if key.starts_with(TOKEN_PARENT) {
                token_of(key).is_some_and(|id| ids.contains(id))
            } else if key.starts_with(TOKEN_ACCESSOR) {
                let one = accessors > 0;
                accessors = accessors.saturating_sub(1);
                one
            } else if key.starts_with(LEASE_BY_TOKEN) {
                any_lease
            } else {
                !ids.is_empty()
            };
            let class = if reason {
                &mut self.found.expired
            } else {
                &mut self.found.missing
            };
            class.push(key.clone());
        }
    }

    fn is_volatile(&self, key: &str) -> bool {
        is_of_token(key) || self.is_cubbyhole(key) || self.is_named(key)
    }

    fn is_named(&self, key: &str) -> bool {
        let mut named = self.options.volatile_prefixes.iter();
        named.any(|prefix| !prefix.is_empty() && key.starts_with(prefix.as_str()))
    }

    fn is_cubbyhole(&self, key: &str) -> bool {
        let prefix = self.options.cubbyhole.as_deref();
        prefix.is_some_and(|prefix| !prefix.is_empty() && key.starts_with(prefix))
    }

    fn volatile(&mut self, key: &str) {
        *self
            .found
            .volatile_by_prefix
            .entry(prefix_of(key).to_owned())
            .or_default() += 1;
        self.found.volatile.push(key.to_owned());
    }
}

/// Whether a key is an entry of a token or a lease; `sys/token/salt` is not.
fn is_of_token(key: &str) -> bool {
    [
        TOKEN_ID,
        TOKEN_ACCESSOR,
        TOKEN_PARENT,
        LEASE,
        LEASE_BY_TOKEN,
    ]
    .iter()
    .any(|prefix| key.starts_with(prefix))
}

/// The salted token id that a key ends with: `h` and a SHA-256 in hex.
fn token_of(key: &str) -> Option<&str> {
    let last = key.rsplit('/').next()?;
    let hexed = last.strip_prefix('h')?;
    (hexed.len() == 64 && hexed.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(last)
}

/// Whether `key` is `table/<uuid>`.
fn is_row(key: &str, table: &str) -> bool {
    key.strip_prefix(table)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|id| id.len() == 36 && uuid::Uuid::try_parse(id).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::digests::{Digest, DigestList};

    const ROW: &str = "5b1f9d0c-5f0e-4c8e-9c55-8c4c3f4f6a10";

    fn list(keys: &[String]) -> DigestList {
        let mut list = DigestList::default();
        for key in keys {
            let (key, value) = key.split_once('=').unwrap_or((key, ""));
            list.push(key, Digest::of(value.as_bytes())).unwrap();
        }
        list.sort().unwrap();
        list
    }

    fn compare(was: &[&str], is: &[&str], options: &ParityOptions) -> Parity {
        let token = format!("h{}", "a".repeat(64));
        let full = |keys: &[&str]| -> Vec<String> {
            keys.iter()
                .map(|key| key.replace("ROW", ROW).replace("TOKEN", &token))
                .collect()
        };
        let (was, is) = (list(&full(was)), list(&full(is)));
        parity(&mut was.digests(), &mut is.digests(), options).unwrap()
    }

    fn plain(was: &[&str], is: &[&str]) -> Parity {
        compare(was, is, &ParityOptions::default())
    }

    #[test]
    fn a_migration_passes() {
        let was = [
            "core/auth",
            "core/local-auth",
            "core/local-mounts",
            "core/mounts",
            "core/keyring",
        ];
        let is = [
            "core/auth/ROW",
            "core/local-mounts/ROW",
            "core/mounts/ROW",
            "core/keyring",
            "core/leader/ROW",
            "core/lock",
            "core/raft/tls",
        ];
        let found = plain(&was, &is);
        assert!(found.passed(), "{found:?}");
        assert_eq!(
            (found.identical, found.rewritten.total, found.new.total),
            (1, 7, 3)
        );
    }

    #[test]
    fn a_table_without_its_entries_is_missing() {
        assert_eq!(plain(&["core/mounts"], &[]).missing.first, ["core/mounts"]);
        assert_eq!(
            plain(&[], &["core/mounts/x"]).unexplained.first,
            ["core/mounts/x"]
        );
    }

    #[test]
    fn data_is_never_silently_volatile() {
        let found = plain(
            &["logical/ROW/a=1", "logical/ROW/b"],
            &["logical/ROW/a=2", "logical/ROW/c"],
        );
        assert_eq!(
            (
                found.unexplained.total,
                found.missing.total,
                found.volatile.total
            ),
            (2, 1, 0)
        );
        for prefix in [
            "sys/policy/",
            "auth/ROW/",
            "core/",
            "sys/token/salt",
            "namespaces/",
        ] {
            assert_eq!(
                plain(&[&format!("{prefix}x")], &[]).missing.total,
                1,
                "{prefix}"
            );
        }
    }

    #[test]
    fn what_the_caller_names_is_volatile() {
        let mut options = ParityOptions {
            served: true,
            ..ParityOptions::default()
        };
        let was = ["logical/ROW/a=1", "logical/ROW/b"];
        let is = ["logical/ROW/a=2", "logical/ROW/c"];
        let found = compare(&was, &is, &options);
        assert_eq!(
            (
                found.unexplained.total,
                found.missing.total,
                found.volatile.total
            ),
            (1, 1, 1)
        );
        options.volatile_prefixes = vec![format!("logical/{ROW}/"), String::new()];
        let found = compare(&was, &is, &options);
        assert!(found.passed(), "{found:?}");
        assert_eq!(found.volatile_by_prefix[&format!("logical/{ROW}/")], 3);
    }

    #[test]
    fn a_token_goes_with_its_lease() {
        let token = [
            "sys/expire/id/auth/token/create/TOKEN",
            "sys/expire/token/x/y",
            "sys/token/accessor/z",
            "sys/token/id/TOKEN",
            "sys/token/parent/x/TOKEN",
            "logical/ROW/hole/x",
        ];
        let cubbyhole = Some(format!("logical/{ROW}/"));
        let options = ParityOptions {
            cubbyhole,
            ..ParityOptions::default()
        };
        let found = compare(&token, &[], &options);
        assert_eq!(
            (found.expired.total, found.passed()),
            (6, true),
            "{found:?}"
        );
        for alone in token {
            assert!(!compare(&[alone], &[], &options).passed(), "{alone}");
        }
        assert!(plain(&["sys/expire/id/pki/issue/r/serial"], &[]).passed());
        assert_eq!(
            plain(&["sys/token/id/TOKEN=1"], &["sys/token/id/TOKEN=2"])
                .volatile
                .total,
            1
        );
    }
}
