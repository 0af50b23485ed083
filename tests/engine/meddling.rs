//! What somebody or something else may do to a run: the next process sees it and is not misled.

use std::sync::Arc;
use std::time::Duration;

use crate::scene::{ONE, RESTORING, Scene, to_the_end};
use crate::scripted::{Doom, Ended, Fate, KeySet, Lab, Mishap};
use crate::scripted::{in_virtual_time, tree};
use baoctl::journal::Record;
use baoctl::platform::StorageKind;

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
