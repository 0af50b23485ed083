//! The way back, from any point of a run, and from any point of the way back itself, ends on file storage as before.
#![allow(clippy::unwrap_used)]

mod scripted;

use std::sync::Arc;

use baoctl::engine::{End, Error};
use scripted::{Doom, Ended, Fate, Lab, Shares, everywhere, in_virtual_time};

const RUNBOOKS: [&str; 3] = ["migrate-raft", "migrate-raft-fast", "operator-migrate"];
const ONE: Shares = (1, 1);

async fn go(lab: &Lab) -> Ended {
    lab.process(&Arc::new(Fate::kind())).await
}

/// A run that ended after `step`, on its way back from now on.
async fn after(runbook: &str, step: &str) -> Lab {
    let mut lab = Lab::new(runbook, ONE).ranged(None, Some(step));
    let ended = go(&lab).await;
    assert!(matches!(ended, Ended::Itself(Ok(_))), "{}", ended.words());
    lab.back = true;
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
        ("operator-migrate", "apply"),
    ];
    for (runbook, step) in scenes {
        let fate = Arc::new(Fate::kind());
        in_virtual_time(async {
            let lab = after(runbook, step).await;
            let ended = lab.process(&fate).await;
            assert!(is_back(&ended), "{step}: {}", ended.words());
            lab.check_back();
        });
        let points = fate.points();
        assert!(points.len() >= 8, "{points:?}");
        everywhere(0..points.len(), &points, |point| {
            in_virtual_time(async {
                let lab = after(runbook, step).await;
                let doomed = Arc::new(Fate::at(point, Doom::Die));
                if !matches!(lab.process(&doomed).await, Ended::Killed) {
                    return Err("it did not die".to_owned());
                }
                lab.check_source();
                // One that died after its last record is back already.
                let ended = go(&lab).await;
                if !is_back(&ended) && lab.state().finished().is_none() {
                    return Err(ended.words());
                }
                lab.check_back();
                Ok(())
            })
        });
    }
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
                    lab.back = true;
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
            lab.back = true;
            let said = go(&lab).await.words();
            assert!(
                said.contains("was restarted since it got the data"),
                "{said}"
            );
            lab.back = false;
            let ended = go(&lab).await;
            assert!(ended.finished(), "{}", ended.words());
            lab.check();
        });
    }
}

#[test]
fn a_run_that_died_anywhere_can_go_back_until_clients_were_served() {
    for runbook in RUNBOOKS {
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
                lab.back = true;
                match go(&lab).await {
                    ended if is_back(&ended) => lab.check_back(),
                    Ended::Itself(Err(Error::NothingToTakeBack)) => lab.check_source(),
                    Ended::Itself(Err(Error::Served { .. }) | Ok(End::Finished)) => {
                        // What went on to serve must go on to its end.
                        lab.back = false;
                        let ended = go(&lab).await;
                        if !ended.finished() {
                            return Err(ended.words());
                        }
                        lab.check();
                    }
                    ended => return Err(ended.words()),
                }
                Ok(())
            })
        });
    }
}
