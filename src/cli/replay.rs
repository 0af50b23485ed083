//! From a journal back to events, for the report: it covers every process of a run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::action::{Compared, Fact};
use crate::engine::Program;
use crate::event::{ActionStatus, Banner, Event, Level, StepStatus, StepSummary, Summary};
use crate::journal::{self, Mark, Record, State};
use crate::runbook::Loaded;
use crate::ui::{self, Timed};

/// The events of a journal.
#[allow(clippy::too_many_lines)] // An arm for each kind of record.
pub(super) fn events(path: &Path) -> journal::Result<Vec<Timed>> {
    let state = journal::read(path)?;
    let runbook = state
        .runbook()
        .and_then(|text| Loaded::recorded(text).ok())
        .map(|loaded| loaded.runbook);
    let mut events = Vec::new();
    let mut current: Option<String> = None;
    let mut outage_from = None;
    for (at, record) in journal::records(path)? {
        let mut tell = |event| events.push(Timed { at, event });
        let note = |level, message| Event::Note { level, message };
        if let Record::Intent { step, .. } | Record::Result { step, .. } = &record
            && current.as_ref() != Some(step)
        {
            if let Some(book) = &runbook
                && let Some(index) = book.position(step)
            {
                tell(Event::StepStarted {
                    step: step.clone(),
                    title: book.steps[index].title.clone(),
                    effect: book.steps[index].effect(),
                    index: index + 1,
                    of: book.steps.len(),
                });
            }
            current = Some(step.clone());
        }
        match record {
            Record::Started(header) => tell(Event::Banner(Banner {
                baoctl: header.baoctl,
                run: header.run.to_string(),
                mode: header.mode,
                runbook: header.runbook.name,
                target: header.target,
                server: String::new(),
                journal: Some(path.display().to_string()),
                resumed: false,
            })),
            Record::Resumed { baoctl, .. } => {
                tell(note(Level::Info, format!("resumed by baoctl {baoctl}")));
            }
            Record::Confirmed { asked, .. } => {
                tell(note(Level::Info, format!("confirmed: {asked}")));
            }
            Record::Intent {
                step, kind, calls, ..
            } => {
                tell(Event::ActionStarted {
                    step: step.clone(),
                    action: kind.clone(),
                    title: kind.clone(),
                });
                tell(Event::Calls {
                    step,
                    action: kind,
                    calls,
                });
            }
            Record::Result {
                step,
                kind,
                status,
                seconds,
                summary,
                ..
            } => {
                if status == ActionStatus::NotApplicable {
                    tell(Event::ActionStarted {
                        step: step.clone(),
                        action: kind.clone(),
                        title: kind.clone(),
                    });
                }
                tell(Event::ActionFinished {
                    step,
                    action: kind,
                    status,
                    seconds,
                    summary,
                });
            }
            Record::Failed { kind, why, .. } | Record::Refused { kind, why, .. } => {
                tell(note(Level::Warn, format!("{kind} failed: {why}")));
            }
            Record::Mark {
                mark: Mark::OutageStarted,
            } => {
                outage_from = Some(at);
                tell(Event::OutageStarted);
            }
            Record::Mark {
                mark: Mark::OutageEnded | Mark::OutageAverted,
            } => {
                let seconds = outage_from.map_or(0.0, |from| at.duration_since(from).as_secs_f64());
                tell(Event::OutageEnded { seconds });
            }
            Record::Rewound { from, to, why, .. } => tell(Event::Rewound { from, to, why }),
            Record::RollingBack => tell(note(Level::Warn, "rolling back".to_owned())),
            Record::Undoing {
                step, kind, calls, ..
            } => {
                tell(Event::ActionStarted {
                    step: step.clone(),
                    action: kind.clone(),
                    title: format!("take back {kind}"),
                });
                tell(Event::Calls {
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
            } => tell(Event::ActionFinished {
                step,
                action: kind,
                status: ActionStatus::Done,
                seconds: 0.0,
                summary,
            }),
            Record::RolledBack => tell(note(Level::Info, "rolled back".to_owned())),
            Record::Finished => {}
        }
    }
    if let Some(book) = runbook {
        let program = Program::new(&book);
        let at = state.last_at().unwrap_or_default();
        if state.finished().is_some() {
            let summary = summary(&program, &state, path, BTreeMap::new());
            events.push(Timed {
                at,
                event: Event::Summary(summary),
            });
        }
    }
    Ok(events)
}

fn report_beside(journal: &Path) -> PathBuf {
    journal.with_file_name("report.md")
}

/// Writes the report beside the journal.
pub(super) fn write_report(path: &Path) -> journal::Result<()> {
    let report = report_beside(path);
    let text = ui::markdown(&events(path)?);
    std::fs::write(&report, text).map_err(|source| journal::Error::Io {
        doing: "writing the report beside",
        path: report,
        source,
    })
}

/// The last event of a run, made from its journal so that it covers every process of it.
pub(super) fn summary(
    program: &Program,
    state: &State,
    journal: &Path,
    facts: BTreeMap<String, String>,
) -> Summary {
    let compared: Option<Compared> = state
        .fact(Compared::NAME)
        .and_then(|value| serde_json::from_value(value.clone()).ok());
    let worst = compared.as_ref().map(|compared| {
        compared
            .by_voter
            .values()
            .copied()
            .max_by_key(|counts| (counts.missing + counts.unexplained, counts.volatile))
            .unwrap_or_default()
    });
    Summary {
        entries: compared.as_ref().map_or(0, |compared| compared.entries),
        parity: worst.unwrap_or_default(),
        compared: compared
            .map(|compared| compared.by_voter.into_keys().collect())
            .unwrap_or_default(),
        outage_seconds: state.outage_seconds(),
        outage_parts: state.outage_parts(),
        steps: program
            .steps
            .iter()
            .map(|step| StepSummary {
                id: step.id.clone(),
                status: if (0..step.units.len()).all(|index| state.done(&step.id, index).is_some())
                {
                    StepStatus::Done
                } else {
                    StepStatus::Pending
                },
                seconds: state.step_seconds(&step.id),
            })
            .collect(),
        report: Some(report_beside(journal).display().to_string()),
        journal: Some(journal.display().to_string()),
        facts,
    }
}
