//! A crash at any point of a run, and the resume after it, end in the same state as an undisturbed run.
//!
//! A point is a moment before or after a call that changes something, before or after a local copy is written, and
//! each event that the engine tells: there is one between any two records of the journal, which a test holds.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use baoctl::action::ActionSpec;
use baoctl::engine::{End, Error};
use baoctl::event::Effect;
use baoctl::journal::Record;
use baoctl::platform::StorageKind;
use baoctl::runbook::Loaded;
use scripted::{Consent, Doom, Ended, Fate, KeySet, Lab, Loss, Mishap, Shares};
use scripted::{everywhere, in_virtual_time, tree};

const RUNBOOKS: [&str; 3] = ["migrate-raft", "migrate-raft-fast", "operator-migrate"];
/// Those that restore a snapshot.
const RESTORING: [&str; 2] = ["migrate-raft", "migrate-raft-fast"];
const ONE: Shares = (1, 1);
const THREE_OF_FIVE: Shares = (3, 5);

/// What the engine did in an undisturbed run, and in what world.
#[derive(Clone, Copy)]
struct Scene {
    runbook: &'static str,
    shares: Shares,
    mishap: Option<Mishap>,
    hooked: bool,
    namespaced: bool,
}

impl Scene {
    const fn of(runbook: &'static str, shares: Shares) -> Self {
        Self {
            runbook,
            shares,
            mishap: None,
            hooked: false,
            namespaced: false,
        }
    }

    const fn with(self, mishap: Mishap) -> Self {
        Self {
            mishap: Some(mishap),
            ..self
        }
    }

    /// With the release's own hook, which unseals each server that starts.
    const fn hooked(self) -> Self {
        Self {
            hooked: true,
            ..self
        }
    }

    /// With a child namespace.
    const fn namespaced(self) -> Self {
        Self {
            namespaced: true,
            ..self
        }
    }

    fn lab(self) -> Lab {
        let lab = Lab::new(self.runbook, self.shares);
        lab.world().mishap = self.mishap;
        lab.world().hooked = self.hooked;
        if self.namespaced {
            lab.world().add_namespace();
        }
        lab
    }

    /// The course of a run that is left in peace.
    fn undisturbed(self) -> Arc<Fate> {
        let lab = self.lab();
        let fate = Arc::new(Fate::kind());
        in_virtual_time(async {
            let ended = lab.process(&fate).await;
            assert!(ended.finished(), "{}: {}", self.runbook, ended.words());
            lab.check();
        });
        fate
    }
}

/// Runs one process after another until the run is finished, within so many.
async fn to_the_end(lab: &Lab, processes: usize) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..processes {
        let ended = lab.process(&Arc::new(Fate::kind())).await;
        lab.check_source();
        if ended.finished() {
            lab.check();
            return Ok(());
        }
        last = ended.words();
    }
    Err(last)
}

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
        let chosen = at("started: await-storage").unwrap()..at("finished: compare: ").unwrap();
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

#[test]
fn one_signal_stops_after_the_running_action() {
    let scene = Scene::of("migrate-raft", ONE);
    let program = Loaded::named(scene.runbook).unwrap().runbook;
    let points = scene.undisturbed().points();
    everywhere((2..points.len() - 2).step_by(4), &points, |point| {
        let lab = scene.lab();
        in_virtual_time(async {
            let fate = Arc::new(Fate::at(point, Doom::Signals(1)));
            match lab.process(&fate).await {
                Ended::Itself(Err(Error::Interrupted { signal: 2, .. })) => {}
                // It came with the last action.
                ended if ended.finished() => {}
                ended => return Err(ended.words()),
            }
            let cut: Vec<_> = lab
                .state()
                .open_intents()
                .map(|((step, action), _)| {
                    let step = program.steps.iter().find(|it| it.id == *step).unwrap();
                    step.actions[*action].effect()
                })
                .filter(|effect| *effect > Effect::Read)
                .collect();
            assert!(cut.is_empty(), "{cut:?} was cut off");
            to_the_end(&lab, 1).await
        })
    });
}

