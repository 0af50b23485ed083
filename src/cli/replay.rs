//! From a journal back to events, for the report: it covers every process of a run.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use super::left::{cleaned_up, rolled_back};
use super::summary::{summary, sums};
use crate::action::{ActionSpec, Checks, Fact, PartOf};
use crate::engine::{self, Program};
use crate::event::{ActionStatus, Banner, Effect, Event, Level, Plan, PlannedStep, StepStatus};
use crate::journal::{self, CLEANUP, Header, Mark, Record, State};
use crate::runbook::{Loaded, Runbook, Step};
use crate::ui::{self, Timed};

/// The report of a journal's run, as Markdown.
pub(super) fn report(path: &Path) -> journal::Result<String> {
    let state = journal::read(path)?;
    let mut replay = Replay {
        path,
        runbook: state
            .runbook()
            .and_then(|text| Loaded::recorded(text).ok())
            .map(|loaded| loaded.runbook),
        whole: &state,
        state: State::default(),
        step: None,
        told: BTreeMap::new(),
        at: Timestamp::default(),
        events: Vec::new(),
    };
    for (seq, (at, record)) in (1..).zip(journal::records(path)?) {
        // It was read as a whole before: each record follows.
        let _ = replay.state.apply(seq, at, &record);
        replay.at = at;
        replay.record(record);
    }
    Ok(ui::markdown(&replay.events, &sums(&state)))
}

/// What is known so far, and the events that it made.
struct Replay<'a> {
    path: &'a Path,
    runbook: Option<Runbook>,
    /// Where the records end.
    whole: &'a State,
    /// Where the records so far end.
    state: State,
    /// The step of the last event.
    step: Option<String>,
    /// Seconds of each step that an event told of.
    told: BTreeMap<String, f64>,
    at: Timestamp,
    events: Vec<Timed>,
}

