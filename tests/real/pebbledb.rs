//! A source on `pebbledb`, which OpenBao has since 2.7, on real servers of that version.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::place::{MIGRATE, Place, ROLLBACK, Running, WORD, assert_back, assert_compared};
use crate::place::{files, soon, wait};
use baoctl::meter::Silent;
use baoctl::platform::local::find_bao;
use baoctl::platform::{Platform, SecretName, StorageKind, TOMBSTONE};
use baoctl::storage::{DigestList, DigestSource, Phase};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const SIGKILL: i32 = 9;
/// The member that has the store.
const FIRST: &str = "openbao-0";

fn bao() -> PathBuf {
    let bao = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/bao/2.7.2/bao");
    assert!(bao.exists(), "`make bao` gets it");
    bao
}

/// A source on `pebbledb` that serves.
fn source(entries: &str) -> Place {
    let bao = bao();
    let bao = bao.to_str().unwrap();
    Place::with_source(&["--source", "pebbledb", "--bao", bao, "--entries", entries])
}

fn store(place: &Place) -> PathBuf {
    place.work().join("nodes/openbao-0/data/pebbledb")
}

fn run_to(mut run: Running, fits: impl FnMut(&Value) -> bool) {
    run.until(fits).expect("it comes to that");
    run.signal(SIGKILL);
    assert_eq!(run.end(), -SIGKILL);
}

