//! A fresh cluster with new keys in place of a source whose data stays behind, and the way back from it.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::place::{MIGRATE, Place, ROLLBACK, files, wait};
use baoctl::action::Keys;
use baoctl::bao::{Health, Node};
use baoctl::meter::Silent;
use baoctl::platform::local::Golden;
use baoctl::platform::{Platform, SecretName};
use baoctl::storage::{ArchiveReader, verify};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const RESEED: [&str; 2] = ["--runbook", "reseed"];

/// In place of `sops`: it takes what the real one is given, and writes it so that no word of it can be read.
const SOPS: &str = r#"#!/bin/sh
[ "$1 $2 $3 $4" = "encrypt --input-type json --filename-override" ] || exit 9
[ "$6" = /dev/stdin ] || exit 9
printf '{"sops": {"mac": "x"}, "data": "'
base64 -w0 < /dev/stdin | tr 'A-Za-z' 'N-ZA-Mn-za-m'
printf '"}'
"#;

#[test]
fn a_source_that_holds_data_stays_behind_with_leave_and_comes_back() {
    let place = Place::with_source(&["--entries", "200", "--shares", "3", "--threshold", "2"]);
    let old = place.keys(SecretName::Unseal).unwrap();
    refused_without_leave(&place);
    let sealed = place.path("keys.sops.json");
    let summary = reseeded(&place, &sealed);
    let left = summary["left"].to_string();
    assert!(
        left.contains("lost.txt") && left.contains("write the new keys"),
        "{left}"
    );

    let new = place.keys(SecretName::Unseal).unwrap();
    three_voters(&place, &old, &new);
    let told = place.run(&["status"]);
    assert!(!told.out.contains("but no member"), "{}", told.out);
    keys_are_kept(&place, &old, &new, &sealed);
    lost_is_listed(&place);
    back_again(&place, &new);
}

/// What none of their tables come along of cannot break.
#[test]
fn child_namespaces_stay_behind_and_come_back() {
    let place = Place::with_source(&["--entries", "100", "--namespaces"]);
    let migrate = [&MIGRATE[..], &RESEED].concat();
    let named = [
        "namespace sales/emea/north/",
        "policy sample-reader in research/",
    ];
    place.run(&migrate).expect_code(5).expect_words(&named);
    place
        .run(&[&migrate[..], &["--lose-data"]].concat())
        .expect_code(0);
    lost_is_listed(&place);
    place
        .run(&[&ROLLBACK[..], &["--lose-writes"]].concat())
        .expect_code(0);
    place.assert_data("openbao-0");
}

/// Nothing happens, and it says to what it would.
fn refused_without_leave(place: &Place) {
    let before = files(&place.work().join("secrets"));
    let migrate = [&MIGRATE[..], &RESEED].concat();
    let named = [
        "secret/ (kv)",
        "policy",
        "--lose-data",
        "nothing on the server",
    ];
    place.run(&migrate).expect_code(5).expect_words(&named);
    assert_eq!(files(&place.work().join("secrets")), before);
    assert!(
        !place
            .work()
            .join("nodes/openbao-0/data/core/_migration")
            .exists()
    );
    place.assert_data("openbao-0");
    // The flags are for this runbook alone.
    let wrong = [&MIGRATE[..], &["--lose-data"]].concat();
    place
        .run(&wrong)
        .expect_code(2)
        .expect_words(&["--runbook reseed"]);
}

