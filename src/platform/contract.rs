//! The one trait between the actions and the place a server lives in.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Result;
use crate::armed::Armed;
use crate::bao::{AuditDevice, Node};
use crate::meter::Meter;
use crate::storage::{Digest, DigestList, Phase};

/// What a run is about. A journal is bound to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `local` or `kubernetes`.
    pub platform: String,
    /// The kubeconfig context; for `local` the work folder.
    pub context: String,
    /// The namespace, which is also the word that confirms the outage.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// Identity that no two targets share: the uid of `kube-system`; for `local` a uuid made with the work folder.
    pub uid: String,
}

impl Target {
    /// Whether both are the same place. A kubeconfig may call one cluster by another name on another machine.
    pub fn is(&self, other: &Self) -> bool {
        let cluster = self.platform == "kubernetes";
        (cluster || self.context == other.context)
            && (&self.platform, &self.namespace, &self.release, &self.uid)
                == (
                    &other.platform,
                    &other.namespace,
                    &other.release,
                    &other.uid,
                )
    }
}

/// A storage backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// One file per entry.
    #[default]
    File,
    /// A key-value store of a single server, from OpenBao 2.7 on.
    Pebbledb,
    /// Integrated storage.
    Raft,
}

impl StorageKind {
    /// What a configuration calls it, and a server's `storage_type`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Pebbledb => "pebbledb",
            Self::Raft => "raft",
        }
    }
}

/// One run of a member's server: it changes with every restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Container id, or process id with start time.
    pub id: String,
    /// Restarts inside the same pod; always 0 for processes.
    pub restarts: u32,
}

/// What stands on a member's data volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Volume {
    /// The volume exists.
    pub exists: bool,
    /// It holds entries of the file backend.
    pub file_tree: bool,
    /// It holds a store of `pebbledb`, which is there as soon as a server has opened it.
    pub store: bool,
    /// It holds raft files that a server would pick up (`vault.db`, `raft/`).
    pub raft_files: bool,
    /// Raft files that were moved aside, by folder name.
    pub aside: Vec<String>,
    /// Bytes free.
    pub free_bytes: u64,
}

/// The release as it is configured now (which need not be what runs: `OnDelete`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The storage stanza.
    pub storage: StorageKind,
    /// Members that should exist.
    pub replicas: u32,
    /// Version of the server's program or image.
    pub version: String,
    /// Changes with each applied configuration; `rollback` goes back to it.
    pub revision: String,
    /// The audit stanzas, by path.
    pub audit: BTreeMap<String, AuditDevice>,
    /// A `seal` or `initialize` stanza that this migration cannot carry over.
    pub foreign_stanzas: Vec<String>,
    /// What the servers' configuration can be told by: the beginning of its SHA-256, hex. Empty where it follows from the rest.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub config: String,
}

impl Release {
    /// What of it is another by now, in words; empty where nothing is.
    pub fn drift(&self, now: &Self) -> Vec<String> {
        let replicas = [self.replicas.to_string(), now.replicas.to_string()];
        let parts = [
            ("replicas", &replicas[0], &replicas[1]),
            ("version", &self.version, &now.version),
            ("configuration", &self.config, &now.config),
            ("revision", &self.revision, &now.revision),
        ];
        let changed = parts.iter().filter(|(_, then, now)| then != now);
        changed
            .map(|(what, then, now)| format!("{what} {then} then, {now} now"))
            .collect()
    }
}

/// Raft's `autopilot_reconcile_interval`. A new peer waits for the next look of the autopilot to become a voter: every 10 s unless told
/// otherwise, and never more often than it updates itself, every 2 s.
pub const AUTOPILOT_LOOKS: &str = "3s";