impl Replay<'_> {
    fn tell(&mut self, event: Event) {
        self.events.push(Timed { at: self.at, event });
    }

    fn note(&mut self, level: Level, message: String) {
        self.tell(Event::Note { level, message });
    }

    fn record(&mut self, record: Record) {
        match record {
            Record::Started(header) => self.started(header),
            Record::Resumed { baoctl, .. } => {
                self.note(Level::Info, format!("resumed by baoctl {baoctl}"));
            }
            Record::Confirmed { asked, by, .. } => {
                let by = Some(by).filter(|by| !by.is_empty());
                let by = by.map_or_else(String::new, |by| format!(" by {by}"));
                self.note(Level::Info, format!("confirmed{by}: {asked}"));
            }
            Record::Intent {
                step,
                action,
                kind,
                calls,
                ..
            } => {
                self.enter(&step);
                self.begin(&step, action, kind, calls);
            }
            Record::Result {
                step,
                action,
                kind,
                status,
                seconds,
                summary,
                facts,
            } => {
                self.enter(&step);
                if !matches!(status, ActionStatus::Done) {
                    self.begin(&step, action, kind.clone(), Vec::new());
                }
                self.checks(&facts);
                self.tell(Event::ActionFinished {
                    step: step.clone(),
                    action: kind,
                    status,
                    seconds,
                    summary,
                });
                self.leave(step);
            }
            Record::Failed { kind, why, .. } | Record::Refused { kind, why, .. } => {
                self.note(Level::Warn, format!("{kind} failed: {why}"));
            }
            Record::Stopped(failure) => {
                for check in failure.checks.clone() {
                    self.tell(Event::Check(check));
                }
                self.tell(Event::Failed(failure));
            }
            Record::Mark { mark } => {
                if let Some(event) = event_of(mark, &self.state) {
                    self.tell(event);
                }
            }
            Record::Rewound { from, to, why, .. } => self.tell(Event::Rewound { from, to, why }),
            Record::RollingBack { loss, why } => {
                let mut told = vec!["rolling back".to_owned()];
                told.extend(Some(why).filter(|why| !why.is_empty()));
                told.extend(loss.iter().flat_map(engine::lost));
                self.note(Level::Warn, told.join("; "));
            }
            Record::Undoing {
                step, kind, calls, ..
            } => {
                self.tell(Event::ActionStarted {
                    step: step.clone(),
                    action: kind.clone(),
                    title: format!("take back {kind}"),
                });
                self.tell(Event::Calls {
                    step,
                    action: kind,
                    calls,
                });
            }
            Record::Undone {
                step,
                kind,
                summary,
                ..
            } => self.tell(Event::ActionFinished {
                step,
                action: kind,
                status: ActionStatus::Done,
                seconds: 0.0,
                summary,
            }),
            Record::RolledBack => self.back(),
            Record::Finished => self.finished(),
        }
    }

    fn finished(&mut self) {
        if self.state.cleaning() {
            self.note(Level::Info, cleaned_up(&self.state));
        }
        if self.state.rolling_back() {
            self.back();
        } else if let Some(book) = &self.runbook {
            let facts = BTreeMap::new();
            let summary = summary(&Program::new(book), &self.state, self.path, facts);
            self.end(Event::Summary(summary));
        }
    }

    fn back(&mut self) {
        self.end(rolled_back(&self.state, self.path, None));
    }

    /// Tells the end at the time when it came, however often a later process said it again.
    fn end(&mut self, event: Event) {
        let at = self.state.finished().unwrap_or(self.at);
        self.events.push(Timed { at, event });
    }

    fn started(&mut self, header: Header) {
        self.tell(Event::Banner(Banner {
            baoctl: header.baoctl,
            run: header.run.to_string(),
            mode: header.mode,
            runbook: header.runbook.name,
            target: header.target,
            server: header.server,
            journal: Some(self.path.display().to_string()),
            resumed: false,
        }));
        let steps = self.runbook.iter().flat_map(|book| &book.steps);
        let steps = steps
            .map(|step| PlannedStep {
                id: step.id.clone(),
                title: step.title.clone(),
                effect: self.effect(step),
                status: StepStatus::Pending,
                rollback: step.rollback.clone(),
                actions: Vec::new(),
            })
            .collect();
        self.tell(Event::Plan(Plan {
            steps,
            outage_seconds: None,
            no_blind_repeat_from: None,
            notes: Vec::new(),
        }));
    }

    /// The strongest effect of a step's actions; one that has none here only looked.
    fn effect(&self, step: &Step) -> Effect {
        let acts = |index| {
            let done = self.whole.done(&step.id, index);
            !done.is_some_and(|done| {
                matches!(
                    done.status,
                    ActionStatus::NotApplicable | ActionStatus::LeftToYou
                )
            })
        };
        let acting = step
            .actions
            .iter()
            .enumerate()
            .filter(|(index, _)| acts(*index));
        acting
            .map(|(_, action)| action.effect())
            .max()
            .unwrap_or(Effect::Read)
    }

    /// Tells of a step where it is another than the last one.
    fn enter(&mut self, step: &str) {
        if self.step.as_deref() == Some(step) {
            return;
        }
        self.step = Some(step.to_owned());
        let Some(book) = &self.runbook else { return };
        let Some(index) = book.position(step) else {
            if step == CLEANUP {
                self.tell(Event::StepStarted {
                    step: step.to_owned(),
                    title: Program::cleanup(false).steps[0].title.clone(),
                    effect: Effect::NoBlindRepeat,
                    index: 1,
                    of: 1,
                });
            }
            return;
        };
        let event = Event::StepStarted {
            step: step.to_owned(),
            title: book.steps[index].title.clone(),
            effect: self.effect(&book.steps[index]),
            index: index + 1,
            of: book.steps.len(),
        };
        self.tell(event);
    }

    /// Tells of the end of a step where no action of it is left.
    fn leave(&mut self, step: String) {
        let book = self.runbook.as_ref();
        let actions = book.and_then(|book| Some(book.steps[book.position(&step)?].actions.len()));
        let done = |index| self.state.done(&step, index).is_some();
        if actions.is_none_or(|actions| !(0..actions).all(done)) {
            return;
        }
        let all = self.state.step_seconds(&step);
        let seconds = all - self.told.insert(step.clone(), all).unwrap_or_default();
        self.tell(Event::StepFinished {
            step,
            status: StepStatus::Done,
            seconds,
        });
    }

    fn begin(&mut self, step: &str, action: usize, kind: String, calls: Vec<String>) {
        let book = self.runbook.as_ref();
        let spec = book.and_then(|book| book.steps[book.position(step)?].actions.get(action));
        let title = match spec {
            Some(ActionSpec::Part { part }) => PartOf { part: *part }.words().to_owned(),
            Some(ActionSpec::Command { title, .. } | ActionSpec::Pause { say: title, .. }) => {
                title.clone()
            }
            _ => kind.clone(),
        };
        self.tell(Event::ActionStarted {
            step: step.to_owned(),
            action: kind.clone(),
            title,
        });
        self.tell(Event::Calls {
            step: step.to_owned(),
            action: kind,
            calls,
        });
    }

    fn checks(&mut self, facts: &BTreeMap<String, Value>) {
        let checks = facts.get(Checks::NAME).cloned();
        if let Some(Checks(checks)) = checks.and_then(|checks| serde_json::from_value(checks).ok())
        {
            for check in checks {
                self.tell(Event::Check(check));
            }
        }
    }
}

/// What a mark tells whoever follows the run.
pub(super) fn event_of(mark: Mark, state: &State) -> Option<Event> {
    Some(match mark {
        Mark::OutageStarted => Event::OutageStarted,
        Mark::OutageEnded | Mark::OutageFoundOver => Event::OutageEnded {
            seconds: state.outage_seconds().unwrap_or_default(),
            at_least: state.outage_at_least(),
        },
        Mark::OutageAverted => Event::OutageEnded {
            seconds: 0.0,
            at_least: None,
        },
        Mark::RestoreTaken | Mark::NamespacesMoved => return None,
    })
}

pub(super) fn report_beside(journal: &Path) -> PathBuf {
    journal.with_file_name("report.md")
}

/// Writes the report beside the journal, for nobody else to read, as all files of a run.
pub(super) fn write_report(path: &Path) -> journal::Result<()> {
    let beside = report_beside(path);
    let text = report(path)?;
    let written = std::fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| {
            // One of an earlier version may have another mode.
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            file.write_all(text.as_bytes())
        });
    written.map_err(|source| journal::Error::Io {
        doing: "writing the report beside",
        path: beside,
        source,
    })
}

#[cfg(test)]
mod tests;
