//! Which records follow which, and what they add up to.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::event::{ActionStatus, Mode};
use crate::journal::{CLEANUP, FORMAT, Header, Loss, Mark, Record, RunbookText};
use crate::platform::Target;

fn started() -> Record {
    Record::Started(Header {
        format: FORMAT,
        baoctl: "0.1.0".into(),
        run: uuid::Uuid::nil(),
        mode: Mode::Live,
        runbook: text("first"),
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
    })
}

fn text(name: &str) -> RunbookText {
    RunbookText {
        name: name.into(),
        file: None,
        sha256: String::new(),
        text: String::new(),
    }
}

fn intent(step: &str, kind: &str) -> Record {
    Record::Intent {
        step: step.into(),
        action: 0,
        kind: kind.into(),
        calls: Vec::new(),
        facts: BTreeMap::new(),
    }
}

fn ended(step: &str, kind: &str, status: ActionStatus, fact: i64) -> Record {
    Record::Result {
        step: step.into(),
        action: 0,
        kind: kind.into(),
        status,
        seconds: 2.0,
        summary: String::new(),
        facts: BTreeMap::from([("found".into(), json!(fact))]),
    }
}

fn done(step: &str, kind: &str, fact: i64) -> Record {
    ended(step, kind, ActionStatus::Done, fact)
}

fn failed(step: &str, kind: &str) -> Record {
    Record::Failed {
        step: step.into(),
        action: 0,
        kind: kind.into(),
        why: "why".into(),
    }
}

fn mark(mark: Mark) -> Record {
    Record::Mark { mark }
}

fn rewound(to: &str, steps: &[&str]) -> Record {
    Record::Rewound {
        from: "c".into(),
        to: to.into(),
        steps: steps.iter().map(ToString::to_string).collect(),
        why: String::new(),
    }
}

fn resumed(runbook: Option<RunbookText>) -> Record {
    Record::Resumed {
        baoctl: "0.1.0".into(),
        pid: 1,
        runbook,
        max_outage_ms: None,
        cleanup: false,
    }
}

/// One record per second, after the first.
fn fold(records: &[Record]) -> Result<State, FoldError> {
    let mut state = State::default();
    for (seq, record) in (1..).zip(std::iter::once(&started()).chain(records)) {
        let time = Timestamp::from_second(1000 + i64::try_from(seq).unwrap()).unwrap();
        let before = state.clone();
        if let Err(error) = state.apply(seq, time, record) {
            assert_eq!(state, before, "a refused record changed something");
            return Err(error);
        }
    }
    Ok(state)
}

#[test]
fn an_open_intent_lasts_until_a_result() {
    let state = fold(&[intent("a", "init")]).unwrap();
    assert!(state.action("a", 0).unwrap().open_intent);
    let state = fold(&[intent("a", "init"), failed("a", "init")]).unwrap();
    let action = state.action("a", 0).unwrap();
    assert!(action.open_intent);
    assert_eq!(action.last_failure.as_deref(), Some("why"));
    assert_eq!(state.open_intents().count(), 1);
    let again = [
        intent("a", "init"),
        intent("a", "init"),
        done("a", "init", 1),
    ];
    let state = fold(&again).unwrap();
    let action = state.action("a", 0).unwrap();
    assert!(!action.open_intent);
    assert_eq!(action.intents, 2);
    assert_eq!(state.done("a", 0).unwrap().status, ActionStatus::Done);
    assert_eq!(state.open_intents().count(), 0);
}

#[test]
fn a_rewind_drops_results_and_facts_but_not_the_count_of_intents() {
    let state = fold(&[
        intent("a", "prove"),
        done("a", "prove", 1),
        Record::Confirmed {
            step: "b".into(),
            asked: String::new(),
            by: String::new(),
        },
        intent("b", "init"),
        done("b", "init", 2),
        mark(Mark::OutageStarted),
        mark(Mark::OutageEnded),
        intent("c", "restore"),
        rewound("b", &["b", "c"]),
    ])
    .unwrap();
    assert!(state.done("a", 0).is_some());
    assert!(state.done("b", 0).is_none());
    assert!(!state.action("c", 0).unwrap().open_intent);
    assert_eq!(state.intents_of("init"), 1);
    // The earlier action's finding holds again.
    assert_eq!(state.fact("found"), Some(&json!(1)));
    assert!(!state.confirmed("b", ""));
    assert!(state.outage_started().is_some());
    assert_eq!(state.outage_ended(), None);
    assert_eq!(state.rewinds(), 1);
}

