//! The journal as its users see it.

use std::fs;

use crate::common::{folder, header, result};
use baoctl::event::ActionStatus;
use baoctl::journal::{self, Error, Journal, Mark, Record};

#[test]
fn a_run_reads_back_as_it_was_written() {
    let (_folder, path) = folder();
    let mut journal = Journal::create(&path, header()).unwrap();
    let armed = journal
        .intend(
            "apply",
            0,
            "seal-source",
            vec!["PUT /sys/seal".into()],
            std::collections::BTreeMap::new(),
        )
        .unwrap();
    assert_eq!(armed.sequence(), 2);
    journal
        .append(Record::Mark {
            mark: Mark::OutageStarted,
        })
        .unwrap();
    journal
        .append(result("apply", 0, "seal-source", ActionStatus::Done))
        .unwrap();
    let live = journal.state().clone();
    assert_eq!(journal::read(&path).unwrap(), live);
    assert_eq!(journal::records(&path).unwrap().len(), 4);
    drop(journal);
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!(journal.state(), &live);
    assert_eq!(
        journal.append(Record::Finished).unwrap(),
        5,
        "{}",
        fs::read_to_string(&path).unwrap()
    );
    assert!(journal::read(&path).unwrap().finished().is_some());
}

#[test]
fn a_second_run_does_not_write_over_the_first() {
    let (_folder, path) = folder();
    drop(Journal::create(&path, header()).unwrap());
    let before = fs::read(&path).unwrap();
    assert!(matches!(
        Journal::create(&path, header()),
        Err(Error::Exists { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_second_writer_is_told_who_the_first_is() {
    let (_folder, path) = folder();
    let journal = Journal::create(&path, header()).unwrap();
    assert!(journal::is_locked(&path).unwrap());
    let error = Journal::open(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(journal);
    assert!(!journal::is_locked(&path).unwrap());
    assert_eq!(journal::Holder::read(&path), None);
    drop(Journal::open(&path).unwrap());
}
