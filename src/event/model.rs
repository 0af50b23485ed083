//! The events, versioned as a whole by [`Event::VERSION`] in the JSON form.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::meter::Unit;
use crate::platform::Target;

/// How much an action can do, weakest first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Looks only.
    Read,
    /// Changes something that can be changed back, with clients served all the while.
    Change,
    /// Takes the service away from its clients, or needs it away.
    Outage,
    /// Must not be carried out twice without a look in between.
    NoBlindRepeat,
}

/// Which kind of run this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// For real.
    Live,
    /// Nothing is changed; each call is printed.
    DryRun,
    /// For real, on a server that the run made itself.
    Rehearsal,
}

/// One thing that happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// Before anything else: what is about to be run, and against what.
    Banner(Banner),
    /// The plan as it stands, after the fold of an earlier run.
    Plan(Plan),
    /// A step begins.
    StepStarted {
        /// The step's id.
        step: String,
        /// Its title.
        title: String,
        /// The strongest effect of its actions.
        effect: Effect,
        /// Its place, from 1.
        index: usize,
        /// Steps in all.
        of: usize,
    },
    /// An action begins.
    ActionStarted {
        /// The step's id.
        step: String,
        /// The action's kind.
        action: String,
        /// What it is about to do, in words.
        title: String,
    },
    /// Each call that an action makes, or in a dry run would make.
    Calls {
        /// The step's id.
        step: String,
        /// The action's kind.
        action: String,
        /// One line per call.
        calls: Vec<String>,
    },
    /// A line that a program of the runbook printed. It may hold anything: it is shown, and neither logged nor recorded.
    Output {
        /// The step's id.
        step: String,
        /// The line.
        line: String,
    },
    /// How far the running action is.
    Progress {
        /// The step's id.
        step: String,
        /// The action's kind.
        action: String,
        /// What is counted.
        unit: Unit,
        /// Done so far.
        done: u64,
        /// In all, when known.
        total: Option<u64>,
    },
    /// What the running action waits for.
    Waiting {
        /// The step's id.
        step: String,
        /// The action's kind.
        action: String,
        /// For example `2 of 3 voters, openbao-2 in stabilisation`.
        what: String,
    },
    /// The result of one preflight check.
    Check(Finding),
    /// Something worth a line.
    Note {
        /// How loud.
        level: Level,
        /// The line.
        message: String,
    },
    /// An action ended well.
    ActionFinished {
        /// The step's id.
        step: String,
        /// The action's kind.
        action: String,
        /// How it ended.
        status: ActionStatus,
        /// Time it took.
        seconds: f64,
        /// What came of it, in words.
        summary: String,
    },
    /// A step ended well.
    StepFinished {
        /// The step's id.
        step: String,
        /// How it ended.
        status: StepStatus,
        /// Time it took.
        seconds: f64,
    },
    /// From now on clients are not served.
    OutageStarted,
    /// The first node is active with the old data.
    OutageEnded {
        /// Length of the outage; at most, where the next is given.
        seconds: f64,
        /// The least that it was: nobody saw its end.
        #[serde(skip_serializing_if = "Option::is_none")]
        at_least: Option<f64>,
    },
    /// An idempotent call failed and is tried again.
    Retry {
        /// The step's id.
        step: String,
        /// The action's kind.
        action: String,
        /// Which try failed, from 1.
        attempt: u32,
        /// Why.
        why: String,
    },
    /// The run goes back to an earlier step.
    Rewound {
        /// From this step.
        from: String,
        /// To this one.
        to: String,
        /// Why.
        why: String,
    },
    /// The run ended badly.
    Failed(Failure),
    /// All that the run did is taken back.
    RolledBack(RolledBack),
    /// The run ended well; the last event.
    Summary(Summary),
}

impl Event {
    /// Version of the JSON form; a field that is removed or changes meaning raises it.
    pub const VERSION: u32 = 1;
}

/// The end of a run that went back.
#[derive(Debug, Clone, Serialize)]
pub struct RolledBack {
    /// Where that leaves the clients.
    pub now: String,
    /// Why it went back; empty where that is not known.
    pub why: String,
    /// Length of the outage; `None` when there was none. At most, where the next is given.
    pub outage_seconds: Option<f64>,
    /// The least that it took, where nobody saw its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outage_at_least: Option<f64>,
    /// What is left of the run, and what to do about that.
    pub left: Vec<String>,
}

/// The head of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Banner {
    /// This tool's version.
    pub baoctl: String,
    /// The run's id.
    pub run: String,
    /// Kind of run.
    pub mode: Mode,
    /// The runbook's name.
    pub runbook: String,
    /// What it is run against.
    pub target: Target,
    /// The server's address as seen from here.
    pub server: String,
    /// Where the journal is; `None` in a dry run.
    pub journal: Option<String>,
    /// True when an earlier run goes on.
    pub resumed: bool,
}

