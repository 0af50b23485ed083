//! A crash at any point of a run, and the resume after it, end in the same state as an undisturbed run.
//!
//! A point is a moment before or after a call that changes something, before or after a local copy is written, and
//! each event that the engine tells: there is one between any two records of the journal, which a test holds.
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::scene::{ONE, RESTORING, RUNBOOKS, Scene, THREE_OF_FIVE, to_the_end};
use crate::scripted::{Doom, Ended, Fate, Lab, Loss, Mishap};
use crate::scripted::{everywhere, in_virtual_time};

/// Crashes at one point, resumes, and looks at the end.
async fn crash_at(lab: &Lab, point: usize) -> Result<(), String> {
    let ended = lab.process(&Arc::new(Fate::at(point, Doom::Die))).await;
    if !matches!(ended, Ended::Killed) {
        return Err(format!("it did not die, but ended: {}", ended.words()));
    }
    lab.check_source();
    to_the_end(lab, 1).await
}

/// Crashes at every `every`th point from the one named `from` on.
fn crash_everywhere(scene: Scene, from: &str, every: usize) {
    let points = scene.undisturbed().points();
    let first = points.iter().position(|point| point.contains(from));
    let chosen = (first.unwrap()..points.len()).step_by(every);
    everywhere(chosen, &points, |point| {
        in_virtual_time(crash_at(&scene.lab(), point))
    });
}

#[test]
fn a_crash_anywhere_in_the_order_of_the_card_is_resumed() {
    crash_everywhere(Scene::of("migrate-raft", ONE), "", 1);
}

#[test]
fn a_crash_anywhere_in_the_fast_order_is_resumed() {
    crash_everywhere(Scene::of("migrate-raft-fast", ONE), "", 1);
}

#[test]
fn a_crash_anywhere_while_child_namespaces_are_moved_is_resumed() {
    let scene = Scene::of("migrate-raft-fast", ONE).namespaced();
    crash_everywhere(scene, "started: restore", 1);
}

/// The server goes down with the run: what was moved by half is never unsealed again.
#[test]
fn so_is_one_that_takes_the_server_with_it() {
    let scene = Scene::of("migrate-raft-fast", ONE).namespaced();
    let points = scene.undisturbed().points();
    let first = points
        .iter()
        .position(|point| point.contains("started: move-namespaces"));
    let last = points
        .iter()
        .position(|point| point.contains("finished: move-namespaces"));
    everywhere(first.unwrap()..last.unwrap(), &points, |point| {
        in_virtual_time(async {
            let lab = scene.lab();
            let ended = lab.process(&Arc::new(Fate::at(point, Doom::Die))).await;
            if !matches!(ended, Ended::Killed) {
                return Err(format!("it did not die, but ended: {}", ended.words()));
            }
            lab.world().restart_all(point.is_multiple_of(2));
            to_the_end(&lab, 1).await
        })
    });
}

#[test]
fn child_namespaces_are_refused_where_nothing_moves_them() {
    let lab = Scene::of("migrate-raft", ONE).namespaced().lab();
    in_virtual_time(async {
        let ended = lab.process(&Arc::new(Fate::kind())).await;
        assert!(
            ended.words().contains("data-namespaces"),
            "{}",
            ended.words()
        );
        lab.check_source();
    });
}

#[test]
fn a_crash_anywhere_on_the_offline_route_is_resumed() {
    crash_everywhere(Scene::of("operator-migrate", ONE), "", 1);
}

#[test]
fn a_crash_anywhere_while_a_server_is_seeded_anew_is_resumed() {
    crash_everywhere(Scene::of("reseed", ONE), "started: forsake-data", 1);
}

#[test]
fn so_is_one_between_the_shares_of_several_key_holders() {
    for runbook in RUNBOOKS {
        crash_everywhere(Scene::of(runbook, THREE_OF_FIVE), "scratch: unseal", 3);
    }
}

#[test]
fn a_crash_anywhere_while_a_broken_restore_is_cleared_is_resumed() {
    for runbook in RESTORING {
        let scene = Scene::of(runbook, ONE).with(Mishap::LeaderDies);
        crash_everywhere(scene, "openbao-0: snapshot-force", 1);
    }
}