/// The change of the release to raft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// Members that should exist afterwards.
    pub replicas: u32,
    /// `max_entry_size` in bytes, when the data has values over the default of 1 MiB.
    pub max_entry_size: Option<u64>,
    /// Raft's `performance_multiplier`.
    pub performance_multiplier: u32,
    /// With `raw_storage_endpoint`, and listening where no client looks for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub apart: bool,
}

impl Flip {
    /// To so many members, for data that needs such a `max_entry_size`.
    pub const fn new(replicas: u32, max_entry_size: Option<u64>) -> Self {
        Self {
            replicas,
            max_entry_size,
            // Five is the server's default: slow hardware. One makes init, election and failover some five times faster.
            performance_multiplier: 1,
            apart: false,
        }
    }
}

/// What a flip would do, tried without changing anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlipPlan {
    /// The calls it would make, one line each.
    pub calls: Vec<String>,
    /// A unified diff of the server's configuration.
    pub diff: String,
    /// Whether a person has to make them.
    pub left_to_you: bool,
}

/// The release before it was changed: what going back to it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// Its revision.
    pub revision: String,
    /// What it consisted of, where nothing but this record keeps that. Only the platform reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Value>,
}

/// What a release is about to become.
#[derive(Debug, Clone, Copy)]
pub enum Aim<'a> {
    /// One on raft.
    Raft(&'a Flip),
    /// What it was before.
    Back,
}

/// The Secrets this tool reads and writes. They belong to the target, so that they are found without a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretName {
    /// The one that the release's auto-unseal hook reads.
    Unseal,
    /// The copy of `Unseal` while that is parked.
    Parked,
    /// The keys that init gave: of the throwaway cluster until the restore, or the run's own copy of those of a new cluster.
    Throwaway,
}

/// The field of [`SecretName::Unseal`] with the unseal shares, one per line, whatever the release calls it.
pub const UNSEAL_KEY: &str = "unseal-key";

/// A Secret's fields.
pub type SecretData = BTreeMap<String, SecretString>;

/// A part of a step that has a meaning on some platforms only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Network rules for 8200 and 8201.
    Network,
    /// A copy of the volume by another tool (Velero, `VolumeSnapshot`).
    VolumeBackup,
    /// Clients that sync from the server (External Secrets).
    Clients,
    /// The release's source in Git.
    Git,
}

/// Whether a [`Part`] has a meaning here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applicability {
    /// It has.
    Applies,
    /// It has none, for this reason.
    DoesNotApply(&'static str),
    /// It has, and the operator does it: this is what to do.
    LeftToYou(&'static str),
}

/// Something that acts on the release by itself: a job, a reconciler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// For example `CronJob`.
    pub kind: String,
    /// Where it is, which need not be the release's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// It begins nothing new, and this is who suspended it.
    pub suspended: Option<SuspendedBy>,
    /// Work that it began is still under way.
    pub busy: bool,
    /// It writes the release again as its source says.
    pub reconciles: bool,
}

/// Who suspended an [`Actor`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SuspendedBy {
    /// A run of this tool, and none has resumed it.
    Run,
    /// Somebody else: it is not this tool's to resume.
    Others,
}

impl Actor {
    /// Whether it may do anything now.
    pub const fn acts(&self) -> bool {
        self.suspended.is_none() || self.busy
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// How a run's copy of a Job stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Under way; what its controller counts.
    Running(String),
    /// It ended well.
    Complete,
    /// It ended badly, and why as far as its controller tells.
    Failed(String),
}

/// How a [`Remark`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// A run can go on; the operator should know.
    Risky,
    /// A run must not begin.
    Bad,
}

/// Something that a look at the place itself found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Stable identifier, for example `cluster-access`.
    pub id: &'static str,
    /// How it counts.
    pub grade: Grade,
    /// What was found.
    pub found: String,
    /// What to do about it, empty when nothing.
    pub hint: String,
}

