//! What goes wrong around a run: each gives its exit code, one message with the next command, and leaves the source
//! serving or the run able to go on.

use std::net::TcpListener;

use crate::place::{MIGRATE, Place, RESUME, Said, assert_whole, wait};
use baoctl::bao::{Health, Node};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

fn assert_serves(place: &Place) {
    let node = place.node("openbao-0");
    assert_eq!(wait(node.health()).unwrap(), Health::Active);
    let status = wait(node.seal_status()).unwrap();
    assert_eq!(status.storage_type, "file");
}

fn edit(file: &std::path::Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(file, value.to_string()).unwrap();
}

#[test]
fn a_wrong_unseal_key_is_found_before_the_outage() {
    let place = Place::with_source(&["--entries", "100"]);
    let secret = place.work().join("secrets/openbao-unseal.json");
    let mut right = String::new();
    edit(&secret, |value| {
        right = value["unseal-key"].as_str().unwrap().to_owned();
        value["unseal-key"] = json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    });
    let said = place.run(&MIGRATE);
    said.expect_code(1).expect_words(&[
        "record-keys: prove: scratch refuses the unseal key",
        "the source serves as before",
        "baoctl resume --work-dir",
    ]);
    assert!(!said.out.contains(&right) && !said.err.contains("AAAAAAAAAA"));
    assert_serves(&place);

    edit(&secret, |value| value["unseal-key"] = json!(right));
    place.run(&RESUME).expect_code(0);
}

fn run_of(place: &Place) -> String {
    let state = baoctl::journal::read(&place.journal()).unwrap();
    state.header().unwrap().run.to_string()
}

/// What is refused leaves the journal of the last run where it is, and a dry run refuses the same.
#[test]
fn a_new_run_says_which_one_it_sets_aside() {
    let place = Place::migrated("snapshot");
    let journal = std::fs::read(place.journal()).unwrap();
    let run = run_of(&place);
    for (range, words) in [
        (&["--from", "apply"][..], "--from snapshot, or without"),
        (
            &["--from", "apply", "--until", "snapshot"],
            "nothing would be run",
        ),
        (&["--keys-file", "gone.json"], "gone.json"),
    ] {
        for dry in [&[][..], &["--dry-run"]] {
            let said = place.run(&[&MIGRATE[..], range, dry].concat());
            said.expect_code(2).expect_words(&[words]);
        }
    }
    place
        .run(&["resume", "--from", "init"])
        .expect_code(2)
        .expect_words(&["record-keys"]);
    let dry = place.run(&[&MIGRATE[..], &["--dry-run"]].concat());
    dry.expect_code(0)
        .expect_words(&[&run, "`baoctl resume", "a new run sets it aside"]);
    assert_eq!(std::fs::read(place.journal()).unwrap(), journal);

    let kept = place
        .journal()
        .with_file_name(format!("journal-{run}.jsonl"));
    let said = place.migrate("migrate-raft", "snapshot");
    said.expect_words(&[&run, "has come to step snapshot", kept.to_str().unwrap()]);
    assert_eq!(std::fs::read(kept).unwrap(), journal);
    assert_ne!(run_of(&place), run);

    // What each server says needs no journal.
    let text = std::fs::read_to_string(place.journal()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[2] = "garbage";
    std::fs::write(place.journal(), lines.join("\n")).unwrap();
    let damaged = "is damaged in line 3";
    place
        .run(&RESUME)
        .expect_code(1)
        .expect_words(&[damaged, "baoctl status"]);
    let table = ["warning: the journal", damaged, "MEMBER", "openbao-0 file"];
    place.run(&["status"]).expect_code(0).expect_words(&table);
}

#[test]
fn a_damaged_archive_is_made_again_from_the_tree() {
    let place = Place::until("unseal", &[]);
    let archive = place.work().join("run/final.snap");
    let mut bytes = std::fs::read(&archive).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let args = ["snapshot", "verify", archive.to_str().unwrap()];
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_baoctl"))
        .args(args)
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&said.stderr).contains("not valid"));
    assert_whole(&place.finish());
}

