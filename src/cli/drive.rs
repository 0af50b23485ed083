//! Drives a run to its end: engine, marks, signals, and what is told first and last.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, PoisonError};

use uuid::Uuid;

use super::claim::Claimed;
use super::exit::fail;
use super::failure::{exit_of, failure, touched};
use super::left::{cleaned_up, rolled_back};
use super::run::{Settings, Way, context};
use super::summary::summary;
use super::target::{Here, Place};
use super::{Exit, members, rehearse, replay, signals};
use crate::action::{Context, FromSnapshot, Keys, Marker};
use crate::engine::{self, End, Engine, Error, Program, Range, SharedJournal};
use crate::event::{Agreed, Banner, Event, Level, Mode, Observer, Operator, Plan};
use crate::journal::{Journal, Record, State};
use crate::runbook::Loaded;
use crate::ui::{Output, Recorder};

/// A run with all that it needs.
pub(super) struct Running {
    pub way: Way,
    pub here: Here,
    pub program: Program,
    pub loaded: Loaded,
    pub mode: Mode,
    pub keys_file: Option<PathBuf>,
    pub keys_given: Option<Keys>,
    pub snapshot: Option<FromSnapshot>,
    pub journal: Option<SharedJournal>,
    pub claimed: Option<Claimed>,
    pub resumed: bool,
    pub run: Uuid,
}

impl Running {
    /// What the actions see of the run.
    fn context(&self, observer: Arc<dyn Observer>, settings: &Settings) -> Context {
        let mut ctx = context(
            self.here.platform.clone(),
            observer,
            self.run,
            self.loaded.runbook.replicas,
            self.keys_file.clone(),
        );
        ctx.keys_given.clone_from(&self.keys_given);
        ctx.snapshot.clone_from(&self.snapshot);
        ctx.lose_data = settings.reseed.lose_data;
        ctx.sops_file.clone_from(&settings.reseed.sops_file);
        ctx.folder = self.loaded.folder();
        ctx
    }

    /// Why a new run cannot begin, told without a journal.
    pub async fn unready(&self, settings: &Settings) -> Option<Exit> {
        let ctx = self.context(Arc::new(Recorder::new()), settings);
        let ready = engine::ready(&self.program, &ctx, &Range::from(&settings.range)).await;
        let error = ready.err()?;
        let told = failure(
            &error,
            &self.program,
            &self.loaded,
            None,
            &ctx,
            (&self.here.place, &self.way),
        );
        let next: Vec<&str> = told.next.iter().map(String::as_str).collect();
        Some(fail(&told.message, &next, exit_of(&error, false)))
    }

    pub async fn go(mut self, settings: Settings) -> Exit {
        let mut output = Output::detect(
            settings.output.json,
            settings.output.quiet,
            settings.output.verbose,
        );
        if self.journal.is_some() {
            let log = self.here.platform.run_dir().join("log.jsonl");
            if let Err(error) = output.also_to(&log) {
                return fail(
                    format!("cannot write {}: {error}", log.display()),
                    &[],
                    Exit::Failed,
                );
            }
        }
        let observer = output.observer();
        let target = self.here.platform.target();
        let mut ctx = self.context(observer.clone(), &settings);
        if let Some(journal) = &self.journal {
            ctx.marker = marker(journal.clone(), observer.clone());
        }
        self.program = self.program.here(&ctx);
        self.introduce(&ctx, observer.as_ref());
        let Here { local, place, .. } = self.here;
        let rehearsal = self.mode == Mode::Rehearsal;
        let consent = settings.consent;
        let operator: Arc<dyn Operator> = if rehearsal {
            Arc::new(Agreed)
        } else {
            Arc::new(output.prompt(consent.yes, consent.confirm_outage))
        };
        let mut engine = Engine {
            program: self.program,
            range: Range::from(&settings.range),
            ctx,
            journal: self.journal.clone(),
            mirror: self.claimed.as_ref().map(Claimed::mirror),
            observer: observer.clone(),
            operator,
            interrupt: signals::counted(observer.clone()),
            outage_word: target.namespace,
        };
        let end = match &self.way {
            Way::On { .. } => engine.run().await,
            Way::Back(back) => engine.roll_back(back).await,
            Way::CleanUp { dry_run, .. } => engine.clean_up(*dry_run).await,
        };
        let cleaned_up = matches!(end, Ok(End::CleanedUp));
        let exit = match end {
            Ok(End::Finished) => {
                let facts = match local.filter(|_| rehearsal) {
                    Some(local) => {
                        rehearse::epilogue(&local, &observer, &engine.program, self.run).await
                    }
                    None => Ok(BTreeMap::new()),
                };
                match (facts, &self.journal) {
                    (Err(why), _) => fail(why, &[&place.command("status")], Exit::Failed),
                    (Ok(_), None) => Exit::Done,
                    (Ok(facts), Some(journal)) => {
                        let journal = held(journal);
                        let summary =
                            summary(&engine.program, journal.state(), journal.path(), facts);
                        observer.observe(&Event::Summary(summary));
                        Exit::Done
                    }
                }
            }
            Ok(end) => tell_end(&end, &engine, &place).await,
            Err(error) => tell_failure(&error, &engine, &self.loaded, &place, &self.way).await,
        };
        if let Some(journal) = &self.journal {
            // The journal is what counts; the report can be made from it at any time.
            let _ = replay::write_report(held(journal).path());
        }
        if let Some(claimed) = self.claimed {
            drop(engine);
            if cleaned_up {
                claimed.remove().await;
            } else {
                let in_outage = |journal: &Arc<_>| held(journal).state().in_outage();
                let outage = self.journal.as_ref().is_some_and(in_outage);
                claimed.give_back(outage).await;
            }
        }
        output.finish();
        exit
    }

