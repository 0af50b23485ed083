//! What the journal's tests share.
#![allow(dead_code, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use baoctl::event::{ActionStatus, Failure, Mode};
use baoctl::journal::{FORMAT, Header, Mark, Record, RunbookText};
use baoctl::platform::Target;
use serde_json::json;

pub fn header() -> Header {
    Header {
        format: FORMAT,
        baoctl: "0.1.0".into(),
        run: uuid::Uuid::nil(),
        mode: Mode::Live,
        runbook: RunbookText {
            name: "r".into(),
            file: None,
            sha256: "00".into(),
            text: "version: 1\nname: \"r\" # ä\n".into(),
        },
        target: Target {
            platform: "local".into(),
            context: "c".into(),
            namespace: "n".into(),
            release: "openbao".into(),
            uid: "u".into(),
        },
        server: String::new(),
        inputs: BTreeMap::from([("archive-to".into(), "local".into())]),
        max_outage_ms: None,
    }
}

pub fn result(step: &str, action: usize, kind: &str, status: ActionStatus) -> Record {
    Record::Result {
        step: step.into(),
        action,
        kind: kind.into(),
        status,
        seconds: 0.5,
        summary: "ok".into(),
        facts: BTreeMap::from([(format!("{kind}-fact"), json!({"of": [step, action]}))]),
    }
}

pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.jsonl");
    (folder, path)
}

/// A run with a record of every kind.
pub fn all_kinds() -> Vec<Record> {
    let intent = |step: &str, kind: &str| Record::Intent {
        step: step.into(),
        action: 0,
        kind: kind.into(),
        calls: vec!["PUT /v1/sys/\u{1f512}".into(), "a \"quoted\"\nline".into()],
        facts: BTreeMap::new(),
    };
    let mark = |mark| Record::Mark { mark };
    vec![
        Record::Started(header()),
        result("snapshot", 0, "preflight", ActionStatus::AlreadyDone),
        Record::Confirmed {
            step: "apply".into(),
            asked: "type n".into(),
            by: String::new(),
        },
        intent("apply", "seal-source"),
        mark(Mark::OutageStarted),
        result("apply", 0, "seal-source", ActionStatus::Done),
        intent("restore", "restore"),
        Record::Failed {
            step: "restore".into(),
            action: 0,
            kind: "restore".into(),
            why: "openbao-2 is not sealed".into(),
        },
        Record::Rewound {
            from: "restore".into(),
            to: "restore".into(),
            steps: vec!["restore".into()],
            why: "openbao-2 kept the throwaway data".into(),
        },
        Record::Stopped(Failure {
            step: Some("restore".into()),
            message: "restore: openbao-2 kept the throwaway data".into(),
            checks: Vec::new(),
            changed: "nothing".into(),
            next: vec!["baoctl resume".into()],
            exit_code: 1,
        }),
        Record::Resumed {
            baoctl: "0.1.0".into(),
            pid: 7,
            runbook: None,
            max_outage_ms: None,
            cleanup: false,
        },
        intent("restore", "restore"),
        result("restore", 0, "restore", ActionStatus::Done),
        mark(Mark::OutageEnded),
        Record::Finished,
    ]
}
