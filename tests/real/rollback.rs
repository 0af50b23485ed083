//! The way back to file storage, on real servers.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::place::{MIGRATE, Place, RESUME, ROLLBACK, assert_back, assert_compared, wait};
use baoctl::action::{ActionSpec, Key};
use baoctl::platform::{Platform, SecretName, UNSEAL_KEY};
use baoctl::runbook::Loaded;
use secrecy::ExposeSecret;

/// From each of its steps back and, as the next run, forward again: the data is what it was, however often.
fn from_each_step_and_forward_again(runbook: &str) {
    let place = Place::with_source(&["--entries", "300"]);
    let loaded = Loaded::named(runbook).unwrap();
    let (mut served, mut gone) = (false, false);
    for step in &loaded.runbook.steps {
        println!("{runbook}: back after {}", step.id);
        place.migrate(runbook, &step.id);
        let opens = |it: &ActionSpec| matches!(it, ActionSpec::Unseal { key: Key::Old, .. });
        served |= step.actions.iter().any(opens);
        let mut back = ROLLBACK.to_vec();
        if served {
            place
                .run(&back)
                .expect_code(5)
                .expect_words(&["would lose what clients wrote since", "--lose-writes"]);
            back.push("--lose-writes");
        }
        if step.id == "snapshot" {
            // Nothing was done that could be taken back: the run is given up.
            place
                .run(&back)
                .expect_code(0)
                .expect_words(&["rolled back"]);
            place.run(&["resume"]).expect_code(5);
            continue;
        }
        let mut dry = back.clone();
        dry.push("--dry-run");
        place
            .run(&dry)
            .expect_code(0)
            .expect_words(&["nothing was changed"]);
        let said = place.run(&back);
        said.expect_code(0);
        let replaces = |it: &ActionSpec| matches!(it, ActionSpec::ReplaceSource {});
        gone |= step.actions.iter().any(replaces);
        if gone {
            said.expect_words(&["entries byte for byte as they were sealed"]);
        }
        assert_back(&place);
        place.run(&["resume"]).expect_code(5);
    }
    let end = &loaded.runbook.steps.last().unwrap().id;
    assert_compared(&place.migrate(runbook, end).summary());
    place.assert_data(&place.leader());
}

#[test]
fn from_each_step_and_forward_again_join_before_restore() {
    from_each_step_and_forward_again("migrate-raft");
}

#[test]
fn from_each_step_and_forward_again_restore_before_join() {
    from_each_step_and_forward_again("migrate-raft-fast");
}

#[test]
fn from_each_step_and_forward_again_offline() {
    from_each_step_and_forward_again("operator-migrate");
}

#[test]
fn nobody_is_said_to_serve_who_does_not() {
    let place = Place::until("record-keys", &[]);
    wait(place.platform().kill_now("openbao-0")).unwrap();
    let but =
        "but openbao-0 does not run now: clients are not served until it is started and unsealed";
    place.run(&RESUME).expect_code(1).expect_words(&[
        "does not run; start it and unseal it first, while its hook still has the key",
        but,
    ]);
    let key = wait(place.platform().secret(SecretName::Unseal));
    let key = key.unwrap().unwrap();
    assert!(!key[UNSEAL_KEY].expose_secret().is_empty(), "not parked");
    place.run(&["status"]).expect_code(0).expect_words(&[but]);
    place.run(&ROLLBACK).expect_code(1).expect_words(&[but]);
    place.run(&["status"]).expect_code(0).expect_words(&[but]);
}

/// The offline route, with a step that ends before this action.
fn cut_before(action: &str, folder: &std::path::Path) -> String {
    let action = format!("      - {action}");
    let cut = "  - id: go-on\n    title: Go on\n    rollback: as before\n    actions:\n";
    let text = include_str!("../../runbooks/operator-migrate.yaml");
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
    for (step, delay) in [
        ("unseal", 10),
        ("unseal", 400),
        ("restore", 10),
        ("restore", 300),
        ("land", 1200),
    ] {
        println!("killed {delay} ms into the way back after {step}");
        let place = Place::migrated(step);
        let mut back = ROLLBACK.to_vec();
        let saved = place.path("saved.snap");
        if step != "unseal" {
            back.extend(["--export", saved.to_str().unwrap()]);
        }
        let mut run = place.start(&back);
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
            place.run(&back).expect_code(0);
        }
        assert_back(&place);
        if step != "unseal" {
            let verify = ["snapshot", "verify", saved.to_str().unwrap()];
            assert!(baoctl(&verify).contains("every sum is right"));
        }
    }
}

