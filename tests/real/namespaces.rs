//! Child namespaces, nested ones, with local mounts and auth methods of their own, on real servers.

use std::time::Duration;

use crate::place::{
    MIGRATE, Place, ROLLBACK, assert_back, assert_compared, assert_whole, soon, wait,
};
use crate::work::armed;
use baoctl::bao::{Health, Node};
use baoctl::platform::local::Golden;
use baoctl::platform::{Platform, SecretName};
use serde_json::Value;

const SIGKILL: i32 = 9;
const REHEARSE: [&str; 6] = [
    "rehearse",
    "--namespaces",
    "--entries",
    "300",
    "--runbook",
    "migrate-raft-fast",
];

/// A record of `move-namespaces` in the journal, the last of its sort.
fn recorded(place: &Place, sort: &str) -> Value {
    let records = baoctl::journal::records(&place.journal()).unwrap();
    let records = records.into_iter().rev();
    let mut values = records.map(|(_, record)| serde_json::to_value(record).unwrap());
    values
        .find(|it| it["record"] == sort && it["kind"] == "move-namespaces")
        .unwrap_or_default()
}

/// Everything is read back through one member, as it was on the source.
fn read_back(place: &Place, member: &str) {
    let golden = Golden::load(&place.platform().golden_file()).unwrap();
    assert_eq!(golden.namespaces.len(), 4);
    place.assert_data(member);
}

/// What a raw read of a key that every server has answers.
fn raw(place: &Place, member: &str) -> u16 {
    let keys = place.keys(SecretName::Unseal).unwrap();
    let token = secrecy::ExposeSecret::expose_secret(&keys.token);
    place.send("GET", member, "sys/raw/core/audit", token, &Value::Null)
}

/// Where clients look for the first member, whatever it is started with.
fn clients_port(place: &Place) -> u16 {
    let file = std::fs::read(place.work().join("local.json")).unwrap();
    let topology: Value = serde_json::from_slice(&file).unwrap();
    u16::try_from(topology["members"][0]["api_port"].as_u64().unwrap()).unwrap()
}

/// A rehearsal that is about to move its namespaces.
fn moving(place: &Place) -> crate::place::Running {
    let mut run = place.start(&REHEARSE);
    run.until_action("restore", "move-namespaces");
    run
}

#[test]
fn nested_ones_end_on_three_voters_that_are_each_restarted_twice() {
    let place = Place::new();
    let mut args = REHEARSE.to_vec();
    args.extend(["--json", "--keep"]);
    let said = place.run(&args);
    said.expect_code(0);
    assert_whole(&said.summary());
    let moved = recorded(&place, "result");
    assert!(
        moved["summary"].as_str().unwrap().starts_with("36 mounts"),
        "{moved}"
    );

    let platform = place.platform();
    let keys = place.keys(SecretName::Unseal).unwrap();
    for _ in 0..2 {
        for member in platform.members() {
            wait(platform.replace(&member, &armed())).unwrap();
            let node = place.node(&member);
            wait(node.unseal(&keys.shares[0], Duration::from_mins(1), &armed())).unwrap();
            soon("a leader, and this one beside it", || {
                let health = wait(node.health());
                let led = platform.members().into_iter().any(|member| {
                    wait(place.node(&member).health()).is_ok_and(|it| it == Health::Active)
                });
                led && health.is_ok_and(|it| matches!(it, Health::Active | Health::Standby))
            });
            assert_eq!(raw(&place, &member), 404, "the raw endpoint is off again");
        }
        for member in platform.members() {
            read_back(&place, &member);
        }
    }
}

#[test]
fn the_plan_is_in_the_journal_before_the_first_entry_is_moved() {
    let place = Place::new();
    let mut run = moving(&place);
    run.until(|event| event["event"] == "progress" && event["action"] == "move-namespaces")
        .unwrap();
    run.signal(SIGKILL);
    run.end();
    let plan = recorded(&place, "intent")["calls"].to_string();
    assert_eq!(plan.matches("PUT and GET sys/raw/namespaces/").count(), 36);
    assert_eq!(plan.matches("DELETE sys/raw/namespaces/").count(), 4 * 4);
    assert_whole(&place.finish());
}

#[test]
fn killed_at_a_random_moment_of_the_move_it_goes_on() {
    for tenth in 0..5_u32 {
        let random = u32::try_from(uuid::Uuid::new_v4().as_u128() % 1_000).unwrap();
        let moment = Duration::from_millis(u64::from(tenth * 1_000 + random));
        println!("killed {moment:?} into the move");
        let place = Place::new();
        let run = moving(&place);
        std::thread::sleep(moment);
        run.signal(SIGKILL);
        let code = run.end();
        assert!(code == -SIGKILL || code == 0, "{code}");
        if code != 0 {
            assert_whole(&place.finish());
        }
    }
}

#[test]
fn a_server_that_dies_meanwhile_gets_the_data_anew() {
    let place = Place::new();
    let mut run = moving(&place);
    run.until(|event| event["event"] == "progress" && event["action"] == "move-namespaces")
        .unwrap();
    // Until it is resumed nobody may open it again.
    run.signal(SIGKILL);
    run.end();
    wait(place.platform().kill_now("openbao-0")).unwrap();
    let summary = place.finish();
    assert_whole(&summary);
    let journal = std::fs::read_to_string(place.journal()).unwrap();
    let moved = journal.contains("namespaces-moved");
    assert!(
        moved && journal.contains("\"rewound\""),
        "it went back to init"
    );
}

#[test]
fn nobody_is_served_before_they_are_moved_and_the_way_back_is_open() {
    for server_too in [false, true] {
        let place = Place::new();
        let mut run = moving(&place);
        run.until(|event| event["event"] == "progress" && event["action"] == "move-namespaces")
            .unwrap();
        let port = clients_port(&place);
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
        run.signal(SIGKILL);
        run.end();
        if server_too {
            wait(place.platform().kill_now("openbao-0")).unwrap();
        }
        place.run(&ROLLBACK).expect_code(0);
        assert_back(&place);
        read_back(&place, "openbao-0");
    }
}

#[test]
fn a_tree_without_them_is_moved_as_ever() {
    let place = Place::new();
    let said = place.run(&[
        "rehearse",
        "--json",
        "--entries",
        "100",
        "--runbook",
        "migrate-raft-fast",
    ]);
    said.expect_code(0);
    assert_whole(&said.summary());
    let result = recorded(&place, "result");
    assert_eq!(result["status"], "not-applicable", "{result}");
}

#[test]
fn the_order_of_the_card_refuses_them_and_the_fast_one_takes_the_same_source() {
    let place = Place::with_source(&["--entries", "100", "--namespaces"]);
    place.run(&MIGRATE).expect_code(5).expect_words(&[
        "data-namespaces: fail",
        "4 child namespace(s)",
        "migrate-raft-fast",
    ]);
    let mut fast = MIGRATE.to_vec();
    fast.extend(["--runbook", "migrate-raft-fast", "--json"]);
    let said = place.run(&fast);
    said.expect_code(0);
    assert_compared(&said.summary());
    for member in place.platform().members() {
        read_back(&place, &member);
    }
}
