//! The kinds of action as a runbook names them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Effect;
use crate::platform::{Part, StorageKind};

/// One action of a step: its kind, and what it needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ActionSpec {
    /// Looks at everything that the later actions rely on: the source, or the snapshot in its place, and where it goes. Changes
    /// nothing.
    Preflight {},
    /// Makes a checksummed archive of the live file tree and proves that it can be read back.
    BackUp {},
    /// A part of a step that only some platforms have.
    Part {
        /// Which.
        part: Part,
    },
    /// Asks whether the source's data may stay behind; refuses that without leave.
    ForsakeData {},
    /// Reads the unseal shares and the token, and checks that they belong to the source.
    ReadKeys {},
    /// Proves on an inert scratch node that the keys open the data, and keeps its raft TLS keyring.
    Prove {},
    /// Tries the change of the release without carrying it out.
    RehearseFlip {
        /// Members that should exist afterwards.
        replicas: u32,
    },
    /// Has what each follower needs at its start where it will run: its volumes bound, its image pulled.
    PlaceFollowers {},
    /// Suspends every job and reconciler that acts on the release, and waits until their pods are gone.
    SuspendActors {},
    /// Resumes the jobs that the run suspended; reconcilers stay suspended until their source says raft.
    ResumeActors {},
    /// Copies the key out of the Secret that the auto-unseal hook reads, and empties it there.
    ParkKey {},
    /// Seals the source: the outage begins.
    SealSource {},
    /// Writes the entry that keeps a server on file storage from starting on the tree.
    WriteTombstone {},
    /// Copies the frozen tree, compares it with a manifest made beside the data, and converts it.
    FinalCopy {
        /// Put the proof's `core/raft/tls` into the snapshot: needed to restore into more than one voter.
        graft: bool,
    },
    /// Makes the snapshot that is restored out of the operator's, with the proof's `core/raft/tls` in place of its own.
    GraftSnapshot {},
    /// Changes the release to raft.
    Flip {
        /// Members that should exist afterwards.
        replicas: u32,
    },
    /// Stops the source and has `bao operator migrate` write its tree into a raft store on the same volume.
    OperatorMigrate {},
    /// Replaces the source's process by one with the changed release, after a last look.
    ReplaceSource {},
    /// Waits until every member that exists reports this storage; starts those that are down.
    AwaitStorage {
        /// Which.
        storage: StorageKind,
    },
    /// Initialises the first member on raft, exactly once, with the source's number of shares and threshold.
    Init {},
    /// Stores the keys that init gave where the source's were, and in a SOPS file when one was asked for.
    KeepKeys {},
    /// Waits until each follower has found its leader; brings members back that are down.
    Join {},
    /// Unseals members that are sealed.
    Unseal {
        /// Which.
        members: Members,
        /// With which key.
        key: Key,
    },
    /// Waits until the cluster has this many voters, one of them leading; brings back those that are down or sealed.
    AwaitVoters {
        /// How many.
        voters: u32,
    },
    /// Restores the converted snapshot over the throwaway cluster.
    Restore {
        /// The step to go back to when the restore did not reach every voter.
        #[serde(rename = "rewind-to")]
        rewind_to: String,
    },
    /// Moves the tables of child namespaces to where a server on raft looks for them, with clients kept out: one that is
    /// unsealed a second time without that breaks.
    MoveNamespaces {
        /// The step to go back to when the server was restarted before all were moved.
        #[serde(rename = "rewind-to")]
        rewind_to: String,
    },
    /// Puts the OLD key back into the Secret that the auto-unseal hook reads.
    ReturnKey {},
    /// Removes the throwaway keys and the parked copy.
    DestroyThrowaway {},
    /// Compares every entry of each voter with the source's manifest.
    Compare {},
    /// Compares mounts, auth methods, policies and audit devices on each voter with the source's.
    CompareTables {},
    /// Runs Jobs of the platform again, one after the other, and waits until each is complete.
    RunJobs {
        /// Names of Jobs or CronJobs in the release's namespace, in order.
        jobs: Vec<String>,
        /// Seconds that each of them may take.
        #[serde(default = "ten_minutes")]
        #[schemars(range(min = 1, max = 86_400))]
        timeout: u32,
    },
    /// Lists what the source held and the new cluster lacks.
    ListLost {},
    /// Runs a program of your own on this machine, without a shell.
    Command {
        /// What it does, in words.
        title: String,
        /// The program and its arguments. One with a `/` is found from the runbook's folder, another on the PATH.
        run: Vec<String>,
        /// How much it can do.
        effect: Declared,
        /// A program that only looks and exits with 0 when `run` has nothing left to do.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        check: Vec<String>,
        /// A program that takes the effect back; it may be run again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        undo: Vec<String>,
        /// Seconds that each of them may take.
        #[serde(default = "five_minutes")]
        #[schemars(range(min = 1, max = 86_400))]
        timeout: u32,
    },
    /// Waits for a person's yes at the terminal.
    Pause {
        /// What the person is asked.
        say: String,
        /// Whether `--yes` answers it.
        #[serde(default)]
        skippable: bool,
    },
}

