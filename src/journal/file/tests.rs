//! Disks that fail under an open journal.

use std::collections::BTreeMap;

use super::*;
use crate::event::{ActionStatus, Mode};
use crate::journal::{FORMAT, RunbookText};
use crate::platform::Target;

fn header() -> Header {
    Header {
        format: FORMAT,
        baoctl: "0.1.0".into(),
        run: uuid::Uuid::nil(),
        mode: Mode::Live,
        runbook: RunbookText {
            name: "r".into(),
            file: None,
            sha256: String::new(),
            text: String::new(),
        },
        target: Target {
            platform: "local".into(),
            context: String::new(),
            namespace: "n".into(),
            release: "r".into(),
            uid: "u".into(),
        },
        server: String::new(),
        inputs: BTreeMap::new(),
        max_outage_ms: None,
    }
}

/// A journal whose next write goes to `device` instead of its file.
fn failing(device: &str, options: &OpenOptions) -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(&folder.path().join("j"), header()).unwrap();
    journal.file = options.open(device).unwrap();
    (folder, journal)
}

#[test]
fn after_a_failed_write_or_sync_nothing_is_taken_any_more() {
    let writing = OpenOptions::new().write(true).clone();
    let reading = OpenOptions::new().read(true).clone();
    // No room left; no such operation (`fsync` of a device that takes every byte); a file that takes none.
    for (device, options) in [
        ("/dev/full", &writing),
        ("/dev/null", &writing),
        ("/dev/null", &reading),
    ] {
        let (_folder, mut journal) = failing(device, options);
        let before = journal.state().clone();
        let error = journal
            .intend("s", 0, "init", Vec::new(), BTreeMap::new())
            .unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{device}: {error}");
        assert_eq!(journal.state(), &before);
        let file = OpenOptions::new().append(true).open(&journal.path).unwrap();
        journal.file = file;
        let error = journal
            .intend("s", 0, "init", Vec::new(), BTreeMap::new())
            .unwrap_err();
        assert!(matches!(error, Error::Poisoned { .. }), "{device}: {error}");
        let path = journal.path.clone();
        drop(journal);
        assert_eq!(Journal::open(&path).unwrap().state(), &before);
    }
}

#[test]
fn a_record_that_would_not_read_back_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j");
    let mut journal = Journal::create(&path, header()).unwrap();
    let before = std::fs::read(&path).unwrap();
    let result = |seconds, status| Record::Result {
        step: "s".into(),
        action: 0,
        kind: "preflight".into(),
        status,
        seconds,
        summary: String::new(),
        facts: BTreeMap::new(),
    };
    let error = journal.append(result(f64::NAN, ActionStatus::AlreadyDone));
    assert!(matches!(error, Err(Error::Unwritable { .. })), "{error:?}");
    let error = journal.append(result(1.0, ActionStatus::WouldRun));
    assert!(matches!(error, Err(Error::Order { .. })), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    journal
        .append(result(1.0, ActionStatus::AlreadyDone))
        .unwrap();
}