#[test]
fn two_signals_stop_at_once() {
    let scene = Scene::of("migrate-raft-fast", ONE);
    let points = scene.undisturbed().points();
    let cut_off = AtomicUsize::new(0);
    everywhere((2..points.len() - 2).step_by(3), &points, |point| {
        let lab = scene.lab();
        in_virtual_time(async {
            let fate = Arc::new(Fate::at(point, Doom::Signals(2)));
            match lab.process(&fate).await {
                Ended::Itself(Err(Error::Interrupted { midway, .. })) => {
                    cut_off.fetch_add(usize::from(midway), Ordering::Relaxed);
                }
                ended if ended.finished() => {}
                ended => return Err(ended.words()),
            }
            lab.check_source();
            to_the_end(&lab, 1).await
        })
    });
    assert!(cut_off.into_inner() > 10);
}

#[test]
fn a_dry_run_tells_each_call_and_makes_none() {
    for runbook in RUNBOOKS {
        let lab = Scene::of(runbook, ONE).lab();
        let fate = Arc::new(Fate::kind());
        let ended = in_virtual_time(lab.dry_run(&fate));
        assert_eq!(ended.unwrap(), End::Planned);
        assert_eq!(fate.calls(), [""; 0]);
        assert!(!lab.journal_path().exists());
        untouched(&lab);
        let told: Vec<String> = lab
            .heard()
            .into_iter()
            .filter_map(|heard| Some(heard.strip_prefix("calls: ")?.to_owned()))
            .collect();
        let steps = Loaded::named(runbook).unwrap().runbook.steps;
        let actions = steps.iter().flat_map(|step| &step.actions);
        assert!(
            told.iter()
                .map(String::as_str)
                .eq(actions.map(ActionSpec::kind))
        );
    }
}

/// Panics unless the source serves from its files as before, and nothing is beside it.
fn untouched(lab: &Lab) {
    lab.check_source();
    let world = lab.world();
    assert_eq!(world.release.storage, StorageKind::File);
    assert!(world.is_active("openbao-0"));
    assert!(world.server("openbao-1").is_none());
    assert_eq!(world.secrets.len(), 1);
    assert!(!world.data.join("core/_migration").exists());
}

#[test]
fn a_step_that_is_declined_is_not_begun() {
    for step in ["record-keys", "apply", "init", "unseal", "restore"] {
        let mut lab = Scene::of("migrate-raft", ONE).lab();
        lab.consent = Consent::NotTo(step);
        in_virtual_time(async {
            let ended = lab.process(&Arc::new(Fate::kind())).await;
            let Ended::Itself(Err(Error::Declined { step: declined })) = &ended else {
                panic!("{}", ended.words());
            };
            assert_eq!(declined, step);
            let began =
                |record: &Record| matches!(record, Record::Intent { step: of, .. } if of == step);
            assert!(!lab.records().iter().any(began));
            if step == "apply" {
                untouched(&lab);
            }
            lab.consent = Consent::Always;
            to_the_end(&lab, 1).await.unwrap();
        });
    }
}

#[test]
fn nothing_is_cleared_that_the_operator_wants_to_keep() {
    for runbook in RESTORING {
        let mut lab = Scene::of(runbook, ONE).with(Mishap::LeaderDies).lab();
        lab.consent = Consent::NotToRedo;
        in_virtual_time(async {
            // Whoever resumes it is asked again.
            for _ in 0..2 {
                let ended = lab.process(&Arc::new(Fate::kind())).await;
                let declined = matches!(&ended, Ended::Itself(Err(Error::Declined { step })) if step == "restore");
                assert!(declined, "{}", ended.words());
                assert!(
                    lab.world()
                        .members
                        .values()
                        .all(|member| member.aside.is_empty())
                );
            }
            lab.consent = Consent::Always;
            to_the_end(&lab, 1).await.unwrap();
        });
    }
}