#[test]
fn so_is_one_while_a_follower_that_missed_the_restore_is_cleared() {
    let scene = Scene::of("migrate-raft", ONE).with(Mishap::FollowerMisses);
    crash_everywhere(scene, "openbao-0: snapshot-force", 4);
}

#[test]
fn a_crash_anywhere_while_a_lost_follower_joins_anew_is_resumed() {
    let scene = Scene::of("migrate-raft", ONE).with(Mishap::FollowerDies);
    crash_everywhere(scene, "openbao-0: snapshot-force", 1);
}

#[test]
fn a_crash_anywhere_is_resumed_although_a_hook_unseals_what_starts() {
    for runbook in RUNBOOKS {
        crash_everywhere(Scene::of(runbook, ONE).hooked(), "park-key", 3);
    }
}

/// A machine that starts anew, or nodes that restart their pods: everything goes down with the program, and what comes
/// back by itself comes back sealed.
#[test]
fn so_is_one_that_takes_all_members_down() {
    for (runbook, come_back) in RUNBOOKS
        .into_iter()
        .flat_map(|it| [(it, false), (it, true)])
    {
        let scene = Scene::of(runbook, ONE);
        let points = scene.undisturbed().points();
        let at = |what: &str| points.iter().position(|point| point.contains(what));
        let compared = at("finished: compare: ").or_else(|| at("finished: list-lost: "));
        let chosen = at("started: await-storage").unwrap()..compared.unwrap();
        everywhere(chosen.step_by(3), &points, |point| {
            let lab = scene.lab();
            in_virtual_time(async {
                lab.process(&Arc::new(Fate::at(point, Doom::Die))).await;
                lab.world().restart_all(come_back);
                to_the_end(&lab, 1).await
            })
        });
    }
}

#[test]
fn between_any_two_records_there_is_a_point() {
    for runbook in RUNBOOKS {
        let lab = Scene::of(runbook, ONE).lab();
        let fate = Arc::new(Fate::counting());
        in_virtual_time(lab.process(&fate));
        let seen: BTreeSet<usize> = fate.records().into_iter().collect();
        let last = *seen.last().unwrap();
        assert_eq!(last, lab.records().len());
        assert!(seen.into_iter().eq(0..=last));
    }
}

/// A small generator: the same schedules each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Four deaths in a row at random, in a random world; then a process that is left in peace.
fn crash_at_random(seed: usize) -> Result<(), String> {
    let mishaps = [
        None,
        Some(Mishap::LeaderDies),
        Some(Mishap::FollowerDies),
        Some(Mishap::FollowerMisses),
    ];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ ((seed as u64 + 1) << 32));
    let book = dice.below(RUNBOOKS.len());
    let lab = Scene {
        runbook: RUNBOOKS[book],
        shares: [ONE, THREE_OF_FIVE][dice.below(2)],
        mishap: mishaps[dice.below(4)],
        hooked: dice.below(2) == 0,
        namespaced: RUNBOOKS[book] == "migrate-raft-fast" && dice.below(2) == 0,
        on_pebbledb: RUNBOOKS[book] == "operator-migrate" && dice.below(2) == 0,
    }
    .lab();
    in_virtual_time(async {
        // Far on first, then close behind: where the next process is about to mend what the last one left.
        for reach in [220, 40, 25, 12] {
            let fate = Arc::new(Fate::at(dice.below(reach), Doom::Die));
            let ended = lab.process(&fate).await;
            lab.check_source();
            if let Ended::Itself(Err(error)) = ended {
                return Err(error.to_string());
            }
        }
        to_the_end(&lab, 1).await
    })
}

