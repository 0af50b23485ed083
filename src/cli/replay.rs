//! From a journal back to events, for the report: it covers every process of a run.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

use super::left::{left, rolled_back};
use crate::action::{
    ActionSpec, Backup, Checks, Compared, Fact, FinalCopied, KeysRead, PartOf, Snapshot,
};
use crate::engine::{self, Program, expected, fact};
use crate::event::{
    ActionStatus, Banner, Effect, Event, Level, Plan, PlannedStep, StepStatus, StepSummary, Summary,
};
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
            Record::Confirmed { asked, .. } => {
                self.note(Level::Info, format!("confirmed: {asked}"));
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
            Record::RollingBack { loss } => {
                let mut told = vec!["rolling back".to_owned()];
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
            let removed = "what was left of the run is removed; there is no way back any more";
            self.note(Level::Info, removed.to_owned());
        }
        if self.state.rolling_back() {
            self.back();
        } else if let Some(book) = &self.runbook {
            let facts = BTreeMap::new();
            let summary = summary(&Program::new(book), &self.state, self.path, facts);
            self.tell(Event::Summary(summary));
        }
    }

    fn back(&mut self) {
        self.tell(rolled_back(&self.state, self.path));
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
        Mark::OutageEnded => Event::OutageEnded {
            seconds: state.outage_seconds().unwrap_or_default(),
        },
        Mark::OutageAverted => Event::OutageEnded { seconds: 0.0 },
        Mark::RestoreTaken | Mark::NamespacesMoved => return None,
    })
}

/// What the copies of the data and the keys can be told by.
fn sums(state: &State) -> Vec<(String, String)> {
    let mut sums = Vec::new();
    let mut sum = |name: &str, value: String| sums.push((name.to_owned(), value));
    if let Some(backup) = fact::<Backup>(state) {
        let (sha256, entries, bytes) = (backup.sha256, backup.entries, backup.bytes);
        let name = "backup.tar, the archive of the live tree";
        sum(
            name,
            format!("SHA-256 {sha256}, {entries} entries, {bytes} bytes"),
        );
    }
    if let Some(source) = fact::<Snapshot>(state) {
        let (name, sha256) = (source.path.display(), source.sha256);
        sum(
            &format!("{name}, the snapshot"),
            format!("SHA-256 {sha256}"),
        );
    }
    if let Some(copy) = fact::<FinalCopied>(state) {
        let (snapshot, entries) = (copy.sha256, copy.entries);
        if let Some(manifest) = copy.manifest_digest {
            sum(
                "final.manifest, of the frozen tree, made beside it",
                format!("SHA-256 {manifest}, {entries} entries"),
            );
        }
        sum(
            "final.snap, made of it for the restore",
            format!("SHA-256 {snapshot}"),
        );
    }
    if let Some(keys) = fact::<KeysRead>(state) {
        sum("keys, as this run tells them apart", keys.fingerprint);
    }
    sums
}