#[test]
fn a_part_of_a_runbook_is_run_in_order() {
    in_virtual_time(async {
        let kind = || Arc::new(Fate::kind());
        let lab = Scene::of("migrate-raft", ONE)
            .lab()
            .ranged(None, Some("record-keys"));
        let ended = lab.process(&kind()).await;
        assert!(matches!(ended, Ended::Itself(Ok(End::Reached(step))) if step == "record-keys"));
        untouched(&lab);

        let lab = lab.ranged(Some("restore"), None);
        let ended = lab.process(&kind()).await;
        assert!(
            matches!(ended, Ended::Itself(Err(Error::OutOfOrder { missing, .. })) if missing == "apply")
        );
        let lab = lab.ranged(Some("everything"), None);
        let ended = lab.process(&kind()).await;
        assert!(matches!(
            ended,
            Ended::Itself(Err(Error::NoSuchStep { .. }))
        ));
        untouched(&lab);

        let lab = lab.ranged(Some("apply"), Some("init"));
        let ended = lab.process(&kind()).await;
        assert!(matches!(ended, Ended::Itself(Ok(End::Reached(step))) if step == "init"));
        assert_eq!(lab.world().inits, 1);
        let lab = lab.ranged(None, None);
        to_the_end(&lab, 1).await.unwrap();
    });
}

/// Lets the program die at a point, lets somebody else act, and returns what the next process says to it.
fn behind_its_back(scene: Scene, point: &str, act: impl FnOnce(&Lab)) -> (Lab, String) {
    let points = scene.undisturbed().points();
    let number = points.iter().position(|it| it.ends_with(point)).unwrap();
    let lab = scene.lab();
    let said = in_virtual_time(async {
        let ended = lab.process(&Arc::new(Fate::at(number, Doom::Die))).await;
        assert!(matches!(ended, Ended::Killed));
        act(&lab);
        let ended = lab.process(&Arc::new(Fate::kind())).await;
        if ended.finished() {
            lab.check();
        }
        ended.words()
    });
    (lab, said)
}

#[test]
fn a_cluster_that_somebody_else_initialised_is_left_alone() {
    let (lab, said) = behind_its_back(Scene::of("migrate-raft", ONE), "started: init", |lab| {
        lab.world().init("openbao-0", 1, 1).unwrap();
    });
    assert!(said.contains("find out whose it is"), "{said}");
    assert_eq!(lab.world().inits, 1);
    assert!(
        lab.world()
            .restores
            .keys()
            .all(|over| !over.contains("openbao"))
    );
    lab.check_source();
}

#[test]
fn nor_is_one_put_aside_that_somebody_initialised_after_a_rewind() {
    let scene = Scene::of("migrate-raft", ONE).with(Mishap::LeaderDies);
    let (lab, said) = behind_its_back(scene, "rewound to init", |lab| {
        lab.world().init("openbao-0", 1, 1).unwrap();
    });
    assert!(said.contains("find out whose it is"), "{said}");
    assert_eq!(lab.world().inits, 2);
    lab.check_source();
}

#[test]
fn a_source_that_was_restarted_after_its_seal_is_not_copied() {
    let scene = Scene::of("migrate-raft", ONE);
    let (lab, said) = behind_its_back(scene, "started: write-tombstone", |lab| {
        lab.world().stop("openbao-0");
        lab.world().start("openbao-0").unwrap();
    });
    assert!(said.contains("was restarted after it was sealed"), "{said}");
    assert!(!lab.journal_path().with_file_name("final.snap").exists());
}

