//! The way back to file storage, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod real;

use std::time::Duration;

use baoctl::bao::{Health, Node};
use baoctl::platform::{Platform, SecretName};
use real::{MIGRATE, Place, WORD, assert_whole, wait};
use secrecy::ExposeSecret;

const ROLLBACK: [&str; 4] = ["rollback", "--yes", "--confirm-outage", WORD];

/// The source serves with its old key and data, and no other server has anything to say.
fn assert_back(place: &Place) {
    let platform = place.platform();
    let node = place.node("openbao-0");
    assert_eq!(wait(node.health()).unwrap(), Health::Active);
    assert_eq!(wait(node.seal_status()).unwrap().storage_type, "file");
    let keys = place.keys(SecretName::Unseal).expect("the old key is back");
    let token = keys.token.expose_secret();
    let empty = serde_json::json!({});
    let read = place.send(
        "GET",
        "openbao-0",
        "secret/metadata/?list=true",
        token,
        &empty,
    );
    assert_eq!(read, 200);
    assert!(place.keys(SecretName::Parked).is_none());
    assert!(place.keys(SecretName::Throwaway).is_none());
    for member in platform.members() {
        assert!(
            !wait(platform.volume(&member)).unwrap().raft_files,
            "{member}"
        );
        let runs = wait(platform.instance(&member)).unwrap().is_some();
        assert_eq!(runs, member == "openbao-0", "{member}");
    }
    let tree = place.work().join("nodes/openbao-0/data");
    assert!(!tree.join("core/_migration").exists());
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&["rolled back"]);
}

#[test]
fn from_each_step_before_the_restore_and_forward_again() {
    for step in ["record-keys", "apply", "init", "join", "unseal"] {
        let place = Place::until(step, &[]);
        place
            .run(&["rollback", "--dry-run"])
            .expect_code(0)
            .expect_words(&["nothing was changed"]);
        place.run(&ROLLBACK).expect_code(0);
        assert_back(&place);
        place.run(&["resume"]).expect_code(5);
        if step == "unseal" {
            let mut again = MIGRATE.to_vec();
            again.push("--json");
            let said = place.run(&again);
            said.expect_code(0);
            assert_eq!(said.summary()["parity"]["missing"], 0);
            assert_eq!(said.summary()["parity"]["unexplained"], 0);
        }
    }
}

/// The offline route, with a step that ends before this action.
fn cut_before(action: &str, folder: &std::path::Path) -> String {
    let action = format!("      - {action}");
    let cut = "  - id: go-on\n    title: Go on\n    rollback: as before\n    actions:\n";
    let text = include_str!("../runbooks/operator-migrate.yaml");
    assert!(text.contains(&action));
    let file = folder.join("cut.yaml");
    std::fs::write(&file, text.replacen(&action, &format!("{cut}{action}"), 1)).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn from_a_migration_until_it_is_opened_and_forward_again() {
    for action in ["replace-source: {}", "unseal: {members: first, key: old}"] {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::until(
            "migrate",
            &["--runbook", &cut_before(action, folder.path())],
        );
        let data = place.work().join("nodes/openbao-0/data");
        assert!(data.join("vault.db").exists());
        place.run(&ROLLBACK).expect_code(0);
        assert_back(&place);
        let mut names = std::fs::read_dir(&data).unwrap().flatten();
        let aside = names.find(|it| it.file_name().to_string_lossy().starts_with("raft-aside-"));
        assert!(aside.unwrap().path().join("vault.db").exists());
        if action.starts_with("unseal") {
            let offline = ["--runbook", "operator-migrate", "--json"];
            let said = place.run(&[&MIGRATE[..], &offline].concat());
            said.expect_code(0);
            assert_eq!(said.summary()["parity"]["missing"], 0);
            assert_eq!(said.summary()["parity"]["unexplained"], 0);
        }
    }
}

#[test]
fn killed_on_the_way_back_it_goes_on() {
    for delay in [10, 150, 400, 900] {
        let place = Place::until("unseal", &[]);
        let mut run = place.start(&ROLLBACK);
        run.until(|event| event["event"] == "action-started")
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        run.signal(9);
        let code = run.end();
        if code != 0 {
            place
                .run(&["resume"])
                .expect_code(5)
                .expect_words(&["baoctl rollback"]);
            place.run(&ROLLBACK).expect_code(0);
        }
        assert_back(&place);
    }
}

#[test]
fn not_once_clients_were_served_from_the_new_cluster() {
    let place = Place::until("restore", &[]);
    place
        .run(&ROLLBACK)
        .expect_code(5)
        .expect_words(&["would lose what clients wrote since"]);
    assert_whole(&place.finish());
    // A refusal leaves the run as it was.
    place.run(&ROLLBACK).expect_code(5);
    let words = ["finished", "9 of 9 steps done"];
    place.run(&["status"]).expect_code(0).expect_words(&words);
}