    fn introduce(&self, ctx: &Context, observer: &dyn Observer) {
        let path = self
            .journal
            .as_ref()
            .map(|journal| held(journal).path().display().to_string());
        observer.observe(&Event::Banner(Banner {
            baoctl: env!("CARGO_PKG_VERSION").to_owned(),
            run: self.run.to_string(),
            mode: if self.way.only_looks() {
                Mode::DryRun
            } else {
                self.mode
            },
            runbook: self.program.name.clone(),
            target: self.here.platform.target(),
            server: self.here.platform.address(),
            journal: path,
            resumed: self.resumed,
        }));
        // The others say for themselves what they take back or remove.
        if !matches!(self.way, Way::On { .. }) {
            return;
        }
        let guard = self
            .journal
            .as_ref()
            .map(|journal| journal.lock().unwrap_or_else(PoisonError::into_inner));
        let expected = guard
            .as_deref()
            .and_then(|journal| engine::expected(&self.program, journal.state()))
            .map(|expected| expected.seconds);
        let plan: Plan = engine::plan(
            &self.program,
            ctx,
            guard.as_deref().map(Journal::state),
            expected,
            if self.resumed {
                guard
                    .as_deref()
                    .and_then(|journal| limit(journal.state()))
                    .into_iter()
                    .collect()
            } else {
                notes(&self.loaded)
            },
        );
        drop(guard);
        observer.observe(&Event::Plan(plan));
    }
}

/// What was agreed to of the outage, and what of it is gone.
pub(super) fn limit(state: &State) -> Option<String> {
    let goes_on = state.finished().is_none() && !state.rolling_back();
    let most = state.max_outage().filter(|_| goes_on)?.as_secs_f64();
    match state.outage_lasts() {
        Some(lasted) => Some(format!(
            "the outage has lasted {:.0} s, of {most} s at most (--max-outage)",
            lasted.as_secs_f64()
        )),
        None if state.outage_started().is_none() => Some(format!(
            "the outage may take {most} s at most (--max-outage)"
        )),
        None => None,
    }
}

fn notes(loaded: &Loaded) -> Vec<String> {
    let mut notes: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    if loaded.runbook.name == "migrate-raft" {
        notes.push("`--runbook migrate-raft-fast` restores before it joins: a shorter outage, and no voter is ever on throwaway data".to_owned());
    }
    notes
}

/// A bad end, which stays in the journal unless the command only looks.
async fn tell_failure(
    error: &Error,
    engine: &Engine,
    runbook: &Loaded,
    place: &Place,
    way: &Way,
) -> Exit {
    let but = but_now(engine).await;
    let (told, exit) = {
        let journal = engine.journal.as_ref().map(held);
        let state = journal.as_deref().map(Journal::state);
        let touched = state.is_some_and(|state| touched(&engine.program, state));
        let mut told = failure(
            error,
            &engine.program,
            runbook,
            state,
            &engine.ctx,
            (place, way),
        );
        if let Some(but) = but {
            told.changed = format!("{}; {but}", told.changed);
        }
        (told, exit_of(error, touched))
    };
    engine.observer.observe(&Event::Failed(told.clone()));
    if !way.only_looks() {
        engine.keep_end(error, &told).await;
    }
    exit
}

/// What the members say against the journal, asked where that tells who serves.
async fn but_now(engine: &Engine) -> Option<String> {
    let journal = engine.journal.as_ref()?;
    if !members::tells(&engine.program, held(journal).state()) {
        return None;
    }
    let rows = members::in_time(engine.ctx.platform.as_ref()).await;
    members::but(&engine.program, held(journal).state(), &rows)
}

/// A good end before the runbook's.
async fn tell_end(end: &End, engine: &Engine, place: &Place) -> Exit {
    let (journal, observer) = (engine.journal.as_ref(), &engine.observer);
    let message = match end {
        End::Finished => return Exit::Done,
        End::RolledBack => {
            let but = but_now(engine).await;
            let Some(journal) = journal.map(held) else {
                return Exit::Done;
            };
            let (state, path) = (journal.state(), journal.path());
            let exit = but.as_ref().map_or(Exit::Done, |_| Exit::Failed);
            observer.observe(&rolled_back(state, path, but));
            return exit;
        }
        End::CleanedUp => {
            let Some(journal) = journal.map(held) else {
                return Exit::Done;
            };
            cleaned_up(journal.state())
        }
        End::Planned => "dry run: nothing was changed".to_owned(),
        End::Reached(step) => format!(
            "stopped after the step `{step}`, as asked; `{}` goes on",
            place.command("resume")
        ),
    };
    let in_outage = journal.is_some_and(|journal| held(journal).state().in_outage());
    let (level, message) = if in_outage && matches!(end, End::Reached(_)) {
        let message = format!(
            "{message}. Clients are not served, and nobody watches how long the outage gets"
        );
        (Level::Warn, message)
    } else {
        (Level::Info, message)
    };
    observer.observe(&Event::Note { level, message });
    Exit::Done
}

fn held(journal: &SharedJournal) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes marks into the journal, and tells of them.
fn marker(journal: SharedJournal, observer: Arc<dyn Observer>) -> Marker {
    Arc::new(move |mark| {
        let mut journal = held(&journal);
        journal
            .append(Record::Mark { mark })
            .map_err(|error| error.to_string())?;
        if let Some(event) = replay::event_of(mark, journal.state()) {
            observer.observe(&event);
        }
        Ok(())
    })
}