#[test]
fn an_intent_that_was_refused_counts_for_nothing() {
    let refused = Record::Refused {
        step: "a".into(),
        action: 0,
        kind: "init".into(),
        why: "why".into(),
    };
    let state = fold(&[intent("a", "init"), refused.clone()]).unwrap();
    let action = state.action("a", 0).unwrap();
    assert_eq!((action.intents, action.open_intent), (0, false));
    // A try whose outcome is not known stays open beside it.
    let state = fold(&[intent("a", "init"), intent("a", "init"), refused.clone()]).unwrap();
    let action = state.action("a", 0).unwrap();
    assert_eq!((action.intents, action.open_intent), (1, true));
    // Those from before a rewind are not open any more.
    let state = fold(&[
        intent("a", "init"),
        rewound("a", &["a"]),
        intent("a", "init"),
        refused,
    ])
    .unwrap();
    let action = state.action("a", 0).unwrap();
    assert_eq!((action.intents, action.open_intent), (1, false));
}

#[test]
fn one_that_is_refused_after_a_rewind_leaves_nothing_open() {
    let refused = Record::Refused {
        step: "init".into(),
        action: 0,
        kind: "init".into(),
        why: "the mirror is away".into(),
    };
    let mut records = vec![
        intent("init", "init"),
        rewound("init", &["init"]),
        intent("init", "init"),
        refused.clone(),
    ];
    let state = fold(&records).unwrap();
    let action = state.action("init", 0).unwrap();
    // The one before the rewind was let go of, although it counts.
    assert_eq!((action.intents, action.open_intent), (1, false));
    records.extend([intent("init", "init"), intent("init", "init"), refused]);
    let state = fold(&records).unwrap();
    assert!(state.action("init", 0).unwrap().open_intent);
}

#[test]
fn a_rollback_goes_back_only() {
    let undone = |step: &str| Record::Undone {
        step: step.into(),
        action: 0,
        kind: "k".into(),
        summary: String::new(),
    };
    let forward = [intent("a", "k"), done("a", "k", 1)];
    assert!(fold(&[&forward[..], &[undone("a")]].concat()).is_err());
    let back = [
        &forward[..],
        &[
            Record::RollingBack {
                loss: None,
                why: String::new(),
            },
            undone("a"),
        ],
    ]
    .concat();
    let state = fold(&back).unwrap();
    assert!(state.rolling_back() && state.action("a", 0).unwrap().undone);
    assert!(state.done("a", 0).is_none());
    for after in [intent("b", "k"), Record::Finished] {
        assert!(fold(&[&back[..], &[after]].concat()).is_err());
    }
    let state = fold(&[&back[..], &[Record::RolledBack]].concat()).unwrap();
    assert!(state.finished().is_some());
}

/// The way back from a cluster that served takes it away a second time; a rewind never begins another outage.
#[test]
fn a_way_back_that_loses_something_has_an_outage_of_its_own() {
    let loss = Loss {
        why: "the outage has ended".into(),
        entries: None,
        export: Some("saved.snap".into()),
    };
    let mut records = vec![
        mark(Mark::OutageStarted),
        mark(Mark::OutageEnded),
        Record::Finished,
        Record::resumed(None, None, false),
        Record::RollingBack {
            loss: Some(loss.clone()),
            why: "first".to_owned(),
        },
        Record::RollingBack {
            loss: Some(loss.clone()),
            why: "asked for by a later process".to_owned(),
        },
    ];
    let state = fold(&records).unwrap();
    assert!(!state.in_outage());
    assert_eq!((state.loss(), state.finished()), (Some(&loss), None));
    assert_eq!(state.why_back(), "first");
    let first = state.outage_started();
    records.extend([mark(Mark::OutageStarted), mark(Mark::OutageStarted)]);
    let state = fold(&records).unwrap();
    assert!(state.in_outage() && state.outage_started() > first);
    let averted = [&records[..], &[mark(Mark::OutageAverted)]].concat();
    assert_eq!(fold(&averted).unwrap().outage_started(), first);
    records.extend([mark(Mark::OutageEnded), mark(Mark::OutageStarted)]);
    records.push(Record::RolledBack);
    let state = fold(&records).unwrap();
    assert!(!state.in_outage() && state.serves_again());
    assert_eq!(state.outage_seconds(), Some(2.0));
}

