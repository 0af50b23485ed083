//! What is left of a run goes, all that is listed and nothing else, wherever the process dies; and then there is no way back.

use std::sync::Arc;

use crate::scripted::{Consent, Doom, Ended, Fate, Lab, Shares, everywhere, in_virtual_time};
use baoctl::engine::{Back, End, Error};

const ONE: Shares = (1, 1);

async fn go(lab: &Lab) -> Ended {
    lab.process(&Arc::new(Fate::kind())).await
}

fn is_clean(ended: &Ended) -> bool {
    matches!(ended, Ended::Itself(Ok(End::CleanedUp)))
}

/// A run that has ended, with a mishap on its way that left raft files aside, and is cleaned up after from now on.
async fn ended() -> Lab {
    let mut lab = Lab::new("migrate-raft", ONE);
    lab.world().mishap = Some(crate::scripted::Mishap::LeaderDies);
    let ended = go(&lab).await;
    assert!(ended.finished(), "{}", ended.words());
    let aside = |lab: &Lab| lab.world().member("openbao-0").aside.len();
    assert!(aside(&lab) > 0);
    lab.cleanup = true;
    lab
}

#[test]
fn a_crash_anywhere_is_gone_on_from() {
    let fate = Arc::new(Fate::kind());
    in_virtual_time(async {
        let lab = ended().await;
        let ended = lab.process(&fate).await;
        assert!(is_clean(&ended), "{}", ended.words());
        lab.check_clean();
    });
    let points = fate.points();
    assert!(points.len() >= 15, "{points:?}");
    everywhere(0..points.len(), &points, |point| {
        in_virtual_time(async {
            let mut lab = ended().await;
            let doomed = Arc::new(Fate::at(point, Doom::Die));
            if !matches!(lab.process(&doomed).await, Ended::Killed) {
                return Err("it did not die".to_owned());
            }
            let ended = go(&lab).await;
            if !is_clean(&ended) {
                return Err(ended.words());
            }
            lab.check_clean();
            lab.cleanup = false;
            lab.back = Some(Back {
                lose_writes: true,
                ..Back::default()
            });
            match go(&lab).await {
                Ended::Itself(Err(Error::CleanedUp)) => Ok(()),
                other => Err(other.words()),
            }
        })
    });
}

#[test]
fn a_cluster_that_lacks_a_voter_keeps_the_way_back() {
    in_virtual_time(async {
        let lab = ended().await;
        lab.world().stop("openbao-2");
        let said = go(&lab).await.words();
        assert!(
            said.contains("openbao-2 does not run (see the log of openbao-2)"),
            "{said}"
        );
        {
            let mut world = lab.world();
            world.start("openbao-2").unwrap();
            world.server_mut("openbao-2").unwrap().open = None;
        }
        let said = go(&lab).await.words();
        let told = "openbao-2 is sealed (`unseal openbao-2`): nothing is removed";
        assert!(said.contains(told), "{said}");
        lab.check_source();
        let state = lab.state();
        assert!(state.finished().is_some() && !state.cleaning());
    });
}

#[test]
fn what_is_not_of_the_sealed_tree_is_kept() {
    in_virtual_time(async {
        let lab = ended().await;
        let (unknown, changed) = (
            lab.path("data/core/notes.txt"),
            lab.path("data/core/_audit"),
        );
        std::fs::write(&unknown, "mine").unwrap();
        std::fs::write(&changed, "another's").unwrap();
        let ended = go(&lab).await;
        assert!(is_clean(&ended), "{}", ended.words());
        assert_eq!(std::fs::read(&unknown).unwrap(), b"mine");
        assert_eq!(std::fs::read(&changed).unwrap(), b"another's");
        let told = lab.records().into_iter().map(|it| format!("{it:?}"));
        assert!(
            told.into_iter()
                .any(|it| it.contains("core/_audit, core/notes.txt"))
        );
        std::fs::remove_file(unknown).unwrap();
        std::fs::remove_file(changed).unwrap();
        lab.check_clean();
    });
}

/// A run that was rolled back before this one has no command of its own any more.
#[test]
fn what_earlier_runs_moved_aside_goes_and_nothing_of_others() {
    const EARLIER: &str = "rolled-back-019aba5e-6a3c-7d11-9f0e-0b5d7c1f6a52.2";
    const KEPT: [&str; 2] = ["ffffffff-6a3c-7d11-9f0e-0b5d7c1f6a52", "by-hand"];
    in_virtual_time(async {
        let lab = ended().await;
        {
            let mut world = lab.world();
            let files = world.member("openbao-0").aside[0].1.clone();
            let aside = &mut world.member_mut("openbao-1").aside;
            aside.push((EARLIER.to_owned(), files.clone()));
            aside.extend(KEPT.map(|label| (label.to_owned(), files.clone())));
        }
        let ended = go(&lab).await;
        assert!(is_clean(&ended), "{}", ended.words());
        let left = std::mem::take(&mut lab.world().member_mut("openbao-1").aside);
        let left: Vec<&str> = left.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(left, KEPT);
        lab.check_clean();
        let told = format!("{:?}", lab.records());
        assert!(told.contains(&format!("raft-aside-{EARLIER}, of an earlier run")));
    });
}

#[test]
fn a_no_leaves_the_run_and_its_way_back_as_they_were() {
    in_virtual_time(async {
        let mut lab = ended().await;
        lab.consent = Consent::NotTo("cleanup");
        let before = lab.records().len();
        let said = go(&lab).await.words();
        assert!(said.contains("declined"), "{said}");
        assert_eq!(lab.records().len(), before);
        lab.consent = Consent::Always;
        lab.cleanup = false;
        lab.back = Some(Back {
            lose_writes: true,
            ..Back::default()
        });
        let ended = go(&lab).await;
        assert!(
            matches!(ended, Ended::Itself(Ok(End::RolledBack))),
            "{}",
            ended.words()
        );
        lab.check_back();
        // After that only what lies aside goes: the tree serves.
        lab.back = None;
        lab.cleanup = true;
        assert!(is_clean(&go(&lab).await));
        let world = lab.world();
        assert!(world.tree_is_whole());
        assert_eq!(world.violations, [""; 0]);
        for name in ["openbao-0", "openbao-1", "openbao-2"] {
            assert_eq!(world.member(name).aside.len(), 0, "{name}");
        }
    });
}
