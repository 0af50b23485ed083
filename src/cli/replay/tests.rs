//! What a report says of a journal.

use super::*;
use crate::action::{Backup, Timings};
use crate::cli::left::left;
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
            Record::Confirmed {
                step: "apply".to_owned(),
                asked: "take back 1 action".to_owned(),
                by: "ops@host at the terminal".to_owned(),
            },
            Record::RollingBack {
                loss: None,
                why: "asked for by ops@host at the terminal".to_owned(),
            },
            Record::RolledBack,
        ],
    );
    let said = report(&path).unwrap();
    for words in [
        "**Rolled back:** the source serves",
        "Why: asked for by ops@host at the terminal.",
        "### Outage\n\nNone.",
        "confirmed by ops@host at the terminal: take back 1 action",
        "| outage | taken back |",
        "Before that it had stopped: 1 of 23 checks failed: room-run",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_run_that_went_back_by_itself_tells_why_and_how_long_clients_were_out() {
    let folder = tempfile::tempdir().unwrap();
    let mark = |mark| Record::Mark { mark };
    let why = "the outage is longer than the 5s that were agreed to";
    let path = journaled(
        folder.path(),
        vec![
            mark(Mark::OutageStarted),
            result("apply", 0, "rehearse-flip", ActionStatus::AlreadyDone),
            Record::RollingBack {
                loss: None,
                why: why.to_owned(),
            },
            mark(Mark::OutageEnded),
            Record::RolledBack,
        ],
    );
    let said = report(&path).unwrap();
    let outcome = &said[said.find("## Outcome").unwrap()..said.find("## Steps").unwrap()];
    for words in [
        "**Rolled back:** the source serves".to_owned(),
        format!("Why: {why}."),
        "### Outage\n\n0.0 s.".to_owned(),
    ] {
        assert!(outcome.contains(&words), "{words}: {outcome}");
    }
    assert!(!outcome.contains("had stopped"), "{outcome}");
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