fn report_beside(journal: &Path) -> PathBuf {
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

/// The last event of a run, made from its journal so that it covers every process of it.
pub(super) fn summary(
    program: &Program,
    state: &State,
    journal: &Path,
    facts: BTreeMap<String, String>,
) -> Summary {
    let compared: Option<Compared> = fact(state);
    let worst = compared.as_ref().map(|compared| {
        compared
            .by_voter
            .values()
            .copied()
            .max_by_key(|counts| (counts.missing + counts.unexplained, counts.volatile))
            .unwrap_or_default()
    });
    Summary {
        entries: match &compared {
            Some(compared) => compared.entries,
            None => fact::<FinalCopied>(state).map_or(0, |copied| copied.entries),
        },
        parity: worst.unwrap_or_default(),
        compared: compared
            .map(|compared| compared.by_voter.into_keys().collect())
            .unwrap_or_default(),
        outage_seconds: state.outage_seconds(),
        outage_parts: state.outage_parts(),
        expected: expected(program, state),
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
        left: left(state, journal),
        report: Some(report_beside(journal).display().to_string()),
        journal: Some(journal.display().to_string()),
        facts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Timings;
    use crate::event::{CheckStatus, Failure, Finding, Mode};
    use crate::journal::{Journal, RunbookText};
    use crate::platform::Target;

    fn header() -> Header {
        let loaded = Loaded::named("migrate-raft").unwrap();
        Header {
            format: journal::FORMAT,
            baoctl: "0.1.0".to_owned(),
            run: uuid::Uuid::nil(),
            mode: Mode::Live,
            runbook: RunbookText::from(&loaded),
            target: Target {
                platform: "kubernetes".to_owned(),
                context: "prod".to_owned(),
                namespace: "vault".to_owned(),
                release: "openbao".to_owned(),
                uid: "u".to_owned(),
            },
            server: "https://openbao.vault.svc:8200".to_owned(),
            inputs: BTreeMap::new(),
            max_outage_ms: None,
        }
    }

    fn result(step: &str, action: usize, kind: &str, status: ActionStatus) -> Record {
        Record::Result {
            step: step.to_owned(),
            action,
            kind: kind.to_owned(),
            status,
            seconds: 1.0,
            summary: format!("what became of {kind}"),
            facts: BTreeMap::new(),
        }
    }

    fn journaled(folder: &Path, records: Vec<Record>) -> PathBuf {
        let path = folder.join("journal.jsonl");
        let mut journal = Journal::create(&path, header()).unwrap();
        for record in records {
            // Times have milliseconds.
            std::thread::sleep(std::time::Duration::from_millis(2));
            journal.append(record).unwrap();
        }
        path
    }

    fn full() -> Failure {
        Failure {
            step: Some("snapshot".to_owned()),
            message: "1 of 23 checks failed: room-run".to_owned(),
            checks: vec![Finding {
                id: "room-run".to_owned(),
                group: "room".to_owned(),
                status: CheckStatus::Fail,
                message: "the disk is full".to_owned(),
                hint: "make room".to_owned(),
            }],
            changed: "nothing on the server".to_owned(),
            next: vec!["baoctl resume".to_owned()],
            exit_code: 5,
        }
    }

    #[test]
    fn a_run_that_failed_tells_why_and_on_which_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = journaled(folder.path(), vec![Record::Stopped(full())]);
        let said = report(&path).unwrap();
        for words in [
            "| server | https://openbao.vault.svc:8200 |",
            "**Failed** in step snapshot (exit code 5): 1 of 23 checks failed: room-run",
            "- room-run: the disk is full (make room)",
            "| room-run | room | fail | the disk is full | make room |",
            "Changed: nothing on the server",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        write_report(&path).unwrap();
        let mode = std::fs::metadata(report_beside(&path))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_rehearsal_that_cleared_up_has_nothing_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let mut rehearsal = header();
        rehearsal.mode = Mode::Rehearsal;
        let mut journal = Journal::create(&path, rehearsal).unwrap();
        let tombstone = result("apply", 5, "write-tombstone", ActionStatus::AlreadyDone);
        journal.append(tombstone).unwrap();
        assert_eq!(left(journal.state(), &path), Vec::<String>::new());
        std::fs::write(folder.path().join("final.tar"), "").unwrap();
        assert!(left(journal.state(), &path)[0].contains("the old file tree"));
    }

    #[test]
    fn a_run_that_went_back_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let began = result("apply", 0, "rehearse-flip", ActionStatus::AlreadyDone);
        let path = journaled(
            folder.path(),
            vec![
                began,
                Record::Stopped(full()),
                Record::RollingBack { loss: None },
                Record::RolledBack,
            ],
        );
        let said = report(&path).unwrap();
        for words in [
            "**Rolled back:** the source serves",
            "| outage | taken back |",
            "Before that it had stopped: 1 of 23 checks failed: room-run",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }

    #[test]
    fn a_run_that_ended_tells_what_is_left_and_the_sums() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("final.tar"), "").unwrap();
        let mut backed_up = result("snapshot", 1, "back-up", ActionStatus::AlreadyDone);
        if let Record::Result { facts, .. } = &mut backed_up {
            let backup = Backup {
                timings: Timings::default(),
                tree: PathBuf::from("backup.tar"),
                sha256: "5fc1".to_owned(),
                entries: 203,
                bytes: 9,
            };
            facts.insert(
                Backup::NAME.to_owned(),
                serde_json::to_value(backup).unwrap(),
            );
        }
        let path = journaled(
            folder.path(),
            vec![
                Record::Stopped(full()),
                backed_up,
                result("snapshot", 2, "part", ActionStatus::LeftToYou),
                Record::Mark {
                    mark: Mark::OutageStarted,
                },
                result("apply", 5, "write-tombstone", ActionStatus::AlreadyDone),
                Record::Mark {
                    mark: Mark::OutageEnded,
                },
                result("land", 0, "part", ActionStatus::LeftToYou),
                Record::Finished,
            ],
        );
        let said = report(&path).unwrap();
        let outcome = &said[said.find("## Outcome").unwrap()..said.find("## Steps").unwrap()];
        for words in [
            "**Done.**",
            "SHA-256 5fc1, 203 entries, 9 bytes",
            "the old file tree",
            "Lease and copy of the journal",
        ] {
            assert!(outcome.contains(words), "{words}: {outcome}");
        }
        assert!(
            outcome.contains("ciphertext, in") && outcome.contains(": final.tar"),
            "{outcome}"
        );
        // Of what was left to the operator only what is ahead after the outage.
        assert_eq!(outcome.matches("to do: ").count(), 1, "{outcome}");
        assert!(!outcome.contains("room-run"), "{outcome}");
        for words in [
            "**stopped**: 1 of 23",
            "make Git say what runs: left to you: what became of part",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
    }
}
