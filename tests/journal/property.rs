//! Whatever a run records, a later process reads the same.

use std::collections::BTreeMap;

use crate::common::{folder, header};
use baoctl::event::ActionStatus;
use baoctl::journal::{self, Error, Journal, Mark, Record, RunbookText};
use proptest::prelude::*;
use serde_json::Value;

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn record() -> impl Strategy<Value = Record> {
    let step = || "[a-c]".prop_map(String::from);
    let facts = || prop::collection::btree_map("[x-z]|.*", value(), 0..3);
    prop_oneof![
        (
            step(),
            0..2_usize,
            prop::collection::vec(".*", 0..3),
            facts()
        )
            .prop_map(|(step, action, calls, facts)| Record::Intent {
                step,
                action,
                kind: "k".into(),
                calls,
                facts,
            }),
        (step(), 0..2_usize, any::<bool>(), any::<f64>(), facts()).prop_map(
            |(step, action, acted, seconds, facts)| Record::Result {
                step,
                action,
                kind: "k".into(),
                status: if acted {
                    ActionStatus::Done
                } else {
                    ActionStatus::AlreadyDone
                },
                seconds,
                summary: String::new(),
                facts,
            }
        ),
        (step(), 0..2_usize, ".*").prop_map(|(step, action, why)| Record::Failed {
            step,
            action,
            kind: "k".into(),
            why,
        }),
        (step(), ".*", ".*").prop_map(|(step, asked, by)| Record::Confirmed { step, asked, by }),
        prop::sample::select(vec![
            Mark::OutageStarted,
            Mark::OutageEnded,
            Mark::OutageFoundOver,
            Mark::RestoreTaken
        ])
        .prop_map(|mark| Record::Mark { mark }),
        step().prop_map(|to| Record::Rewound {
            from: "c".into(),
            steps: ["a", "b", "c"]
                .map(String::from)
                .into_iter()
                .filter(|step| *step >= to)
                .collect(),
            to,
            why: String::new(),
        }),
        (any::<u32>(), prop::option::of(".*")).prop_map(|(pid, text)| Record::Resumed {
            baoctl: "0.1.0".into(),
            pid,
            runbook: text.map(|text| RunbookText {
                name: "r".into(),
                file: None,
                sha256: String::new(),
                text,
            }),
            max_outage_ms: None,
            cleanup: false,
        }),
        Just(Record::Finished),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_later_process_reads_what_was_written(records in prop::collection::vec(record(), 0..24)) {
        let (_folder, path) = folder();
        let mut journal = Journal::create(&path, header()).unwrap();
        let mut taken = 1;
        for record in records {
            match journal.append(record) {
                Ok(seq) => {
                    taken += 1;
                    prop_assert_eq!(seq, taken);
                }
                Err(Error::Order { .. } | Error::Unwritable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let live = journal.state().clone();
        drop(journal);
        prop_assert_eq!(&journal::read(&path).unwrap(), &live);
        prop_assert_eq!(journal::records(&path).unwrap().len() as u64, taken);
        let facts: BTreeMap<_, _> = live.facts().collect();
        for (name, fact) in facts {
            // One that was read before an action holds as long as its intent is open.
            let action = live.action(&fact.from.0, fact.from.1);
            let holds = action.is_some_and(|action| action.done.is_some() || action.open_intent);
            prop_assert!(holds, "{} outlived its action", name);
        }
        let seconds: f64 = live.outage_parts().iter().map(|part| part.1).sum();
        prop_assert!(seconds <= live.outage_seconds().unwrap_or(0.0) + 1e-6);
        prop_assert!(live.outage_at_least() <= live.outage_seconds());
    }
}
