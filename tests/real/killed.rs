//! Killed at a random moment in each of the nine steps, a run goes on and ends with everything there.

use std::time::Duration;

use crate::place::{Place, RESUME, assert_whole, wait};

const SIGKILL: i32 = 9;

/// Kills the run at a random moment of `step`, which takes about `length`, then goes on.
fn killed_in(step: &str, length: Duration) {
    let percent = u32::try_from(uuid::Uuid::new_v4().as_u128() % 100).unwrap();
    let moment = length * percent / 100;
    println!("killed {moment:?} into {step}");
    let place = Place::new();
    let mut run = place.start(&["rehearse", "--entries", "300"]);
    run.until_step(step);
    std::thread::sleep(moment);
    run.signal(SIGKILL);
    // One that was done before the signal came shows nothing, and must be over.
    let code = run.end();
    assert!(code == -SIGKILL || code == 0, "{code}");
    if code == 0 {
        return;
    }
    assert_whole(&place.finish());
}

macro_rules! steps {
    ($($name:ident: $step:literal, $millis:literal;)*) => {
        $(
            #[test]
            fn $name() {
                killed_in($step, Duration::from_millis($millis));
            }
        )*
    };
}

steps! {
    in_snapshot: "snapshot", 150;
    in_record_keys: "record-keys", 9_000;
    in_apply: "apply", 800;
    in_init: "init", 1_500;
    in_join: "join", 400;
    in_unseal: "unseal", 10_000;
    in_restore: "restore", 9_000;
    in_verify: "verify", 6_000;
    in_land: "land", 5;
}

/// Killed while it cleared up, a rehearsal has no servers left to ask: it says what it had found of them.
#[test]
fn what_a_rehearsal_proved_is_known_after_its_servers() {
    let place = Place::new();
    let said = place.run(&["rehearse", "--entries", "300", "--json"]);
    said.expect_code(0);
    assert_whole(&said.summary());
    assert_whole(&place.finish());
}

/// As one whose machine went down before that: it does not end well without having asked them.
#[test]
fn a_rehearsal_whose_servers_went_down_is_no_proof() {
    let place = Place::until("verify", &[]);
    wait(place.platform().kill_all()).unwrap();
    place.run(&RESUME).expect_code(1).expect_words(&[
        "openbao-0, openbao-1, openbao-2 went down",
        "rehearse again",
    ]);
}

/// A machine that starts anew takes the servers down with the run.
#[test]
fn with_all_its_servers_after_any_step() {
    for step in ["apply", "init", "join", "unseal", "restore"] {
        println!("all killed after {step}");
        let place = Place::until(step, &[]);
        wait(place.platform().kill_all()).unwrap();
        assert_whole(&place.finish());
    }
}

/// As if it had been killed right before it noted the end of the outage: the cluster serves, and nobody saw since when.
#[test]
fn an_outage_whose_end_it_did_not_see_is_told_by_its_bounds() {
    let place = Place::migrated("restore");
    let text = std::fs::read_to_string(place.journal()).unwrap();
    let seen = text.find("outage-ended").unwrap();
    let end = text[..seen].rfind('\n').unwrap() + 1;
    std::fs::write(place.journal(), &text[..end]).unwrap();
    place.run(&["status"]).expect_code(0).expect_words(&[
        "serves the old data from raft: the outage is over",
        "outage between",
        "nobody saw its end",
    ]);
    let said = place.run(&[&RESUME[..], &["--json", "--until", "restore"]].concat());
    said.expect_code(0);
    let events = said.events();
    let over = events.iter().find(|it| it["event"] == "outage-ended");
    let [most, least] = ["seconds", "at_least"].map(|it| over.unwrap()[it].as_f64().unwrap());
    assert!(0.0 < least && least < most, "{least} and {most}");
    let report = std::fs::read_to_string(place.work().join("run/report.md")).unwrap();
    assert!(report.contains("nobody saw its end"), "{report}");
}