/// The place a server lives in: its members, their volumes, its release and its Secrets.
///
/// A method that changes anything wants an [`Armed`]. All of them may be called again after a crash: each
/// says in its text what a second call does.
#[async_trait]
pub trait Platform: Send + Sync {
    /// What the run is about.
    fn target(&self) -> Target;
    /// Where the source's API is, as a person would name it.
    fn address(&self) -> String;
    /// Member names in ordinal order: the first is the source, all three are the later voters.
    fn members(&self) -> Vec<String>;
    /// Whether a part of a step has a meaning here.
    fn applicability(&self, part: Part) -> Applicability;
    /// Folder for the run's own files: archives, manifests, reports. Created with mode 0700 on first use.
    fn run_dir(&self) -> &Path;

    /// The member's API.
    fn node(&self, member: &str) -> Result<Arc<dyn Node>>;
    /// The member's running server, `None` when there is none.
    async fn instance(&self, member: &str) -> Result<Option<Instance>>;
    /// Where a person sees why the member's server does not run.
    fn to_look(&self, member: &str) -> String;
    /// What a person types to unseal the member's server.
    fn to_unseal(&self, member: &str) -> Result<String>;
    /// The last `lines` lines of the member's log.
    async fn log_tail(&self, member: &str, lines: usize) -> Result<Vec<String>>;
    /// Stops the member's server and waits until it is gone; nothing to do when it is. It stays away until it is replaced or
    /// the release is changed, and members behind it may have to stop with it.
    async fn stop(&self, member: &str, armed: &Armed) -> Result<()>;
    /// Stops the member's server if it runs and starts it with the release's configuration; returns when its API answers.
    async fn replace(&self, member: &str, armed: &Armed) -> Result<()>;
    /// Ends the member's server at once, whatever it is at, and brings it back with what is on its volume. `false`, with
    /// nothing done, where that is no faster than the end that the server makes itself.
    async fn restart_at_once(&self, _member: &str, _: &Armed) -> Result<bool> {
        Ok(false)
    }
    /// Stops the members' servers so that they stay away until they are replaced, then moves their raft files aside.
    /// Other members may have to stop with them.
    async fn put_away(&self, members: &[String], label: &str, armed: &Armed) -> Result<()> {
        for member in members {
            self.stop(member, armed).await?;
        }
        for member in members {
            self.set_raft_aside(member, label, armed).await?;
        }
        Ok(())
    }
    /// Moves the member's raft files aside and starts its server anew without them, whatever the others do.
    async fn replace_empty(&self, member: &str, label: &str, armed: &Armed) -> Result<()> {
        self.stop(member, armed).await?;
        self.set_raft_aside(member, label, armed).await?;
        self.replace(member, armed).await
    }
    /// Whether [`Platform::flip`] starts the members that should exist; else the platform does, in its own time.
    fn flip_starts_members(&self) -> bool {
        true
    }
    /// Has what a follower that does not run needs to start at once: its volumes bound, its image pulled, both on the node where it
    /// would run, which is told; `None` where that cannot be known beforehand. A helper stays there until its volume is looked
    /// at, so that the next follower is placed elsewhere. The same again is the same.
    async fn place_follower(&self, _member: &str, _: &Armed) -> Result<Option<String>> {
        Ok(None)
    }
    /// Why [`Flip::apart`] cannot be made here, where it cannot.
    async fn not_apart(&self) -> Result<Option<String>> {
        Ok(None)
    }
    /// Whether the release is as [`Flip::apart`] makes it: a server that starts now is out of clients' reach.
    async fn stands_apart(&self) -> Result<bool>;
    /// Whether a follower is started only when the member before it is unsealed: joining and unsealing then go member by
    /// member.
    async fn one_by_one(&self) -> Result<bool> {
        Ok(false)
    }

