//! The one transition function.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::outage::{Outage, seconds};
use super::state::{ActionKey, ActionState, Done, Fact, Span, State};
use crate::event::ActionStatus;
use crate::journal::record::{CLEANUP, Loss, Mark, Record, RunbookText};

/// Why a record does not follow from those before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The records are not numbered one after another.
    #[error("record {found} follows record {last}")]
    Number {
        /// The last number.
        last: u64,
        /// The number of this one.
        found: u64,
    },
    /// Something comes before the first record.
    #[error("the run has not started")]
    NotStarted,
    /// A run starts once.
    #[error("the run has started already")]
    StartedTwice,
    /// Only a resumed run goes on after its end.
    #[error("the run has finished")]
    Finished,
    /// A place in the runbook was another action before.
    #[error("action {action} of step `{step}` is `{found}` here and was `{known}` before")]
    Kind {
        /// The step's id.
        step: String,
        /// The action's place, from 0.
        action: usize,
        /// What it was.
        known: String,
        /// What it is.
        found: String,
    },
    /// An action that is done acts again only after a rewind.
    #[error("action {action} (`{kind}`) of step `{step}` is done already")]
    DoneAlready {
        /// The step's id.
        step: String,
        /// The action's place, from 0.
        action: usize,
        /// Its kind.
        kind: String,
    },
    /// It says that it acted, and never said that it would.
    #[error("action {action} (`{kind}`) of step `{step}` has a result without an intent")]
    NoIntent {
        /// The step's id.
        step: String,
        /// The action's place, from 0.
        action: usize,
        /// Its kind.
        kind: String,
    },
    /// A run that rolls back acts no more, and one that does not takes nothing back.
    #[error("the run goes forward and back at once")]
    Course,
    /// A dry run keeps no journal.
    #[error("it is the result of a dry run")]
    DryRun,
    /// The outage ends without having begun.
    #[error("the outage has not started")]
    NoOutage,
    /// A rewind does not say that its own destination is to be done again.
    #[error("a rewind to step `{to}` does not list that step")]
    Rewind {
        /// The step to go on with.
        to: String,
    },
}

impl State {
    /// Takes in the next record. On an error nothing has changed.
    pub fn apply(&mut self, seq: u64, time: Timestamp, record: &Record) -> Result<(), FoldError> {
        self.check(seq, record)?;
        self.take(seq, time, record);
        Ok(())
    }

