//! The way back to file storage, on real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod real;

use std::time::Duration;

use real::{MIGRATE, Place, ROLLBACK, assert_back, assert_whole};

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