    /// What stands on the member's data volume.
    async fn volume(&self, member: &str) -> Result<Volume>;
    /// The manifest of the file tree, made beside the data; a tombstone (`core/migration`) is not in it.
    async fn tree_manifest(
        &self,
        member: &str,
        phase: Phase,
        meter: &dyn Meter,
    ) -> Result<DigestList>;
    /// Copies the file tree as one tar file to `to` (0600, synced, replaced whole), stopping at a cut stream.
    async fn tree_copy(&self, member: &str, to: &Path, meter: &dyn Meter) -> Result<()>;
    /// The same for a tree with this manifest, of which `base` is an earlier copy. Where reading the tree is slow, only what
    /// differs from that is read.
    async fn tree_copy_since(
        &self,
        member: &str,
        _base: &Path,
        _manifest: &Arc<DigestList>,
        to: &Path,
        meter: &dyn Meter,
    ) -> Result<()> {
        self.tree_copy(member, to, meter).await
    }
    /// The file of one entry as it stands in the tree, `None` when absent.
    async fn tree_entry(&self, member: &str, key: &str) -> Result<Option<Vec<u8>>>;
    /// Writes one entry's file into the tree (temporary file, sync, rename); the same again is the same.
    async fn write_tree_entry(
        &self,
        member: &str,
        key: &str,
        file: &[u8],
        armed: &Armed,
    ) -> Result<()>;
    /// Removes one entry's file from the tree, and what a write of it that was cut off left; absent is fine.
    async fn remove_tree_entry(&self, member: &str, key: &str, armed: &Armed) -> Result<()>;
    /// Moves `vault.db` and `raft/`, nothing else, into a folder `raft-aside-<label>` on the same volume. The server must be stopped.
    async fn set_raft_aside(&self, member: &str, label: &str, armed: &Armed) -> Result<()>;

    /// Stops the member's server so that it stays away until it is replaced, and has `bao operator migrate` write its file
    /// tree into the store that its raft configuration names. The tree is only read, a tombstone in it notwithstanding, and no
    /// server sees the store before it is whole. The same again begins anew, with what is there moved aside under `label`.
    async fn operator_migrate(
        &self,
        member: &str,
        label: &str,
        meter: &dyn Meter,
        armed: &Armed,
    ) -> Result<()>;
    /// Ends a migration that is under way and removes what it has half written; absent is fine.
    async fn discard_migration(&self, member: &str, armed: &Armed) -> Result<()>;
    /// Every file on the member's data volume that is neither of raft nor moved aside, by its path there, with its digest: also such
    /// that no server wrote, whose digest means nothing where they change meanwhile. None where there is no volume.
    async fn volume_files(
        &self,
        member: &str,
        meter: &dyn Meter,
    ) -> Result<BTreeMap<String, Digest>>;
    /// Removes files by these paths, and the folders above them that hold nothing then; absent is fine. The server may run on raft
    /// beside them.
    async fn remove_volume_files(
        &self,
        member: &str,
        paths: &[String],
        armed: &Armed,
    ) -> Result<()>;
    /// Removes a folder of raft files that were moved aside, one of [`Volume::aside`]; absent is fine.
    async fn remove_aside(&self, member: &str, folder: &str, armed: &Armed) -> Result<()>;
    /// What a run of this tool may have left running beside the servers, each as a person would name it.
    async fn leftovers(&self) -> Result<Vec<String>>;
    /// Removes all of [`Platform::leftovers`]; none is fine.
    async fn remove_leftovers(&self, armed: &Armed) -> Result<()>;

    /// What is worth knowing of the place before a run, beyond what every platform is asked.
    async fn inspect(&self) -> Result<Vec<Remark>> {
        Ok(Vec::new())
    }

    /// Whether anything but this program can act on the release here.
    fn others_act(&self) -> bool {
        false
    }
    /// What acts on the release by itself, suspended or not; all that is found, in no order.
    async fn actors(&self) -> Result<Vec<Actor>> {
        Ok(Vec::new())
    }
    /// Suspends one of them, or resumes one that a run suspended. The same again is the same.
    async fn suspend_actor(&self, _: &Actor, _suspend: bool, _: &Armed) -> Result<()> {
        Ok(())
    }
    /// What a person types to suspend or resume it.
    fn suspend_by_hand(&self, _: &Actor, _suspend: bool) -> String {
        String::new()
    }

