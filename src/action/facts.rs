//! What actions find out for those after them. All of it stands in the journal, none of it is secret.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Fact, Timings};
use crate::bao::{AuditDevice, Mount};
use crate::event::{Finding, ParityCounts};
use crate::platform::{Before, Instance, Release, StorageKind};

macro_rules! fact {
    ($type:ty, $name:literal, $from:literal) => {
        impl Fact for $type {
            const NAME: &'static str = $name;
            const FROM: &'static str = $from;
        }
    };
}

/// The source, a server or a snapshot of one, as preflight found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Server version.
    pub version: String,
    /// What it keeps its data in.
    #[serde(default)]
    pub storage: StorageKind,
    /// Unseal shares in existence.
    pub shares: u32,
    /// Shares needed.
    pub threshold: u32,
    /// The cluster's id: the proof of identity after the restore.
    pub cluster_id: String,
    /// Entries in the tree.
    pub entries: u64,
    /// Bytes of the tree's files.
    pub bytes: u64,
    /// `max_entry_size` for the raft values, when a value is over the default of 1 MiB.
    pub max_entry_size: Option<u64>,
    /// Child namespaces.
    #[serde(default)]
    pub namespaces: u64,
}
fact!(Source, "source", "preflight");

/// The snapshot that is restored in place of a server's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where it stands.
    pub path: PathBuf,
    /// SHA-256 of it, hex.
    pub sha256: String,
    /// Its audit devices are those that the release declares; else it is restored without them.
    pub audited: bool,
}
fact!(Snapshot, "snapshot", "preflight");

/// What preflight looked at, and how it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks(pub Vec<Finding>);
fact!(Checks, "checks", "preflight");
fact!(Release, "release", "preflight");

/// Where followers will find their volumes and their image, by member: looked at before the outage, and empty then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// The node of each.
    pub nodes: BTreeMap<String, String>,
}
fact!(Placed, "placed", "place-followers");

/// What the source's API said was mounted, allowed and audited, right before it was sealed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// `sys/mounts`.
    pub mounts: BTreeMap<String, Mount>,
    /// `sys/auth`.
    pub auth: BTreeMap<String, Mount>,
    /// ACL policies.
    pub policies: Vec<String>,
    /// `sys/audit`.
    pub audit: BTreeMap<String, AuditDevice>,
    /// The child namespaces, nested ones too, by path, for example `a/b/`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<String, Namespace>,
}

impl Tables {
    /// The root namespace and each child.
    pub fn scopes(&self) -> impl Iterator<Item = Scope<'_>> {
        let root = Scope {
            path: "",
            prefix: String::new(),
            mounts: &self.mounts,
            auth: &self.auth,
            policies: &self.policies,
        };
        let children = self.namespaces.iter().map(|(path, child)| Scope {
            path,
            prefix: child.prefix(),
            mounts: &child.mounts,
            auth: &child.auth,
            policies: &child.policies,
        });
        [root].into_iter().chain(children)
    }

    /// The storage prefixes of the mounts that fit, of the root and of each child namespace.
    pub fn prefixes(&self, fits: impl Fn(&str, &Mount) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        for scope in self.scopes() {
            let fitting = scope
                .mounts
                .iter()
                .filter(|(path, mount)| fits(path, mount));
            all.extend(
                fitting.map(|(_, mount)| format!("{}logical/{}/", scope.prefix, mount.uuid)),
            );
        }
        all
    }
}

/// What is mounted and allowed in one namespace.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// What the API names it by, for example `a/b/`; empty of the root.
    pub path: &'a str,
    /// What the keys of its entries begin with, for example `namespaces/<uuid>/`; empty of the root.
    pub prefix: String,
    /// Its `sys/mounts`.
    pub mounts: &'a BTreeMap<String, Mount>,
    /// Its `sys/auth`.
    pub auth: &'a BTreeMap<String, Mount>,
    /// Its ACL policies.
    pub policies: &'a [String],
}

impl Scope<'_> {
    /// What tells a policy from one of the same name elsewhere.
    pub fn policy(&self, name: &str) -> String {
        if self.path.is_empty() {
            format!("policy {name}")
        } else {
            format!("policy {name} in {}", self.path)
        }
    }
}

/// What is mounted and allowed in a child namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// What its entries are stored under: `namespaces/<uuid>/`.
    pub uuid: String,
    /// What the rows of its mount tables name it by.
    pub id: String,
    /// Its `sys/mounts`.
    pub mounts: BTreeMap<String, Mount>,
    /// Its `sys/auth`.
    pub auth: BTreeMap<String, Mount>,
    /// Its ACL policies.
    pub policies: Vec<String>,
}

impl Namespace {
    /// What the keys of its entries begin with.
    pub fn prefix(&self) -> String {
        format!("namespaces/{}/", self.uuid)
    }
}
fact!(Tables, "tables", "seal-source");

