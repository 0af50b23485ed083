//! What an engine runs: the steps of a runbook with the actions behind them.

use std::ops::RangeInclusive;

use super::{Error, Result};
use crate::action::{Action, ActionSpec, Children, Context, Forecast, Timings};
use crate::event::Effect;
use crate::journal::State;
use crate::runbook::Runbook;

/// Seconds and looks that pass with each action beside its own, as seen: it is looked at and recorded.
const BETWEEN: f64 = 0.02;
const LOOKS: f64 = 4.0;

/// The steps in order.
pub struct Program {
    /// The runbook's name.
    pub name: String,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// One step.
pub struct Step {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Until when it can be rolled back, in words.
    pub rollback: String,
    /// Its actions in order.
    pub units: Vec<Unit>,
}

/// One action of a step.
pub struct Unit {
    /// Its kind.
    pub kind: &'static str,
    /// Its effect.
    pub effect: Effect,
    /// What acts.
    pub action: Box<dyn Action>,
}

impl Program {
    /// The program behind a runbook.
    pub fn new(runbook: &Runbook) -> Self {
        let unit = |spec: &ActionSpec| Unit {
            kind: spec.kind(),
            effect: spec.effect(),
            action: spec.build(),
        };
        let steps = runbook
            .steps
            .iter()
            .map(|step| Step {
                id: step.id.clone(),
                title: step.title.clone(),
                rollback: step.rollback.clone(),
                units: step.actions.iter().map(&unit).collect(),
            })
            .collect();
        Self {
            name: runbook.name.clone(),
            steps,
        }
    }

    /// The same with what does not apply here as something that only looks: nobody is asked about it.
    #[must_use]
    pub fn here(mut self, ctx: &Context) -> Self {
        for unit in self.steps.iter_mut().flat_map(|step| &mut step.units) {
            if !unit.action.applies(ctx) {
                unit.effect = Effect::Read;
            }
        }
        self
    }

    /// The same, or the error that names the steps there are.
    pub(super) fn place(&self, id: &str) -> Result<usize> {
        self.position(id).ok_or_else(|| Error::NoSuchStep {
            runbook: self.name.clone(),
            given: id.to_owned(),
            steps: self.steps.iter().map(|step| step.id.clone()).collect(),
        })
    }

    /// How long the outage will be, by what its parts took beforehand; `None` where the runbook has none.
    pub fn forecast(&self, timings: Timings) -> Option<Forecast> {
        let mut forecast = Forecast::new(timings);
        for unit in self.steps.iter().flat_map(|step| &step.units) {
            if forecast.is_whole() {
                break;
            }
            unit.action.forecast(&mut forecast);
            forecast.add(0.0, BETWEEN + LOOKS * timings.look);
        }
        forecast.is_whole().then_some(forecast)
    }

    /// The strongest effect of the step of this name.
    pub fn effect(&self, id: &str) -> Option<Effect> {
        Some(self.steps[self.position(id)?].effect())
    }

    /// Whether there is an action of this kind.
    pub fn has(&self, kind: &str) -> bool {
        let mut units = self.steps.iter().flat_map(|step| &step.units);
        units.any(|unit| unit.kind == kind)
    }

    /// What becomes of child namespaces.
    pub fn children(&self) -> Children {
        if self.has("move-namespaces") {
            Children::Moved
        } else if self.has("forsake-data") {
            Children::LeftBehind
        } else {
            Children::Broken
        }
    }

    /// Whether a snapshot is there in place of a source: nobody is served before its end, and there is no data to go back to.
    pub fn restores_snapshot(&self) -> bool {
        self.has("graft-snapshot")
    }

    /// A step's place, from 0.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.id == id)
    }
}

impl Step {
    /// The strongest effect of the step's actions.
    pub fn effect(&self) -> Effect {
        self.units
            .iter()
            .map(|unit| unit.effect)
            .max()
            .unwrap_or(Effect::Read)
    }
}

/// Which steps to run: `--from` and `--until`, both inclusive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Range {
    /// The first step; none for the first of the runbook.
    pub from: Option<String>,
    /// The last step; none for the last of the runbook.
    pub until: Option<String>,
}

impl Range {
    /// The range as places, for a run that stands as `state` says, or a new one. A step is never run before those that it stands on.
    pub fn resolve(
        &self,
        program: &Program,
        state: Option<&State>,
    ) -> Result<RangeInclusive<usize>> {
        let place = |id: &Option<String>, default: usize| match id {
            None => Ok(default),
            Some(id) => program.place(id),
        };
        let from = place(&self.from, 0)?;
        let until = place(&self.until, program.steps.len().saturating_sub(1))?;
        let id = |place: usize| program.steps[place].id.clone();
        if until < from {
            return Err(Error::Nothing {
                from: id(from),
                until: id(until),
            });
        }
        let done = |step: &Step| {
            let has = |index| state.is_some_and(|state| state.done(&step.id, index).is_some());
            (0..step.units.len()).all(has)
        };
        match program.steps[..from].iter().find(|step| !done(step)) {
            None => Ok(from..=until),
            Some(missing) => Err(Error::OutOfOrder {
                missing: missing.id.clone(),
                from: id(from),
            }),
        }
    }
}
