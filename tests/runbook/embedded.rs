//! The built-in runbooks and the schema.

use baoctl::journal::RunbookText;
use baoctl::runbook::{EMBEDDED, Error, Loaded, diff, schema};

#[test]
fn the_embedded_runbooks_are_what_they_were() {
    for (name, text) in EMBEDDED {
        let loaded = Loaded::resolve(name).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.runbook.name, name);
        assert_eq!(loaded.text, text);
        // The offline route initialises and restores nothing.
        let blind = (name != "operator-migrate").then_some("init");
        assert_eq!(loaded.runbook.no_blind_repeat_from(), blind);
        insta::assert_debug_snapshot!(name, loaded.runbook);
        let recorded = RunbookText::from(&loaded);
        assert_eq!(Loaded::recorded(&recorded).unwrap(), loaded);
    }
}

#[test]
fn the_steps_of_the_card_are_in_its_order() {
    let runbook = Loaded::named("migrate-raft").unwrap().runbook;
    let ids: Vec<&str> = runbook.steps.iter().map(|step| step.id.as_str()).collect();
    let expected = [
        "snapshot",
        "record-keys",
        "apply",
        "init",
        "join",
        "unseal",
        "restore",
        "verify",
        "land",
    ];
    assert_eq!(ids, expected);
    assert_eq!(runbook.from_step("verify"), ["verify", "land"]);
    assert!(runbook.from_step("nowhere").is_empty());
}

#[test]
fn a_mistyped_name_is_answered_with_the_names() {
    let error = Loaded::resolve("migrate-raf").unwrap_err();
    insta::assert_snapshot!(error, @"there is no runbook `migrate-raf`, did you mean `migrate-raft`?; built in are migrate-raft, migrate-raft-fast, operator-migrate, restore-snapshot, reseed, anything else is the path of a file");
    assert!(matches!(
        Loaded::resolve("./missing.yaml"),
        Err(Error::Read { .. })
    ));
}

/// The rules grow: a run that is under way goes on by those under which it began.
#[test]
fn what_a_journal_has_recorded_is_held_to_no_later_rule() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.yaml");
    let text = EMBEDDED[0].1.replace("      - park-key: {}\n", "");
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(Loaded::file(&path), Err(Error::Invalid(_))));
    let recorded = RunbookText {
        name: "mine".to_owned(),
        file: Some(path.clone()),
        sha256: String::new(),
        text,
    };
    assert_eq!(Loaded::recorded(&recorded).unwrap().runbook.steps.len(), 9);
    assert!(Loaded::is_unchanged(&recorded));
    std::fs::write(&path, "version: 1").unwrap();
    assert!(!Loaded::is_unchanged(&recorded));
}

#[test]
fn a_file_is_read_by_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.yaml");
    std::fs::write(&path, EMBEDDED[0].1).unwrap();
    let loaded = Loaded::resolve(path.to_str().unwrap()).unwrap();
    assert_eq!(loaded.file.as_deref(), Some(path.as_path()));
    assert_eq!(loaded.sha256.len(), 64);
}

/// `UPDATE=1` writes the schema anew.
#[test]
fn the_committed_schema_is_the_one_of_the_model() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/runbook.schema.json");
    let mut now = serde_json::to_string_pretty(&schema()).unwrap();
    now.push('\n');
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap();
    assert!(
        serde_json::from_str::<serde_json::Value>(&committed).unwrap() == schema(),
        "run with UPDATE=1:\n{}",
        diff(&committed, &now)
    );
}

#[test]
fn a_diff_shows_what_changed() {
    let old = EMBEDDED[0].1;
    let new = old.replace("- back-up: {}", "- back-up");
    let shown = diff(old, &new);
    assert!(shown.contains("\n-      - back-up: {}\n+      - back-up\n"));
    assert_eq!(diff(old, old), "");
}
