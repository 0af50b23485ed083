//! The loop: check, confirm, record the intent, apply, look again, record the result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::meter::ActionMeter;
use super::mirrored::{Course, Mirrored};
use super::program::{Program, Range, Step, Unit};
use super::{Error, Interrupt, Result};
use crate::action::{self, Context, Evidence, KEEP_KEYS, Observation, Outcome};
use crate::event::{
    ActionStatus, Answer, Effect, Event, Level, Observer, Operator, Question, StepStatus, Tier,
};
use crate::journal::{Journal, Record, State};

/// The journal, shared with the actions' marks.
pub type SharedJournal = Arc<Mutex<Journal>>;

/// The kinds of action that bring the source's data: from then on nothing but the old key opens the cluster.
const BRING_DATA: [&str; 2] = ["restore", "operator-migrate"];
/// The kind of action that child namespaces need.
const MOVE_NAMESPACES: &str = "move-namespaces";
/// Tries of an action that only looks.
pub(super) const TRIES: u32 = 3;
/// An effect that a second try did not bring about will not come by a fourth.
const REDOS: u32 = 3;

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

impl Engine {
    /// Runs the range, from wherever the journal says that it stands.
    pub async fn run(&mut self) -> Result<End> {
        self.followed(self.within_budget()).await
    }

