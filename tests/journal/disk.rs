//! A disk that fills up under a journal.

use std::path::Path;
use std::process::Command;

use crate::common::header;
use baoctl::journal::{self, Error, Journal, Record};

/// A small file system of its own, where the user may mount one.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=16k", "tmpfs"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|it| it.status.success())
            .then(|| Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_full_disk_stops_the_run_and_room_lets_it_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(folder.path()) else {
        return;
    };
    let path = small.0.join("run.jsonl");
    let mut journal = Journal::create(&path, header()).unwrap();
    // Not a divisor of a page, so that the last write is cut within a line.
    let mut intend = || {
        journal.intend(
            "apply",
            0,
            "flip",
            vec!["x".repeat(1700)],
            std::collections::BTreeMap::new(),
        )
    };
    let mut written = 1;
    let error = loop {
        match intend() {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(matches!(intend(), Err(Error::Poisoned { .. })));
    drop(journal);
    // Whole pages were written of the line that did not fit.
    assert!(!std::fs::read(&path).unwrap().ends_with(b"\n"));
    assert_eq!(journal::read(&path).unwrap().records(), written);
    Command::new("mount")
        .args(["-o", "remount,size=64k"])
        .arg(small.0)
        .output()
        .unwrap();
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!(journal.state().records(), written);
    assert_eq!(journal.append(Record::Finished).unwrap(), written + 1);
    assert_eq!(
        journal::records(&path).unwrap().last().unwrap().1,
        Record::Finished
    );
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("not/there.jsonl");
    let error = Journal::create(&path, header()).unwrap_err().to_string();
    assert!(
        error.contains("creating the journal") && error.contains("not/there.jsonl"),
        "{error}"
    );
    assert!(matches!(Journal::open(&path), Err(Error::Missing { .. })));
    assert!(!journal::is_locked(&path).unwrap());
}
