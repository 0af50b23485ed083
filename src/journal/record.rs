//! The records of a journal. `docs/journal-format.md` describes them; released ones stay readable for ever.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::event::{ActionStatus, Failure, Mode, ParityCounts};
use crate::platform::Target;

/// The version of the format that this tool writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The step that removes what is left of a run: of no runbook.
pub const CLEANUP: &str = "cleanup";

/// The first record: what the run is, and against what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the journal's format.
    pub format: u32,
    /// Version of the tool that began the run.
    pub baoctl: String,
    /// The run's id.
    pub run: Uuid,
    /// Kind of run; never a dry run, which keeps no journal.
    pub mode: Mode,
    /// The runbook as it was.
    pub runbook: RunbookText,
    /// What the run is about.
    pub target: Target,
    /// The server's address as the run saw it.
    #[serde(default)]
    pub server: String,
    /// Flags of the run, without secrets.
    pub inputs: BTreeMap<String, String>,
    /// The longest outage that was agreed to, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_outage_ms: Option<u64>,
}

/// A runbook, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunbookText {
    /// Its `name`.
    pub name: String,
    /// Where it was read from; `None` for one that is built in.
    pub file: Option<PathBuf>,
    /// SHA-256 of the text, hex.
    pub sha256: String,
    /// The YAML.
    pub text: String,
}

/// A moment that a report needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// Clients are no longer served from now on.
    OutageStarted,
    /// The first node is active with the old data.
    OutageEnded,
    /// A node is active with the old data already: the outage ended at some time since the last process left off.
    OutageFoundOver,
    /// The source refused to be sealed: it serves as before.
    OutageAverted,
    /// A single voter has taken the restore; what is left is its own waiting.
    RestoreTaken,
    /// Every table of the child namespaces is where a server on raft looks for it: it may be restarted from now on.
    NamespacesMoved,
}

/// What clients may have written to the new cluster, and lose on the way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// What tells that clients may have written.
    pub why: String,
    /// How the new cluster's entries compare with the source's; `None` where they could not be counted.
    pub entries: Option<ParityCounts>,
    /// Where a snapshot of the new cluster is saved before it is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<PathBuf>,
}

/// What one line of a journal says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The run begins.
    Started(Header),
    /// A later process goes on with it.
    Resumed {
        /// Version of the tool that goes on.
        baoctl: String,
        /// Process id of it.
        pid: u32,
        /// The runbook that holds from here on, when a changed one was accepted.
        runbook: Option<RunbookText>,
        /// The longest outage that is agreed to from here on, in milliseconds, when another one was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_outage_ms: Option<u64>,
        /// From here on the run only removes what is left of it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cleanup: bool,
    },
    /// The operator agreed to a step.
    Confirmed {
        /// The step's id.
        step: String,
        /// What was asked.
        asked: String,
        /// Who agreed, and with what: `user@host at the terminal`. Empty in what earlier versions wrote.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
    /// An action is about to act. On disk before anything happens.
    Intent {
        /// The step's id.
        step: String,
        /// The action's place in the step, from 0.
        action: usize,
        /// Its kind.
        kind: String,
        /// The calls it is about to make.
        calls: Vec<String>,
        /// What it read before that nobody can read afterwards, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        facts: BTreeMap<String, Value>,
    },
    /// An action ended well.
    Result {
        /// The step's id.
        step: String,
        /// The action's place in the step, from 0.
        action: usize,
        /// Its kind.
        kind: String,
        /// How it ended.
        status: ActionStatus,
        /// Time it took.
        seconds: f64,
        /// What came of it, in words.
        summary: String,
        /// What later actions need to know, by name.
        facts: BTreeMap<String, Value>,
    },
    /// An action ended badly; its effect is unknown until it is observed.
    Failed {
        /// The step's id.
        step: String,
        /// The action's place in the step, from 0.
        action: usize,
        /// Its kind.
        kind: String,
        /// Why, without secrets.
        why: String,
    },
    /// A guard kept an action from acting: its intent came to nothing.
    Refused {
        /// The step's id.
        step: String,
        /// The action's place in the step, from 0.
        action: usize,
        /// Its kind.
        kind: String,
        /// Why, without secrets.
        why: String,
    },
    /// A moment.
    Mark {
        /// Which.
        mark: Mark,
    },
    /// What came of the actions of `steps` no longer holds.
    Rewound {
        /// The step that found it out.
        from: String,
        /// The step to go on with.
        to: String,
        /// The steps that no longer hold: `to` and all that follow it in the runbook.
        steps: Vec<String>,
        /// Why.
        why: String,
    },
    /// A process of the run ended badly: what it told last. It adds up to nothing.
    Stopped(Failure),
    /// The last step ended well.
    Finished,
    /// From here on the run only takes back what it did.
    RollingBack {
        /// What is lost with that, where the new cluster may have served; agreed to by the operator.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        loss: Option<Loss>,
        /// Why. Empty in what earlier versions wrote.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// An action's effect is about to be taken back. On disk before anything happens.
    Undoing {
        /// The step's id.
        step: String,
        /// The action's place in the step, from 0.
        action: usize,
        /// Its kind.
        kind: String,
        /// The calls it is about to make.
        calls: Vec<String>,
    },
    /// An action's effect is taken back.
    Undone {
        /// The step's id.
        step: String,
        /// The action's place in the step, from 0.
        action: usize,
        /// Its kind.
        kind: String,
        /// What came of it, in words.
        summary: String,
    },
    /// Every effect is taken back.
    RolledBack,
}

/// As the journal keeps a length of time.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Record {
    /// This process goes on with the run.
    pub fn resumed(
        runbook: Option<RunbookText>,
        max_outage: Option<Duration>,
        cleanup: bool,
    ) -> Self {
        Self::Resumed {
            baoctl: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            runbook,
            max_outage_ms: max_outage.map(millis),
            cleanup,
        }
    }

    /// Every kind by the name it has in the file.
    pub const KINDS: [&str; 15] = [
        "started",
        "resumed",
        "confirmed",
        "intent",
        "result",
        "failed",
        "refused",
        "mark",
        "rewound",
        "stopped",
        "finished",
        "rolling-back",
        "undoing",
        "undone",
        "rolled-back",
    ];
}
