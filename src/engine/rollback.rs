//! The way back: the effects of a run are taken back, from the last to the first.

use std::time::Duration;

use tokio::time::Instant;

use super::mirrored::Course;
use super::program::{Step, Unit};
use super::run::{TRIES, failed};
use super::{End, Engine, Error, Result};
use crate::event::{ActionStatus, Effect, Event, Question, Tier};
use crate::journal::Record;

impl Engine {
    /// Takes back what the run did, as far as its actions can. Done as long as no client was served from the new cluster:
    /// after that it would lose what they wrote. Without a journal, or in a dry run of it, only the calls are told.
    pub async fn roll_back(&mut self, dry_run: bool) -> Result<End> {
        if dry_run {
            return self.go_back(true, None).await;
        }
        self.followed(self.go_back(false, None)).await
    }

    /// `agreed` is what the operator agreed to it by beforehand.
    pub(super) async fn go_back(&self, dry_run: bool, agreed: Option<String>) -> Result<End> {
        let acted = self.acted();
        // Whatever this journal knows of: a cluster that serves is never taken away.
        for step in &self.program.steps {
            for (index, unit) in step.units.iter().enumerate() {
                let ctx = self.context(step, index, unit);
                let fail = |source| failed(step, unit, source);
                if let Some(why) = unit.action.irrevocable(&ctx).await.map_err(fail)? {
                    return Err(Error::Served { why });
                }
            }
        }
        if self.served() {
            let why = "the outage has ended".to_owned();
            return Err(Error::Served { why });
        }
        let ahead: Vec<_> = acted
            .into_iter()
            .filter(|(_, _, unit)| {
                let calls = unit.action.describe_undo(&self.ctx);
                calls.is_ok_and(|calls| !calls.is_empty())
            })
            .collect();
        let Some(effect) = ahead.iter().map(|(_, _, unit)| unit.effect).max() else {
            if self.rolling_back() {
                // Killed between its last step and its last word.
                self.record(Record::RolledBack)?;
                return Ok(End::RolledBack);
            }
            return Err(Error::NothingToTakeBack);
        };
        if dry_run {
            for (step, index, unit) in ahead {
                let ctx = self.context(step, index, unit);
                let calls = unit
                    .action
                    .describe_undo(&ctx)
                    .map_err(|source| failed(step, unit, source))?;
                self.tell_calls(step, unit, calls);
            }
            return Ok(End::Planned);
        }
        let tier = if effect > Effect::Change {
            Tier::TypeName(self.outage_word.clone())
        } else {
            Tier::YesNo
        };
        match agreed {
            Some(asked) => self.record(Record::Confirmed {
                step: ahead[0].0.id.clone(),
                asked,
            })?,
            None => {
                self.ask(Question {
                    step: ahead[0].0.id.clone(),
                    effect,
                    ask: format!(
                        "take back what the run did, {} actions, the last first",
                        ahead.len()
                    ),
                    consequences: vec![
                        "the source serves from file storage again, with its data as it was sealed, or newer if it served since"
                            .to_owned(),
                        "raft files are moved aside on each volume, not removed".to_owned(),
                    ],
                    tier,
                })
                .await?;
            }
        }
        self.record(Record::RollingBack)?;
        for (step, index, unit) in ahead {
            self.stop_if_asked()?;
            self.take_back(step, index, unit).await?;
        }
        self.record(Record::RolledBack)?;
        Ok(End::RolledBack)
    }

    /// The actions that may have an effect, the last first.
    fn acted(&self) -> Vec<(&Step, usize, &Unit)> {
        let mut acted: Vec<(&Step, usize, &Unit)> = Vec::new();
        let Some(journal) = self.journal() else {
            return acted;
        };
        for step in &self.program.steps {
            for (index, unit) in step.units.iter().enumerate() {
                let state = journal.state().action(&step.id, index);
                if state.is_some_and(|state| state.intents > 0 && !state.undone) {
                    acted.push((step, index, unit));
                }
            }
        }
        acted.reverse();
        acted
    }

    /// Whether a node was active with the old data on the new cluster.
    fn served(&self) -> bool {
        self.outage_is_over() && !self.rolling_back()
    }

    fn tell_calls(&self, step: &Step, unit: &Unit, calls: Vec<String>) {
        self.observer.observe(&Event::Calls {
            step: step.id.clone(),
            action: unit.kind.to_owned(),
            calls,
        });
    }

    async fn take_back(&self, step: &Step, index: usize, unit: &Unit) -> Result<()> {
        let started = Instant::now();
        let ctx = self.context(step, index, unit);
        self.observer.observe(&Event::ActionStarted {
            step: step.id.clone(),
            action: unit.kind.to_owned(),
            title: format!("take back: {}", unit.action.title(&ctx)),
        });
        let calls = unit
            .action
            .describe_undo(&ctx)
            .map_err(|source| failed(step, unit, source))?;
        self.tell_calls(step, unit, calls.clone());
        let mut attempt = 1;
        let summary = loop {
            let course = Course::Back;
            let armed = self.arm(step, index, unit, calls.clone(), course).await?;
            let undone = tokio::select! {
                undone = unit.action.undo(&ctx, armed) => undone,
                signal = self.interrupt.wait(2) => return Err(Error::Interrupted { signal, midway: true }),
            };
            match undone {
                Ok(summary) => break summary,
                // What was taken back in part can be taken back again: a source that the tombstone still keeps from
                // starting has a container only now and then.
                Err(source) if source.is_transient() && attempt < TRIES => {
                    self.tell_retry(step, unit, attempt, &source);
                    attempt += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(source) => return Err(failed(step, unit, source)),
            }
        };
        self.finished(step, unit, ActionStatus::Done, started, &summary);
        self.record(Record::Undone {
            step: step.id.clone(),
            action: index,
            kind: unit.kind.to_owned(),
            summary,
        })
    }
}