#[test]
fn what_clients_wrote_is_counted_and_saved_before_it_is_lost() {
    let place = Place::migrated("land");
    let leader = place.leader();
    let token = place.keys(SecretName::Unseal).unwrap().token;
    let token = token.expose_secret();
    let (late, none) = ("secret/data/written-late", serde_json::json!({}));
    let body = serde_json::json!({"data": {"late": "yes"}});
    assert_eq!(place.send("POST", &leader, late, token, &body), 200);

    // A refusal leaves the run as it was, and says what to type.
    place.run(&ROLLBACK).expect_code(5).expect_words(&[
        "would lose what clients wrote since",
        "rollback --export FILE",
    ]);
    let finished = ["finished", "9 of 9 steps done"];
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&finished);
    let saved = place.path("saved.snap");
    let file = saved.to_str().unwrap();
    let dry = place.run(&["rollback", "--dry-run"]);
    dry.expect_code(0).expect_words(&[
        "entries differ",
        "deleted by clients",
        "--export FILE or --lose-writes",
    ]);
    assert!(!dry.out.contains(" 0 written"), "{}", dry.out);
    let said = place.run(&["rollback", "--export", file, "--yes"]);
    said.expect_code(3).expect_words(&[
        "the rollback needs a confirmation",
        &format!("baoctl rollback --export {file}"),
        "--confirm-outage local",
    ]);
    assert!(!saved.exists());
    place
        .run(&["status"])
        .expect_code(0)
        .expect_words(&finished);
    // Nothing is written over.
    std::fs::write(&saved, "mine").unwrap();
    let mut back = ROLLBACK.to_vec();
    back.extend(["--export", file]);
    place
        .run(&back)
        .expect_code(5)
        .expect_words(&["is there already", "name a new file"]);
    assert_eq!(std::fs::read(&saved).unwrap(), b"mine");
    std::fs::remove_file(&saved).unwrap();

    place.run(&back).expect_code(0);
    assert_back(&place);
    assert_eq!(place.send("GET", "openbao-0", late, token, &none), 404);
    assert_eq!(
        saved.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(baoctl(&["snapshot", "verify", file]).contains("every sum is right"));
    place
        .run(&["report"])
        .expect_code(0)
        .expect_words(&["rolling back", "entries differ", file]);
}

/// Shares that were changed on the new cluster do not open the source: that is found before the cluster is given up.
#[test]
fn shares_that_were_changed_since_do_not_lead_back() {
    let place = Place::migrated("land");
    let leader = place.leader();
    let old = place.keys(SecretName::Unseal).unwrap();
    let (share, token) = (old.shares[0].expose_secret(), old.token.expose_secret());
    let ask = |path: &str, body| place.ask("POST", &leader, path, token, &body).1;
    let begun = ask(
        "sys/rotate/root/init",
        serde_json::json!({"secret_shares": 1, "secret_threshold": 1}),
    );
    let nonce = begun["data"]["nonce"].as_str().unwrap();
    let changed = ask(
        "sys/rotate/root/update",
        serde_json::json!({"key": share, "nonce": nonce}),
    );
    let new = changed["data"]["keys_base64"][0].as_str().unwrap();
    let secret = place.work().join("secrets/openbao-unseal.json");
    let text = std::fs::read_to_string(&secret).unwrap();
    assert!(text.contains(share), "{}", text.len());
    std::fs::write(&secret, text.replace(share, new)).unwrap();

    let mut back = ROLLBACK.to_vec();
    back.push("--lose-writes");
    place
        .run(&back)
        .expect_code(5)
        .expect_words(&["do not open the source", "--keys-file FILE"]);
    assert_eq!(place.leader(), leader, "the cluster serves as before");
    let keys = place.path("old.json");
    let of_old = serde_json::json!({"unseal_keys_b64": [share], "root_token": token});
    std::fs::write(&keys, of_old.to_string()).unwrap();
    back.extend(["--keys-file", keys.to_str().unwrap()]);
    place.run(&back).expect_code(0);
    assert_back(&place);
}

/// A cluster that nobody leads can neither be counted nor saved; it is given up only when that is said.
#[test]
fn a_cluster_that_nobody_leads_is_not_saved() {
    let place = Place::migrated("land");
    wait(place.platform().kill_all()).unwrap();
    let saved = place.path("saved.snap");
    let mut back = ROLLBACK.to_vec();
    back.extend(["--export", saved.to_str().unwrap()]);
    place
        .run(&back)
        .expect_code(5)
        .expect_words(&["no member leads the new cluster", "--lose-writes"]);
    let mut back = ROLLBACK.to_vec();
    back.push("--lose-writes");
    place
        .run(&back)
        .expect_code(0)
        .expect_words(&["cannot be counted"]);
    assert_back(&place);
}

/// What the program says to a command without a target.
fn baoctl(args: &[&str]) -> String {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_baoctl"))
        .args(args)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
