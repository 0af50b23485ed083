//! What is known to go wrong with this migration, provoked on real servers. The numbers are those of
//! `docs/traps.md`.

use std::fs;
use std::time::Duration;

use crate::place::{MIGRATE, Place, RESUME, assert_whole, files, soon, wait};
use baoctl::bao::{Health, Node};
use baoctl::platform::{Platform, SecretName, StorageKind};
use baoctl::storage::ArchiveReader;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const SIGKILL: i32 = 9;

/// Kills a member the moment it says that it has restored, and goes on.
fn killed_during_the_restore(leader: bool) -> serde_json::Value {
    let place = Place::until("unseal", &[]);
    let first = place.leader();
    let members = place.platform().members();
    let victim = members
        .iter()
        .find(|member| (**member == first) == leader)
        .unwrap();
    let pid = place.pid(victim);
    let log = place.log(&first);
    let before = fs::read_to_string(&log).unwrap().len();
    let mut run = place.start(&RESUME);
    run.until_action("restore", "restore");
    soon("the restore", || {
        fs::read_to_string(&log).unwrap()[before..].contains("restored user snapshot")
    });
    crate::place::signal(pid, SIGKILL);
    let mut rewound = false;
    let summary = run
        .until(|event| {
            rewound |= event["event"] == "rewound";
            event["event"] == "summary" || event["event"] == "failed"
        })
        .unwrap();
    assert_eq!(run.end(), 0, "{summary:#}");
    assert_eq!(rewound, leader);
    summary
}

/// Trap 2.
#[test]
fn a_leader_that_dies_during_the_restore_is_no_empty_cluster() {
    assert_whole(&killed_during_the_restore(true));
}

/// Trap 3.
#[test]
fn a_follower_that_misses_the_restore_joins_anew() {
    assert_whole(&killed_during_the_restore(false));
}

/// Trap 3, before anything is sent.
#[test]
fn a_voter_that_is_away_before_the_restore_does_not_miss_it() {
    let place = Place::until("unseal", &[]);
    let leader = place.leader();
    let members = place.platform().members();
    let follower = members.iter().find(|member| **member != leader).unwrap();
    crate::place::signal(place.pid(follower), SIGKILL);
    assert_whole(&place.finish());
}

/// Traps 5, 11 and 12: without the journal nothing is initialised, restored or moved again.
#[test]
fn a_deleted_journal_repeats_nothing() {
    for step in ["init", "restore"] {
        let place = Place::until(step, &[]);
        let before = wait(place.node("openbao-0").seal_status()).unwrap();
        fs::remove_file(place.journal()).unwrap();
        place
            .run(&MIGRATE)
            .expect_code(5)
            .expect_words(&["release-storage: fail", "leftover-raft: fail"]);
        let after = wait(place.node("openbao-0").seal_status()).unwrap();
        assert_eq!(before.cluster_id, after.cluster_id);
        assert!(after.initialized && after.cluster_id.is_some());
    }
}

/// Trap 9: what syncs Secrets writes the key back, and the hook of a follower takes it for its join challenge.
#[test]
fn a_key_that_is_written_back_misleads_no_follower_for_good() {
    let place = Place::until("join", &[]);
    let secret = place.work().join("secrets/openbao-unseal.json");
    let mut data: serde_json::Value = serde_json::from_slice(&fs::read(&secret).unwrap()).unwrap();
    let old = place.keys(SecretName::Parked).unwrap();
    data["unseal-key"] = json!(old.shares[0].expose_secret());
    fs::write(&secret, data.to_string()).unwrap();
    let status = place.platform().status().unwrap();
    let follower = status.iter().find(|it| it.name == "openbao-1").unwrap();
    baoctl::bao::install_crypto();
    let hook = reqwest::Client::new()
        .put(format!("{}/v1/sys/unseal", follower.address))
        .json(&json!({"key": old.shares[0].expose_secret()}))
        .timeout(Duration::from_secs(3));
    // The server tries the key for ever, and answers never.
    assert!(wait(async { hook.send().await.unwrap_err() }).is_timeout());

    let words = ["while it was parked", "empty the field", "baoctl resume"];
    place.run(&RESUME).expect_code(1).expect_words(&words);
    data["unseal-key"] = json!("");
    fs::write(&secret, data.to_string()).unwrap();
    let mut resume = RESUME.to_vec();
    resume.push("--json");
    let said = place.run(&resume);
    said.expect_code(0)
        .expect_words(&["openbao-1 took another key", "it is replaced"]);
    assert_whole(&said.summary());
}