/// With leave, and the keys in a file as well. The summary.
fn reseeded(place: &Place, sealed: &Path) -> Value {
    let bin = place.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let sops = bin.join("sops");
    std::fs::write(&sops, SOPS).unwrap();
    std::fs::set_permissions(sops, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let leave = [
        "--lose-data",
        "--json",
        "--sops-file",
        sealed.to_str().unwrap(),
    ];
    let mut command = place.command(&[&MIGRATE[..], &RESEED, &leave].concat());
    let output = command.env("PATH", path).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    // By the first member, and not again by those that follow.
    let ends = said.matches(r#""event":"outage-ended""#).count();
    assert_eq!(ends, 1, "{said}");
    let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(summary["event"], "summary", "{summary:#}");
    summary
}

/// They know the new token and not the old one.
fn three_voters(place: &Place, old: &Keys, new: &Keys) {
    assert_eq!(new.shares.len(), 3);
    let mut leaders = 0;
    for member in place.platform().members() {
        let node = place.node(&member);
        wait(node.lookup_self(&new.token)).unwrap();
        assert!(wait(node.lookup_self(&old.token)).is_err(), "{member}");
        leaders += u32::from(wait(node.health()).unwrap() == Health::Active);
    }
    assert_eq!(leaders, 1);
    let leader = place.node(&place.leader());
    let servers = wait(leader.raft_configuration(&new.token)).unwrap().servers;
    assert_eq!(servers.iter().filter(|it| it.voter).count(), 3);
}

/// The new ones in the Secret and the file, the old ones in the parked copy, and neither in what the run wrote.
fn keys_are_kept(place: &Place, old: &Keys, new: &Keys, sealed: &Path) {
    let parked = place.keys(SecretName::Parked).unwrap();
    assert_eq!(parked.token.expose_secret(), old.token.expose_secret());
    let text = std::fs::read_to_string(sealed).unwrap();
    assert!(text.contains("sops") && !text.contains(new.token.expose_secret()));
    assert_eq!(
        sealed.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    for (file, content) in files(&place.work().join("run")) {
        let content = String::from_utf8_lossy(&content).into_owned();
        for secret in [&new.token, &new.shares[0], &old.token, &old.shares[0]] {
            assert!(
                !content.contains(secret.expose_secret()),
                "{}",
                file.display()
            );
        }
    }
}

/// Every sample of the source, and nothing that each server has of itself.
fn lost_is_listed(place: &Place) {
    let lost = std::fs::read_to_string(place.work().join("run/lost.txt")).unwrap();
    let lost: Vec<&str> = lost.lines().collect();
    let golden = Golden::load(&place.platform().golden_file()).unwrap();
    let mut seen = [0, 0];
    let within = golden.namespaces.iter().flat_map(|it| &it.kv);
    let samples = golden.kv.iter().chain(within);
    for sample in samples.filter(|sample| sample.value.is_some()) {
        let parts = ["/data/", "/metadata/"].iter();
        let path = parts.fold(sample.path.clone(), |path, part| {
            path.replacen(part, "/", 1)
        });
        assert!(lost.contains(&path.as_str()), "{path} is not listed");
        seen[usize::from(path == sample.path)] += 1;
    }
    assert!(
        seen.iter().all(|seen| *seen > 10),
        "of both kinds of mounts: {seen:?}"
    );
    let policies = golden
        .policies
        .iter()
        .map(|policy| format!("policy {}", policy.name));
    let mounts = ["mount secret/", "auth method approle/"].map(str::to_owned);
    let children = golden.namespaces.iter();
    let children = children.map(|child| format!("namespace {}", child.path));
    for line in policies.chain(mounts).chain(children) {
        assert!(lost.contains(&line.as_str()), "{line}: {lost:?}");
    }
    for own in [
        "policy default",
        "mount sys/",
        "auth method token/",
        "cubbyhole/",
    ] {
        assert!(!lost.iter().any(|line| line.starts_with(own)), "{own}");
        let within = format!("/{own}");
        assert!(!lost.iter().any(|line| line.contains(&within)), "{within}");
    }
}

/// To the source, with what clients wrote to the new cluster saved first, and the keys that open that kept.
fn back_again(place: &Place, new: &Keys) {
    let (token, leader) = (new.token.expose_secret(), place.leader());
    let body = json!({"type": "kv"});
    assert_eq!(
        place.send("POST", &leader, "sys/mounts/late", token, &body),
        204
    );
    let words = ["would lose what clients wrote since", "--export FILE"];
    place.run(&ROLLBACK).expect_code(5).expect_words(&words);
    let saved = place.path("saved.snap");
    let export = [&ROLLBACK[..], &["--export", saved.to_str().unwrap()]].concat();
    place.run(&export).expect_code(0);
    verify(ArchiveReader::open(&saved).unwrap(), &Silent).unwrap();
    let kept = place.keys(SecretName::Throwaway).unwrap();
    assert_eq!(kept.token.expose_secret(), token);
    assert!(place.keys(SecretName::Parked).is_none());
    let source = wait(place.node("openbao-0").seal_status()).unwrap();
    assert_eq!(
        (source.storage_type.as_str(), source.sealed),
        ("file", false)
    );
    place.assert_data("openbao-0");
    let words = ["the raft files that it put aside", "cleanup --grace 0s"];
    place.run(&["cleanup"]).expect_code(5).expect_words(&words);
    place
        .run(&["resume"])
        .expect_code(5)
        .expect_words(&["baoctl migrate-raft --runbook reseed --lose-data --work-dir"]);
    let clean = ["cleanup", "--grace", "0s", "--confirm-outage", "local"];
    place.run(&clean).expect_code(0);
    let report = place.run(&["report"]);
    assert!(!report.out.contains("no way back"), "{}", report.out);
    assert!(place.keys(SecretName::Throwaway).is_none());
    place.assert_data("openbao-0");
}

#[test]
fn a_rehearsal_ends_with_the_new_keys() {
    let place = Place::new();
    let said = place.run(&[&["rehearse", "--json", "--entries", "60"], &RESEED[..]].concat());
    said.expect_code(0);
    let summary = said.summary();
    assert!(summary["facts"]["new keys"].is_string(), "{summary:#}");
    assert!(summary["outage_seconds"].as_f64() > Some(0.0));
    assert!(summary["entries"].as_u64() >= Some(60));
}
