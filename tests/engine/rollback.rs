//! The way back, from any point of a run, and from any point of the way back itself, ends on file storage as before.

use std::sync::Arc;

use crate::scene::Scene;
use crate::scripted::{Doom, Ended, Fate, Lab, Server, Shares, everywhere, in_virtual_time};
use baoctl::engine::{Back, End, Error};
use baoctl::journal::{Mark, Record};

const RUNBOOKS: [&str; 3] = ["migrate-raft", "migrate-raft-fast", "operator-migrate"];
const ONE: Shares = (1, 1);

/// With leave to lose what clients wrote.
const LOSE: Back = Back {
    dry_run: false,
    lose_writes: true,
    export: None,
    overrun: None,
};

async fn go(lab: &Lab) -> Ended {
    lab.process(&Arc::new(Fate::kind())).await
}

/// A run that ended after `step`, on its way back from now on.
async fn after(runbook: &str, step: &str) -> Lab {
    let mut lab = Lab::new(runbook, ONE).ranged(None, Some(step));
    let ended = go(&lab).await;
    assert!(matches!(ended, Ended::Itself(Ok(_))), "{}", ended.words());
    lab.back = Some(Back::default());
    lab
}

fn is_back(ended: &Ended) -> bool {
    matches!(ended, Ended::Itself(Ok(End::RolledBack)))
}

#[test]
fn a_crash_anywhere_on_the_way_back_is_gone_on_from() {
    let scenes = [
        ("migrate-raft", "record-keys"),
        ("migrate-raft", "apply"),
        ("migrate-raft", "unseal"),
        ("migrate-raft-fast", "init"),
        ("migrate-raft", "restore"),
        ("migrate-raft", "land"),
        ("migrate-raft-fast", "restore"),
        ("migrate-raft-fast", "join"),
        ("migrate-raft-fast", "land"),
        ("operator-migrate", "apply"),
        ("reseed", "init"),
        ("reseed", "land"),
    ];
    for (runbook, step) in scenes {
        let fate = Arc::new(Fate::kind());
        in_virtual_time(async {
            let mut lab = after(runbook, step).await;
            let served = matches!(step, "restore" | "join" | "land");
            if served || (runbook, step) == ("reseed", "init") {
                let said = go(&lab).await.words();
                assert!(said.contains("would lose what clients wrote"), "{said}");
                assert!(!lab.state().rolling_back());
            }
            lab.back = Some(LOSE);
            let ended = lab.process(&fate).await;
            assert!(is_back(&ended), "{step}: {}", ended.words());
            lab.check_back();
        });
        let points = fate.points();
        assert!(points.len() >= 8, "{points:?}");
        everywhere(0..points.len(), &points, |point| {
            in_virtual_time(async {
                let mut lab = after(runbook, step).await;
                lab.back = Some(LOSE);
                let doomed = Arc::new(Fate::at(point, Doom::Die));
                if !matches!(lab.process(&doomed).await, Ended::Killed) {
                    return Err("it did not die".to_owned());
                }
                lab.check_source();
                let ended = go(&lab).await;
                if !is_back(&ended) {
                    return Err(ended.words());
                }
                lab.check_back();
                Ok(())
            })
        });
    }
}

/// The run was cut off while the source was still ending: its word is none on what stands beside it by then.
#[test]
fn a_store_beside_a_source_that_lingers_is_moved_aside() {
    let scene = Scene::of("operator-migrate", ONE);
    let points = scene.undisturbed().points();
    let put = |it: &String| it.ends_with("after put the migrated store in place");
    let at = points.iter().position(put).unwrap();
    in_virtual_time(async {
        let mut lab = scene.lab();
        lab.process(&Arc::new(Fate::at(at, Doom::Die))).await;
        {
            let mut world = lab.world();
            assert!(world.member("openbao-0").raft.is_some());
            let lingers = Server::new(0, world.source, Some((1, 1)));
            world.member_mut("openbao-0").server = Some(lingers);
        }
        lab.back = Some(Back::default());
        let ended = go(&lab).await;
        assert!(is_back(&ended), "{}", ended.words());
        lab.check_back();
        assert_eq!(lab.world().member("openbao-0").aside.len(), 1);
    });
}

