//! What the records add up to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::outage::Outage;
use crate::event::ActionStatus;
use crate::journal::record::{Header, Loss, RunbookText};

/// An action by its step's id and its place in the step, from 0.
pub type ActionKey = (String, usize);

/// Where a run stands.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct State {
    pub(super) header: Option<Header>,
    pub(super) runbook: Option<RunbookText>,
    pub(super) records: u64,
    pub(super) started_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    pub(super) actions: BTreeMap<ActionKey, ActionState>,
    pub(super) facts: BTreeMap<String, Vec<Fact>>,
    pub(super) confirmed: BTreeSet<(String, String)>,
    /// The way back from a cluster that served begins a second one.
    pub(super) outages: Vec<Outage>,
    pub(super) spans: Vec<Span>,
    pub(super) restore_taken: bool,
    pub(super) namespaces_moved: bool,
    pub(super) max_outage_ms: Option<u64>,
    pub(super) rewinds: u32,
    pub(super) finished: Option<Timestamp>,
    /// When it came to the end that it is at, or was before it was resumed: whatever is done anew clears it.
    pub(super) ended: Option<Timestamp>,
    pub(super) rolling_back: bool,
    pub(super) taking_away: bool,
    pub(super) loss: Option<Loss>,
    pub(super) why_back: String,
    pub(super) serves_again: bool,
    pub(super) cleaning: bool,
}

/// Where an action stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ActionState {
    /// Its kind.
    pub kind: String,
    /// Intents ever recorded, also before a rewind: 0 means that it never acted.
    pub intents: u32,
    /// An intent has no result yet: whether the action took effect is not known.
    pub open_intent: bool,
    /// How many, since the last result or rewind.
    pub open_intents: u32,
    /// When the last intent was recorded, until the action fails.
    pub intended_at: Option<Timestamp>,
    /// How it ended well; `None` again after a rewind.
    pub done: Option<Done>,
    /// Why it last failed, until it ends well.
    pub last_failure: Option<String>,
    /// Its effect was taken back by a rollback.
    pub undone: bool,
}

/// A good end of an action.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// How it ended.
    pub status: ActionStatus,
    /// Time it took.
    pub seconds: f64,
    /// What came of it, in words.
    pub summary: String,
    /// When it was recorded.
    pub at: Timestamp,
}

/// Something an action found out for those after it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// What it found.
    pub value: Value,
    /// The action it holds with.
    pub from: ActionKey,
}

/// One carrying out of an action, from its intent to its end. Rewinds keep these: the time was spent.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The action.
    pub action: ActionKey,
    /// Its kind.
    pub kind: String,
    /// When its intent was recorded, or its end when it had none.
    pub began: Timestamp,
    /// When its end was recorded.
    pub ended: Timestamp,
    /// Time it took, by its own clock where it ended well.
    pub seconds: f64,
    /// True when it ended well.
    pub ok: bool,
}

impl State {
    /// The first record; `None` only before it.
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The runbook that holds now: the first one, or the changed one that was accepted last.
    pub const fn runbook(&self) -> Option<&RunbookText> {
        self.runbook.as_ref()
    }

    /// Records so far, which is the number of the last one.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// When the run began.
    pub const fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When the last record was made.
    pub const fn last_at(&self) -> Option<Timestamp> {
        self.last_at
    }

    /// When the last step ended well, or was taken back. A later process that finds nothing to do, or only removes what is left of
    /// the run, does not change that.
    pub const fn finished(&self) -> Option<Timestamp> {
        self.finished
    }

    /// Whether the run only takes back what it did; with [`State::finished`] it has.
    pub const fn rolling_back(&self) -> bool {
        self.rolling_back
    }

    /// Whether a rollback has begun to take back what the run did: until then all is as it was.
    pub const fn taking_away(&self) -> bool {
        self.taking_away
    }

    /// Why the run rolls back; empty where that is not known, or it does not.
    pub fn why_back(&self) -> &str {
        &self.why_back
    }

    /// What the way back loses, once the operator has agreed to that.
    pub const fn loss(&self) -> Option<&Loss> {
        self.loss.as_ref()
    }

    /// Whether the outage ended on the way back: the source serves.
    pub const fn serves_again(&self) -> bool {
        self.serves_again
    }

    /// Whether what is left of the run is being removed; with [`State::finished`] it is.
    pub const fn cleaning(&self) -> bool {
        self.cleaning
    }

    /// How often the run went back to an earlier step.
    pub const fn rewinds(&self) -> u32 {
        self.rewinds
    }

    /// Every action that the journal knows of.
    pub const fn actions(&self) -> &BTreeMap<ActionKey, ActionState> {
        &self.actions
    }

    /// Where one action stands; `None` when the journal does not know of it.
    pub fn action(&self, step: &str, action: usize) -> Option<&ActionState> {
        self.actions.get(&(step.to_owned(), action))
    }

    /// How an action ended well, if it did and still holds.
    pub fn done(&self, step: &str, action: usize) -> Option<&Done> {
        self.action(step, action)?.done.as_ref()
    }

    /// Actions whose effect is not known: an intent without a result.
    pub fn open_intents(&self) -> impl Iterator<Item = (&ActionKey, &ActionState)> {
        self.actions.iter().filter(|(_, state)| state.open_intent)
    }

    /// Intents ever recorded for actions of this kind, whatever their place.
    pub fn intents_of(&self, kind: &str) -> u32 {
        self.actions
            .values()
            .filter(|state| state.kind == kind)
            .map(|state| state.intents)
            .sum()
    }

    /// What is known under this name: of the actions that found it, the last one's.
    pub fn fact(&self, name: &str) -> Option<&Value> {
        self.facts.get(name)?.last().map(|fact| &fact.value)
    }

    /// All that is known, by name.
    pub fn facts(&self) -> impl Iterator<Item = (&str, &Fact)> {
        self.facts
            .iter()
            .filter_map(|(name, found)| Some((name.as_str(), found.last()?)))
    }

    /// Whether the operator agreed to this in the step, and it was not rewound since.
    pub fn confirmed(&self, step: &str, asked: &str) -> bool {
        self.confirmed
            .contains(&(step.to_owned(), asked.to_owned()))
    }

    /// When the last outage began. A rewind keeps it.
    pub fn outage_started(&self) -> Option<Timestamp> {
        self.outages.last().map(|outage| outage.began)
    }

    /// Whether a single voter has taken the restore, since the last rewind.
    pub const fn restore_taken(&self) -> bool {
        self.restore_taken
    }

    /// Whether the tables of the child namespaces have been moved, since the last rewind.
    pub const fn namespaces_moved(&self) -> bool {
        self.namespaces_moved
    }

    /// The longest outage that was agreed to, where one was.
    pub fn max_outage(&self) -> Option<Duration> {
        self.max_outage_ms.map(Duration::from_millis)
    }

    /// When the last outage ended, or was found to be over; a rewind clears it.
    pub fn outage_ended(&self) -> Option<Timestamp> {
        self.outages.last().and_then(|outage| outage.ended)
    }

    /// Whether clients are not served now, as far as the journal tells.
    pub fn in_outage(&self) -> bool {
        self.outages
            .last()
            .is_some_and(|outage| outage.ended.is_none())
    }

    /// How long an outage has lasted that goes on.
    pub fn outage_lasts(&self) -> Option<Duration> {
        let since = self.outage_started().filter(|_| self.in_outage())?;
        Some(Timestamp::now().duration_since(since).unsigned_abs())
    }

    /// Every carrying out of an action that came to an end, in order.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }
}