/// Runs a script in a mount namespace of its own, so that what it mounts goes with it.
fn with_mounts(place: &Place, script: &str) -> Said {
    let output = std::process::Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-euc", script])
        .env("BAOCTL", env!("CARGO_BIN_EXE_baoctl"))
        .env("WORK", place.work())
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_full_disk_is_found_before_the_outage() {
    let place = Place::with_source(&["--entries", "300"]);
    // Too small from the beginning: a check says so. Then full after the proof: the seal is not sent.
    let said = with_mounts(
        &place,
        r#"
        mkdir -p "$WORK/run" && mount -t tmpfs -o size=32m tmpfs "$WORK/run"
        "$BAOCTL" migrate-raft --platform local --work-dir "$WORK" --yes || echo "exit code $?"
        "#,
    );
    said.expect_code(0)
        .expect_words(&["check room-run: fail", "exit code 5", "baoctl check"]);
    assert_serves(&place);

    let said = with_mounts(
        &place,
        r#"
        mount -t tmpfs -o size=100m tmpfs "$WORK/run"
        "$BAOCTL" migrate-raft --platform local --work-dir "$WORK" --yes --until record-keys
        head -c 200000000 /dev/zero > "$WORK/run/filler" 2>/dev/null || true
        truncate -s -200000 "$WORK/run/filler"
        "$BAOCTL" resume --work-dir "$WORK" --yes --confirm-outage local || echo "exit code $?"
        "#,
    );
    said.expect_code(0).expect_words(&[
        "free, and the final copy needs",
        "nothing was sealed",
        "exit code 1",
    ]);
    assert_serves(&place);
}

#[test]
fn a_taken_port_is_found_before_the_outage() {
    let place = Place::with_source(&["--entries", "50"]);
    let status = place.platform().status().unwrap();
    let address = status[1].address.strip_prefix("http://").unwrap();
    let taken = TcpListener::bind(address).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let words = ["release-flip", &port, "baoctl check"];
    place.run(&MIGRATE).expect_code(5).expect_words(&words);
    assert_serves(&place);
    drop(taken);

    let mut until = MIGRATE.to_vec();
    until.extend(["--until", "record-keys"]);
    place.run(&until).expect_code(0);
    let taken = TcpListener::bind(address).unwrap();
    place
        .run(&RESUME)
        .expect_code(1)
        .expect_words(&[&port, "the source serves", "baoctl resume"]);
    assert_serves(&place);
    drop(taken);
    place.run(&RESUME).expect_code(0);
}

#[test]
fn a_missing_bao_is_told_with_the_cure() {
    let place = Place::with_source(&["--entries", "50"]);
    let other = Place::new();
    other
        .run(&["rehearse", "--bao", "/nowhere/bao"])
        .expect_code(2)
        .expect_words(&["/nowhere/bao", "make bao"]);
    assert!(!other.work().exists());

    edit(&place.work().join("local.json"), |value| {
        value["bao"] = json!("/nowhere/bao");
    });
    place
        .run(&MIGRATE)
        .expect_words(&["/nowhere/bao", "make bao"])
        .expect_code(5);
    assert_serves(&place);
}

#[test]
fn an_edited_runbook_is_shown_and_not_followed() {
    let place = Place::with_source(&["--entries", "50"]);
    let book = place.path("own.yaml");
    let text = include_str!("../../runbooks/migrate-raft-fast.yaml");
    std::fs::write(&book, text).unwrap();
    let mut args = MIGRATE.to_vec();
    let book_arg = book.to_str().unwrap();
    args.extend(["--runbook", book_arg, "--until", "record-keys"]);
    place.run(&args).expect_code(0);
    let edited = text.replace("Freeze the source", "Freeze it");
    assert_ne!(edited, text);
    std::fs::write(&book, edited).unwrap();
    place.run(&RESUME).expect_code(5).expect_words(&[
        "was edited",
        "- title: Freeze the source",
        "+ title: Freeze it",
        "baoctl resume --accept-changed-runbook",
    ]);
    assert_serves(&place);
    let mut accepted = RESUME.to_vec();
    accepted.push("--accept-changed-runbook");
    place.run(&accepted).expect_code(0);
}

#[test]
fn a_second_runner_is_told_who_runs() {
    let place = Place::new();
    let mut first = place.start(&["rehearse", "--entries", "100"]);
    first.until_step("record-keys");
    let words = ["baoctl lock show"];
    place.run(&RESUME).expect_code(6).expect_words(&words);
    place.run(&MIGRATE).expect_code(6).expect_words(&words);
    place
        .run(&["lock", "show"])
        .expect_code(0)
        .expect_words(&["held by"]);
    place
        .run(&["lock", "break"])
        .expect_code(6)
        .expect_words(&["is alive"]);
    place
        .run(&["rehearse", "--discard"])
        .expect_code(6)
        .expect_words(&words);
    let other = place.path("other.jsonl");
    let mut beside = MIGRATE.to_vec();
    beside.extend(["--journal", other.to_str().unwrap()]);
    place
        .run(&beside)
        .expect_code(6)
        .expect_words(&["with a journal of another name"]);
    first.signal(2);
    assert_eq!(first.end(), 130);
    place
        .run(&["lock", "show"])
        .expect_words(&["no process holds the lock"]);
    assert_whole(&place.finish());
}

#[test]
fn a_signal_ends_the_run_where_it_can_go_on() {
    for (step, number, code) in [("apply", 15, 143), ("unseal", 1, 129)] {
        let place = Place::new();
        let mut run = place.start(&["rehearse", "--entries", "100"]);
        run.until_step(step);
        run.signal(number);
        run.signal(number);
        assert_eq!(run.end(), code);
        assert_whole(&place.finish());
    }
}

#[test]
fn nobody_to_ask_is_no_consent() {
    let place = Place::with_source(&["--entries", "50"]);
    let args = ["migrate-raft", "--platform", "local"];
    place
        .run(&args)
        .expect_code(3)
        .expect_words(&["--yes", "baoctl resume"]);
    assert_serves(&place);
    let mut args = args.to_vec();
    args.push("--yes");
    place
        .run(&args)
        .expect_code(3)
        .expect_words(&["--confirm-outage local"]);
    assert_serves(&place);
}

#[test]
fn keys_come_from_a_command_or_a_descriptor_as_well() {
    let place = Place::with_source(&["--entries", "20", "--shares", "3", "--threshold", "2"]);
    let keys = place.keys(baoctl::platform::SecretName::Unseal).unwrap();
    let shares: Vec<&str> = keys
        .shares
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    let json =
        serde_json::json!({"unseal_keys_b64": shares, "root_token": keys.token.expose_secret()});
    let path = place.path("keys.json");
    std::fs::write(&path, json.to_string()).unwrap();

    // What is told to type next has the file that was given.
    let bad = json
        .to_string()
        .replace(keys.token.expose_secret(), "s.wrong");
    let wrong = place.path("wrong.json");
    std::fs::write(&wrong, bad).unwrap();
    let given = ["--keys-file", wrong.to_str().unwrap()];
    place
        .run(&[&MIGRATE[..], &given].concat())
        .expect_code(5)
        .expect_words(&[&format!("baoctl check --keys-file {}", given[1])]);

    let right = format!("cat {}", path.display());
    place
        .run(&["check", "--keys-command", &right])
        .expect_code(0);
    let canary = r#"echo '{"unseal_keys_b64": ["no-share-canary"], "root_token": "canary"}'"#;
    let said = place.run(&["check", "--keys-command", canary]);
    said.expect_code(5).expect_words(&[
        "keys-present: fail",
        "share 1 of 1 is neither hex nor base64",
    ]);
    assert!(!format!("{}{}", said.out, said.err).contains("canary"));
    // The Secret's own keys are right: it is the command's that count.
    let wrong = r#"echo '{"unseal_keys_b64": [], "root_token": "canary"}'"#;
    let said = place.run(&["check", "--keys-command", wrong]);
    said.expect_code(5)
        .expect_words(&["0 unseal share(s), but 2"]);
    let twice =
        serde_json::json!({"unseal_keys_b64": [shares[0], shares[0]], "root_token": "canary"});
    let said = place.run(&["check", "--keys-command", &format!("echo '{twice}'")]);
    said.expect_code(5)
        .expect_words(&["1 different unseal share(s), but 2"]);
    // Nor may the hook be left with another key than the one that was proven.
    let token = keys.token.expose_secret();
    let other = serde_json::json!({"unseal_keys_b64": ["7".repeat(64)], "root_token": token});
    let other = format!("echo '{other}'");
    let mut args = MIGRATE.to_vec();
    args.extend(["--keys-command", &other]);
    for args in [&args[..], &["check", "--keys-command", &other]] {
        place.run(args).expect_code(5).expect_words(&[
            "keys-hook: fail",
            "holds other shares than the keys that were given",
        ]);
    }
    assert_serves(&place);
    // What it gave is kept nowhere: it is told to be given again.
    let again = "--keys-command COMMAND";
    place.run(&args).expect_words(&[again]);
    let begin = [
        &MIGRATE[..],
        &["--keys-command", &right, "--until", "record-keys"],
    ];
    place.run(&begin.concat()).expect_code(0);
    place
        .run(&["status"])
        .expect_words(&[&format!("`baoctl resume {again}")]);
    for (flags, words) in [
        (&["--keys-command", "echo canary"][..], "line 1"),
        (&["--keys-command", "false"], "another --keys-command"),
        (&["--keys-fd", "0"], "--keys-fd 0"),
        (&["--keys-fd", "99"], "--keys-fd 99"),
        (&["--keys-fd", "0", "--ask-keys"], "cannot be used with"),
    ] {
        let mut args = vec!["check"];
        args.extend(flags);
        place.run(&args).expect_code(2).expect_words(&[words]);
    }
    place
        .run(&["check", "--ask-keys"])
        .expect_code(3)
        .expect_words(&["--keys-file"]);
}