#[test]
fn a_source_that_was_written_to_after_its_copy_is_not_replaced() {
    let scene = Scene::of("migrate-raft", ONE);
    let (lab, said) = behind_its_back(scene, "started: flip", |lab| {
        let data = lab.world().data.clone();
        std::fs::write(data.join("logical/_late"), r#"{"Value":"eA=="}"#).unwrap();
    });
    assert!(said.contains("changed after it was copied"), "{said}");
    assert_eq!(
        lab.world().server("openbao-0").unwrap().storage,
        StorageKind::File
    );
}

/// Half of a migration is never read: whoever goes on removes it and begins anew.
#[test]
fn a_migration_that_was_cut_off_is_begun_anew() {
    let scene = Scene::of("operator-migrate", ONE);
    for (point, times) in [
        ("after begin to migrate", 2),
        ("after put the migrated store in place", 2),
        ("started: replace-source", 1),
    ] {
        let (lab, said) = behind_its_back(scene, point, |lab| {
            let world = lab.world();
            assert_eq!(
                world.member("openbao-0").migrating,
                point == "after begin to migrate"
            );
            assert!(world.server("openbao-0").is_none());
            assert!(world.data.join("core/_migration").exists());
        });
        assert_eq!(said, "Finished", "{point}");
        let intents = lab.records().into_iter().filter(
            |record| matches!(record, Record::Intent { kind, .. } if kind == "operator-migrate"),
        );
        assert_eq!(intents.count(), times, "{point}");
        let aside = lab.world().member("openbao-0").aside.len();
        assert_eq!(
            aside,
            usize::from(point.starts_with("after put")),
            "{point}"
        );
    }
}

/// A tree that is not the one that was copied is not migrated: nothing could be compared with it.
#[test]
fn a_source_that_was_written_to_after_its_copy_is_not_migrated() {
    let scene = Scene::of("operator-migrate", ONE);
    let (lab, said) = behind_its_back(scene, "started: operator-migrate", |lab| {
        let data = lab.world().data.clone();
        std::fs::write(data.join("logical/_late"), r#"{"Value":"eA=="}"#).unwrap();
    });
    assert!(said.contains("changed after it was copied"), "{said}");
    let world = lab.world();
    assert!(world.member("openbao-0").raft.is_none());
    let source = world.server("openbao-0").unwrap();
    assert_eq!(source.storage, StorageKind::File);
}

/// A store without the data is not opened, nor initialised.
#[test]
fn a_migrated_store_that_went_away_is_noticed() {
    let scene = Scene::of("operator-migrate", ONE);
    let (lab, said) = behind_its_back(scene, "started: replace-source", |lab| {
        lab.world().member_mut("openbao-0").raft = None;
    });
    assert!(said.contains("its raft files are gone"), "{said}");
    assert_eq!(lab.world().inits, 0);
}

/// Trap 14: what binds keys and data is another than was proven, so the proof says nothing about it.
#[test]
fn a_keyring_that_changed_since_the_proof_is_not_moved() {
    let scene = Scene::of("migrate-raft", ONE);
    let (lab, said) = behind_its_back(scene, "started: final-copy", |lab| {
        let mut world = lab.world();
        world.key_sets.push(KeySet::new("other", 1, 1));
        tree::put(&world.data, "core/keyring", br#"{"Value":"b3RoZXI="}"#);
    });
    assert!(
        said.contains("could not be proved on the final copy"),
        "{said}"
    );
    let restores = lab.world().restores.len();
    assert_eq!(restores, 2, "the proofs' own");
}

/// What is mounted is read right before the seal, and stands in the journal whenever the program dies after it.
#[test]
fn what_was_mounted_after_the_checks_is_no_difference() {
    let scene = Scene::of("migrate-raft", ONE);
    let at = |fate: &Fate, point: &str| {
        let points = fate.points();
        points.iter().position(|it| it.ends_with(point)).unwrap()
    };
    let checked = at(&scene.undisturbed(), "started: park-key");
    // A process that dies behind the checks, after which somebody mounts, and the next one.
    let next = async |lab: &Lab, fate: Arc<Fate>| {
        lab.process(&Arc::new(Fate::at(checked, Doom::Die))).await;
        lab.world().more_mounts.push("approle");
        lab.process(&fate).await
    };
    let course = Arc::new(Fate::kind());
    assert!(in_virtual_time(next(&scene.lab(), course.clone())).finished());
    for point in ["before openbao-0: seal", "after openbao-0: seal"] {
        let lab = scene.lab();
        in_virtual_time(async {
            let doomed = Fate::at(at(&course, point), Doom::Die);
            assert!(matches!(next(&lab, Arc::new(doomed)).await, Ended::Killed));
            to_the_end(&lab, 1).await.unwrap();
        });
        let tables = lab.state().fact("tables").unwrap().clone();
        assert!(tables["mounts"].get("approle/").is_some(), "{tables}");
    }
}

/// The run knows which keys it proved: a file that went or changed since blocks nobody while their parked copy is there.
#[test]
fn voters_that_answer_no_reads_are_told_and_not_compared() {
    let lab = Scene::of("migrate-raft", ONE).lab();
    lab.world().standbys_redirect = true;
    in_virtual_time(async {
        to_the_end(&lab, 1).await.unwrap();
    });
}

#[test]
fn a_keys_file_that_went_or_changed_is_no_obstacle() {
    let scene = Scene::of("migrate-raft", ONE);
    let points = scene.undisturbed().points();
    let at = points
        .iter()
        .position(|it| it.ends_with("started: write-tombstone"));
    let keys = |share: &str, token: &str| {
        serde_json::json!({ "unseal_keys_b64": [share], "root_token": token }).to_string()
    };
    for change in ["gone", "swapped", "a pipe"] {
        let mut lab = scene.lab();
        let path = lab.journal_path().with_file_name("keys.json");
        std::fs::write(&path, keys("oldxxxxxxxxx0001", "old-token")).unwrap();
        lab.keys_file = Some(path.clone());
        in_virtual_time(async {
            lab.process(&Arc::new(Fate::at(at.unwrap(), Doom::Die)))
                .await;
            std::fs::remove_file(&path).unwrap();
            match change {
                "swapped" => std::fs::write(&path, keys("other", "other")).unwrap(),
                "a pipe" => {
                    let made = std::process::Command::new("mkfifo").arg(&path).status();
                    assert!(made.unwrap().success());
                }
                _ => {}
            }
            to_the_end(&lab, 1).await.unwrap();
        });
    }
}

/// A seal that was refused is none, whatever happens to the source afterwards.
#[test]
fn a_source_that_somebody_else_sealed_or_stopped_after_a_refused_seal_is_left_alone() {
    for stopped in [false, true] {
        let lab = Scene::of("migrate-raft", ONE).lab();
        in_virtual_time(async {
            let fate = Arc::new(Fate::kind());
            lab.world().refuses_seals = true;
            let said = lab.process(&fate).await.words();
            assert!(said.contains("permission denied"), "{said}");
            if stopped {
                lab.world().stop("openbao-0");
            } else {
                lab.world().server_mut("openbao-0").unwrap().open = None;
            }
            let said = lab.process(&fate).await.words();
            let words = ["does not run; start it", "and not by this run"];
            assert!(said.contains(words[usize::from(!stopped)]), "{said}");
            assert!(lab.state().outage_started().is_none());

            lab.world().refuses_seals = false;
            if stopped {
                lab.world().start("openbao-0").unwrap();
            }
            lab.world().unseal("openbao-0", "oldxxxxxxxxx0001").unwrap();
            to_the_end(&lab, 1).await.unwrap();
        });
    }
}

/// Clients are served before the comparison: what they write, mount and delete meanwhile is counted, what
/// else is gone is an error.
#[test]
fn what_clients_write_before_the_comparison_is_no_difference() {
    let mounted = "logical/11111111-2222-3333-4444-555555555555";
    let (written, deleted) = ("1 written and 0 deleted", "0 written and 1 deleted");
    for (key, words) in [
        (format!("{mounted}/metadata/one"), written),
        (format!("{mounted}/metadata/new"), written),
        ("core/seal-config".to_owned(), "differ without a reason"),
        (format!("-{mounted}/metadata/one"), deleted),
        ("-core/seal-config".to_owned(), "1 entries are missing"),
    ] {
        let scene = Scene::of("migrate-raft", ONE);
        let points = scene.undisturbed().points();
        let at = points
            .iter()
            .position(|it| it.ends_with("step started: verify"));
        let lab = scene.lab();
        in_virtual_time(async {
            lab.process(&Arc::new(Fate::at(at.unwrap(), Doom::Die)))
                .await;
            lab.world().more_mounts.push("approle");
            for member in lab.world().members.values_mut() {
                let entries = Arc::make_mut(&mut member.raft.as_mut().unwrap().entries);
                match key.strip_prefix('-') {
                    Some(key) => drop(entries.remove(key)),
                    None => drop(entries.insert(key.clone(), b"old written since".to_vec())),
                }
            }
            let said = lab.process(&Arc::new(Fate::kind())).await.words();
            let told = lab.records().into_iter().any(|record| {
                matches!(record, Record::Result { summary, .. } if summary.contains(words))
            });
            let as_wanted = said.contains(words) || said.contains("Finished") && told;
            assert!(as_wanted, "{key}: {said}");
        });
    }
}

/// Trap 1: a keyring that is near the age at which the server replaces it is not grafted.
#[test]
fn a_proof_of_yesterday_seals_nothing() {
    let scene = Scene::of("migrate-raft", ONE);
    let (lab, said) = behind_its_back(scene, "started: seal-source", |lab| {
        let fact = lab.state().fact("proof").unwrap().clone();
        let now: jiff::Timestamp = fact["at"].as_str().unwrap().parse().unwrap();
        let old = now - jiff::SignedDuration::from_hours(13);
        lab.rewrite_journal(&now.to_string(), &old.to_string());
    });
    assert!(said.contains("the proof is 13 hours old"), "{said}");
    assert!(lab.state().outage_started().is_none());
    let source = lab.world().server("openbao-0").unwrap().open.clone();
    assert_eq!(source.as_deref(), Some("old"));
}

/// A token that lasted at the checks and does not any more is noticed while the source still serves.
#[test]
fn a_token_that_runs_out_seals_nothing() {
    let scene = Scene::of("migrate-raft", ONE);
    let (lab, said) = behind_its_back(scene, "started: seal-source", |lab| {
        lab.world().token_left = Duration::from_mins(20);
    });
    assert!(said.contains("expires in 20 minutes"), "{said}");
    assert!(said.contains("nothing was sealed"), "{said}");
    assert!(lab.state().outage_started().is_none());
    let source = lab.world().server("openbao-0").unwrap().open.clone();
    assert_eq!(source.as_deref(), Some("old"));
    lab.world().token_left = Duration::from_hours(2);
    in_virtual_time(async {
        to_the_end(&lab, 1).await.unwrap();
    });
}

/// The first member serves this key set's cluster from raft, by the hand of somebody else.
fn serve(lab: &Lab, name: &str) {
    let mut world = lab.world();
    let set = KeySet::new(name, 1, 1);
    let entries = if name == "old" {
        world.tree_entries()
    } else {
        tree::source(name)
    };
    world.key_sets.push(set);
    let files = world.member_mut("openbao-0").raft.as_mut().unwrap();
    files.entries = Arc::new(entries);
    world.server_mut("openbao-0").unwrap().open = Some(name.to_owned());
}

#[test]
fn a_restore_goes_over_nothing_that_serves_and_clears_no_such_thing() {
    let scene = Scene::of("migrate-raft-fast", ONE);
    for (name, point) in [
        ("old", "event started: restore"),
        ("other", "event started: restore"),
        ("other", "before openbao-0: snapshot-force"),
    ] {
        let (lab, said) = behind_its_back(scene, point, |lab| serve(lab, name));
        let refused = [
            "not an unsealed member of the throwaway",
            "find out whose it is",
        ];
        assert!(refused.iter().any(|words| said.contains(words)), "{said}");
        assert!(lab.world().violations.is_empty());
        assert!(lab.world().member("openbao-0").aside.is_empty());
        let open = lab.world().server("openbao-0").unwrap().open.clone();
        assert_eq!(open.as_deref(), Some(name));
    }
}

#[test]
fn a_voter_that_somebody_else_unsealed_with_the_old_key_took_the_restore() {
    for runbook in RESTORING {
        let scene = Scene::of(runbook, ONE);
        let (lab, said) = behind_its_back(scene, "event finished: restore: Done", |lab| {
            lab.world().unseal("openbao-0", "oldxxxxxxxxx0001").unwrap();
        });
        assert_eq!(said, "Finished");
        lab.check_source();
    }
}
