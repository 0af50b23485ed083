//! The way back: the effects of a run are taken back, from the last to the first.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::act::TRIES;
use super::ask::who;
use super::mirrored::Course;
use super::program::{Step, Unit};
use super::run::failed;
use super::{End, Engine, Error, Result};
use crate::action::{self, Context, newer};
use crate::event::{ActionStatus, By, Effect, Event, Level, ParityCounts, Question, Tier};
use crate::journal::{self, Loss, Mark, Record, State};

/// How to go back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Back {
    /// Only tell the calls.
    pub dry_run: bool,
    /// What clients wrote to the new cluster may be lost.
    pub lose_writes: bool,
    /// It may be lost once a snapshot of the new cluster is saved here.
    pub export: Option<PathBuf>,
    /// Why the run goes back by itself, as `--max-outage` agrees to beforehand: nobody is asked.
    pub overrun: Option<String>,
}

/// It is the way back that was not agreed to, not the step that it begins with.
fn of_it_all(error: Error) -> Error {
    match error {
        Error::Declined { .. } => Error::Declined { step: None },
        Error::Nobody { tier, .. } => Error::Nobody { step: None, tier },
        other => other,
    }
}

/// Why it goes back.
fn asked_for(back: &Back, by: &str) -> String {
    let by_itself = back.overrun.clone();
    by_itself.unwrap_or_else(|| format!("asked for by {by}"))
}

impl Engine {
    /// Takes back what the run did, as far as its actions can. Once clients may have been served from the new cluster, what
    /// they wrote is lost with that: then only with their leave, and after it was counted. Without a journal, or in a dry run
    /// of it, only the calls are told.
    pub async fn roll_back(&mut self, back: &Back) -> Result<End> {
        if back.dry_run {
            return self.go_back(back).await;
        }
        self.followed(self.go_back(back)).await
    }

