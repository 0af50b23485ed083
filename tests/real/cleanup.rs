//! What is left of a run is removed, on real servers: exactly what was listed, and only when the cluster serves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::place::{Place, WORD, files, wait};
use baoctl::platform::Platform;

const CLEANUP: [&str; 5] = ["cleanup", "--grace", "0s", "--confirm-outage", WORD];

/// The files of the first member's volume beside those of raft, by their names there.
fn beside_raft(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let data = place.work().join("nodes/openbao-0/data");
    files(&data)
        .into_iter()
        .map(|(path, file)| (path.strip_prefix(&data).unwrap().to_owned(), file))
        .filter(|(path, _)| !path.starts_with("raft") && !path.starts_with("vault.db"))
        .collect()
}

#[test]
fn only_after_a_while_and_only_while_the_cluster_serves() {
    let place = Place::migrated("verify");
    place
        .run(&CLEANUP)
        .expect_code(5)
        .expect_words(&["has not ended", "baoctl resume"]);
    place.finish();
    let tree = beside_raft(&place);
    assert!(tree.len() > 100);
    place
        .run(&["cleanup", "--confirm-outage", WORD])
        .expect_code(5)
        .expect_words(&["less than 24h ago"]);
    crate::place::signal(place.pid("openbao-2"), 9);
    place.run(&CLEANUP).expect_code(5).expect_words(&[
        "openbao-2 does not run (its log is ",
        "nothing is removed",
        "when all members serve again: baoctl cleanup",
    ]);
    assert_eq!(beside_raft(&place), tree);
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&["finished", "9 of 9 steps done"]);
}

#[test]
fn all_that_is_listed_goes_and_nothing_else() {
    let place = Place::migrated("land");
    let data = place.work().join("nodes/openbao-0/data");
    std::fs::write(data.join("core/notes.txt"), "mine").unwrap();
    let raft = wait(place.platform().volume("openbao-0")).unwrap();
    assert!(raft.raft_files);
    let before = beside_raft(&place);
    let list = place.run(&["cleanup", "--grace", "0s", "--dry-run"]);
    list.expect_code(0).expect_words(&[
        "files of the file tree",
        "remove the entry core/migration",
        "1 files that are not of the sealed file tree are kept: core/notes.txt",
        "backup.tar",
        "nothing was changed",
    ]);
    assert_eq!(beside_raft(&place), before);
    place
        .run(&["cleanup", "--grace", "0s", "--yes"])
        .expect_code(3)
        .expect_words(&["--confirm-outage local"]);

    let mut run = place.start(&CLEANUP);
    run.until(|event| event["event"] == "action-started")
        .unwrap();
    std::thread::sleep(Duration::from_millis(3));
    run.signal(9);
    if run.end() != 0 {
        for command in ["resume", "rollback"] {
            place.run(&[command]).expect_code(5);
        }
        place
            .run(&["status"])
            .expect_code(0)
            .expect_words(&["baoctl cleanup"]);
        place.run(&CLEANUP).expect_code(0);
    }
    let left = beside_raft(&place);
    assert_eq!(left.len(), 1, "{:?}", left.keys());
    assert_eq!(left[&PathBuf::from("core/notes.txt")], b"mine");
    let run = place.work().join("run");
    for name in ["backup.tar", "final.tar", "final.snap", "final.manifest"] {
        assert!(!run.join(name).exists(), "{name}");
    }
    place.assert_data(&place.leader());
    place
        .run(&["rollback", "--lose-writes", "--confirm-outage", WORD])
        .expect_code(5)
        .expect_words(&["there is no way back"]);
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&["what was left of it is removed"]);
    place
        .run(&["report"])
        .expect_code(0)
        .expect_words(&["remove-tree", "there is no way back any more"]);
    // Once more is the same.
    place.run(&CLEANUP).expect_code(0);
}

#[test]
fn after_a_rollback_the_tree_stays() {
    let place = Place::migrated("restore");
    place
        .run(&["rollback", "--lose-writes", "--confirm-outage", WORD])
        .expect_code(0);
    let aside = || wait(place.platform().volume("openbao-0")).unwrap().aside;
    assert_eq!(aside().len(), 1);
    place.run(&CLEANUP).expect_code(0);
    assert_eq!(aside().len(), 0);
    place.assert_data("openbao-0");
}