#[test]
fn the_end_of_a_run_stays_where_it_was() {
    let mut records = vec![intent("a", "k"), done("a", "k", 1), Record::Finished];
    let end = fold(&records).unwrap().finished();
    assert!(end.is_some());
    // Nothing was left to do.
    records.extend([resumed(None), Record::Finished]);
    assert_eq!(fold(&records).unwrap().finished(), end);
    let cleaned = [
        Record::resumed(None, None, true),
        intent(CLEANUP, "remove"),
        done(CLEANUP, "remove", 1),
        Record::Finished,
    ];
    let cleaned = [&records[..], &cleaned].concat();
    assert_eq!(fold(&cleaned).unwrap().finished(), end);
    // A step that the changed runbook has besides, and the way back, end it anew.
    let longer = [
        resumed(None),
        intent("b", "k"),
        done("b", "k", 1),
        Record::Finished,
    ];
    let longer = [&records[..], &longer].concat();
    assert!(fold(&longer).unwrap().finished() > end);
    records.extend([
        Record::resumed(None, None, false),
        Record::RollingBack {
            loss: None,
            why: String::new(),
        },
        Record::RolledBack,
    ]);
    assert!(fold(&records).unwrap().finished() > end);
}

#[test]
fn what_is_left_is_removed_after_either_end() {
    let cleanup = || {
        vec![
            Record::resumed(None, None, true),
            intent(CLEANUP, "remove-aside"),
            done(CLEANUP, "remove-aside", 1),
        ]
    };
    for end in [
        vec![Record::Finished],
        vec![
            Record::RollingBack {
                loss: None,
                why: String::new(),
            },
            Record::RolledBack,
        ],
    ] {
        let mut records = [end.clone(), cleanup()].concat();
        let state = fold(&records).unwrap();
        assert!(state.cleaning() && state.finished().is_none());
        // Another process begins with what it finds.
        records.extend(cleanup());
        records.push(Record::Finished);
        let state = fold(&records).unwrap();
        assert!(state.cleaning() && state.finished().is_some());
        assert_eq!(state.rolling_back(), end.len() == 2);
        // From there is no way back.
        let back = [
            Record::resumed(None, None, false),
            Record::RollingBack {
                loss: None,
                why: String::new(),
            },
        ];
        let undone = Record::Undone {
            step: "a".into(),
            action: 0,
            kind: "k".into(),
            summary: String::new(),
        };
        assert!(fold(&[&records[..], &back[..], &[undone]].concat()).is_err());
    }
}

/// What an earlier version wrote says nothing of a loss or a cleanup, and what is written without them is the same.
#[test]
fn records_of_before_are_read_and_written_as_they_were() {
    for text in [
        json!({"record": "rolling-back"}),
        json!({"record": "confirmed", "step": "apply", "asked": "go on"}),
        json!({"record": "resumed", "baoctl": "0.1.0", "pid": 7, "runbook": null}),
    ] {
        let record: Record = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), text);
        assert!(matches!(
            record,
            Record::RollingBack { loss: None, .. }
                | Record::Confirmed { .. }
                | Record::Resumed { cleanup: false, .. }
        ));
    }
    // As this version writes them, for those that come later.
    let loss = json!({"record": "rolling-back", "loss": {"why": "w", "entries": {
        "identical": 1, "rewritten": 2, "new": 3, "volatile": 4, "written": 5, "deleted": 6, "expired": 7, "missing": 8,
        "unexplained": 9}, "export": "/f"}, "why": "asked for by ops@host at the terminal"});
    let confirmed = json!({"record": "confirmed", "step": "apply", "asked": "go on", "by": "ops@host with --yes"});
    let cleanup =
        json!({"record": "resumed", "baoctl": "0.2.0", "pid": 7, "runbook": null, "cleanup": true});
    for text in [loss, confirmed, cleanup] {
        let record: Record = serde_json::from_value(text.clone()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), text);
    }
}

/// The outage's parts, in their order, and no other ones.
#[track_caller]
fn assert_parts(state: &State, parts: &[(&str, f64)]) {
    let found = state.outage_parts();
    let found: Vec<_> = found
        .iter()
        .map(|(kind, it)| (kind.as_str(), *it))
        .collect();
    assert_eq!(found, parts);
}

#[test]
fn the_outage_is_told_by_the_parts_that_lie_in_it() {
    let records = [
        intent("a", "seal-source"),
        mark(Mark::OutageStarted),
        done("a", "seal-source", 1),
        intent("b", "restore"),
        mark(Mark::OutageStarted),
        failed("b", "restore"),
        intent("b", "restore"),
        done("b", "restore", 1),
        intent("c", "unseal"),
        mark(Mark::OutageEnded),
        done("c", "unseal", 1),
        ended("d", "join", ActionStatus::AlreadyDone, 1),
    ];
    let state = fold(&records).unwrap();
    assert_eq!(state.outage_seconds(), Some(8.0));
    let parts = [
        ("a/seal-source", 1.0),
        ("b/restore", 3.0),
        ("c/unseal", 1.0),
        ("between actions", 3.0),
    ];
    assert_parts(&state, &parts);
    assert!((state.step_seconds("b") - 4.0).abs() < 1e-9);
    let going_on = fold(&records[..4]).unwrap();
    assert_eq!(going_on.outage_seconds(), Some(2.0));
    assert_eq!(fold(&[]).unwrap().outage_seconds(), None);
}

