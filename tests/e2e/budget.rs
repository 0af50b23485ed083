//! What `watch` says beforehand, and an outage that a program of the operator's own makes longer than was agreed to.

use std::time::Duration;

use serde_json::Value;

use crate::back::is_back;
use crate::cases::FAST;
use crate::cluster::cluster;
use crate::release::{PLAIN, Release};
use crate::table::Figures;

/// The longest outage that is agreed to; the forecast is well below it, and the program of the runbook above.
const BUDGET: &str = "45s";

pub fn full_own_runbook_beyond_its_budget() -> Figures {
    let release = Release::install("budget", PLAIN);
    let prove = [&FAST[..], &["--until", "record-keys"]].concat();
    release.run(&release.agreed(&prove)).expect(0);
    let looked = release.run(&["watch", "--json", "--max-outage", BUDGET]);
    let looked = looked.expect(0);
    let seen: Value = serde_json::from_str(looked.text.lines().next().unwrap()).unwrap();
    let seen = &seen["watch"];
    assert!(seen["outage"].as_f64() > Some(5.0), "{seen}");
    assert!(seen["entries"].as_u64() >= Some(300), "{seen}");
    assert_eq!(seen["drift"], Value::Null);

    let fast = include_str!("../../runbooks/migrate-raft-fast.yaml");
    let before = "\n  - id: restore\n";
    let wait = "\n  - id: wait\n    title: Wait for a program of one's own\n    rollback: nothing to undo\n    actions:\n      \
                - command: {title: wait, run: [sleep, \"90\"], effect: change, timeout: 120}\n";
    assert_eq!(fast.matches(before).count(), 1);
    let book = release.folder.path().join("own.yaml");
    std::fs::write(&book, fast.replace(before, &format!("{wait}{before}"))).unwrap();
    let own = ["migrate-raft", "--runbook", book.to_str().unwrap()];
    let own = [&own[..], &["--max-outage", BUDGET]].concat();
    let began = std::time::Instant::now();
    // What it goes back through may be away just then, and nobody is there to type it again.
    let said = release.heard(&release.agreed(&own), |event| {
        let note = event["message"].as_str().unwrap_or_default();
        if note.contains("going back to the old storage") {
            cluster().fault(&["apiserver", "restart"]);
        }
    });
    let said = said.expect(1);
    for words in ["longer than the 45", "serves from its old storage again"] {
        assert!(said.text.contains(words), "{}", said.text);
    }
    assert!(began.elapsed() < Duration::from_mins(3));
    is_back(&release);
    Figures::default()
}
