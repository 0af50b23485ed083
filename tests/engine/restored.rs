//! A raft snapshot is restored where a cluster was lost.

use std::sync::Arc;

use baoctl::engine::{Back, End, Error, Range};
use baoctl::platform::StorageKind;

use crate::scripted::{
    Consent, Doom, Ended, Fate, Lab, Mishap, RaftFiles, everywhere, in_virtual_time, native,
};

async fn go(lab: &Lab) -> Ended {
    lab.process(&Arc::new(Fate::kind())).await
}

/// The course of a run that is left in peace.
fn undisturbed(mishap: Option<Mishap>) -> Vec<String> {
    let lab = Lab::lost();
    lab.world().mishap = mishap;
    let fate = Arc::new(Fate::kind());
    in_virtual_time(async {
        let ended = lab.process(&fate).await;
        assert!(ended.finished(), "{}", ended.words());
        lab.check();
    });
    fate.points()
}

fn crash_everywhere(mishap: Option<Mishap>, from: &str) {
    let points = undisturbed(mishap);
    let first = points.iter().position(|point| point.contains(from));
    everywhere(first.unwrap()..points.len(), &points, |point| {
        in_virtual_time(async {
            let lab = Lab::lost();
            lab.world().mishap = mishap;
            let ended = lab.process(&Arc::new(Fate::at(point, Doom::Die))).await;
            assert!(matches!(ended, Ended::Killed), "{}", ended.words());
            lab.check_source();
            let ended = go(&lab).await;
            if !ended.finished() {
                return Err(ended.words());
            }
            lab.check();
            Ok(())
        })
    });
}

#[test]
fn a_crash_anywhere_is_resumed() {
    crash_everywhere(None, "");
}

#[test]
fn a_crash_anywhere_while_a_broken_restore_is_cleared_is_resumed() {
    crash_everywhere(Some(Mishap::LeaderDies), "openbao-0: snapshot-force");
}

/// As it is where the cluster ran that was lost.
#[test]
fn the_release_may_be_on_raft_already() {
    let lab = Lab::lost();
    lab.world().release.storage = StorageKind::Raft;
    lab.world().release.replicas = 3;
    in_virtual_time(async {
        let ended = go(&lab).await;
        assert!(ended.finished(), "{}", ended.words());
        lab.check();
    });
}

/// As it is where the chart was installed anew, with its own defaults; on `pebbledb` such a server has a store already.
#[test]
fn a_server_that_was_never_initialised_is_replaced() {
    for storage in [StorageKind::File, StorageKind::Pebbledb] {
        let installed = || {
            let lab = Lab::lost();
            lab.world().source = storage;
            lab.world().release.storage = storage;
            lab.world().start("openbao-0").unwrap();
            lab
        };
        in_virtual_time(async {
            let lab = installed();
            let ended = go(&lab).await;
            assert!(ended.finished(), "{}", ended.words());
            lab.check();

            let mut lab = installed().ranged(None, Some("init"));
            assert!(matches!(go(&lab).await, Ended::Itself(Ok(End::Reached(_)))));
            lab.range = Range::default();
            lab.back = Some(Back::default());
            let ended = go(&lab).await;
            let back = matches!(ended, Ended::Itself(Ok(End::RolledBack)));
            assert!(back, "{}", ended.words());
            lab.check_back();
        });
    }
    // A store that nobody has open may hold anything.
    let lab = Lab::lost();
    lab.world().source = StorageKind::Pebbledb;
    lab.world().release.storage = StorageKind::Pebbledb;
    std::fs::write(lab.world().data.join("_stray"), "{}").unwrap();
    in_virtual_time(async {
        let said = go(&lab).await.words();
        assert!(said.contains("target-empty"), "{said}");
    });
}

/// From any point nothing is left of it but raft files aside, until somebody may have been served.
#[test]
fn the_way_back_leads_to_no_data_at_all() {
    let points = undisturbed(None);
    // The last time that it is given a share is with the old key.
    let last = points
        .iter()
        .rposition(|point| point == "before openbao-0: unseal");
    let begun = points
        .iter()
        .position(|point| point.contains("started: prove"));
    let (begun, served) = (begun.unwrap(), last.unwrap());
    everywhere((begun..points.len()).step_by(3), &points, |point| {
        in_virtual_time(async {
            let mut lab = Lab::lost();
            lab.process(&Arc::new(Fate::at(point, Doom::Die))).await;
            lab.back = Some(Back::default());
            match go(&lab).await {
                Ended::Itself(Ok(End::RolledBack)) if point < served => lab.check_back(),
                Ended::Itself(Err(Error::Served { .. })) if point >= served => {
                    lab.back = Some(Back {
                        lose_writes: true,
                        ..Back::default()
                    });
                    let ended = go(&lab).await;
                    let refused = matches!(ended, Ended::Itself(Err(Error::NoWayBack { .. })));
                    assert!(refused, "{}", ended.words());
                    lab.back = None;
                    assert!(go(&lab).await.finished());
                    lab.check();
                }
                other => return Err(other.words()),
            }
            Ok(())
        })
    });
}

/// Members that are down show nothing of what they served.
#[test]
fn a_cluster_that_served_is_not_given_up_because_it_is_down() {
    let mut lab = Lab::lost();
    in_virtual_time(async {
        assert!(go(&lab).await.finished());
        lab.world().restart_all(false);
        lab.back = Some(Back::default());
        let ended = go(&lab).await;
        let refused = matches!(ended, Ended::Itself(Err(Error::Served { .. })));
        assert!(refused, "{}", ended.words());
    });
}