    /// Whether there can be Jobs here.
    fn has_jobs(&self) -> bool {
        false
    }
    /// Why the Job, or CronJob, of this name cannot be run again; `None` where it can.
    async fn job_obstacle(&self, _job: &str) -> Result<Option<String>> {
        Ok(None)
    }
    /// How the copy of the Job stands that this run made; `None` where there is none.
    async fn job_state(&self, _job: &str, _run: Uuid) -> Result<Option<JobState>> {
        Ok(None)
    }
    /// Makes the run's copy of the Job, which does the same work once more; the same again is the same.
    async fn run_job(&self, _job: &str, _run: Uuid, _: &Armed) -> Result<()> {
        Ok(())
    }
    /// Removes the run's copy of the Job, and waits until its pods are gone; absent is fine.
    async fn remove_job(&self, _job: &str, _run: Uuid, _: &Armed) -> Result<()> {
        Ok(())
    }

    /// The release as configured now.
    async fn release(&self) -> Result<Release>;
    /// Tries the flip without changing anything: configuration, ports, programs, permissions.
    async fn rehearse_flip(&self, flip: &Flip) -> Result<FlipPlan>;
    /// What going back to the release as it is now needs.
    async fn before(&self) -> Result<Before> {
        Ok(Before {
            revision: self.release().await?.revision,
            content: None,
        })
    }
    /// Whether the release is as the flip makes it, and as it was before in all else.
    async fn flipped(&self, flip: &Flip, _before: &Before) -> Result<bool> {
        let release = self.release().await?;
        Ok(release.storage == StorageKind::Raft && release.replicas == flip.replicas)
    }
    /// What a person has to do now, where the platform does not change the release itself; `None` where it does.
    async fn by_hand(&self, _aim: Aim<'_>, _before: &Before) -> Result<Option<String>> {
        Ok(None)
    }
    /// Applies the flip, or waits until a person has: members beyond the first that should exist and do not are started,
    /// the first is left as it runs (`OnDelete`) until it is replaced. The same again is the same.
    async fn flip(
        &self,
        flip: &Flip,
        before: &Before,
        meter: &dyn Meter,
        armed: &Armed,
    ) -> Result<()>;

    /// Goes back to the release as it was, or waits until a person has: members beyond its replicas are stopped, the first
    /// is left as it runs until it is replaced. The same again is the same.
    async fn revert(&self, before: &Before, meter: &dyn Meter, armed: &Armed) -> Result<()>;

    /// Starts an empty raft node beside the release, unreachable for its clients, with `raw_storage_endpoint` and the
    /// unauthenticated `sys/generate-root`. One that is left over is discarded first.
    async fn scratch_start(&self, armed: &Armed) -> Result<Arc<dyn Node>>;
    /// Seconds that the end of a server takes until another may take its place, and those that `bao operator migrate` is run in
    /// beside its own start, where the start of the scratch node took so long. For a forecast.
    fn tolls(&self, _start: f64) -> (f64, f64) {
        (0.0, 0.0)
    }
    /// Removes the scratch node and its data; absent is fine.
    async fn scratch_discard(&self, armed: &Armed) -> Result<()>;

    /// A Secret's fields, `None` when it does not exist.
    async fn secret(&self, name: SecretName) -> Result<Option<SecretData>>;
    /// Writes a Secret whole and reads it back to compare.
    async fn write_secret(&self, name: SecretName, data: &SecretData, armed: &Armed) -> Result<()>;
    /// Removes one of the run's own Secrets (never `Unseal`); absent is fine.
    async fn remove_secret(&self, name: SecretName, armed: &Armed) -> Result<()>;
}