/// The journal as it was before the first intent of an action: a backup that somebody put back.
fn put_back_to_before(place: &Place, kind: &str) {
    let text = fs::read_to_string(place.journal()).unwrap();
    let kept: Vec<&str> = text
        .lines()
        .take_while(|line| {
            !(line.contains(r#""record":"intent""#)
                && line.contains(&format!(r#""kind":"{kind}""#)))
        })
        .collect();
    assert!(kept.len() < text.lines().count(), "no intent of {kind}");
    fs::write(place.journal(), format!("{}\n", kept.join("\n"))).unwrap();
}

/// Traps 11 and 12: an older journal does not make it initialise again.
#[test]
fn an_init_that_the_journal_does_not_know_is_a_conflict() {
    let place = Place::until("init", &[]);
    let before = wait(place.node("openbao-0").seal_status()).unwrap();
    put_back_to_before(&place, "init");
    place
        .run(&RESUME)
        .expect_code(1)
        .expect_words(&["openbao-0 is initialised", "find out whose it is"]);
    let after = wait(place.node("openbao-0").seal_status()).unwrap();
    assert_eq!(before.cluster_id, after.cluster_id);
}

/// Trap 5: an older journal does not make it restore over the cluster that serves.
#[test]
fn a_restore_that_the_journal_does_not_know_is_not_repeated() {
    let place = Place::until("restore", &[]);
    let source = wait(place.node("openbao-0").seal_status()).unwrap();
    let data = place.work().join("nodes/openbao-0/data");
    put_back_to_before(&place, "restore");
    let said = place.run(&RESUME);
    // The scene is that of a restore that is done, or a guard refuses; a second one is never sent.
    assert!(
        !said.out.contains("snapshot-force") || said.code != 0,
        "{}",
        said.out
    );
    let now = wait(place.node("openbao-0").seal_status()).unwrap();
    assert_eq!(source.cluster_id, now.cluster_id);
    assert!(data.join("vault.db").is_file());
    let aside: Vec<_> = fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("raft-aside"))
        .collect();
    assert!(aside.is_empty(), "{aside:?}");
}

/// Trap 7: shares and threshold are those of the source on every voter.
#[test]
fn the_throwaway_has_the_shares_of_the_source() {
    let place = Place::until("unseal", &["--shares", "3", "--threshold", "2"]);
    for member in place.platform().members() {
        let status = wait(place.node(&member).seal_status()).unwrap();
        assert_eq!((status.t, status.n), (2, 3));
    }
}

/// Trap 10: what is left of the tree cannot be served by a file server again.
#[test]
fn the_tombstone_keeps_a_file_server_from_starting() {
    let place = Place::until("apply", &[]);
    let tree = place.work().join("nodes/openbao-0/data");
    assert!(tree.join("core/_migration").is_file());
    let config = place.path("file.hcl");
    let text = format!(
        "disable_mlock = true\nstorage \"file\" {{ path = \"{}\" }}\nlistener \"tcp\" {{ address = \"127.0.0.1:0\" tls_disable = true }}\n",
        tree.display()
    );
    fs::write(&config, text).unwrap();
    let output = std::process::Command::new(
        baoctl::platform::local::find_bao(None, StorageKind::File).unwrap(),
    )
    .arg("server")
    .arg(format!("-config={}", config.display()))
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("migration"), "{text}");
}

/// Trap 13: the proof's node has no mounts and no leases, is gone afterwards, and the source is as it was.
#[test]
fn the_proof_is_inert() {
    let place = Place::with_source(&["--entries", "100"]);
    let leases = |place: &Place| {
        let tree = place.work().join("nodes/openbao-0/data/sys/expire");
        files(&tree)
    };
    let before = leases(&place);
    assert!(!before.is_empty(), "the sample has leases");
    let mut args = MIGRATE.to_vec();
    args.extend(["--until", "record-keys"]);
    place.run(&args).expect_code(0);
    assert_eq!(before, leases(&place));
    let mut keys = Vec::new();
    ArchiveReader::open(&place.work().join("run/proof-inert.snap"))
        .unwrap()
        .for_each(|key, _| {
            keys.push(key.to_owned());
            Ok(())
        })
        .unwrap();
    assert!(keys.len() > 50);
    for key in &keys {
        let live = [
            "core/mounts",
            "core/auth",
            "core/audit",
            "core/local-",
            "sys/expire/",
        ];
        assert!(!live.iter().any(|part| key.starts_with(part)), "{key}");
    }
    assert!(!place.work().join("nodes/scratch").exists());
    assert!(
        place
            .platform()
            .status()
            .unwrap()
            .pop()
            .unwrap()
            .instance
            .is_none()
    );
}

/// Trap 18.
#[test]
fn child_namespaces_are_refused() {
    let place = Place::with_source(&["--entries", "50"]);
    let keys = place.keys(SecretName::Unseal).unwrap();
    let status = place.send(
        "PUT",
        "openbao-0",
        "sys/namespaces/team",
        keys.token.expose_secret(),
        &json!({}),
    );
    assert_eq!(status, 200);
    place.run(&MIGRATE).expect_code(5).expect_words(&[
        "data-namespaces: fail",
        "baoctl check --runbook migrate-raft-fast",
    ]);
    place
        .run(&["check"])
        .expect_code(5)
        .expect_words(&["data-namespaces: fail", "migrate-raft-fast"]);
    place
        .run(&["check", "--runbook", "migrate-raft-fast"])
        .expect_code(0)
        .expect_words(&["data-namespaces: warn", "migrate-raft-fast"]);
    assert_eq!(
        wait(place.node("openbao-0").health()).unwrap(),
        Health::Active
    );
}

/// Trap 27.
#[test]
fn a_version_that_would_change_is_refused() {
    let place = Place::with_source(&["--entries", "50"]);
    let other = place.path("bao");
    fs::write(&other, "#!/bin/sh\necho 'OpenBao v2.7.2 (other)'\n").unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let file = place.work().join("local.json");
    let mut topology: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    topology["bao"] = json!(other);
    fs::write(&file, topology.to_string()).unwrap();
    place.run(&MIGRATE).expect_code(5).expect_words(&[
        "server-version: fail",
        "runs 2.6.2, but 2.7.2 is configured",
    ]);
}

/// Trap 20.
#[test]
fn an_audit_stanza_that_differs_is_refused() {
    let place = Place::with_source(&["--entries", "50"]);
    let file = place.work().join("local.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("audit/audit.log"));
    fs::write(&file, text.replace("audit/audit.log", "audit/other.log")).unwrap();
    place
        .run(&MIGRATE)
        .expect_code(5)
        .expect_words(&["server-audit: fail"]);
}

/// Traps 10 and 24: a tree that changed after its copy is noticed before anything is restored from it.
#[test]
fn a_tree_that_changes_after_the_copy_is_noticed() {
    let place = Place::until("unseal", &[]);
    let tree = place.work().join("nodes/openbao-0/data");
    let victim = tree.join("core/_seal-config");
    let file = fs::read(&victim).unwrap();
    fs::write(&victim, [file.as_slice(), b"\n"].concat()).unwrap();
    fs::remove_file(place.work().join("run/final.snap")).unwrap();
    place
        .run(&RESUME)
        .expect_code(1)
        .expect_words(&["is not the one that was sealed"]);
    fs::write(&victim, file).unwrap();
    assert_whole(&place.finish());
}

/// Trap 14: a server saves its keyring again from time to time, and may rotate it: the shares that were proved still open
/// it, and no second proof prolongs the outage.
#[test]
fn a_keyring_that_was_saved_again_is_known_by_its_keys() {
    let place = Place::until("record-keys", &["--shares", "5", "--threshold", "3"]);
    let token = place.keys(SecretName::Unseal).unwrap().token;
    let token = token.expose_secret();
    let code = place.send("PUT", "openbao-0", "sys/rotate", token, &json!({}));
    assert_eq!(code, 204);
    let said = place.run(&[RESUME.as_slice(), &["--json"]].concat());
    said.expect_code(0);
    assert_whole(&said.summary());
    assert!(!said.out.contains("proved on the final copy"));
    let journal = fs::read_to_string(place.journal()).unwrap();
    let proofs: Vec<Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter_map(|line: Value| Some(line["entry"]["facts"].get("proof")?.clone()))
        .collect();
    let [first, later] = proofs.as_slice() else {
        panic!("{proofs:?}")
    };
    assert_ne!(first["seal_material"], later["seal_material"]);
    assert_eq!(first["data_keys"].as_object().unwrap().len(), 1);
}

/// Trap 23: a standby gives a snapshot of its own store.
#[test]
fn each_voter_is_compared_by_its_own_snapshot() {
    let place = Place::until("restore", &[]);
    let snapshots = |member: &String| {
        let log = fs::read_to_string(place.log(member)).unwrap();
        log.matches("starting snapshot up to").count()
    };
    let members = place.platform().members();
    let before: Vec<usize> = members.iter().map(snapshots).collect();
    assert_whole(&place.finish());
    for (member, before) in members.iter().zip(before) {
        assert_eq!(snapshots(member), before + 1, "{member}");
    }
}

/// A dry run prints the calls of each step and changes nothing.
#[test]
fn a_dry_run_changes_nothing() {
    let place = Place::with_source(&["--entries", "100"]);
    let node = place.node("openbao-0");
    let tree = place.work().join("nodes/openbao-0/data");
    let audit = place.work().join("nodes/openbao-0/audit/audit.log");
    let logged = fs::read_to_string(&audit).unwrap().len();
    let before = (files(&tree), wait(node.seal_status()).unwrap());
    let said = place.run(&["migrate-raft", "--platform", "local", "--dry-run"]);
    said.expect_code(0).expect_words(&[
        "PUT sys/seal",
        "PUT sys/init",
        "POST sys/storage/raft/snapshot-force",
        "GET sys/storage/raft/snapshot",
        "dry run: nothing was changed",
    ]);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(before, (files(&tree), wait(node.seal_status()).unwrap()));
    assert!(!place.journal().exists());
    assert!(place.platform().status().unwrap()[1].instance.is_none());
    let log = fs::read_to_string(&audit).unwrap();
    let mut requests = 0;
    for line in log[logged..].lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let operation = entry["request"]["operation"].as_str().unwrap_or_default();
        let path = entry["request"]["path"].as_str().unwrap_or_default();
        let looks = matches!(operation, "read" | "list") || path == "sys/capabilities-self";
        assert!(looks, "{line}");
        requests += 1;
    }
    assert!(requests > 5, "the audit log saw the looks");
}

/// Canaries: the keys and a value of the sample are nowhere but where they belong.
#[test]
fn no_secret_is_left_where_it_does_not_belong() {
    let place = Place::new();
    let args = ["rehearse", "--json", "--entries", "100", "--keep"];
    let said = place.run(&args);
    said.expect_code(0);
    let keys = place.keys(SecretName::Unseal).unwrap();
    let mut canaries: Vec<String> = keys
        .shares
        .iter()
        .map(|it| it.expose_secret().to_owned())
        .collect();
    canaries.push(keys.token.expose_secret().to_owned());
    let raw = base64_simd::STANDARD.decode_to_vec(&canaries[0]).unwrap();
    canaries.push(hex::encode(raw));
    let report = place.run(&["report"]);
    let status = place.run(&["status"]);
    let run = files(&place.work().join("run"));
    let mut places: Vec<(String, Vec<u8>)> = run
        .into_iter()
        .map(|(path, bytes)| (path.display().to_string(), bytes))
        .collect();
    for member in place.platform().members() {
        let pid = place.pid(&member);
        for file in ["cmdline", "environ"] {
            let path = format!("/proc/{pid}/{file}");
            places.push((path.clone(), fs::read(path).unwrap()));
        }
        places.push((member.clone(), fs::read(place.log(&member)).unwrap()));
    }
    for (name, text) in [("run", &said), ("report", &report), ("status", &status)] {
        places.push((
            name.to_owned(),
            format!("{}{}", text.out, text.err).into_bytes(),
        ));
    }
    assert!(places.len() > 10);
    for (name, bytes) in places {
        for canary in &canaries {
            let found = bytes
                .windows(canary.len())
                .any(|part| part == canary.as_bytes());
            assert!(!found, "a key is in {name}");
        }
    }
}
