//! The loop over steps and their actions, from wherever the journal says that a run stands.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::meter::ActionMeter;
use super::mirrored::Mirrored;
use super::program::{Program, Range, Step, Unit};
use super::{Error, Interrupt, Result};
use crate::action::{self, Context, KEEP_KEYS};
use crate::event::{Event, Level, Observer, Operator, StepStatus};
use crate::journal::{Journal, Record, State};
use crate::runbook::BRING_DATA;

/// The journal, shared with the actions' marks.
pub type SharedJournal = Arc<Mutex<Journal>>;

/// Runs a program.
pub struct Engine {
    /// What to run.
    pub program: Program,
    /// Which part of it.
    pub range: Range,
    /// What the actions see.
    pub ctx: Context,
    /// The journal; `None` makes it a dry run, which cannot act as nothing can arm it.
    pub journal: Option<SharedJournal>,
    /// Follows the journal, so that another machine can go on; never in a dry run.
    pub mirror: Option<Mirrored>,
    /// Hears everything.
    pub observer: Arc<dyn Observer>,
    /// Is asked.
    pub operator: Arc<dyn Operator>,
    /// Stops it.
    pub interrupt: Interrupt,
    /// The word that confirms an outage.
    pub outage_word: String,
}

/// A good end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Every step of the runbook is done.
    Finished,
    /// Every step of the range is done; others are left.
    Reached(String),
    /// A dry run came to its end.
    Planned,
    /// Every effect is taken back.
    RolledBack,
    /// What was left of the run is removed.
    CleanedUp,
}

/// How an action went.
pub(super) enum Went {
    On,
    Back(String),
}

/// Whether a new run could begin, as far as that can be told before it has a journal: its range, and what its actions need.
pub async fn ready(program: &Program, ctx: &Context, range: &Range) -> Result<()> {
    for step in &program.steps[range.resolve(program, None)?] {
        for (place, unit) in step.units.iter().enumerate() {
            let mut ctx = ctx.clone();
            (ctx.step, ctx.place) = (step.id.clone(), place);
            complete(step, unit, &ctx).await?;
        }
    }
    Ok(())
}

async fn complete(step: &Step, unit: &Unit, ctx: &Context) -> Result<()> {
    let lacks = unit.action.lacks(ctx).await;
    match lacks.map_err(|source| failed(step, unit, source))? {
        None => Ok(()),
        Some(why) => Err(Error::Conflict {
            step: step.id.clone(),
            kind: unit.kind.to_owned(),
            why,
        }),
    }
}

impl Engine {
    /// Runs the range, from wherever the journal says that it stands.
    pub async fn run(&mut self) -> Result<End> {
        self.followed(self.within_budget()).await
    }

    pub(super) async fn go_on(&self) -> Result<End> {
        let range = {
            let journal = self.journal();
            self.range
                .resolve(&self.program, journal.as_deref().map(Journal::state))?
        };
        if self.rolling_back() {
            return Err(Error::RollingBack);
        }
        self.complete(self.program.steps.get(range.clone()).unwrap_or_default())
            .await?;
        let mut place = *range.start();
        // Whether a dry run still looks: behind the first action that would change something there is nothing to see.
        let mut looks = true;
        while place <= *range.end() {
            let step = &self.program.steps[place];
            if self.is_done(step) {
                place += 1;
                continue;
            }
            place = match self.step(step, place, &mut looks).await? {
                Went::On => place + 1,
                Went::Back(to) => self.program.place(&to)?,
            };
        }
        if self.journal.is_none() {
            return Ok(End::Planned);
        }
        let last = self.program.steps.len().saturating_sub(1);
        if *range.end() < last {
            return Ok(End::Reached(self.program.steps[*range.end()].id.clone()));
        }
        self.record(Record::Finished)?;
        Ok(End::Finished)
    }

    /// What an action needs is missed before the first effect, not in the middle of an outage.
    async fn complete(&self, steps: &[Step]) -> Result<()> {
        for step in steps {
            for (index, unit) in step.units.iter().enumerate() {
                if self.has(step, index) {
                    continue;
                }
                let ctx = self.context(step, index, unit);
                complete(step, unit, &ctx).await?;
            }
        }
        Ok(())
    }

    /// Whether the action has a result.
    fn has(&self, step: &Step, index: usize) -> bool {
        self.journal()
            .is_some_and(|journal| journal.state().done(&step.id, index).is_some())
    }