/// How much a program can do, as its runbook declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Declared {
    /// It changes nothing of the server and its release: a look, a message to somebody.
    Read,
    /// It changes something that can be changed back.
    Change,
    /// It takes the service away from its clients, or needs it away.
    Outage,
}

const fn five_minutes() -> u32 {
    300
}

const fn ten_minutes() -> u32 {
    600
}

/// Which members an action is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Members {
    /// The first, which was the source.
    First,
    /// All but the first.
    Followers,
    /// All that exist.
    All,
}

/// Which unseal key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Key {
    /// The source's.
    Old,
    /// The throwaway cluster's.
    Throwaway,
    /// That of a new cluster which is there to stay.
    New,
}

/// The kind of action by which a cluster that was initialised is no throwaway any more.
pub const KEEP_KEYS: &str = "keep-keys";

impl ActionSpec {
    /// The kind as the runbook and the journal name it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Preflight {} => "preflight",
            Self::BackUp {} => "back-up",
            Self::Part { .. } => "part",
            Self::ForsakeData {} => "forsake-data",
            Self::ReadKeys {} => "read-keys",
            Self::Prove {} => "prove",
            Self::RehearseFlip { .. } => "rehearse-flip",
            Self::PlaceFollowers {} => "place-followers",
            Self::SuspendActors {} => "suspend-actors",
            Self::ResumeActors {} => "resume-actors",
            Self::ParkKey {} => "park-key",
            Self::SealSource {} => "seal-source",
            Self::WriteTombstone {} => "write-tombstone",
            Self::FinalCopy { .. } => "final-copy",
            Self::GraftSnapshot {} => "graft-snapshot",
            Self::Flip { .. } => "flip",
            Self::OperatorMigrate {} => "operator-migrate",
            Self::ReplaceSource {} => "replace-source",
            Self::AwaitStorage { .. } => "await-storage",
            Self::Init {} => "init",
            Self::KeepKeys {} => KEEP_KEYS,
            Self::Join {} => "join",
            Self::Unseal { .. } => "unseal",
            Self::AwaitVoters { .. } => "await-voters",
            Self::Restore { .. } => "restore",
            Self::MoveNamespaces { .. } => "move-namespaces",
            Self::ReturnKey {} => "return-key",
            Self::DestroyThrowaway {} => "destroy-throwaway",
            Self::Compare {} => "compare",
            Self::CompareTables {} => "compare-tables",
            Self::RunJobs { .. } => "run-jobs",
            Self::ListLost {} => "list-lost",
            Self::Command { .. } => "command",
            Self::Pause { .. } => "pause",
        }
    }

    /// How much it can do.
    pub const fn effect(&self) -> Effect {
        match self {
            Self::Preflight {}
            | Self::ForsakeData {}
            | Self::BackUp {}
            | Self::ReadKeys {}
            | Self::RehearseFlip { .. }
            | Self::GraftSnapshot {}
            | Self::Pause { .. } => Effect::Read,
            Self::Command { effect, .. } => match effect {
                Declared::Read => Effect::Read,
                Declared::Change => Effect::Change,
                Declared::Outage => Effect::Outage,
            },
            Self::Part { .. }
            | Self::Prove {}
            | Self::PlaceFollowers {}
            | Self::SuspendActors {}
            | Self::ResumeActors {}
            | Self::ParkKey {}
            | Self::KeepKeys {}
            | Self::RunJobs { .. }
            | Self::ListLost {}
            | Self::AwaitStorage { .. }
            | Self::Join {}
            | Self::AwaitVoters { .. }
            | Self::CompareTables {}
            | Self::Unseal { .. }
            | Self::MoveNamespaces { .. }
            | Self::ReturnKey {}
            | Self::DestroyThrowaway {}
            | Self::Compare {} => Effect::Change,
            Self::SealSource {}
            | Self::WriteTombstone {}
            | Self::FinalCopy { .. }
            | Self::Flip { .. }
            | Self::OperatorMigrate {}
            | Self::ReplaceSource {} => Effect::Outage,
            Self::Init {} | Self::Restore { .. } => Effect::NoBlindRepeat,
        }
    }
}
