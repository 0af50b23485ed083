//! The longest outage that was agreed to: a run that overruns it goes back to file storage by itself, as long as no client
//! can have been served from the new cluster.

use std::time::Duration;

use jiff::Timestamp;

use super::program::{Step, Unit};
use super::{End, Engine, Error, Result};
use crate::action::{Fact, Timings};
use crate::event::{Effect, Event, Expected, Level, Question, Tier};
use crate::journal::State;

/// Between two looks at the clock.
const PAUSE: Duration = Duration::from_millis(50);

fn fact<F: Fact>(state: &State) -> Option<F> {
    serde_json::from_value(state.fact(F::NAME)?.clone()).ok()
}

/// What the program's outage is expected to be, as soon as its parts were measured.
pub fn expected(program: &super::Program, state: &State) -> Option<Expected> {
    let timings = fact::<Timings>(state)?;
    let forecast = program.forecast(timings)?;
    Some(Expected {
        seconds: forecast.seconds(),
        server: forecast.server,
    })
}

impl Engine {
    /// The outage as it is expected, while it is ahead.
    pub(super) fn ahead(&self) -> Option<Expected> {
        let journal = self.journal()?;
        let state = journal.state();
        let ahead = state.outage_started().is_none();
        ahead.then(|| expected(&self.program, state)).flatten()
    }

    /// Nothing is begun that is expected to take longer than was agreed to.
    pub(super) fn fits(&self, effect: Effect) -> Result<()> {
        let budget = self.journal().and_then(|it| it.state().max_outage());
        match (budget, self.ahead()) {
            (Some(budget), Some(expected))
                if effect >= Effect::Outage && expected.seconds > budget.as_secs_f64() =>
            {
                Err(Error::TooLong {
                    expected: expected.seconds,
                    budget,
                })
            }
            _ => Ok(()),
        }
    }

    /// Goes on within the budget, and back when it is overrun.
    pub(super) async fn within_budget(&self) -> Result<End> {
        let (budget, end) = match self.go_on().await {
            Err(Error::Overrun { budget, .. }) => (budget, self.turn_back(budget).await),
            end => return end,
        };
        end.and(Err(Error::Overrun { budget, back: true }))
    }

    async fn turn_back(&self, budget: Duration) -> Result<End> {
        self.observer.observe(&Event::Note {
            level: Level::Warn,
            message: format!(
                "the outage is longer than the {}s that were agreed to: going back to file storage",
                budget.as_secs_f64()
            ),
        });
        let agreed = format!("going back, by --max-outage {}s", budget.as_secs_f64());
        self.go_back(false, Some(agreed)).await
    }

    /// The budget, once it is overrun.
    fn overrun(&self) -> Option<Duration> {
        let journal = self.journal()?;
        let state = journal.state();
        let budget = state.max_outage()?;
        let since = state.outage_started().filter(|_| state.in_outage())?;
        let lasted = Timestamp::now().duration_since(since);
        (!state.rolling_back() && lasted.unsigned_abs() > budget).then_some(budget)
    }

    /// Whether a client may have been served from the new cluster.
    fn may_have_served(&self) -> bool {
        let Some(journal) = self.journal() else {
            return false;
        };
        let state = journal.state();
        let begun = |step: &Step, index: usize| {
            let action = state.action(&step.id, index);
            action.is_some_and(|action| action.open_intent || action.done.is_some())
        };
        self.program.steps.iter().any(|step| {
            let mut units = step.units.iter().enumerate();
            units.any(|(index, unit)| unit.action.serves() && begun(step, index))
        })
    }

    /// Comes back when the budget is overrun and the run can still go back by itself; else never.
    pub(super) async fn out_of_time(&self) -> Error {
        loop {
            if let Some(budget) = self.overrun().filter(|_| !self.may_have_served()) {
                return Error::Overrun {
                    budget,
                    back: false,
                };
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Between two actions: goes back where that is possible, else asks.
    pub(super) async fn keep_to_budget(&self, step: &Step, unit: &Unit) -> Result<()> {
        let Some(budget) = self.overrun() else {
            return Ok(());
        };
        if !self.may_have_served() {
            return Err(Error::Overrun {
                budget,
                back: false,
            });
        }
        self.ask(Question {
            step: step.id.clone(),
            effect: unit.effect,
            ask: format!(
                "the outage is longer than the {}s that were agreed to: go on",
                budget.as_secs_f64()
            ),
            consequences: vec![
                "members were unsealed with the old key: going back could lose what clients have written since"
                    .to_owned(),
            ],
            tier: Tier::YesNo,
        })
        .await
    }
}
