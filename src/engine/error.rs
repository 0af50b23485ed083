//! How a run can end badly.

use std::time::Duration;

use crate::action;
use crate::event::Tier;

/// The result of a run.
pub type Result<T> = std::result::Result<T, Error>;

/// A bad end. What was done before it stands in the journal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--from` or `--until` names a step that the runbook does not have.
    #[error("the runbook `{runbook}` has no step `{given}`; its steps are {}", steps.join(", "))]
    NoSuchStep {
        /// The runbook's name.
        runbook: String,
        /// What was given.
        given: String,
        /// What there is.
        steps: Vec<String>,
    },
    /// `--from` would leave out steps that are not done.
    #[error(
        "the step `{missing}` comes before `{from}` and is not done; a run cannot begin behind it"
    )]
    OutOfOrder {
        /// The step that is not done.
        missing: String,
        /// What `--from` names.
        from: String,
    },
    /// `--until` names a step before the one that `--from` names.
    #[error("the step `{until}` comes before `{from}`: nothing would be run")]
    Nothing {
        /// What `--from` names.
        from: String,
        /// What `--until` names.
        until: String,
    },
    /// The operator said no.
    #[error("{} was declined", asked(step.as_deref()))]
    Declined {
        /// The step; none for the way back.
        step: Option<String>,
    },
    /// Nobody was there to ask.
    #[error("{} needs a confirmation and nobody is there to give it", asked(step.as_deref()))]
    Nobody {
        /// The step; none for the way back.
        step: Option<String>,
        /// What would have answered it.
        tier: Tier,
    },
    /// A signal stopped the run.
    #[error("stopped by {}, {}", named(*signal), if *midway {
        "in the middle of an action: what came of that is not known yet, and `resume` looks"
    } else {
        "between two actions: nothing was left half done"
    })]
    Interrupted {
        /// The signal's number.
        signal: i32,
        /// Whether it stopped an action in the middle.
        midway: bool,
    },
    /// A look found something that must not be touched.
    #[error("{step}: {kind}: {why}")]
    Conflict {
        /// The step.
        step: String,
        /// The action's kind.
        kind: String,
        /// What was found.
        why: String,
    },
    /// An action failed.
    #[error("{step}: {kind}: {source}")]
    Action {
        /// The step.
        step: String,
        /// The action's kind.
        kind: String,
        /// Why.
        source: action::Error,
    },
    /// After an action its effect was not there.
    #[error("{step}: {kind} ended well, but its effect is not there: {found}")]
    NotThere {
        /// The step.
        step: String,
        /// The action's kind.
        kind: String,
        /// What a look found.
        found: String,
    },
    /// The outage is longer than was agreed to.
    #[error("the outage is longer than the {}s that were agreed to{}", budget.as_secs_f64(), if *back {
        ": the source serves from its old storage again"
    } else {
        ""
    })]
    Overrun {
        /// What was agreed to.
        budget: Duration,
        /// The run went back.
        back: bool,
    },
    /// The outage is expected to be longer than was agreed to; it has not begun.
    #[error(
        "the outage is expected to take {expected:.1}s, longer than the {}s that were agreed to; it was not begun",
        budget.as_secs_f64()
    )]
    TooLong {
        /// Seconds, from what its parts took beforehand.
        expected: f64,
        /// What was agreed to.
        budget: Duration,
    },
    /// A run that rolls back does not go forward again.
    #[error("this run is being rolled back; it does not go forward again")]
    RollingBack,
    /// A rollback would lose what clients wrote.
    #[error("{why}: going back to the old storage would lose what clients wrote since")]
    Served {
        /// What tells that clients may have written.
        why: String,
    },
    /// There is nothing to go back to.
    #[error("{source}")]
    NoWayBack {
        /// Why.
        source: action::Error,
    },
    /// What clients wrote could not be counted and saved.
    #[error("the new cluster cannot be saved: {source}; nothing was changed")]
    Unsaved {
        /// Why.
        source: action::Error,
    },
    /// What was left of the run was removed.
    #[error(
        "what was left of this run is removed or being removed, and its file tree with it: there is no way back any more"
    )]
    CleanedUp,
    /// The run had no effect, or all of it is taken back.
    #[error("there is nothing to take back")]
    NothingToTakeBack,
    /// Another process goes on with the run, so that this one must not act any more.
    #[error(
        "the run was taken over by {holder}; this process stopped at once, and whoever goes on looks at what it had begun"
    )]
    Lost {
        /// Who, as far as is known.
        holder: String,
    },
    /// The copy of the journal in the cluster has records that the file does not have.
    #[error(
        "{why}; somebody went on with the run elsewhere, and this journal does not know how far: nothing was done from here"
    )]
    Parted {
        /// How.
        why: String,
    },
    /// What must not be done without a record in the cluster was not begun.
    #[error(
        "{step}: {kind} was not begun: its record could not be put into the cluster, where it must be before it acts ({why})"
    )]
    Uncovered {
        /// The step.
        step: String,
        /// The action's kind.
        kind: String,
        /// Why.
        why: String,
    },
    /// The journal could not be written: nothing may go on without it.
    #[error(transparent)]
    Journal(#[from] crate::journal::Error),
}

/// What was asked about.
fn asked(step: Option<&str>) -> String {
    step.map_or_else(
        || "the rollback".to_owned(),
        |step| format!("the step `{step}`"),
    )
}

/// A signal as an operator knows it.
const fn named(signal: i32) -> &'static str {
    match signal {
        1 => "SIGHUP, the terminal is gone",
        2 => "Ctrl-C",
        15 => "SIGTERM",
        _ => "a signal",
    }
}

impl Error {
    /// The step it happened in.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Declined { step } | Self::Nobody { step, .. } => step.as_deref(),
            Self::Conflict { step, .. }
            | Self::Action { step, .. }
            | Self::NotThere { step, .. }
            | Self::Uncovered { step, .. } => Some(step),
            Self::NoSuchStep { .. }
            | Self::OutOfOrder { .. }
            | Self::Nothing { .. }
            | Self::Interrupted { .. }
            | Self::Overrun { .. }
            | Self::TooLong { .. }
            | Self::RollingBack
            | Self::Served { .. }
            | Self::NoWayBack { .. }
            | Self::Unsaved { .. }
            | Self::CleanedUp
            | Self::NothingToTakeBack
            | Self::Lost { .. }
            | Self::Parted { .. }
            | Self::Journal(_) => None,
        }
    }
}
