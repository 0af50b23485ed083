//! The longest outage that was agreed to: a run that overruns it goes back to file storage by itself, as long as no client
//! can have been served from the new cluster.

use std::time::Duration;

use tokio::time::Instant;

use super::program::{Program, Range, Step, Unit};
use super::{Back, End, Engine, Error, Result};
use crate::action::{Fact, Timings};
use crate::event::{Effect, Event, Expected, Level, Question, Tier};
use crate::journal::State;

/// Between two looks at the clock.
const PAUSE: Duration = Duration::from_millis(50);

/// Between two tries to go back, and how long it is tried: an API server that is restarted is away for less.
const AGAIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_mins(10);

/// A fact of a run, where its journal has it.
pub fn fact<F: Fact>(state: &State) -> Option<F> {
    serde_json::from_value(state.fact(F::NAME)?.clone()).ok()
}

/// What the program's outage is expected to be, as soon as its parts were measured.
pub fn expected(program: &Program, state: &State) -> Option<Expected> {
    let timings = fact::<Timings>(state)?;
    let forecast = program.forecast(timings)?;
    Some(Expected {
        seconds: forecast.seconds(),
        server: forecast.server,
    })
}

/// Why a run must not be told this limit: its outage is ahead in the range, and expected to be longer. Else the limit would be
/// recorded, and keep each later process from beginning it.
pub fn outlasts(
    program: &Program,
    state: &State,
    range: &Range,
    budget: Duration,
) -> Option<Error> {
    let steps = &program.steps[range.resolve(program, Some(state)).ok()?];
    let ahead = state.outage_started().is_none()
        && steps.iter().any(|step| step.effect() >= Effect::Outage);
    let expected = expected(program, state).filter(|_| ahead)?.seconds;
    (expected > budget.as_secs_f64()).then_some(Error::TooLong { expected, budget })
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

    /// Goes on within the budget. When that is overrun, or what was begun fails in the outage, it goes back.
    pub(super) async fn within_budget(&self) -> Result<End> {
        let why = match self.go_on().await {
            Err(why) if self.goes_back(&why) => why,
            end => return end,
        };
        self.observer.observe(&Event::Note {
            level: Level::Warn,
            message: format!("{why}: going back to the old storage, as agreed by --max-outage"),
        });
        let back = Back {
            overrun: Some(why.to_string()),
            ..Back::default()
        };
        self.go_back_patiently(&back).await?;
        Err(match why {
            Error::Overrun { budget, .. } => Error::Overrun { budget, back: true },
            why => why,
        })
    }

    /// Goes back as often as it takes: what keeps it from that may be what it goes back for, clients wait, and nobody may be there
    /// to type it again.
    async fn go_back_patiently(&self, back: &Back) -> Result<()> {
        let given_up = Instant::now() + PATIENCE;
        loop {
            let Err(error) = self.go_back(back).await else {
                return Ok(());
            };
            let again = match &error {
                Error::Action { source, .. } => source.is_transient(),
                Error::Uncovered { .. } => true,
                _ => false,
            };
            if !again || Instant::now() > given_up {
                return Err(error);
            }
            let message = format!("going back stopped, and is tried again: {error}");
            let level = Level::Warn;
            self.observer.observe(&Event::Note { level, message });
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                signal = self.interrupt.wait(1) => return Err(Error::Interrupted { signal, midway: false }),
            }
        }
    }

    /// Nobody may be there to see a failure, and clients wait. What a person decided, or has to, is theirs.
    fn goes_back(&self, why: &Error) -> bool {
        match why {
            Error::Overrun { .. } => true,
            Error::Action { .. } | Error::NotThere { .. } | Error::Uncovered { .. } => {
                let within = self.journal().is_some_and(|journal| {
                    journal.state().max_outage().is_some() && journal.state().in_outage()
                });
                within && !self.may_have_served()
            }
            _ => false,
        }
    }

    /// The budget, once it is overrun.
    fn overrun(&self) -> Option<Duration> {
        let journal = self.journal()?;
        let state = journal.state();
        let budget = state.max_outage()?;
        let lasted = state.outage_lasts()?;
        (!state.rolling_back() && lasted > budget).then_some(budget)
    }

    /// Whether a client may have been served from the new cluster.
    pub(super) fn may_have_served(&self) -> bool {
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

    /// Does the work as long as there is time for it: a question may wait for ever.
    pub(super) async fn in_time(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        tokio::select! {
            done = work => done,
            error = self.out_of_time() => Err(error),
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
                "clients may be served from the new cluster: going back could lose what they have written since"
                    .to_owned(),
            ],
            tier: Tier::YesNo,
        })
        .await
    }
}