    pub(super) async fn go_on(&self) -> Result<End> {
        let range = self.range.resolve(&self.program)?;
        self.in_order(*range.start())?;
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

    /// A step is never run before the ones that it stands on.
    fn in_order(&self, start: usize) -> Result<()> {
        if self.journal.is_none() {
            return Ok(());
        }
        match self.program.steps[..start]
            .iter()
            .find(|step| !self.is_done(step))
        {
            Some(missing) => Err(Error::OutOfOrder {
                missing: missing.id.clone(),
                from: self.program.steps[start].id.clone(),
            }),
            None => Ok(()),
        }
    }

    /// What an action needs is missed before the first effect, not in the middle of an outage.
    async fn complete(&self, steps: &[Step]) -> Result<()> {
        for step in steps {
            for (index, unit) in step.units.iter().enumerate() {
                if self.has(step, index) {
                    continue;
                }
                let ctx = self.context(step, index, unit);
                let lacks = unit.action.lacks(&ctx).await;
                if let Some(why) = lacks.map_err(|source| failed(step, unit, source))? {
                    return Err(Error::Conflict {
                        step: step.id.clone(),
                        kind: unit.kind.to_owned(),
                        why,
                    });
                }
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
        ctx.moves_namespaces = self.program.has(MOVE_NAMESPACES);
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

    /// Asks before a step, by the strongest effect that is still ahead in it.
    async fn confirm(&self, step: &Step, place: usize) -> Result<()> {
        let Some(effect) = self.journal().and_then(|journal| {
            let ahead = step
                .units
                .iter()
                .enumerate()
                .filter(|(index, _)| journal.state().done(&step.id, *index).is_none());
            ahead.map(|(_, unit)| unit.effect).max()
        }) else {
            return Ok(());
        };
        self.fits(effect)?;
        let tier = match effect {
            Effect::Read => return Ok(()),
            Effect::Change => Tier::YesNo,
            Effect::Outage | Effect::NoBlindRepeat => Tier::TypeName(self.outage_word.clone()),
        };
        let ask = format!(
            "step {} of {}, {}: {}",
            place + 1,
            self.program.steps.len(),
            step.id,
            step.title
        );
        let consequences = vec![
            match effect {
                Effect::Outage if self.outage_is_over() => {
                    "the cluster goes on serving meanwhile".to_owned()
                }
                Effect::Outage => match self.ahead() {
                    None => "clients are not served until the new cluster serves".to_owned(),
                    Some(expected) => format!(
                        "clients are not served until the new cluster serves: about {:.0}s by what its parts took in \
                         the proof, and as long as you take to answer",
                        expected.seconds
                    ),
                },
                Effect::NoBlindRepeat => {
                    "it is not repeated without a look at what came of it".to_owned()
                }
                Effect::Change | Effect::Read if self.in_outage() => {
                    "the outage goes on; clients are not served meanwhile".to_owned()
                }
                Effect::Change | Effect::Read => {
                    "clients go on being served as they are now".to_owned()
                }
            },
            format!("way back: {}", step.rollback),
        ];
        self.ask(Question {
            step: step.id.clone(),
            effect,
            ask,
            consequences,
            tier,
        })
        .await
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

    fn in_outage(&self) -> bool {
        self.state(State::in_outage)
    }

    pub(super) async fn ask(&self, question: Question) -> Result<()> {
        self.agreed(&question).await?;
        self.record(Record::Confirmed {
            step: question.step,
            asked: question.ask,
        })
    }

    /// Asks and records nothing.
    pub(super) async fn agreed(&self, question: &Question) -> Result<()> {
        let answer = tokio::select! {
            answer = self.operator.ask(question) => answer,
            signal = self.interrupt.wait(1) => return Err(Error::Interrupted { signal, midway: false }),
        };
        let step = question.step.clone();
        match answer {
            Answer::Yes => Ok(()),
            Answer::No => Err(Error::Declined { step }),
            Answer::Nobody => Err(Error::Nobody {
                step,
                tier: question.tier.clone(),
            }),
        }
    }

    /// A dry run: the calls, and as long as nothing would have changed, a look.
    async fn look_only(
        &self,
        step: &Step,
        unit: &Unit,
        ctx: &Context,
        looks: &mut bool,
    ) -> Result<Went> {
        let started = Instant::now();
        let fail = |source| failed(step, unit, source);
        let calls = unit.action.describe(ctx).await.map_err(fail)?;
        self.observer.observe(&Event::Calls {
            step: step.id.clone(),
            action: unit.kind.to_owned(),
            calls,
        });
        let own = !unit.action.is_foreign();
        let observation = if own && (*looks || !unit.action.applies(ctx)) {
            unit.action.observe(ctx).await.map_err(fail)?
        } else {
            Observation::Pending
        };
        let (status, summary) = match observation {
            Observation::Done(evidence) => {
                ctx.facts
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(evidence.facts);
                (ActionStatus::AlreadyDone, evidence.summary)
            }
            Observation::NotApplicable(why) => (ActionStatus::NotApplicable, why),
            Observation::LeftToYou(what) => (ActionStatus::LeftToYou, what),
            Observation::Pending | Observation::Redo(_) => {
                *looks &= !own && unit.effect == Effect::Read;
                (ActionStatus::WouldRun, String::new())
            }
            Observation::Conflict(why) => {
                return Err(Error::Conflict {
                    step: step.id.clone(),
                    kind: unit.kind.to_owned(),
                    why,
                });
            }
        };
        self.finished(step, unit, status, started, &summary);
        Ok(Went::On)
    }

    /// For real: look, arm, apply, look again.
    pub(super) async fn act(
        &self,
        step: &Step,
        index: usize,
        unit: &Unit,
        ctx: &Context,
    ) -> Result<Went> {
        let started = Instant::now();
        let mut ctx = ctx.clone();
        for redo in 1..=REDOS {
            match self.looked(step, unit, &ctx, 1).await? {
                Observation::Done(evidence) => {
                    let open = self.journal().is_some_and(|journal| {
                        journal
                            .state()
                            .action(&step.id, index)
                            .is_some_and(|action| action.open_intent)
                    });
                    if unit.effect == Effect::Read && !open {
                        // Looking was all there was to do.
                        let nothing = Course::On(BTreeMap::new());
                        self.arm(step, index, unit, Vec::new(), nothing).await?;
                    }
                    let status = if unit.effect == Effect::Read || open {
                        ActionStatus::Done
                    } else {
                        ActionStatus::AlreadyDone
                    };
                    self.result(step, index, unit, status, started, evidence)?;
                    return Ok(Went::On);
                }
                Observation::NotApplicable(why) => {
                    let (status, why) = (ActionStatus::NotApplicable, Evidence::new(why));
                    self.result(step, index, unit, status, started, why)?;
                    return Ok(Went::On);
                }
                Observation::LeftToYou(what) => {
                    let (status, what) = (ActionStatus::LeftToYou, Evidence::new(what));
                    self.result(step, index, unit, status, started, what)?;
                    return Ok(Went::On);
                }
                Observation::Conflict(why) => {
                    return Err(Error::Conflict {
                        step: step.id.clone(),
                        kind: unit.kind.to_owned(),
                        why,
                    });
                }
                Observation::Redo(why) => {
                    self.in_time(self.confirm_redo(step, unit, why)).await?;
                }
                Observation::Pending => {}
            }
            self.ask_for(step, unit, &ctx).await?;
            let calls = unit
                .action
                .describe(&ctx)
                .await
                .map_err(|source| failed(step, unit, source))?;
            self.observer.observe(&Event::Calls {
                step: step.id.clone(),
                action: unit.kind.to_owned(),
                calls: calls.clone(),
            });
            let before = unit
                .action
                .read_before(&ctx)
                .await
                .map_err(|source| failed(step, unit, source))?;
            let course = Course::On(before.facts);
            let armed = self.arm(step, index, unit, calls, course).await?;
            let applied = tokio::select! {
                applied = unit.action.apply(&ctx, armed) => applied,
                signal = self.interrupt.wait(if unit.effect == Effect::Read { 1 } else { 2 }) => {
                    return Err(Error::Interrupted { signal, midway: unit.effect > Effect::Read });
                }
                error = self.out_of_time() => return Err(error),
            };
            match applied {
                Ok(Outcome::Done(evidence)) => {
                    self.confirm_effect(step, index, unit, &evidence).await?;
                    self.result(step, index, unit, ActionStatus::Done, started, evidence)?;
                    return Ok(Went::On);
                }
                Ok(Outcome::Rewind { to, why }) => return self.rewind(step, to, why),
                Err(source) => {
                    self.record_failure(step, index, unit, &source)?;
                    ctx = self.context(step, index, unit);
                    if !self.worth_another(unit, &ctx, &source).await || redo == REDOS {
                        return Err(failed(step, unit, source));
                    }
                    self.tell_retry(step, unit, redo, &source);
                }
            }
        }
        Err(Error::NotThere {
            step: step.id.clone(),
            kind: unit.kind.to_owned(),
            found: format!("{REDOS} tries did not bring it about"),
        })
    }

    /// What the action itself has a person asked; not again what was agreed to.
    async fn ask_for(&self, step: &Step, unit: &Unit, ctx: &Context) -> Result<()> {
        let Some((say, tier)) = unit.action.asks(ctx) else {
            return Ok(());
        };
        let answered = self
            .journal()
            .is_some_and(|journal| journal.state().confirmed(&step.id, say));
        if answered {
            return Ok(());
        }
        let meanwhile = if self.in_outage() {
            "the outage goes on until this is answered; clients are not served meanwhile"
        } else {
            "nothing is done until this is answered"
        };
        self.ask(Question {
            step: step.id.clone(),
            effect: unit.effect,
            ask: say.to_owned(),
            consequences: vec![meanwhile.to_owned()],
            tier,
        })
        .await
    }

    fn record_failure(
        &self,
        step: &Step,
        index: usize,
        unit: &Unit,
        source: &action::Error,
    ) -> Result<()> {
        let (step, action) = (step.id.clone(), index);
        let (kind, why) = (unit.kind.to_owned(), source.to_string());
        let guarded =
            unit.effect == Effect::NoBlindRepeat && matches!(source, action::Error::Refused { .. });
        self.record(if guarded {
            Record::Refused {
                step,
                action,
                kind,
                why,
            }
        } else {
            Record::Failed {
                step,
                action,
                kind,
                why,
            }
        })
    }

    /// Whether a failed action goes round again, beginning with a look: one that met a transient failure and may be
    /// called again, or one whose failed try is known to be safe to clear.
    async fn worth_another(&self, unit: &Unit, ctx: &Context, source: &action::Error) -> bool {
        match unit.effect {
            Effect::Read | Effect::Change | Effect::Outage => source.is_transient(),
            // Nothing was done, so that whatever there is to clear is not of this try.
            Effect::NoBlindRepeat if matches!(source, action::Error::Refused { .. }) => false,
            Effect::NoBlindRepeat => matches!(
                unit.action.observe(ctx).await,
                Ok(Observation::Redo(_) | Observation::Done(_))
            ),
        }
    }

    /// A look, repeated while it fails for a transient reason, that so many signals stop.
    pub(super) async fn looked(
        &self,
        step: &Step,
        unit: &Unit,
        ctx: &Context,
        signals: u32,
    ) -> Result<Observation> {
        let mut attempt = 1;
        loop {
            let observed = tokio::select! {
                observed = unit.action.observe(ctx) => observed,
                signal = self.interrupt.wait(signals) => {
                    return Err(Error::Interrupted { signal, midway: signals > 1 });
                }
            };
            match observed {
                Ok(observation) => return Ok(observation),
                Err(source) if source.is_transient() && attempt < TRIES => {
                    self.tell_retry(step, unit, attempt, &source);
                    attempt += 1;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(source) => return Err(failed(step, unit, source)),
            }
        }
    }

    pub(super) fn tell_retry(
        &self,
        step: &Step,
        unit: &Unit,
        attempt: u32,
        source: &action::Error,
    ) {
        self.observer.observe(&Event::Retry {
            step: step.id.clone(),
            action: unit.kind.to_owned(),
            attempt,
            why: source.to_string(),
        });
    }

    async fn confirm_redo(&self, step: &Step, unit: &Unit, why: String) -> Result<()> {
        self.ask(Question {
            step: step.id.clone(),
            effect: unit.effect,
            ask: format!(
                "{}, {}: begin it anew, over what an earlier try left?",
                step.id, unit.kind
            ),
            consequences: vec![why],
            tier: Tier::TypeName(self.outage_word.clone()),
        })
        .await
    }

    /// An action that said it is done is looked at with what it found out; a table that is only compared has no effect to see.
    async fn confirm_effect(
        &self,
        step: &Step,
        index: usize,
        unit: &Unit,
        evidence: &Evidence,
    ) -> Result<()> {
        if unit.effect == Effect::Read {
            return Ok(());
        }
        // As a resumed run would look, and with what the action found out.
        let after = self.context(step, index, unit);
        after
            .facts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(evidence.facts.clone());
        // The action has acted: one signal lets it end well.
        let mut seen = self.looked(step, unit, &after, 2).await?;
        for _ in 1..TRIES {
            // A member that does not answer, or an election, may hide the effect for a moment.
            if seen != Observation::Pending {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            seen = self.looked(step, unit, &after, 2).await?;
        }
        match seen {
            Observation::Done(_) | Observation::NotApplicable(_) | Observation::LeftToYou(_) => {
                Ok(())
            }
            other => Err(Error::NotThere {
                step: step.id.clone(),
                kind: unit.kind.to_owned(),
                found: match other {
                    Observation::Conflict(why) | Observation::Redo(why) => why,
                    _ => "a look says that it is still to be done".to_owned(),
                },
            }),
        }
    }

    fn result(
        &self,
        step: &Step,
        index: usize,
        unit: &Unit,
        status: ActionStatus,
        started: Instant,
        evidence: Evidence,
    ) -> Result<()> {
        self.finished(step, unit, status, started, &evidence.summary);
        self.record(Record::Result {
            step: step.id.clone(),
            action: index,
            kind: unit.kind.to_owned(),
            status,
            seconds: started.elapsed().as_secs_f64(),
            summary: evidence.summary,
            facts: evidence.facts,
        })
    }

    pub(super) fn finished(
        &self,
        step: &Step,
        unit: &Unit,
        status: ActionStatus,
        started: Instant,
        summary: &str,
    ) {
        self.observer.observe(&Event::ActionFinished {
            step: step.id.clone(),
            action: unit.kind.to_owned(),
            status,
            seconds: started.elapsed().as_secs_f64(),
            summary: summary.to_owned(),
        });
    }

    fn rewind(&self, step: &Step, to: String, why: String) -> Result<Went> {
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
