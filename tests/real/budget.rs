//! The longest outage that was agreed to, on real servers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::place::{MIGRATE, Place, RESUME, WORD, assert_compared, files, wait};
use baoctl::bao::{Health, Node};
use baoctl::platform::Platform;

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

/// The entries that only clients write, with the bytes of their files.
fn written(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let tree = place.work().join("nodes/openbao-0/data/logical");
    let found = files(&tree);
    assert!(found.len() > 100, "{}", found.len());
    found
}

fn with<'a>(command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, more].concat()
}

/// The source serves its own data from its files, unsealed, and nothing of raft is left that a server would read.
fn assert_back(place: &Place, before: &BTreeMap<PathBuf, Vec<u8>>) {
    let platform = place.platform();
    let node = place.node("openbao-0");
    assert_eq!(wait(node.health()).unwrap(), Health::Active);
    assert_eq!(wait(node.seal_status()).unwrap().storage_type, "file");
    for member in platform.members() {
        let volume = wait(platform.volume(&member)).unwrap();
        assert!(!volume.raft_files, "{member}");
    }
    assert!(*before == written(place), "the data is as it was");
}

#[test]
fn an_outage_that_is_expected_to_be_longer_is_not_begun() {
    let place = Place::with_source(&["--entries", "200"]);
    let before = written(&place);
    place
        .run(&with(&MIGRATE, &["--max-outage", "1s"]))
        .expect_code(5)
        .expect_words(&["expected to take", "was not begun", "--max-outage TIME"]);
    assert_back(&place, &before);
    // One that is refused at once is not kept, and the one that was agreed to is told.
    let journal = std::fs::read(place.journal()).unwrap();
    place
        .run(&with(&RESUME, &["--max-outage", "500ms"]))
        .expect_code(5)
        .expect_words(&["longer than the 0.5s", "resume --max-outage TIME"]);
    assert_eq!(std::fs::read(place.journal()).unwrap(), journal);
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&["the outage may take 1 s at most (--max-outage)"]);
    let said = place.run(&with(&RESUME, &["--json", "--max-outage", "10m"]));
    said.expect_code(0);
    assert_compared(&said.summary());
    let expected = &said.summary()["expected"];
    assert!(expected["seconds"].as_f64() > expected["server"].as_f64());
    assert!(expected["server"].as_f64() > Some(1.0));
}

#[test]
fn an_outage_that_was_longer_while_nobody_was_there_goes_back() {
    let moments = [
        ("migrate-raft-fast", "apply", "final-copy"),
        ("migrate-raft-fast", "init", "init"),
        ("migrate-raft-fast", "restore", "restore"),
        ("migrate-raft", "unseal", "await-voters"),
    ];
    let runs = moments.map(|(book, step, action)| {
        std::thread::spawn(move || {
            let place = Place::with_source(&["--entries", "200"]);
            let before = written(&place);
            let mut run = place.start(&with(&MIGRATE, &["--runbook", book]));
            run.until_action(step, action);
            run.signal(SIGKILL);
            assert_eq!(run.end(), -SIGKILL);
            place
                .run(&with(&RESUME, &["--max-outage", "100ms"]))
                .expect_code(1)
                .expect_words(&["longer than the 0.1s", "serves from its old storage again"]);
            assert_back(&place, &before);
            place.run(&["report"]).expect_code(0).expect_words(&[
                "Why: the outage is longer than the 0.1s that were agreed to.",
                "### Outage",
                " with --max-outage: ",
                " with --confirm-outage: ",
            ]);
        })
    });
    for run in runs {
        run.join().unwrap();
    }
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for_longer_than_agreed() {
    let place = Place::with_source(&["--entries", "200"]);
    let before = written(&place);
    let book = ["--runbook", "migrate-raft-fast", "--max-outage", "15s"];
    let mut run = place.start(&with(&MIGRATE, &book));
    run.until_action("init", "init");
    crate::place::signal(place.pid("openbao-0"), SIGSTOP);
    let code = run.end();
    // The call may be given up before the time is over: then it is unknown what came of it.
    assert!(code == 1 || code == 7, "{code}");
    assert_back(&place, &before);
    // The next one finds nothing in its way.
    let said = place.run(&with(
        &MIGRATE,
        &["--json", "--runbook", "migrate-raft-fast"],
    ));
    said.expect_code(0);
    assert_compared(&said.summary());
}

/// From the unseal with the old key on clients may have written: then nothing goes back by itself.
#[test]
fn once_the_cluster_may_have_served_it_is_asked() {
    let place = Place::with_source(&["--entries", "200"]);
    let book = ["--runbook", "migrate-raft-fast"];
    let mut run = place.start(&with(&MIGRATE, &book));
    run.until_action("restore", "unseal");
    crate::place::soon("the intent to unseal with the old key", || {
        let journal = std::fs::read_to_string(place.journal()).unwrap();
        let mut lines = journal.lines();
        lines.any(|line| {
            [
                r#""record":"intent""#,
                r#""step":"restore""#,
                r#""kind":"unseal""#,
            ]
            .iter()
            .all(|part| line.contains(part))
        })
    });
    run.signal(SIGKILL);
    assert_eq!(run.end(), -SIGKILL);
    let resume = ["resume", "--confirm-outage", WORD, "--max-outage", "100ms"];
    place.run(&resume).expect_code(3).expect_words(&["--yes"]);
    let said = place.run(&with(&RESUME, &["--json"]));
    said.expect_code(0);
    assert_compared(&said.summary());
}
