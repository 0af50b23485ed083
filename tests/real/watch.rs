//! `baoctl watch` on a real server.

use crate::place::{MIGRATE, Place, ROLLBACK};
use baoctl::platform::SecretName;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

fn look(place: &Place, more: &[&str], code: i32) -> Value {
    let said = place.run(&[["watch", "--platform", "local", "--json"].as_slice(), more].concat());
    said.expect_code(code);
    let line = said.out.lines().last().unwrap_or_default();
    serde_json::from_str::<Value>(line).unwrap()["watch"].take()
}

#[test]
fn it_tells_what_changed_and_how_long_the_outage_would_be() {
    let place = Place::with_source(&["--entries", "200"]);
    let first = look(&place, &[], 0);
    assert!(first["entries"].as_u64() >= Some(200), "{first}");
    assert!(
        first["since"].is_null() && first["outage"].is_null(),
        "{first}"
    );
    assert!(!place.journal().exists(), "it begins no run");

    let keys = place.keys(SecretName::Unseal).unwrap();
    let token = keys.token.expose_secret();
    for name in ["one", "two", "three"] {
        let body = json!({"data": {"v": name}});
        let path = format!("secret/data/watched/{name}");
        assert_eq!(place.send("PUT", "openbao-0", &path, token, &body), 200);
    }
    let second = look(&place, &[], 0);
    let since = &second["since"];
    assert!(
        since["written"].as_u64() >= Some(6),
        "version and metadata of each: {second}"
    );
    assert_eq!(since["deleted"], 0, "{second}");
    assert!(since["a_minute"].as_f64() > Some(0.0));

    place
        .run(&["watch", "--platform", "local", "--max-outage", "1m"])
        .expect_code(5)
        .expect_words(&["--until record-keys"]);
    place
        .run(&[MIGRATE.as_slice(), &["--until", "record-keys"]].concat())
        .expect_code(0);
    let third = look(&place, &["--max-outage", "10m"], 0);
    assert!(third["outage"].as_f64() > Some(1.0), "{third}");
    assert!(third["drift"].is_null(), "{third}");
    look(&place, &["--max-outage", "1s"], 5);
    // It waits until it fits, and then ends.
    look(&place, &["--every", "100ms", "--max-outage", "10m"], 0);
    let left: Vec<String> = std::fs::read_dir(place.work().join("run"))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("watch"))
        .collect();
    assert_eq!(left, ["watch.values"]);
    // Somebody changes the release meanwhile.
    let file = place.work().join("local.json");
    let mut topology: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    topology["history"][0]["revision"] = json!(2);
    topology["history"][0]["replicas"] = json!(2);
    std::fs::write(&file, topology.to_string()).unwrap();
    let drifted = look(&place, &[], 0);
    let told = "replicas 1 then, 2 now, revision 1 then, 2 now";
    assert_eq!(drifted["drift"], told, "{drifted}");

    let other = ["watch", "--runbook", "reseed", "--max-outage", "10m"];
    place
        .run(&other)
        .expect_code(2)
        .expect_words(&["a run of `migrate-raft` waits here"]);
    // What the proof of a run took that is over is a measure for any runbook; what it found of the release is none.
    place.run(&ROLLBACK).expect_code(0);
    let [reseed, moved] = ["reseed", "migrate-raft"].map(|book| {
        let seen = look(&place, &["--runbook", book], 0);
        assert!(seen["drift"].is_null() && seen["proof"].is_string());
        assert_eq!(seen["runbook"], book, "{seen}");
        seen["outage"].as_f64().unwrap()
    });
    assert!(reseed + 5.0 < moved, "{reseed} {moved}");
    place
        .run(&["watch"])
        .expect_code(0)
        .expect_words(&["with `migrate-raft`, by the proof of"]);

    topology["history"][0]["storage"] = json!("raft");
    std::fs::write(&file, topology.to_string()).unwrap();
    place
        .run(&["watch"])
        .expect_code(5)
        .expect_words(&["this release is on raft; there is nothing to watch"]);
}