/// Somebody unseals the source behind the run, clients write, and somebody seals it again or not: the way back keeps it all.
#[test]
fn a_source_that_served_behind_the_run_goes_on_serving_what_it_has() {
    for point in [
        "started: write-tombstone",
        "started: final-copy",
        "started: flip",
        "started: replace-source",
    ] {
        for sealed_again in [false, true] {
            in_virtual_time(async {
                let fate = Arc::new(Fate::kind());
                assert!(
                    Lab::new("migrate-raft", ONE)
                        .process(&fate)
                        .await
                        .finished()
                );
                let points = fate.points();
                let at = points.iter().position(|it| it.ends_with(point)).unwrap();
                let mut lab = Lab::new("migrate-raft", ONE);
                lab.process(&Arc::new(Fate::at(at, Doom::Die))).await;
                {
                    let mut world = lab.world();
                    world.tick();
                    world.unseal("openbao-0", "oldxxxxxxxxx0001").unwrap();
                    world.write_to_source("logical/late");
                    if sealed_again {
                        world.server_mut("openbao-0").unwrap().open = None;
                    }
                }
                let said = go(&lab).await.words();
                if point != "started: write-tombstone" && point != "started: final-copy"
                    || !sealed_again
                {
                    assert!(
                        said.contains("Nothing is lost: `baoctl rollback`"),
                        "{point}: {said}"
                    );
                    lab.back = Some(Back::default());
                    let ended = go(&lab).await;
                    assert!(is_back(&ended), "{point}: {}", ended.words());
                    lab.check_back();
                }
            });
        }
    }
}

/// Somebody unseals the restored cluster behind the run, clients may have written, and its members restart sealed.
#[test]
fn a_cluster_that_may_have_served_behind_the_run_is_not_taken_away() {
    for runbook in RUNBOOKS {
        in_virtual_time(async {
            let fate = Arc::new(Fate::kind());
            assert!(Lab::new(runbook, ONE).process(&fate).await.finished());
            let points = fate.points();
            let brings = ["started: restore", "started: operator-migrate"];
            let sent = points
                .iter()
                .position(|it| brings.iter().any(|what| it.ends_with(what)));
            let rest = points.iter().enumerate().skip(sent.unwrap());
            let at = rest.clone().find(|(_, it)| it.ends_with("started: unseal"));
            let mut lab = Lab::new(runbook, ONE);
            lab.process(&Arc::new(Fate::at(at.unwrap().0, Doom::Die)))
                .await;
            {
                let mut world = lab.world();
                world.tick();
                world.unseal("openbao-0", "oldxxxxxxxxx0001").unwrap();
                world.restart_all(true);
            }
            lab.back = Some(Back::default());
            let said = go(&lab).await.words();
            assert!(
                said.contains("was restarted since it got the data"),
                "{said}"
            );
            // Nobody leads it, so that it can neither be counted nor saved.
            lab.back = Some(Back {
                export: Some(lab.path("saved.snap")),
                ..Back::default()
            });
            let said = go(&lab).await.words();
            assert!(said.contains("no member leads the new cluster"), "{said}");
            lab.back = None;
            let ended = go(&lab).await;
            assert!(ended.finished(), "{}", ended.words());
            lab.check();
        });
    }
}