/// The plan of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Its steps in order.
    pub steps: Vec<PlannedStep>,
    /// Estimated outage, when there is something to estimate it from.
    pub outage_seconds: Option<f64>,
    /// The step from which on nothing is repeated blindly.
    pub no_blind_repeat_from: Option<String>,
    /// Remarks, for example that a runbook with a shorter outage exists.
    pub notes: Vec<String>,
}

/// An outage as its parts let expect it: what they took in the proof, beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Expected {
    /// All of it, in seconds.
    pub seconds: f64,
    /// The server's own part: starts, init, restore, elections.
    pub server: f64,
}

/// One step of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStep {
    /// The step's id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The strongest effect of its actions.
    pub effect: Effect,
    /// Where it stands.
    pub status: StepStatus,
    /// Until when it can be rolled back, in words.
    pub rollback: String,
    /// Its actions.
    pub actions: Vec<PlannedAction>,
}

/// One action of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedAction {
    /// The action's kind.
    pub kind: String,
    /// What it does, in words.
    pub title: String,
    /// Its effect.
    pub effect: Effect,
    /// Whether the journal has it as done.
    pub done: bool,
}

/// One check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Stable identifier, for example `source-storage`.
    pub id: String,
    /// Heading it belongs under.
    pub group: String,
    /// How it ended.
    pub status: CheckStatus,
    /// What was found.
    pub message: String,
    /// What to do about it, empty when nothing.
    pub hint: String,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// As it should be.
    Pass,
    /// To be known, but no obstacle.
    Warn,
    /// An obstacle.
    Fail,
    /// Without meaning here.
    Skip,
}

/// How loud a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Only with `-v`.
    Detail,
    /// Always.
    Info,
    /// Always, standing out.
    Warn,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionStatus {
    /// It acted.
    Done,
    /// It found its effect already there.
    AlreadyDone,
    /// It has no meaning on this platform.
    NotApplicable,
    /// It is the operator's to do.
    LeftToYou,
    /// A dry run looked and did not act.
    WouldRun,
}

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// Begun, not ended.
    Running,
    /// Ended well.
    Done,
    /// Outside `--from`/`--until`.
    Skipped,
    /// A dry run looked at it.
    Planned,
}

/// A bad end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step it happened in, if any.
    pub step: Option<String>,
    /// What happened.
    pub message: String,
    /// The checks that failed, where that is what happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Finding>,
    /// What was changed before, and what was not.
    pub changed: String,
    /// Commands to type next, most useful first.
    pub next: Vec<String>,
    /// The process' exit code.
    pub exit_code: u8,
}

/// Entry counts by class; see `storage::Parity`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParityCounts {
    /// Same key, same bytes.
    pub identical: u64,
    /// Tables the server keeps in another layout on raft, compared through the API.
    pub rewritten: u64,
    /// Made by the server on raft.
    pub new: u64,
    /// Kept up to date by the server itself since the first unseal: tokens, leases, engines that write by themselves.
    pub volatile: u64,
    /// Added or changed by clients since they are served again.
    #[serde(default)]
    pub written: u64,
    /// Deleted by clients since they are served again.
    #[serde(default)]
    pub deleted: u64,
    /// Leases that were due.
    pub expired: u64,
    /// In the source and not in the cluster: must be 0.
    pub missing: u64,
    /// Different without a reason: must be 0.
    pub unexplained: u64,
}

/// One step of a summary.
#[derive(Debug, Clone, Serialize)]
pub struct StepSummary {
    /// The step's id.
    pub id: String,
    /// How it ended.
    pub status: StepStatus,
    /// Time it took, over all the runs of it.
    pub seconds: f64,
}

/// The end of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Entries in the source.
    pub entries: u64,
    /// Parity of the last comparison, the worst over all voters.
    pub parity: ParityCounts,
    /// The names of the voters that led while they were compared.
    pub compared: Vec<String>,
    /// From the seal of the source to the first active node; `None` when there was none. At most, where the next is given.
    pub outage_seconds: Option<f64>,
    /// The least that it was: nobody saw its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_at_least: Option<f64>,
    /// The outage by action, seconds each, in order of time.
    pub outage_parts: Vec<(String, f64)>,
    /// What the outage was expected to be, where that was known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
    /// Each step.
    pub steps: Vec<StepSummary>,
    /// What is left of the run and what is left to do, a sentence each.
    pub left: Vec<String>,
    /// Where the report is.
    pub report: Option<String>,
    /// Where the journal is.
    pub journal: Option<String>,
    /// Anything else worth keeping, by name.
    pub facts: BTreeMap<String, String>,
}