/// A server that somebody starts on the store ends at once, and leaves it as it is.
#[track_caller]
fn assert_nobody_starts_on(place: &Place) {
    let before = files(&store(place));
    let config = place.path("by-hand.hcl");
    let text = format!(
        "storage \"pebbledb\" {{\n  path = \"{}\"\n}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}}\n",
        store(place).display()
    );
    std::fs::write(&config, text).unwrap();
    let said = Command::new(bao())
        .arg("server")
        .arg(format!("-config={}", config.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
    assert!(
        !said.status.success() && text.contains("moved-to-raft"),
        "{text}"
    );
    assert_eq!(files(&store(place)), before);
}

#[test]
fn killed_on_the_way_and_taken_back_from_the_end() {
    let place = source("2500");
    let runbook = ["--runbook", "operator-migrate"];
    let migrate = [&MIGRATE[..], &runbook].concat();

    // While the frozen store is laid out as a tree.
    let mut run = place.start(&migrate);
    run.until_action("apply", "final-copy");
    std::thread::sleep(Duration::from_millis(300));
    run.signal(SIGKILL);
    assert_eq!(run.end(), -SIGKILL);
    // The sealed server holds it, until the machine goes down.
    wait(place.platform().kill_now(FIRST)).unwrap();
    assert_nobody_starts_on(&place);
    let sealed = files(&store(&place));

    // In the middle of the migration.
    run_to(place.start(&crate::place::RESUME), |event| {
        event["event"] == "progress"
            && event["action"] == "operator-migrate"
            && event["done"].as_u64() > Some(0)
    });
    assert_nobody_starts_on(&place);
    assert_compared(&place.finish());
    for member in place.platform().members() {
        place.assert_data(&member);
    }
    assert_eq!(files(&store(&place)), sealed, "the store is only read");
    assert_nobody_starts_on(&place);

    let token = place.keys(SecretName::Unseal).unwrap().token;
    let token = token.expose_secret();
    let written = json!({"data": {"by": "a client of the new cluster"}});
    let late = "secret/data/late";
    assert_eq!(
        place.send("PUT", &place.leader(), late, token, &written),
        200
    );
    place
        .run(&ROLLBACK)
        .expect_code(5)
        .expect_words(&["would lose what clients wrote since", "--lose-writes"]);
    let back = [&ROLLBACK[..], &["--lose-writes"]].concat();
    run_to(place.start(&back), |event| {
        event["event"] == "action-started" && event["action"] == "write-tombstone"
    });
    place.run(&back).expect_code(0).expect_words(&[
        "serves from pebbledb storage",
        "entries byte for byte as they were sealed",
    ]);
    assert_back(&place);
    assert_eq!(place.send("GET", FIRST, late, token, &Value::Null), 404);

    // Forward again, and the old store away.
    let said = place.run(&[&migrate[..], &["--json"]].concat());
    said.expect_code(0);
    assert_compared(&said.summary());
    let cleanup = ["cleanup", "--grace", "0s", "--confirm-outage", WORD];
    place
        .run(&cleanup)
        .expect_code(0)
        .expect_words(&["files of the store"]);
    let node = place.work().join("nodes/openbao-0");
    assert!(!store(&place).exists() && !node.join("laid-out").exists());
    place.assert_data(&place.leader());
}

/// The keys of a list that begin with this.
fn below(list: &DigestList, prefix: &str) -> u64 {
    let (mut digests, mut key, mut found) = (list.digests(), String::new(), 0);
    while digests.next_digest(&mut key).unwrap().is_some() {
        found += u64::from(key.starts_with(prefix));
    }
    found
}

/// What a server has acknowledged is in a copy that is made afterwards, also while logs become tables.
#[test]
fn a_store_that_is_written_to_is_copied_whole() {
    let place = source("100");
    let platform = place.platform();
    let look = || wait(platform.tree_manifest(FIRST, Phase::Live, &Silent)).unwrap();
    let token = place.keys(SecretName::Unseal).unwrap().token;
    let token = token.expose_secret();
    let before = below(&look(), "logical/");
    let tables = || {
        let names = files(&store(&place)).into_keys();
        names
            .filter(|it| it.extension().is_some_and(|it| it == "sst"))
            .count()
    };
    let (tables_before, written, over) = (tables(), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for writer in 0..2 {
            let (place, written, over) = (&place, &written, &over);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let path = format!("cubbyhole/{writer}-{number}");
                    let body = json!({"filling": format!("{number}-").repeat(10_000)});
                    assert_eq!(place.send("PUT", FIRST, &path, token, &body), 204);
                    written.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for round in 0..4 {
            let enough = 100 * (round + 1);
            soon("some writes", || written.load(Ordering::SeqCst) >= enough);
            let acknowledged = written.load(Ordering::SeqCst);
            let held = below(&look(), "logical/") - before;
            assert!(held >= acknowledged, "{held} of {acknowledged}");
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(tables() > tables_before, "no log became a table");

    // The same copy of one's own store, for a rehearsal on it.
    let keys = place.keys(SecretName::Unseal).unwrap();
    let shares: Vec<&str> = keys
        .shares
        .iter()
        .map(ExposeSecret::expose_secret)
        .collect();
    let file = place.path("keys.json");
    let text = json!({"unseal_keys_b64": shares, "root_token": token}).to_string();
    std::fs::write(&file, text).unwrap();
    let (store, bao) = (store(&place), bao());
    let own = Place::with_source(&[
        "--source",
        "pebbledb",
        "--bao",
        bao.to_str().unwrap(),
        "--from-tree",
        store.to_str().unwrap(),
        "--keys-file",
        file.to_str().unwrap(),
    ]);
    let status = own.send("GET", FIRST, "cubbyhole/0-0", token, &Value::Null);
    assert_eq!(status, 200);

    // A tombstone that no run knows of: `bao` could not take it away.
    std::fs::write(store.join(TOMBSTONE), "").unwrap();
    let said = place.run(&["check", "--runbook", "operator-migrate"]);
    said.expect_code(5)
        .expect_words(&[TOMBSTONE, "once you know that nobody has moved this data"]);
    assert!(!said.err.contains("-reset") && !said.out.contains("-reset"));
}

#[test]
fn a_version_that_does_not_serve_from_it_is_refused() {
    let place = Place::new();
    let older = find_bao(None, StorageKind::File).unwrap();
    let newer = bao();
    for (source, bao) in [("pebbledb", older), ("file", newer)] {
        let args = ["rehearse", "--source", source, "--bao"];
        place
            .run(&[&args[..], &[bao.to_str().unwrap()]].concat())
            .expect_code(2)
            .expect_words(&["does not serve from", "name another program with --bao"]);
        assert!(!place.work().exists());
    }
}
