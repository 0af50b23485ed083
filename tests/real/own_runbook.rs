//! The example of docs/runbooks.md on real servers.

use std::os::unix::fs::PermissionsExt;

use crate::place::{MIGRATE, Place, assert_whole, soon};
use serde_json::Value;

const ASK: &str = "Has the change board agreed to the outage?";

fn change_records(place: &Place) -> Vec<String> {
    let files = std::fs::read_dir(place.path("books")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names
        .filter(|name| name.starts_with("change-") && name != "change-record.sh")
        .collect()
}

fn printed(place: &Place) -> String {
    let file = place.work().join("run/commands/announce-0.log");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::read_to_string(file).unwrap()
}

fn records(place: &Place) -> Vec<Value> {
    let text = std::fs::read_to_string(place.journal()).unwrap();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["entry"].clone())
        .collect()
}

#[test]
fn it_is_rehearsed_with_its_program_run_once_and_its_pause_asked() {
    let place = Place::new();
    let book = place.example();
    let args = ["rehearse", "--json", "--entries", "200", "--runbook"];
    let said = place.run(&[&args[..], &[book.to_str().unwrap()]].concat());
    said.expect_code(0);
    assert_whole(&said.summary());

    let opened = change_records(&place);
    assert_eq!(opened.len(), 1);
    let words = format!("opened {}\n", opened[0]);
    let output = printed(&place);
    assert_eq!(
        output.matches("./change-record.sh open\n").count(),
        1,
        "{output}"
    );
    assert_eq!(output.matches(&words).count(), 1, "{output}");
    let told = said
        .events()
        .into_iter()
        .filter(|it| it["event"] == "output");
    let told: Vec<_> = told
        .map(|it| it["line"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(told, [words.trim_end()]);

    let asked = records(&place);
    let asked = asked
        .iter()
        .filter(|it| it["record"] == "confirmed" && it["asked"] == ASK);
    assert_eq!(asked.count(), 1);
    for file in ["journal.jsonl", "log.jsonl", "report.md"] {
        let text = std::fs::read_to_string(place.work().join("run").join(file)).unwrap();
        assert!(!text.contains(words.trim_end()), "{file}");
    }
    let report = std::fs::read_to_string(place.work().join("run/report.md")).unwrap();
    assert!(
        report.contains("open a change record") && report.contains(ASK),
        "{report}"
    );
}

#[test]
fn no_flag_answers_its_pause_and_a_rollback_withdraws_the_record() {
    let place = Place::with_source(&["--entries", "50"]);
    let book = place.example();
    let said = place.run(&[&MIGRATE[..], &["--runbook", book.to_str().unwrap()]].concat());
    said.expect_code(3).expect_words(&[
        ASK,
        "no flag answers this",
        "what programs of the runbook did comes on top",
        "baoctl resume",
        "at a terminal",
    ]);
    assert_eq!(change_records(&place).len(), 1);
    let again = place.run(&["migrate-raft", "--platform", "local", "--yes"]);
    again.expect_code(5).expect_words(&["an unfinished run"]);
    place.run(&["rollback", "--yes"]).expect_code(0);
    assert_eq!(change_records(&place).len(), 0);
    assert!(printed(&place).contains("./change-record.sh withdraw\nwithdrew change-"));
}

#[test]
fn a_program_that_is_missing_changes_nothing() {
    let place = Place::with_source(&["--entries", "50"]);
    let book = place.example();
    std::fs::remove_file(place.path("books/change-record.sh")).unwrap();
    let mut validate = std::process::Command::new(env!("CARGO_BIN_EXE_baoctl"));
    let output = validate
        .args(["runbook", "validate"])
        .arg(&book)
        .output()
        .unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("warning: the program `./change-record.sh` is not found"),
        "{told}"
    );
    for command in [&["check"][..], &MIGRATE] {
        let said = place.run(&[command, &["--runbook", book.to_str().unwrap()]].concat());
        said.expect_code(5)
            .expect_words(&["books/change-record.sh` is no program here", "put it there"]);
    }
    assert!(records(&place).iter().all(|it| it["record"] != "intent"));
}

/// The program outlives the run that was killed, and is found by what is kept of it.
#[test]
fn a_run_that_was_killed_under_its_program_asks_before_it_runs_it_again() {
    let place = Place::new();
    let book = place.example();
    let text = std::fs::read_to_string(&book).unwrap();
    let slow = text
        .replace(
            "run: [./change-record.sh, open]",
            "run: [sh, -c, 'echo began >>began; sleep 8']",
        )
        .replace("          check: [./change-record.sh, is-open]\n", "");
    std::fs::write(&book, slow).unwrap();
    let began = || {
        let text = std::fs::read_to_string(place.path("books/began")).unwrap_or_default();
        text.lines().count()
    };
    let args = [
        "rehearse",
        "--entries",
        "50",
        "--until",
        "announce",
        "--runbook",
    ];
    let run = place.start(&[&args[..], &[book.to_str().unwrap()]].concat());
    soon("the program", || began() == 1);
    run.signal(9);
    assert_eq!(run.end(), -9);
    let head = printed(&place);
    let pid = head
        .split("process ")
        .nth(1)
        .unwrap()
        .split(':')
        .next()
        .unwrap();
    assert!(std::path::Path::new("/proc").join(pid).exists(), "{head}");

    place.run(&["resume", "--until", "announce"]).expect_code(0);
    assert_eq!(began(), 2);
    let anew = "announce, command: begin it anew, over what an earlier try left?";
    let records = records(&place);
    let asked = records.iter().filter(|it| it["asked"] == anew);
    assert_eq!(asked.count(), 1);
}