#[test]
fn a_run_that_died_anywhere_can_go_back() {
    for runbook in RUNBOOKS.into_iter().chain(["reseed"]) {
        let fate = Arc::new(Fate::kind());
        in_virtual_time(async {
            let lab = Lab::new(runbook, ONE);
            assert!(lab.process(&fate).await.finished());
        });
        let points = fate.points();
        everywhere((0..points.len()).step_by(2), &points, |point| {
            in_virtual_time(async {
                let mut lab = Lab::new(runbook, ONE);
                let doomed = Arc::new(Fate::at(point, Doom::Die));
                if !matches!(lab.process(&doomed).await, Ended::Killed) {
                    return Err("it did not die".to_owned());
                }
                lab.back = Some(Back::default());
                match go(&lab).await {
                    ended if is_back(&ended) => lab.check_back(),
                    Ended::Itself(Err(Error::NothingToTakeBack)) => lab.check_source(),
                    Ended::Itself(Err(Error::Served { .. })) => {
                        // What went on to serve goes on to its end, or back with leave to lose what was written.
                        if point % 4 == 0 && lab.state().finished().is_none() {
                            lab.back = None;
                            let ended = go(&lab).await;
                            if !ended.finished() {
                                return Err(ended.words());
                            }
                            lab.check();
                        }
                        lab.back = Some(LOSE);
                        let ended = go(&lab).await;
                        if !is_back(&ended) {
                            return Err(ended.words());
                        }
                        lab.check_back();
                    }
                    ended => return Err(ended.words()),
                }
                Ok(())
            })
        });
    }
}

/// What is lost is counted, saved and recorded before the first effect.
#[test]
fn what_clients_wrote_is_counted_and_saved_first() {
    in_virtual_time(async {
        let mut lab = after("migrate-raft", "land").await;
        lab.world().write_to_cluster("logical/late");
        let saved = lab.path("saved.snap");
        lab.back = Some(Back {
            export: Some(saved.clone()),
            ..Back::default()
        });
        let ended = go(&lab).await;
        assert!(is_back(&ended), "{}", ended.words());
        lab.check_back();
        assert!(saved.is_file());
        let records = lab.records();
        let agreed = records
            .iter()
            .find_map(|record| match record {
                Record::RollingBack { loss, .. } => loss.clone(),
                _ => None,
            })
            .unwrap();
        assert_eq!(agreed.export, Some(saved));
        assert_eq!(agreed.entries.unwrap().written, 1);
        let at = |wanted: fn(&Record) -> bool| records.iter().rposition(wanted).unwrap();
        let back = at(|it| matches!(it, Record::RollingBack { .. }));
        let mark = records[back..].iter().position(|it| {
            matches!(
                it,
                Record::Mark {
                    mark: Mark::OutageStarted
                }
            )
        });
        let first = records[back..]
            .iter()
            .position(|it| matches!(it, Record::Undoing { .. }));
        assert!(mark.unwrap() < first.unwrap());
        assert_eq!(lab.state().loss(), Some(&agreed));
    });
}

/// Nothing takes the new cluster away when there is nothing to go back to.
#[test]
fn a_tree_that_is_not_as_it_was_sealed_is_no_way_back() {
    in_virtual_time(async {
        let mut lab = after("migrate-raft", "verify").await;
        let stray = lab.path("data/logical/_late");
        std::fs::write(&stray, r#"{"Value":""}"#).unwrap();
        lab.back = Some(LOSE);
        let said = go(&lab).await.words();
        assert!(said.contains("there is nothing to go back to"), "{said}");
        assert!(!lab.state().rolling_back());
        std::fs::remove_file(stray).unwrap();
        assert!(is_back(&go(&lab).await));
        lab.check_back();
    });
}

/// The source was opened by a process that did not come to note it.
#[test]
fn the_end_of_an_outage_on_the_way_back_may_be_unseen_as_well() {
    let fate = Arc::new(Fate::kind());
    in_virtual_time(async {
        let ended = after("migrate-raft", "init").await.process(&fate).await;
        assert!(is_back(&ended), "{}", ended.words());
    });
    let points = fate.points();
    let at = points.iter().position(|it| it.contains("OutageEnded"));
    in_virtual_time(async {
        let lab = after("migrate-raft", "init").await;
        let doomed = Arc::new(Fate::at(at.unwrap(), Doom::Die));
        assert!(matches!(lab.process(&doomed).await, Ended::Killed));
        assert!(is_back(&go(&lab).await));
        assert!(lab.state().outage_at_least() < lab.state().outage_seconds());
        assert!(lab.state().outage_at_least().is_some());
    });
}
