//! The reference of a conversion against a native snapshot of the new cluster, entry by entry.
//!
//! The rules are as tight as OpenBao 2.6.2 allows. With no client about, one and three voters changed nothing after
//! the restore and two further unseals but this: the four mount tables became one entry per mount, a leader
//! advertisement, a lock and a TLS keyring appeared, and what belongs to tokens and leases that ran out went. Once clients
//! are served, what they write is counted beside that, by prefix.

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
    /// `logical/<uuid>/` of the cubbyhole mounts: entries below them go with the tokens they belong to.
    pub cubbyholes: Vec<String>,
    /// Clients could write: entries that were added or changed where clients write (`logical/`, `auth/`, `sys/policy/`)
    /// are written then. Missing ones stay findings unless a prefix covers them: a copy that lost some looks like that.
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
    /// Changed by the server itself: tokens, leases, and what the caller named.
    pub volatile: Bounded<String>,
    /// Added or changed below what clients may write who are served again.
    pub written: Bounded<String>,
    /// Leases that ran out, with their tokens and what belonged to those.
    pub expired: Bounded<String>,
    /// In the reference only, below what clients may delete who are served again.
    pub deleted: Bounded<String>,
    /// In the reference only, and for no reason.
    pub missing: Bounded<String>,
    /// Different or new, and for no reason.
    pub unexplained: Bounded<String>,
    /// Number of volatile and written entries by the first one or two segments of their key.
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
        changed_ids: Vec::new(),
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
    /// Salted ids of tokens that changed: one being revoked is marked before it goes, and its lease goes first.
    changed_ids: Vec<String>,
    /// Mount tables that are gone, and those whose entries appeared: `(gone, entries)`.
    tables: BTreeMap<String, (bool, u64)>,
}

impl Judge<'_> {
    fn added(&mut self, key: &str) {
        if let Some(table) = table_of(key) {
            self.tables.entry(table.to_owned()).or_default().1 += 1;
            self.found.rewritten.push(key.to_owned());
        } else if key == "core/lock"
            || key == RAFT_TLS
            || key.starts_with("core/leader/")
            || key.starts_with("core/versions/")
            // A server that finds no table of audit devices writes an empty one.
            || matches!(key, "core/audit" | "core/local-audit")
        {
            self.found.new.push(key.to_owned());
        } else {
            self.explained(key);
        }
    }

    fn changed(&mut self, key: &str) {
        // The server replaces a keyring of 24 hours, and whoever leads takes the lock.
        if key == RAFT_TLS || key == "core/lock" {
            self.found.new.push(key.to_owned());
        // It saves its keyring every few minutes while it is written to; that it serves shows that it could read it.
        } else if matches!(key, "core/keyring" | "core/root-key" | "core/master") {
            self.found.rewritten.push(key.to_owned());
        } else {
            self.changed_ids
                .extend(within(key).strip_prefix(TOKEN_ID).map(str::to_owned));
            self.explained(key);
        }
    }

    fn removed(&mut self, key: &str) {
        if TABLES.iter().any(|(table, _)| *table == within(key)) {
            self.tables.entry(key.to_owned()).or_default().0 = true;
        } else if self.is_named(key) {
            self.explained(key);
        // Of a leader that led before.
        } else if key.starts_with("core/leader/") {
            self.found.new.push(key.to_owned());
        } else if is_of_token(key) || self.is_cubbyhole(key) {
            self.gone.push(key.to_owned());
        } else if self.is_of_clients(key) {
            self.found.deleted.push(key.to_owned());
        } else {
            self.found.missing.push(key.to_owned());
        }
    }

    fn finish(mut self) -> Parity {
        for (table, (gone, rows)) in std::mem::take(&mut self.tables) {
            let may_be_empty = TABLES.contains(&(within(&table), true));
            if gone && rows == 0 && !may_be_empty {
                self.found.missing.push(table);
            } else if gone {
                self.found.rewritten.push(table);
            }
        }
        self.expired();
        self.found
    }

    /// A lease may run out. A token may go, or be marked for it, with its lease, and one accessor per token; the rest
    /// of the token's entries with any of them. Whole prefixes that vanished on the way are no such thing.
    fn expired(&mut self) {
        let gone = std::mem::take(&mut self.gone);
        let changed = std::mem::take(&mut self.changed_ids);
        let ids: HashSet<&str> = gone
            .iter()
            .filter_map(|key| within(key).strip_prefix(TOKEN_ID))
            .chain(changed.iter().map(String::as_str))
            .collect();
        let leases: HashSet<&str> = gone
            .iter()
            .filter(|key| within(key).starts_with(LEASE))
            .filter_map(|key| token_of(key))
            .collect();
        let any_lease = gone.iter().any(|key| within(key).starts_with(LEASE));
        let mut accessors = ids.iter().filter(|id| leases.contains(*id)).count();
        for whole in &gone {
            let key = within(whole);
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
            class.push(whole.clone());
        }
    }

    fn is_volatile(&self, key: &str) -> bool {
        is_of_token(key) || self.is_cubbyhole(key) || self.is_named(key)
    }

    fn is_of_clients(&self, key: &str) -> bool {
        let mut written = ["logical/", "auth/", "sys/policy/"].iter();
        self.options.served && written.any(|prefix| within(key).starts_with(prefix))
    }

    fn is_named(&self, key: &str) -> bool {
        let mut named = self.options.volatile_prefixes.iter();
        named.any(|prefix| !prefix.is_empty() && key.starts_with(prefix.as_str()))
    }

    fn is_cubbyhole(&self, key: &str) -> bool {
        let mut holes = self.options.cubbyholes.iter();
        holes.any(|prefix| !prefix.is_empty() && key.starts_with(prefix.as_str()))
    }

    /// Puts an entry that was added or changed with whoever may have done it.
    fn explained(&mut self, key: &str) {
        let class = if self.is_volatile(key) {
            &mut self.found.volatile
        } else if self.is_of_clients(key) {
            &mut self.found.written
        } else {
            return self.found.unexplained.push(key.to_owned());
        };
        class.push(key.to_owned());
        *self
            .found
            .volatile_by_prefix
            .entry(prefix_of(key).to_owned())
            .or_default() += 1;
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
    .any(|prefix| within(key).starts_with(prefix))
}

/// The key as the namespace that it belongs to has it: the root's own, or what follows `namespaces/<uuid>/`.
fn within(key: &str) -> &str {
    let child = key
        .strip_prefix("namespaces/")
        .and_then(|rest| rest.split_once('/'));
    child
        .filter(|(id, _)| is_uuid(id))
        .map_or(key, |(_, rest)| rest)
}

/// The salted token id that a key ends with: `h` and a SHA-256 in hex; a child namespace's has the namespace's id behind it.
fn token_of(key: &str) -> Option<&str> {
    let last = key.rsplit('/').next()?;
    let last = last.split_once('.').map_or(last, |(salted, _)| salted);
    let hexed = last.strip_prefix('h')?;
    (hexed.len() == 64 && hexed.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(last)
}

/// The table that `key` is a row of: `core/mounts` of `core/mounts/<uuid>`, in whichever namespace.
fn table_of(key: &str) -> Option<&str> {
    let (table, row) = key.rsplit_once('/')?;
    let known = TABLES.iter().any(|(name, _)| *name == within(table));
    (known && is_uuid(row)).then_some(table)
}

fn is_uuid(id: &str) -> bool {
    id.len() == 36 && uuid::Uuid::try_parse(id).is_ok()
}

#[cfg(test)]
mod tests;