    pub(super) fn journal(&self) -> Option<MutexGuard<'_, Journal>> {
        self.journal
            .as_ref()
            .map(|journal| journal.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_done(&self, step: &Step) -> bool {
        (0..step.units.len()).all(|index| self.has(step, index))
    }

    async fn step(&self, step: &Step, place: usize, looks: &mut bool) -> Result<Went> {
        let started = Instant::now();
        self.stop_if_asked()?;
        self.observer.observe(&Event::StepStarted {
            step: step.id.clone(),
            title: step.title.clone(),
            effect: step.effect(),
            index: place + 1,
            of: self.program.steps.len(),
        });
        self.in_time(self.confirm(step, place)).await?;
        for (index, unit) in step.units.iter().enumerate() {
            if self.has(step, index) {
                continue;
            }
            self.stop_if_asked()?;
            self.keep_to_budget(step, unit).await?;
            let ctx = self.context(step, index, unit);
            self.observer.observe(&Event::ActionStarted {
                step: step.id.clone(),
                action: unit.kind.to_owned(),
                title: unit.action.title(&ctx),
            });
            let went = match &self.journal {
                None => self.look_only(step, unit, &ctx, looks).await?,
                Some(_) => self.act(step, index, unit, &ctx).await?,
            };
            if let Went::Back(to) = went {
                return Ok(Went::Back(to));
            }
        }
        self.observer.observe(&Event::StepFinished {
            step: step.id.clone(),
            status: if self.journal.is_some() {
                StepStatus::Done
            } else {
                StepStatus::Planned
            },
            seconds: started.elapsed().as_secs_f64(),
        });
        Ok(Went::On)
    }

    /// What an action sees, as the journal stands now.
    pub(super) fn context(&self, step: &Step, index: usize, unit: &Unit) -> Context {
        let mut ctx = self.ctx.clone();
        self.follow_marks(&mut ctx);
        ctx.step.clone_from(&step.id);
        ctx.place = index;
        ctx.children = self.program.children();
        ctx.meter = Arc::new(ActionMeter::new(&step.id, unit.kind, self.observer.clone()));
        if let Some(journal) = self.journal() {
            let state = journal.state();
            ctx.earlier_intents = state
                .action(&step.id, index)
                .filter(|action| action.open_intent)
                .map_or(0, |action| action.open_intents);
            ctx.restore_sent = state.actions().values().any(|action| {
                BRING_DATA.contains(&action.kind.as_str())
                    && (action.open_intent || action.done.is_some())
            });
            ctx.keys_kept = state.intents_of(KEEP_KEYS) > 0;
            ctx.restore_taken = state.restore_taken();
            ctx.namespaces_moved = state.namespaces_moved();
            ctx.outage_open = state.in_outage();
            *ctx.facts.lock().unwrap_or_else(PoisonError::into_inner) = state
                .facts()
                .map(|(name, fact)| (name.to_owned(), fact.value.clone()))
                .collect();
        }
        ctx
    }

    pub(super) fn stop_if_asked(&self) -> Result<()> {
        match self.interrupt.raised(1) {
            Some(signal) => Err(Error::Interrupted {
                signal,
                midway: false,
            }),
            None => Ok(()),
        }
    }

    /// Of the journal's state; of that before the first record where there is none.
    pub(super) fn state<T: Default>(&self, of: impl FnOnce(&State) -> T) -> T {
        self.journal()
            .map_or_else(T::default, |journal| of(journal.state()))
    }

    pub(super) fn note(&self, level: Level, message: String) {
        self.observer.observe(&Event::Note { level, message });
    }

    pub(super) fn outage_is_over(&self) -> bool {
        self.state(|state| state.outage_ended().is_some())
    }

    pub(super) fn rolling_back(&self) -> bool {
        self.state(State::rolling_back)
    }

    pub(super) fn in_outage(&self) -> bool {
        self.state(State::in_outage)
    }

    pub(super) fn rewind(&self, step: &Step, to: String, why: String) -> Result<Went> {
        let place = self.program.position(&to).unwrap_or_default();
        let steps = self.program.steps[place..]
            .iter()
            .map(|step| step.id.clone())
            .collect();
        self.record(Record::Rewound {
            from: step.id.clone(),
            to: to.clone(),
            why: why.clone(),
            steps,
        })?;
        self.observer.observe(&Event::Rewound {
            from: step.id.clone(),
            to: to.clone(),
            why,
        });
        Ok(Went::Back(to))
    }
}

pub(super) fn failed(step: &Step, unit: &Unit, source: action::Error) -> Error {
    Error::Action {
        step: step.id.clone(),
        kind: unit.kind.to_owned(),
        source,
    }
}
