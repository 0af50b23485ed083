//! What an action owes the engine.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Context, Forecast, Result};
use crate::armed::Armed;
use crate::event::Tier;

/// One unit of work. The engine goes check, confirm, intent, apply, observe again, result; a resumed run
/// re-enters at [`Action::observe`], never at a memory of what was planned.
#[async_trait]
pub trait Action: Send + Sync {
    /// Whether it has a meaning on this platform at all.
    fn applies(&self, _: &Context) -> bool {
        true
    }

    /// What it needs and does not find, on this machine or where the servers are: asked of each action before the first one acts.
    async fn lacks(&self, _: &Context) -> Result<Option<String>> {
        Ok(None)
    }

    /// Whether it is somebody else's work, a program's or a person's. A dry run does without its look, and still looks
    /// behind one that only reads.
    fn is_foreign(&self) -> bool {
        false
    }

    /// What a person is asked right before it acts, and how hard that is to answer.
    fn asks(&self, _: &Context) -> Option<(&str, Tier)> {
        None
    }

    /// What it is about to do, in words: shown while it runs.
    fn title(&self, ctx: &Context) -> String;

    /// The calls it would make, one line each, told without making any that changes something.
    async fn describe(&self, ctx: &Context) -> Result<Vec<String>>;

    /// Looks where things stand.
    async fn observe(&self, ctx: &Context) -> Result<Observation>;

    /// What nobody can read once it has acted: these facts stand in the journal with its intent, so that none is lost when
    /// the process dies while it acts.
    async fn read_before(&self, _: &Context) -> Result<Evidence> {
        Ok(Evidence::default())
    }

    /// Adds what it takes to the forecast of an outage that it may be a part of.
    fn forecast(&self, _: &mut Forecast) {}

    /// Whether clients may be served from the new cluster once it has begun: nothing goes back by itself from there.
    fn serves(&self) -> bool {
        false
    }

    /// Acts. The token is consumed: what it armed cannot go on after the action ended.
    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome>;

    /// The calls that would take its effect back, one line each; empty where there is nothing to take back. A rollback
    /// goes through the actions from the last to the first, so that each finds what came after it gone.
    fn describe_undo(&self, _: &Context) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// Why its effect must not be taken back any more, where that is so; looks only.
    async fn irrevocable(&self, _: &Context) -> Result<Option<String>> {
        Ok(None)
    }

    /// Takes its effect back, also one that came about in part, or was taken back in part before. What came of it, in
    /// words.
    async fn undo(&self, _: &Context, _: Armed) -> Result<String> {
        Ok("nothing to take back".to_owned())
    }
}

/// What a look found.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// The effect is not there yet: act.
    Pending,
    /// The effect is there.
    Done(Evidence),
    /// An earlier try of this run left a state that is safe to clear and begin anew, after the strongest confirmation.
    Redo(String),
    /// Something else is there: do not act.
    Conflict(String),
    /// It has no meaning on this platform, for this reason.
    NotApplicable(String),
    /// The operator does it: this is what to do.
    LeftToYou(String),
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Its effect is there.
    Done(Evidence),
    /// It cleared what a failed try left; the run goes back to this step.
    Rewind {
        /// The step's id.
        to: String,
        /// Why.
        why: String,
    },
}

/// What came of an action: a line for people, and facts for the actions after it. Never a secret.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// In words.
    pub summary: String,
    /// By name.
    pub facts: BTreeMap<String, Value>,
}

impl Evidence {
    /// Evidence without facts.
    pub fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            facts: BTreeMap::new(),
        }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with<F: Fact>(mut self, fact: &F) -> Self {
        let value = serde_json::to_value(fact).unwrap_or(Value::Null);
        self.facts.insert(F::NAME.to_owned(), value);
        self
    }
}

impl From<Evidence> for Outcome {
    fn from(evidence: Evidence) -> Self {
        Self::Done(evidence)
    }
}

/// Something an action found out that later ones, perhaps in another process, rely on.
pub trait Fact: Serialize + DeserializeOwned {
    /// Its name in the journal.
    const NAME: &'static str;
    /// The kind of action it comes from, for the error when it is missing.
    const FROM: &'static str;
}
