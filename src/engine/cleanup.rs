//! Removing what is left of a run that has ended.

use super::program::{Program, Step, Unit};
use super::run::failed;
use super::{End, Engine, Error, Result};
use crate::action::cleanup::{RemoveAside, RemoveCopies, RemoveLeftovers, RemoveTree, StillServes};
use crate::action::{Action, ActionSpec, Observation};
use crate::event::{Effect, Event, Level, Question, Tier};
use crate::journal::{CLEANUP, Record};

impl Program {
    /// What removes the leftovers of a run: after a rollback the file tree serves, and only what lies beside it goes.
    pub fn cleanup(rolled_back: bool) -> Self {
        fn unit(kind: &'static str, effect: Effect, action: impl Action + 'static) -> Unit {
            Unit {
                kind,
                effect,
                action: Box::new(action),
            }
        }
        let keys = ActionSpec::DestroyThrowaway {};
        let mut units = Vec::new();
        if !rolled_back {
            units.push(unit("still-serves", Effect::Read, StillServes));
            units.push(unit("remove-tree", Effect::Change, RemoveTree));
        }
        units.push(unit("remove-aside", Effect::Change, RemoveAside));
        units.push(Unit {
            kind: keys.kind(),
            effect: keys.effect(),
            action: keys.build(),
        });
        units.push(unit("remove-leftovers", Effect::Change, RemoveLeftovers));
        units.push(unit("remove-copies", Effect::Change, RemoveCopies));
        Self {
            name: CLEANUP.to_owned(),
            steps: vec![Step {
                id: CLEANUP.to_owned(),
                title: "Remove what is left of the run".to_owned(),
                rollback: "none: what is removed is gone".to_owned(),
                units,
            }],
        }
    }
}

impl Engine {
    /// Looks at what is left, tells it, asks, and removes it. What it would remove is told before anything is recorded, so that a no
    /// leaves the run as it was.
    pub async fn clean_up(&mut self, dry_run: bool) -> Result<End> {
        if dry_run {
            return self.clear(true).await;
        }
        self.followed(self.clear(false)).await
    }

    async fn clear(&self, dry_run: bool) -> Result<End> {
        let step = &self.program.steps[0];
        let mut ahead = Vec::new();
        for (index, unit) in step.units.iter().enumerate() {
            let ctx = self.context(step, index, unit);
            match self.looked(step, unit, &ctx, 1).await? {
                Observation::Pending | Observation::Redo(_) => {
                    let calls = unit.action.describe(&ctx).await;
                    let calls = calls.map_err(|source| failed(step, unit, source))?;
                    for call in calls {
                        self.note(Level::Info, call);
                    }
                    ahead.push((index, unit));
                }
                Observation::Conflict(why) => {
                    return Err(Error::Conflict {
                        step: step.id.clone(),
                        kind: unit.kind.to_owned(),
                        why,
                    });
                }
                Observation::Done(_)
                | Observation::NotApplicable(_)
                | Observation::LeftToYou(_) => {}
            }
        }
        if dry_run {
            return Ok(End::Planned);
        }
        let begun = self.state(|state| state.cleaning() && state.finished().is_none());
        if ahead.is_empty() {
            if begun {
                // Killed between its last removal and its last word.
                self.record(Record::Finished)?;
            }
            return Ok(End::CleanedUp);
        }
        let question = Question {
            step: step.id.clone(),
            effect: Effect::NoBlindRepeat,
            ask: if self.rolling_back() {
                "remove what is left of the run".to_owned()
            } else {
                "remove what is left of the run: there is no way back after that".to_owned()
            },
            consequences: vec![
                "exactly what is listed above goes, and nothing brings it back".to_owned(),
            ],
            tier: Tier::TypeName(self.outage_word.clone()),
        };
        let by = self.agreed(&question).await?;
        self.record(Record::resumed(None, None, true))?;
        self.confirmed(question, by)?;
        for (index, unit) in ahead {
            self.stop_if_asked()?;
            let ctx = self.context(step, index, unit);
            self.observer.observe(&Event::ActionStarted {
                step: step.id.clone(),
                action: unit.kind.to_owned(),
                title: unit.action.title(&ctx),
            });
            self.act(step, index, unit, &ctx).await?;
        }
        self.record(Record::Finished)?;
        Ok(End::CleanedUp)
    }
}
