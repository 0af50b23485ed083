//! One action: look, record the intent, apply, look again, record the result.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::mirrored::Course;
use super::program::{Step, Unit};
use super::run::{Engine, Went, failed};
use super::{Error, Result};
use crate::action::{self, Context, Evidence, Observation, Outcome};
use crate::event::{ActionStatus, Effect, Event};
use crate::journal::Record;

/// Tries of an action that only looks.
pub(super) const TRIES: u32 = 3;
/// An effect that a second try did not bring about will not come by a fourth.
const REDOS: u32 = 3;

impl Engine {
    /// A dry run: the calls, and as long as nothing would have changed, a look.
    pub(super) async fn look_only(
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

    pub(super) fn record_failure(
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
    pub(super) async fn worth_another(
        &self,
        unit: &Unit,
        ctx: &Context,
        source: &action::Error,
    ) -> bool {
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

    /// An action that said it is done is looked at with what it found out; a table that is only compared has no effect to see.
    pub(super) async fn confirm_effect(
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

    pub(super) fn result(
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
}