/// An intent that was left open, and another one before it came to its end.
#[test]
fn parts_that_overlap_are_no_longer_than_the_outage() {
    let records = [
        mark(Mark::OutageStarted),
        intent("a", "restore"),
        intent("b", "unseal"),
        failed("a", "restore"),
        failed("b", "unseal"),
        mark(Mark::OutageEnded),
    ];
    let state = fold(&records).unwrap();
    assert_eq!(state.outage_seconds(), Some(5.0));
    let parts = [
        ("a/restore", 2.0),
        ("b/unseal", 1.0),
        ("between actions", 2.0),
    ];
    assert_parts(&state, &parts);
}

/// Of a process that did not come to note the end of the outage only its last record is known.
#[test]
fn an_outage_whose_end_nobody_saw_is_told_by_its_bounds() {
    let left_off = [
        intent("a", "seal-source"),
        mark(Mark::OutageStarted),
        done("a", "seal-source", 1),
        intent("b", "unseal"),
        // A second process saw no more of it.
        resumed(None),
        intent("b", "unseal"),
        resumed(None),
    ];
    let over = |more: &[Record]| fold(&[&left_off[..], more].concat()).unwrap();
    assert_eq!(over(&[]).outage_at_least(), Some(2.0));
    let state = over(&[
        mark(Mark::OutageFoundOver),
        done("b", "unseal", 1),
        intent("c", "join"),
        resumed(None),
    ]);
    assert_eq!(state.outage_seconds(), Some(6.0));
    assert_eq!(state.outage_at_least(), Some(2.0));
    let parts = [
        ("a/seal-source", 1.0),
        ("between actions", 1.0),
        ("until it was found to be over", 4.0),
    ];
    assert_parts(&state, &parts);
    // Seen by this process; and opened by a hook before its eyes.
    assert_eq!(over(&[mark(Mark::OutageEnded)]).outage_at_least(), None);
    let hook = over(&[
        intent("c", "return-key"),
        done("c", "return-key", 1),
        mark(Mark::OutageFoundOver),
    ]);
    assert_eq!(hook.outage_at_least(), None);
    assert_eq!(hook.outage_seconds(), Some(8.0));
}

type Is = fn(&FoldError) -> bool;

#[test]
fn what_does_not_follow_is_refused() {
    let mut none = State::default();
    let time = Timestamp::UNIX_EPOCH;
    let refused = none.apply(1, time, &Record::Finished);
    assert_eq!(refused, Err(FoldError::NotStarted));
    let refused = none.apply(2, time, &started());
    assert_eq!(refused, Err(FoldError::Number { last: 0, found: 2 }));
    let cases: Vec<(Vec<Record>, Is)> = vec![
        (vec![started()], |it| matches!(it, FoldError::StartedTwice)),
        (vec![done("a", "init", 1)], |it| {
            matches!(it, FoldError::NoIntent { .. })
        }),
        (
            vec![
                intent("a", "init"),
                done("a", "init", 1),
                intent("a", "init"),
            ],
            |it| matches!(it, FoldError::DoneAlready { .. }),
        ),
        (
            vec![
                intent("a", "init"),
                done("a", "init", 1),
                done("a", "init", 1),
            ],
            |it| matches!(it, FoldError::DoneAlready { .. }),
        ),
        (vec![intent("a", "init"), done("a", "join", 1)], |it| {
            matches!(it, FoldError::Kind { .. })
        }),
        (vec![ended("a", "init", ActionStatus::WouldRun, 1)], |it| {
            matches!(it, FoldError::DryRun)
        }),
        (vec![mark(Mark::OutageEnded)], |it| {
            matches!(it, FoldError::NoOutage)
        }),
        (vec![rewound("a", &["b"])], |it| {
            matches!(it, FoldError::Rewind { .. })
        }),
        (vec![Record::Finished, intent("a", "init")], |it| {
            matches!(it, FoldError::Finished)
        }),
    ];
    for (records, is) in cases {
        let error = fold(&records).unwrap_err();
        assert!(is(&error), "{error}");
    }
}

#[test]
fn a_changed_runbook_holds_from_its_resumption_on() {
    let state = fold(&[
        failed("a", "prove"),
        Record::Finished,
        resumed(Some(text("second"))),
        // It never acted, so another action may stand in its place.
        intent("a", "init"),
    ])
    .unwrap();
    assert_eq!(state.runbook().unwrap().name, "second");
    assert_eq!(state.header().unwrap().runbook.name, "first");
    assert_eq!(state.finished(), None);
    assert_eq!(state.action("a", 0).unwrap().kind, "init");
}
