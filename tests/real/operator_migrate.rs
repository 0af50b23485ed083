//! The offline route, `bao operator migrate`, on real servers.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::place::{MIGRATE, Place, assert_whole, soon, wait};
use baoctl::bao::{Health, Node};
use baoctl::platform::local::find_bao;
use baoctl::platform::{Platform, SecretName, StorageKind};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const SIGKILL: i32 = 9;
const REHEARSE: [&str; 3] = ["rehearse", "--runbook", "operator-migrate"];

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn bao(args: &[&str]) -> Command {
    let mut command = Command::new(find_bao(None, StorageKind::File).unwrap());
    command
        .args(args)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Whether a process runs with this in its command line.
fn runs(word: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    })
}

/// The peer that the migration makes is found by the others, and each comes back by itself with the old key.
#[test]
fn each_voter_restarts_as_the_same_cluster() {
    let place = Place::new();
    let args = [
        "--json",
        "--keep",
        "--entries",
        "300",
        "--shares",
        "5",
        "--threshold",
        "3",
    ];
    let said = place.run(&[&REHEARSE[..], &args].concat());
    said.expect_code(0);
    assert_whole(&said.summary());
    let keys = place.keys(SecretName::Unseal).unwrap();
    let token = keys.token.expose_secret();
    let cluster = wait(place.node("openbao-0").seal_status())
        .unwrap()
        .cluster_id;
    assert!(cluster.is_some());

    let peers = place.ask(
        "GET",
        "openbao-0",
        "sys/storage/raft/configuration",
        token,
        &json!({}),
    );
    let servers = peers.1["data"]["config"]["servers"].as_array().unwrap();
    let first = servers
        .iter()
        .find(|it| it["node_id"] == "openbao-0")
        .unwrap();
    let config = fs::read_to_string(place.work().join("nodes/openbao-0/config.hcl")).unwrap();
    let address = first["address"].as_str().unwrap();
    assert!(
        config.contains(&format!("cluster_addr = \"https://{address}\"")),
        "{first}"
    );

    let mut servers = Vec::new();
    for member in place.platform().members() {
        crate::place::signal(place.pid(&member), SIGKILL);
        soon("its end", || {
            wait(place.node(&member).seal_status()).is_err()
        });
        let config = place.work().join("nodes").join(&member).join("config.hcl");
        let config = format!("-config={}", config.display());
        let folder = place.work().join("nodes").join(&member);
        let server = bao(&["server", &config])
            .current_dir(folder)
            .spawn()
            .unwrap();
        servers.push(Running(server));
        soon("its answer", || {
            wait(place.node(&member).seal_status()).is_ok()
        });
        for share in &keys.shares[..3] {
            let body = json!({"key": share.expose_secret()});
            place.send("PUT", &member, "sys/unseal", "", &body);
        }
        soon("it to serve again", || {
            let status = wait(place.node(&member).seal_status());
            let health = wait(place.node(&member).health());
            status.is_ok_and(|status| !status.sealed && status.cluster_id == cluster)
                && health.is_ok_and(|it| matches!(it, Health::Active | Health::Standby))
        });
    }
    let read = |member: &str| {
        place.send(
            "GET",
            member,
            "secret/metadata/?list=true",
            token,
            &json!({}),
        )
    };
    for member in place.platform().members() {
        soon("it to answer reads", || read(&member) == 200);
    }
}

/// Starts a rehearsal and lets it come to the middle of the migration.
fn in_the_middle(place: &Place) -> crate::place::Running {
    let mut run = place.start(&[&REHEARSE[..], &["--entries", "2500"]].concat());
    let half = |event: &Value| {
        event["event"] == "progress"
            && event["action"] == "operator-migrate"
            && event["unit"] == "entries"
            && event["total"].is_u64()
            && event["done"].as_u64() > Some(0)
    };
    run.until(half).expect("the migration tells how far it is");
    run
}

#[test]
fn killed_in_the_middle_it_is_begun_anew() {
    let place = Place::new();
    let run = in_the_middle(&place);
    run.signal(SIGKILL);
    assert_eq!(run.end(), -SIGKILL);
    let node = place.work().join("nodes/openbao-0");
    // No server would find half of the data, and a file server would not start.
    assert!(node.join("migration").exists() && !node.join("data/vault.db").exists());
    assert!(node.join("data/core/_migration").exists());
    let folder = node.join("migration").display().to_string();
    soon("the migration to end with the run", || !runs(&folder));

    assert_whole(&place.finish());
    assert!(!node.join("migration").exists());
}

/// One signal lets it end well, two end it at once.
#[test]
fn stopped_in_the_middle_it_goes_on() {
    for signals in [1, 2] {
        let place = Place::new();
        let run = in_the_middle(&place);
        for _ in 0..signals {
            run.signal(2);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(run.end(), 130);
        let there = place.work().join("nodes/openbao-0/data/vault.db").exists();
        assert_eq!(there, signals == 1);
        assert_whole(&place.finish());
    }
}

/// Trap 32: the lock of a foreign migration that was cut off is told with its cure, and the cure works.
#[test]
fn the_lock_of_a_crashed_foreign_migration_is_refused() {
    let place = Place::with_source(&["--entries", "800"]);
    let data = place.work().join("nodes/openbao-0/data");
    let lock = data.join("core/_migration");
    let store = place.path("elsewhere");
    fs::create_dir(&store).unwrap();
    let config = place.path("migrate.hcl");
    let (source, target) = (data.display(), store.display());
    let text = format!(
        "storage_source \"file\" {{\n  path = \"{source}\"\n}}\nstorage_destination \"raft\" {{\n  path = \"{target}\"\n  \
         node_id = \"x\"\n}}\ncluster_addr = \"https://127.0.0.1:1\"\n"
    );
    fs::write(&config, text).unwrap();
    let config = format!("-config={}", config.display());
    let mut foreign = Running(bao(&["operator", "migrate", &config]).spawn().unwrap());
    soon("its lock", || lock.exists());
    foreign.0.kill().unwrap();
    foreign.0.wait().unwrap();
    assert!(lock.exists(), "it was killed before its end");

    let runbook = ["--runbook", "operator-migrate"];
    let migrate = [&MIGRATE[..], &runbook].concat();
    place
        .run(&migrate)
        .expect_code(5)
        .expect_words(&["data-migration: fail", "bao operator migrate -reset"]);
    assert!(lock.exists(), "it is not ours to remove");
    let health = wait(place.node("openbao-0").health()).unwrap();
    assert_eq!(health, Health::Active);

    let reset = bao(&["operator", "migrate", "-reset", &config]).status();
    assert!(reset.unwrap().success() && !lock.exists());
    let said = place.run(&[&migrate[..], &["--json"]].concat());
    said.expect_code(0);
    crate::place::assert_compared(&said.summary());
    assert_protected(&data);
}

/// Trap 10: a stale server on file storage does not start on the old tree, which is whole.
fn assert_protected(data: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("stale.hcl");
    let tree = data.display();
    let text = format!(
        "storage \"file\" {{\n  path = \"{tree}\"\n}}\nlistener \"tcp\" {{\n  address = \"127.0.0.1:0\"\n  tls_disable = true\n}}\n"
    );
    fs::write(&config, text).unwrap();
    let config = format!("-config={}", config.display());
    let mut stale = Running(bao(&["server", &config]).spawn().unwrap());
    let mut ended = None;
    soon("its end", || {
        ended = stale.0.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(1));
    assert!(data.join("core/_keyring").exists());
}