/// As where somebody gave a release on raft the values of file storage, and took them back: one member still runs on that.
fn mismatched() -> Lab {
    let lab = Lab::lost();
    lab.world().start("openbao-0").unwrap();
    lab.world().release.storage = StorageKind::Raft;
    lab.world().release.replicas = 3;
    lab
}

/// What was thought to be lost stands on a member's volume.
fn found_again(lab: &Lab, member: &str) {
    let entries = Arc::new(native::entries(&lab.world().key_set("old")));
    let group = Some(lab.world().found(member));
    lab.world().member_mut(member).raft = Some(RaftFiles { group, entries });
}

/// The run ends with these words, and leaves it there.
async fn leaves_it(lab: &Lab, member: &str, words: &str) {
    let said = go(lab).await.words();
    assert!(said.contains(words), "{said}");
    let world = lab.world();
    let found = world.member(member);
    let keyring = |files: &RaftFiles| files.entries.contains_key("core/keyring");
    assert!(found.raft.as_ref().is_some_and(keyring), "{said}");
    assert_eq!(world.inits, 0);
}

#[test]
fn nothing_begins_where_the_lost_cluster_is_found_again() {
    in_virtual_time(async {
        let lab = mismatched();
        found_again(&lab, "openbao-0");
        leaves_it(&lab, "openbao-0", "target-empty").await;
        assert_eq!(lab.world().release.revision, 1);

        // After its checks.
        let mut lab = mismatched().ranged(None, Some("record-keys"));
        assert!(matches!(go(&lab).await, Ended::Itself(Ok(End::Reached(_)))));
        found_again(&lab, "openbao-0");
        lab.range = Range::default();
        leaves_it(&lab, "openbao-0", "openbao-0 holds raft files").await;
        assert_eq!(lab.world().release.revision, 1);
    });
}

/// Neither the way on nor the way back takes it for the run's own.
#[test]
fn the_lost_cluster_is_never_moved_aside() {
    let fate = Arc::new(Fate::kind());
    in_virtual_time(async {
        let lab = mismatched();
        let ended = lab.process(&fate).await;
        assert!(ended.finished(), "{}", ended.words());
        lab.check();
    });
    let flipped = |point: &String| point.contains("started: await-storage");
    let flipped = fate.points().iter().position(flipped).unwrap();
    let cases = [
        ("openbao-0", false, "openbao-0 holds raft files"),
        ("openbao-0", true, "openbao-0 is initialised on raft"),
        ("openbao-1", true, "openbao-1 is initialised, and"),
    ];
    for (member, restarted, words) in cases {
        in_virtual_time(async {
            let mut lab = mismatched();
            lab.process(&Arc::new(Fate::at(flipped, Doom::Die))).await;
            found_again(&lab, member);
            if restarted {
                lab.world().stop(member);
                lab.world().start(member).unwrap();
            }
            leaves_it(&lab, member, words).await;
            lab.back = Some(Back::default());
            leaves_it(&lab, member, "no init of this run did that").await;
            // A person has put it elsewhere.
            lab.world().stop(member);
            lab.world().member_mut(member).raft = None;
            let ended = go(&lab).await;
            let back = matches!(ended, Ended::Itself(Ok(End::RolledBack)));
            assert!(back, "{}", ended.words());
            lab.check_back();
        });
    }
}

/// What a run would restore is refused before anything starts, whatever is wrong with it.
#[test]
fn nothing_is_touched_where_it_does_not_fit() {
    let refused = |lab: &Lab, word: &str| {
        in_virtual_time(async {
            let said = go(lab).await.words();
            assert!(said.contains(word), "{said}");
        });
        let world = lab.world();
        assert_eq!(world.inits, 0);
        assert_eq!(world.release.revision, 1);
        assert_eq!(world.secrets.len(), 1);
    };
    let mut lab = Lab::lost();
    lab.snapshot.as_mut().unwrap().cluster_id = Some("cluster-other".to_owned());
    refused(&lab, "snapshot-cluster");

    let lab = Lab::lost();
    std::fs::write(lab.world().data.join("_stray"), "{}").unwrap();
    refused(&lab, "target-empty");

    let mut lab = Lab::lost();
    lab.consent = Consent::NotTo("apply");
    refused(&lab, "apply");
}

/// Another file under the same name is not what was checked and proven; the same one may be named elsewhere.
#[test]
fn a_file_that_is_replaced_meanwhile_is_not_restored() {
    let mut lab = Lab::lost().ranged(None, Some("record-keys"));
    in_virtual_time(async {
        assert!(matches!(go(&lab).await, Ended::Itself(Ok(End::Reached(_)))));
        let path = lab.path("nightly.snap");
        let kept = std::fs::read(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        lab.range = Range::default();
        let said = go(&lab).await.words();
        assert!(said.contains("not the file that was checked"), "{said}");
        assert_eq!(lab.world().release.revision, 1);
        std::fs::remove_file(&path).unwrap();
        let said = go(&lab).await.words();
        assert!(said.contains("resume --from-snapshot FILE"), "{said}");
        let elsewhere = lab.path("copied.snap");
        std::fs::write(&elsewhere, kept).unwrap();
        lab.snapshot.as_mut().unwrap().path = elsewhere;
        let ended = go(&lab).await;
        assert!(ended.finished(), "{}", ended.words());
        lab.check();
    });
}