    pub(super) async fn go_back(&self, back: &Back) -> Result<End> {
        if self.state(State::cleaning) {
            return Err(Error::CleanedUp);
        }
        let loss = self.loss(back).await?;
        let mut ahead = Vec::new();
        for (step, index, unit) in self.acted() {
            let ctx = self.context(step, index, unit);
            let calls = unit.action.describe_undo(&ctx);
            if calls.is_ok_and(|calls| !calls.is_empty()) {
                ahead.push((step, index, unit));
            }
        }
        let Some(effect) = ahead.iter().map(|(_, _, unit)| unit.effect).max() else {
            if self.state(|state| state.finished().is_some()) {
                return Err(Error::NothingToTakeBack);
            }
            if back.dry_run {
                return Ok(End::Planned);
            }
            // It is given up, unless it was killed between its last step and its last word.
            if !self.rolling_back() {
                let why = asked_for(back, &journal::whoami());
                self.record(Record::RollingBack { loss: None, why })?;
            }
            self.record(Record::RolledBack)?;
            return Ok(End::RolledBack);
        };
        if back.dry_run {
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
        let question = self.question(ahead[0].0, ahead.len(), effect, loss.as_ref());
        let by = match back.overrun {
            Some(_) => By::Flag("--max-outage"),
            None => self.agreed(&question).await.map_err(of_it_all)?,
        };
        let ctx = self.looking();
        if let Some(export) = loss.as_ref().and_then(|loss| loss.export.as_deref()) {
            match newer::save(&ctx, export).await {
                Ok(entries) => self.note(
                    Level::Info,
                    format!(
                        "{}: a snapshot of the new cluster, {entries} entries, read back whole",
                        export.display()
                    ),
                ),
                // An earlier process of this rollback saved it, and took the cluster away then.
                Err(_)
                    if self.state(|state| state.taking_away() && state.loss() == loss.as_ref()) => {
                }
                Err(source) => return Err(Error::Unsaved { source }),
            }
        }
        // Only by a flag it goes back in the process that went on before.
        if back.overrun.is_none() {
            self.record(Record::resumed(None, None, false))?;
        }
        let (served, why) = (loss.is_some(), asked_for(back, &who(by)));
        self.confirmed(question, by)?;
        self.record(Record::RollingBack { loss, why })?;
        let goes_away = |state: &State| !state.in_outage() && !state.serves_again();
        if served && self.state(goes_away) {
            let (step, _, unit) = ahead[0];
            ctx.mark(Mark::OutageStarted)
                .await
                .map_err(|source| failed(step, unit, source))?;
        }
        for (step, index, unit) in ahead {
            self.stop_if_asked()?;
            self.take_back(step, index, unit).await?;
        }
        self.record(Record::RolledBack)?;
        Ok(End::RolledBack)
    }

    /// What clients may have written and lose: nothing where no member can have served the old data from raft. Refused unless
    /// the operator gave leave to lose it, and unless there is something to go back to.
    async fn loss(&self, back: &Back) -> Result<Option<Loss>> {
        let known = self.state(|state| state.loss().cloned());
        let why = match &known {
            Some(loss) => Some(loss.why.clone()),
            None => self.served().await?,
        };
        let Some(why) = why else {
            return Ok(None);
        };
        let leave = known.is_some() || back.lose_writes || back.export.is_some();
        if !leave && !back.dry_run {
            return Err(Error::Served { why });
        }
        let ctx = self.looking();
        if known.is_none() {
            newer::source_stands(&ctx)
                .await
                .map_err(|source| Error::NoWayBack { source })?;
        }
        if let Some(export) = &back.export {
            let own = known.as_ref().and_then(|loss| loss.export.as_ref());
            if own != Some(export) && export.exists() {
                let source = action::Error::refused(format!(
                    "{} is there already; name a new file",
                    export.display()
                ));
                return Err(Error::Unsaved { source });
            }
        }
        let gone = known.is_some() && self.state(State::taking_away);
        let (entries, before) = known.map_or((None, None), |loss| (loss.entries, loss.export));
        let entries = match newer::count(&ctx).await {
            Ok(counts) => counts,
            // It was taken away by an earlier process of this rollback.
            Err(_) if gone => entries,
            Err(source) if back.export.is_some() => return Err(Error::Unsaved { source }),
            Err(error) => {
                let message = format!("what clients wrote since cannot be counted: {error}");
                self.note(Level::Warn, message);
                entries
            }
        };
        let loss = Loss {
            why,
            entries,
            export: back.export.clone().or(before).filter(|_| !back.lose_writes),
        };
        if back.dry_run {
            for line in lost(&loss) {
                self.note(Level::Warn, line);
            }
            if !leave {
                let message =
                    "for real it wants leave to lose that: --export FILE or --lose-writes";
                self.note(Level::Warn, message.to_owned());
            }
        }
        Ok(Some(loss))
    }

    /// What tells that clients may have written to the new cluster, whatever this journal knows of.
    async fn served(&self) -> Result<Option<String>> {
        for step in &self.program.steps {
            for (index, unit) in step.units.iter().enumerate() {
                let ctx = self.context(step, index, unit);
                let fail = |source| failed(step, unit, source);
                if let Some(why) = unit.action.irrevocable(&ctx).await.map_err(fail)? {
                    return Ok(Some(why));
                }
            }
        }
        if self.rolling_back() {
            return Ok(None);
        }
        if self.program.restores_snapshot() && self.may_have_served() {
            // No outage tells it, and members that are down show nothing.
            return Ok(Some("members were unsealed with the old key".to_owned()));
        }
        Ok(self
            .outage_is_over()
            .then(|| "the outage has ended".to_owned()))
    }

    fn question(
        &self,
        step: &Step,
        actions: usize,
        effect: Effect,
        loss: Option<&Loss>,
    ) -> Question {
        let mut consequences = match loss {
            None if self.program.restores_snapshot() => {
                vec!["no member holds any data again, as before; the snapshot is as it was".to_owned()]
            }
            None => vec![
                "the source serves from its old storage again, with its data as it was sealed, or newer if it served since"
                    .to_owned(),
            ],
            Some(loss) => {
                let mut told = lost(loss);
                told.push("clients are not served until the source serves from its old storage again, with its data as it was sealed".to_owned());
                told
            }
        };
        consequences.push("raft files are moved aside on each volume, not removed".to_owned());
        Question {
            step: step.id.clone(),
            effect,
            ask: match loss {
                None => format!("take back what the run did, {actions} actions, the last first"),
                Some(_) => format!(
                    "take back what the run did, {actions} actions, the last first, and lose what clients wrote since"
                ),
            },
            consequences,
            tier: if effect > Effect::Change || loss.is_some() {
                Tier::TypeName(self.outage_word.clone())
            } else {
                Tier::YesNo
            },
        }
    }

    /// What a look beside any action sees.
    fn looking(&self) -> Context {
        let step = &self.program.steps[0];
        self.context(step, 0, &step.units[0])
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

/// What is lost, for people.
pub fn lost(loss: &Loss) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: what clients wrote since is not in the file tree and is lost",
        loss.why
    )];
    lines.push(
        loss.entries
            .as_ref()
            .map_or_else(|| "how much that is cannot be told".to_owned(), differing),
    );
    lines.push(match &loss.export {
        Some(file) => format!(
            "a snapshot of the new cluster is saved first: {}",
            file.display()
        ),
        None => "nothing of it is saved but the raft files aside".to_owned(),
    });
    lines
}

fn differing(counts: &ParityCounts) -> String {
    let ParityCounts {
        identical,
        volatile,
        written,
        deleted,
        expired,
        missing,
        unexplained,
        ..
    } = counts;
    let differ = volatile + written + deleted + expired + missing + unexplained;
    format!(
        "{differ} entries differ: {written} written and {deleted} deleted by clients, {volatile} of tokens, leases and engines \
         that write by themselves changed, {expired} expired, {} otherwise; {identical} are the same",
        missing + unexplained
    )
}