#[test]
fn several_crashes_in_a_row_are_resumed() {
    everywhere(0..200, &[], crash_at_random);
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn ten_thousand_schedules_of_crashes_are_resumed() {
    everywhere(200..10_200, &[], crash_at_random);
}

/// Every call that changes something, lost on its way there or on its way back: the run, or the one after it, ends well.
fn lose_each(loss: Loss) {
    for runbook in RUNBOOKS {
        let scene = Scene::of(runbook, ONE);
        let calls = scene.undisturbed().calls();
        everywhere(0..calls.len(), &calls, |call| {
            let lab = scene.lab();
            in_virtual_time(async {
                let ended = lab.process(&Arc::new(Fate::losing(call, loss))).await;
                lab.check_source();
                if ended.finished() {
                    lab.check();
                    return Ok(());
                }
                let first = ended.words();
                let end = to_the_end(&lab, 1).await;
                end.map_err(|then| format!("{first}; then: {then}"))
            })
        });
    }
}

#[test]
fn no_lost_answer_keeps_a_run_from_its_end() {
    lose_each(Loss::Answer);
}

#[test]
fn no_lost_call_keeps_a_run_from_its_end() {
    lose_each(Loss::Request);
}

#[test]
fn a_call_whose_outcome_is_unknown_is_not_repeated_blindly() {
    for (runbook, call, times) in [
        // It came through, which a look tells.
        ("migrate-raft", "openbao-0: snapshot-force", 1),
        ("migrate-raft-fast", "openbao-0: snapshot-force", 1),
        ("migrate-raft", "openbao-0: seal", 1),
        // The keys are lost with the answer: over again, but only once the first cluster is put aside.
        ("migrate-raft", "openbao-0: init", 2),
    ] {
        let scene = Scene::of(runbook, ONE);
        let calls = scene.undisturbed().calls();
        let number = calls.iter().position(|made| made == call).unwrap();
        let lab = scene.lab();
        let fate = Arc::new(Fate::losing(number, Loss::Answer));
        in_virtual_time(async {
            let ended = lab.process(&fate).await;
            assert!(ended.finished(), "{call}: {}", ended.words());
            lab.check();
        });
        let made = fate.calls();
        let of_it: Vec<usize> = (0..made.len()).filter(|at| made[*at] == call).collect();
        assert_eq!(of_it.len(), times, "{call}");
        if let [first, second] = of_it[..] {
            let aside = "set the raft files of openbao-0 aside".to_owned();
            assert!(made[first..second].contains(&aside));
        }
    }
}

#[test]
fn a_look_that_got_no_answer_is_repeated() {
    let lab = Scene::of("migrate-raft", ONE).lab();
    in_virtual_time(async {
        let ended = lab.process(&Arc::new(Fate::losing_look(3))).await;
        assert!(ended.finished(), "{}", ended.words());
        lab.check();
    });
    let retries = lab.heard().into_iter();
    assert_eq!(
        retries.filter(|heard| heard == "retry: preflight").count(),
        1
    );
}

#[test]
fn no_lost_look_keeps_a_run_from_its_end() {
    for runbook in RUNBOOKS {
        let scene = Scene::of(runbook, ONE);
        let looks = scene.undisturbed().looks();
        let (runs, resumed) = (looks.div_ceil(7), AtomicUsize::new(0));
        everywhere((0..looks).step_by(7), &[], |look| {
            let lab = scene.lab();
            in_virtual_time(async {
                let ended = lab.process(&Arc::new(Fate::losing_look(look))).await;
                resumed.fetch_add(usize::from(!ended.finished()), Ordering::Relaxed);
                let first = ended.words();
                let end = to_the_end(&lab, 1).await;
                end.map_err(|then| format!("{first}; then: {then}"))
            })
        });
        // Nearly all of them do without another process.
        let resumed = resumed.into_inner();
        assert!(resumed * 20 < runs, "{resumed} of {runs} {runbook} {looks}");
    }
}

/// What ended the outage was done by a process that did not come to note it: how long it was is known by its bounds alone.
#[test]
fn the_end_of_an_outage_that_a_killed_run_did_not_see_is_no_exact_time() {
    for (runbook, point, seen) in [
        ("migrate-raft", "before the mark OutageEnded", false),
        ("reseed", "before the mark OutageEnded", false),
        ("migrate-raft", "before openbao-0: unseal", true),
    ] {
        let scene = Scene::of(runbook, ONE);
        let points = scene.undisturbed().points();
        let at = points.iter().rposition(|it| it.contains(point)).unwrap();
        in_virtual_time(async {
            let lab = scene.lab();
            crash_at(&lab, at).await.unwrap();
            let (most, least) = (lab.state().outage_seconds(), lab.state().outage_at_least());
            assert_eq!(least.is_none(), seen, "{runbook}, {point}");
            assert!(least <= most);
        });
    }
}