    /// Whether the record follows from those before it.
    pub(in crate::journal) fn check(&self, seq: u64, record: &Record) -> Result<(), FoldError> {
        if seq != self.records + 1 {
            return Err(FoldError::Number {
                last: self.records,
                found: seq,
            });
        }
        if self.header.is_none() && !matches!(record, Record::Started(_)) {
            return Err(FoldError::NotStarted);
        }
        if self.finished.is_some() && !matches!(record, Record::Resumed { .. }) {
            return Err(FoldError::Finished);
        }
        match record {
            Record::Started(_) if self.header.is_some() => Err(FoldError::StartedTwice),
            Record::Intent {
                step, action, kind, ..
            } => {
                self.stays_on_course(false)?;
                self.check_undone(step, *action, kind)
            }
            Record::Result {
                step,
                action,
                kind,
                status,
                ..
            } => self.check_result(step, *action, kind, *status),
            Record::Failed {
                step, action, kind, ..
            }
            | Record::Refused {
                step, action, kind, ..
            } => self.check_kind(step, *action, kind),
            Record::Undoing {
                step, action, kind, ..
            }
            | Record::Undone {
                step, action, kind, ..
            } => {
                self.stays_on_course(true)?;
                self.check_kind(step, *action, kind)
            }
            Record::Finished => self.stays_on_course(false),
            Record::RolledBack => self.stays_on_course(true),
            Record::Mark {
                mark: Mark::OutageEnded | Mark::OutageFoundOver,
            } if self.outages.is_empty() => Err(FoldError::NoOutage),
            Record::Rewound { to, steps, .. } if !steps.contains(to) => {
                Err(FoldError::Rewind { to: to.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Takes in a record that was checked. Costs the same however many there were, unlike a changed copy.
    pub(in crate::journal) fn take(&mut self, seq: u64, time: Timestamp, record: &Record) {
        self.records = seq;
        let before = self.last_at.replace(time);
        match record {
            Record::Started(header) => {
                self.runbook = Some(header.runbook.clone());
                self.header = Some(header.clone());
                self.max_outage_ms = header.max_outage_ms;
                self.started_at = Some(time);
            }
            Record::Resumed {
                runbook,
                max_outage_ms,
                cleanup,
                ..
            } => {
                self.max_outage_ms = max_outage_ms.or(self.max_outage_ms);
                self.resumed(runbook.as_ref(), *cleanup, before);
            }
            Record::Confirmed { step, asked, .. } => {
                self.confirmed.insert((step.clone(), asked.clone()));
            }
            Record::Intent {
                step,
                action,
                kind,
                facts,
                ..
            } => {
                self.goes_on();
                self.found(&(step.clone(), *action), facts);
                self.intent(step, *action, kind, time);
            }
            Record::Result {
                step,
                action,
                kind,
                status,
                seconds,
                summary,
                facts,
            } => {
                let done = Done {
                    status: *status,
                    seconds: *seconds,
                    summary: summary.clone(),
                    at: time,
                };
                self.result((step.clone(), *action), kind, done, facts);
            }
            Record::Failed {
                step,
                action,
                kind,
                why,
            } => {
                let state = self.entry(step, *action, kind);
                state.last_failure = Some(why.clone());
                // A later end of the same intent, by a look, took no time of its own.
                let began = state.intended_at.take().filter(|_| state.open_intent);
                self.spans.push(Span {
                    action: (step.clone(), *action),
                    kind: kind.clone(),
                    began: began.unwrap_or(time),
                    ended: time,
                    seconds: began.map_or(0.0, |began| seconds(began, time)),
                    ok: false,
                });
            }
            Record::Refused {
                step,
                action,
                kind,
                why,
            } => {
                let state = self.entry(step, *action, kind);
                // An earlier try may be open still; this one never began.
                state.intents = state.intents.saturating_sub(1);
                state.open_intents = state.open_intents.saturating_sub(1);
                state.open_intent &= state.open_intents > 0;
                state.last_failure = Some(why.clone());
            }
            Record::Mark { mark } => self.mark(*mark, time),
            Record::Rewound { steps, .. } => self.rewind(steps),
            Record::Finished | Record::RolledBack => {
                self.finished = Some(*self.ended.get_or_insert(time));
            }
            Record::RollingBack { loss, why } => self.roll_back(loss.as_ref(), why),
            Record::Undoing { .. } => self.taking_away = true,
            Record::Stopped(_) => {}
            Record::Undone {
                step, action, kind, ..
            } => {
                self.still_out();
                let state = self.entry(step, *action, kind);
                state.undone = true;
                state.done = None;
                state.open_intent = false;
            }
        }
    }

    fn resumed(&mut self, runbook: Option<&RunbookText>, cleanup: bool, before: Option<Timestamp>) {
        self.finished = None;
        if let Some(outage) = self.outages.last_mut().filter(|it| it.ended.is_none()) {
            outage.unseen = outage.unseen.or(before);
        }
        if let Some(runbook) = runbook {
            self.runbook = Some(runbook.clone());
        }
        if cleanup {
            self.cleaning = true;
            // What was there to remove may be there again.
            self.actions.retain(|(step, _), _| step != CLEANUP);
        }
    }

    fn intent(&mut self, step: &str, action: usize, kind: &str, time: Timestamp) {
        let state = self.entry(step, action, kind);
        state.intents = state.intents.saturating_add(1);
        state.open_intents = if state.open_intent {
            state.open_intents + 1
        } else {
            1
        };
        state.open_intent = true;
        state.intended_at = Some(time);
    }

    fn roll_back(&mut self, loss: Option<&Loss>, why: &str) {
        // A later process goes on with what an earlier one began.
        if self.why_back.is_empty() {
            why.clone_into(&mut self.why_back);
        }
        self.ended = None;
        self.rolling_back = true;
        self.loss = loss.cloned();
    }

    fn mark(&mut self, mark: Mark, time: Timestamp) {
        match mark {
            Mark::OutageStarted => {
                let served = self.rolling_back && !self.in_outage() && !self.serves_again;
                if self.outages.is_empty() || served {
                    self.outages.push(Outage {
                        began: time,
                        ended: None,
                        unseen: None,
                    });
                }
            }
            Mark::OutageEnded | Mark::OutageFoundOver => {
                if let Some(outage) = self.outages.last_mut().filter(|it| it.ended.is_none()) {
                    outage.ended = Some(time);
                    outage.unseen = outage.unseen.filter(|_| mark == Mark::OutageFoundOver);
                }
                self.serves_again |= self.rolling_back;
            }
            Mark::OutageAverted => {
                self.outages.pop_if(|outage| outage.ended.is_none());
            }
            Mark::RestoreTaken => self.restore_taken = true,
            Mark::NamespacesMoved => self.namespaces_moved = true,
        }
    }

    /// Something of the run itself is done, not of its cleanup.
    fn goes_on(&mut self) {
        self.ended = self.ended.filter(|_| self.cleaning);
    }

    /// What is done in an outage is done because nobody is served yet.
    fn still_out(&mut self) {
        if let Some(outage) = self.outages.last_mut().filter(|it| it.ended.is_none()) {
            outage.unseen = None;
        }
    }

    fn found(&mut self, action: &ActionKey, facts: &BTreeMap<String, Value>) {
        for (name, value) in facts {
            self.facts.entry(name.clone()).or_default().push(Fact {
                value: value.clone(),
                from: action.clone(),
            });
        }
    }

    fn result(
        &mut self,
        action: ActionKey,
        kind: &str,
        done: Done,
        facts: &BTreeMap<String, Value>,
    ) {
        self.goes_on();
        self.found(&action, facts);
        if done.status == ActionStatus::Done {
            self.still_out();
        }
        let state = self.entry(&action.0, action.1, kind);
        let began = state.intended_at.filter(|_| state.open_intent);
        let span = Span {
            kind: kind.to_owned(),
            began: began.unwrap_or(done.at),
            ended: done.at,
            seconds: done.seconds,
            ok: true,
            action,
        };
        state.open_intent = false;
        state.last_failure = None;
        state.done = Some(done);
        self.spans.push(span);
    }

    /// A run goes forward until it rolls back, and then only back, until what is left of it is removed.
    const fn stays_on_course(&self, back: bool) -> Result<(), FoldError> {
        if (self.rolling_back && !self.cleaning) == back {
            Ok(())
        } else {
            Err(FoldError::Course)
        }
    }

    /// Only an action that never acted may have become another kind, by a changed runbook.
    fn check_kind(&self, step: &str, action: usize, kind: &str) -> Result<(), FoldError> {
        match self.action(step, action) {
            Some(state) if state.kind != kind && (state.intents > 0 || state.done.is_some()) => {
                Err(FoldError::Kind {
                    step: step.to_owned(),
                    action,
                    known: state.kind.clone(),
                    found: kind.to_owned(),
                })
            }
            _ => Ok(()),
        }
    }

    fn check_undone(&self, step: &str, action: usize, kind: &str) -> Result<(), FoldError> {
        self.check_kind(step, action, kind)?;
        if self.done(step, action).is_some() {
            return Err(FoldError::DoneAlready {
                step: step.to_owned(),
                action,
                kind: kind.to_owned(),
            });
        }
        Ok(())
    }

    fn check_result(
        &self,
        step: &str,
        action: usize,
        kind: &str,
        status: ActionStatus,
    ) -> Result<(), FoldError> {
        self.check_undone(step, action, kind)?;
        let intended = || self.action(step, action).is_some_and(|it| it.open_intent);
        match status {
            ActionStatus::WouldRun => Err(FoldError::DryRun),
            ActionStatus::Done if !intended() => Err(FoldError::NoIntent {
                step: step.to_owned(),
                action,
                kind: kind.to_owned(),
            }),
            ActionStatus::Done
            | ActionStatus::AlreadyDone
            | ActionStatus::NotApplicable
            | ActionStatus::LeftToYou => Ok(()),
        }
    }

    fn entry(&mut self, step: &str, action: usize, kind: &str) -> &mut ActionState {
        let state = self.actions.entry((step.to_owned(), action)).or_default();
        kind.clone_into(&mut state.kind);
        state
    }

    fn rewind(&mut self, steps: &[String]) {
        for ((step, _), state) in &mut self.actions {
            if steps.contains(step) {
                state.done = None;
                state.open_intent = false;
                state.last_failure = None;
            }
        }
        for found in self.facts.values_mut() {
            found.retain(|fact| !steps.contains(&fact.from.0));
        }
        self.facts.retain(|_, found| !found.is_empty());
        self.confirmed.retain(|(step, _)| !steps.contains(step));
        if let Some(outage) = self.outages.last_mut() {
            (outage.ended, outage.unseen) = (None, None);
        }
        self.restore_taken = false;
        self.namespaces_moved = false;
        self.rewinds = self.rewinds.saturating_add(1);
    }
}