/// The archive of the live tree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backup {
    /// A tar of the tree.
    pub tree: PathBuf,
    /// SHA-256 of it, hex.
    pub sha256: String,
    /// Entries in it.
    pub entries: u64,
    /// Its bytes.
    pub bytes: u64,
    /// What looking, copying and converting took.
    #[serde(default)]
    pub timings: Timings,
}
fact!(Timings, "timings", "prove");
fact!(Backup, "backup", "back-up");

/// The keys, as a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysRead {
    /// Keyed with the run's id.
    pub fingerprint: String,
    /// Shares at hand.
    pub shares: usize,
}
fact!(KeysRead, "keys", "read-keys");

/// That the keys open the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// When, UTC.
    pub at: jiff::Timestamp,
    /// Entries that were decrypted.
    pub decrypted: u64,
    /// SHA-256 by key of the entries that bind keys and data.
    pub seal_material: BTreeMap<String, String>,
    /// A fingerprint of each data key by its term, keyed with the run; none where they could not be told.
    #[serde(default)]
    pub data_keys: BTreeMap<u32, String>,
    /// The scratch node's `core/raft/tls` for the graft, hex: ciphertext under the same keys as the data. It stands here
    /// because a colleague who takes the run over has no file of this machine.
    pub raft_tls: String,
}
fact!(Proof, "proof", "prove");

/// That the source's data stays behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forsaken {
    /// What it is, in words, as it was agreed to; none for a source that holds nothing.
    pub held: Vec<String>,
}
fact!(Forsaken, "forsaken", "forsake-data");

/// The frozen source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The server process that was sealed.
    pub instance: Option<Instance>,
}
fact!(Frozen, "frozen", "seal-source");

fact!(Before, "before", "rehearse-flip");

/// What is restored. Its files stand in the run's folder of the machine that made it: see `final_copy::Files`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalCopied {
    /// SHA-256 of the text of the manifest made beside the data, hex; none where it was made of a snapshot.
    pub manifest_digest: Option<String>,
    /// SHA-256 of the converted snapshot, hex.
    pub sha256: String,
    /// Entries of the source.
    pub entries: u64,
    /// Whether `core/raft/tls` was grafted in.
    pub grafted: bool,
}
fact!(FinalCopied, "final-copy", "final-copy` or `graft-snapshot");

/// The throwaway cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throwaway {
    /// Its id: a restore goes over this one only.
    pub cluster_id: String,
}
fact!(Throwaway, "throwaway", "unseal");

/// Which process each member ran before the restore: one that changed tells a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voters {
    /// By member.
    pub instances: BTreeMap<String, Instance>,
}
fact!(Voters, "voters", "unseal");

/// That every voter there is has the source's data, restored into it or migrated in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The voters that have it, sealed.
    pub sealed: Vec<String>,
    /// Voters that were absent and must be emptied and joined again.
    pub absent: Vec<String>,
}
fact!(Restored, "restored", "restore` or `operator-migrate");

/// The new cluster that is there to stay and has none of the source's data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reseeded {
    /// Its id.
    pub cluster_id: String,
}
fact!(Reseeded, "reseeded", "unseal");

/// What the source held and the new cluster lacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// Paths that have no entry, counted by mount.
    pub paths: BTreeMap<String, u64>,
    /// What is mounted, allowed or audited no more, in words.
    pub things: Vec<String>,
    /// The list of all of it.
    pub file: PathBuf,
}
fact!(Lost, "lost", "list-lost");

impl Lost {
    /// For people.
    pub fn words(&self) -> String {
        let paths: u64 = self.paths.values().sum();
        if paths == 0 && self.things.is_empty() {
            return "the new cluster has every path that the source had".to_owned();
        }
        let by_mount = self.paths.iter();
        let by_mount: Vec<String> = by_mount
            .map(|(mount, lost)| format!("{lost} in {mount}"))
            .collect();
        let mut words = format!("the new cluster lacks {paths} paths of the source");
        if paths > 0 {
            words = format!("{words} ({})", by_mount.join(", "));
        }
        if !self.things.is_empty() {
            words = format!("{words}, and {}", self.things.join(", "));
        }
        format!("{words}: {} lists each", self.file.display())
    }
}

/// What stays suspended, since it would bring the file server back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Each with what resumes it.
    pub actors: Vec<String>,
}
fact!(Held, "held", "resume-actors");

/// That the tables of these members were as on the source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SameTables {
    /// Whose.
    pub members: Vec<String>,
}
fact!(SameTables, "same-tables", "compare-tables");

/// That a program of the runbook ran to its end, in this place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandRan {
    /// The action's step.
    pub step: String,
    /// The action's place in it, from 0.
    pub place: usize,
    /// Bytes that it printed.
    pub bytes: u64,
    /// Where they are kept.
    pub output: PathBuf,
}
fact!(CommandRan, "command", "command");

/// The comparison of cluster and source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Counts by voter.
    #[serde(alias = "by_leader")]
    pub by_voter: BTreeMap<String, ParityCounts>,
    /// Entries of the source.
    pub entries: u64,
}
fact!(Compared, "compared", "compare");
