//! A fresh cluster in place of the source, whose data stays behind: with leave, with new keys, and with a way back.

use std::sync::Arc;

use crate::scene::ONE;
use crate::scripted::{Consent, Doom, Ended, Fate, KeySet, Lab, everywhere, in_virtual_time};
use baoctl::engine::{Back, End, Error};
use baoctl::event::Tier;
use baoctl::platform::SecretName;
use secrecy::ExposeSecret;

const ASK: &str = "the new cluster gets none of the source's data";

async fn go(lab: &Lab) -> Ended {
    lab.process(&Arc::new(Fate::kind())).await
}

/// Panics unless the source serves, and nothing has been done to it.
fn check_untouched(lab: &Lab) {
    lab.check_source();
    let world = lab.world();
    assert!(world.is_active("openbao-0"));
    assert_eq!(world.secrets.len(), 1);
    assert_eq!(world.job.suspended, None);
    assert!(lab.state().outage_started().is_none());
}

#[test]
fn a_source_that_holds_data_is_refused_without_leave() {
    in_virtual_time(async {
        let mut lab = Lab::new("reseed", ONE);
        lab.lose_data = false;
        let Ended::Itself(Err(Error::Conflict { kind, why, .. })) = go(&lab).await else {
            panic!("it was not refused");
        };
        assert_eq!(kind, "forsake-data");
        assert!(why.contains("kv/ (kv), 3 entries"), "{why}");
        assert!(why.contains("--lose-data"), "{why}");
        check_untouched(&lab);
        lab.lose_data = true;
        assert!(go(&lab).await.finished());
        lab.check();
    });
}

#[test]
fn with_leave_the_name_is_typed_for_it() {
    in_virtual_time(async {
        let mut lab = Lab::new("reseed", ONE);
        lab.consent = Consent::NotToTyped("snapshot");
        let said = go(&lab).await.words();
        assert!(said.contains("declined"), "{said}");
        check_untouched(&lab);
        lab.consent = Consent::Always;
        assert!(go(&lab).await.finished());
        let asked = lab.asked();
        let for_it: Vec<_> = asked.iter().filter(|it| it.ask.contains(ASK)).collect();
        assert_eq!(for_it.len(), 2, "{asked:?}");
        let typed = Tier::TypeName("vault".to_owned());
        assert!(for_it.iter().all(|it| it.tier == typed));
        lab.check();
    });
}

/// A run without leave that found nothing on the source and is about to go on to its seal.
async fn looked_at_bare() -> Lab {
    let mut lab = Lab::new("reseed", ONE).ranged(None, Some("record-keys"));
    lab.lose_data = false;
    lab.world().bare = true;
    let ended = go(&lab).await;
    assert!(matches!(ended, Ended::Itself(Ok(_))), "{}", ended.words());
    lab.range.until = None;
    lab
}

/// What comes in after that look is not lost unasked: hours may lie between.
#[test]
fn a_source_that_held_nothing_is_looked_at_again_before_the_seal() {
    in_virtual_time(async {
        let lab = looked_at_bare().await;
        let asked = lab.asked();
        assert!(!asked.iter().any(|it| it.ask.contains(ASK)), "{asked:?}");
        lab.world().bare = false;
        let said = go(&lab).await.words();
        assert!(
            said.contains("was not there when this run looked"),
            "{said}"
        );
        assert!(lab.world().is_active("openbao-0"));
        assert!(!lab.state().in_outage());
        lab.world().bare = true;
        let ended = go(&lab).await;
        assert!(ended.finished(), "{}", ended.words());
    });
}

/// Nor what nobody had when the checks were made.
#[test]
fn a_child_namespace_that_came_since_is_seen_before_the_seal() {
    in_virtual_time(async {
        let lab = looked_at_bare().await;
        lab.world().bare = false;
        lab.world().add_namespace();
        let said = go(&lab).await.words();
        assert!(said.contains("was not there when this run"), "{said}");
        assert!(said.contains("namespace child/"), "{said}");
        assert!(lab.world().is_active("openbao-0"));
    });
}

#[test]
fn a_job_that_failed_is_run_again() {
    in_virtual_time(async {
        let mut lab = Lab::new("reseed", ONE);
        lab.world().job_fails = true;
        let said = go(&lab).await.words();
        assert!(said.contains("it failed"), "{said}");
        assert_eq!(lab.world().jobs.len(), 1, "the second waits for the first");
        lab.world().job_fails = false;
        assert!(go(&lab).await.finished());
        lab.check();
        // No copy acts on the source.
        lab.back = Some(Back {
            lose_writes: true,
            ..Back::default()
        });
        assert!(matches!(go(&lab).await, Ended::Itself(Ok(End::RolledBack))));
        lab.check_back();
    });
}

/// A key that somebody else put into the Secret is neither overwritten nor taken for the new one.
#[test]
fn a_foreign_key_in_the_unseal_secret_stops_it() {
    in_virtual_time(async {
        let fate = Arc::new(Fate::kind());
        assert!(Lab::new("reseed", ONE).process(&fate).await.finished());
        let points = fate.points();
        let at = points
            .iter()
            .position(|it| it.ends_with("started: keep-keys"));
        let lab = Lab::new("reseed", ONE);
        let doomed = Fate::at(at.unwrap(), Doom::Die);
        lab.process(&Arc::new(doomed)).await;
        let put = |key: &str| {
            let mut world = lab.world();
            let secret = world.secrets.get_mut(&SecretName::Unseal).unwrap();
            secret.insert("unseal-key".to_owned(), key.to_owned().into());
        };
        put("foreign");
        let said = go(&lab).await.words();
        assert!(said.contains("somebody wrote another key"), "{said}");
        let found = lab.world().secrets[&SecretName::Unseal].clone();
        assert_eq!(found["unseal-key"].expose_secret(), "foreign");
        put("");
        assert!(go(&lab).await.finished());
        lab.check();
    });
}

/// After the end the old tree and the old keys go, and the copy of the new keys only while the Secret has them.
#[test]
fn a_crash_anywhere_while_it_is_cleaned_up_is_gone_on_from() {
    let ended = async || {
        let mut lab = Lab::new("reseed", ONE);
        assert!(go(&lab).await.finished());
        lab.cleanup = true;
        lab
    };
    let fate = Arc::new(Fate::kind());
    in_virtual_time(async {
        let lab = ended().await;
        let [new, old] =
            [SecretName::Unseal, SecretName::Parked].map(|name| lab.world().secrets[&name].clone());
        lab.world().secrets.insert(SecretName::Unseal, old);
        let said = go(&lab).await.words();
        assert!(said.contains("does not hold the new key"), "{said}");
        assert_eq!(lab.world().secrets.len(), 3);
        lab.world().secrets.insert(SecretName::Unseal, new);
        let ended = lab.process(&fate).await;
        let clean = matches!(ended, Ended::Itself(Ok(End::CleanedUp)));
        assert!(clean, "{}", ended.words());
        lab.check_clean();
    });
    let points = fate.points();
    everywhere(0..points.len(), &points, |point| {
        in_virtual_time(async {
            let lab = ended().await;
            let doomed = Arc::new(Fate::at(point, Doom::Die));
            if !matches!(lab.process(&doomed).await, Ended::Killed) {
                return Err("it did not die".to_owned());
            }
            match go(&lab).await {
                Ended::Itself(Ok(End::CleanedUp)) => lab.check_clean(),
                other => return Err(other.words()),
            }
            Ok(())
        })
    });
}

/// Without an unseal Secret the run's own copy of the new keys is the only one: no cleanup
/// takes it.
#[test]
fn without_an_unseal_secret_the_new_keys_stay() {
    in_virtual_time(async {
        let mut lab = Lab::new("reseed", ONE);
        let keys = lab.path("keys.json");
        let text = r#"{"unseal_keys_b64": ["oldxxxxxxxxx0001"], "root_token": "old-token"}"#;
        std::fs::write(&keys, text).unwrap();
        lab.keys_file = Some(keys);
        lab.world().secrets.remove(&SecretName::Unseal);
        let ended = go(&lab).await;
        assert!(ended.finished(), "{}", ended.words());
        let kept = |lab: &Lab| lab.world().secrets.contains_key(&SecretName::Throwaway);
        assert!(kept(&lab));
        lab.cleanup = true;
        let ended = go(&lab).await;
        let clean = matches!(ended, Ended::Itself(Ok(End::CleanedUp)));
        assert!(clean, "{}", ended.words());
        assert!(kept(&lab));
    });
}

/// The new cluster's shares are rotated and its root token is revoked; returned are those that hold from then on.
fn rotate(lab: &Lab) -> KeySet {
    let mut world = lab.world();
    let set = world.key_sets.last_mut().unwrap();
    let new = KeySet::new("rotated", 1, 1);
    set.shares.clone_from(&new.shares);
    set.token.clone_from(&new.token);
    new
}

fn keys_file(lab: &Lab, keys: &KeySet) -> std::path::PathBuf {
    let file = lab.path("rotated.json");
    let text = serde_json::json!({"unseal_keys_b64": keys.shares, "root_token": keys.token});
    std::fs::write(&file, text.to_string()).unwrap();
    file
}

#[test]
fn keys_that_were_changed_meanwhile_are_told_to_resume() {
    in_virtual_time(async {
        let mut lab = Lab::new("reseed", ONE);
        lab.world().job_fails = true;
        go(&lab).await;
        let new = rotate(&lab);
        lab.world().job_fails = false;
        // One that restarted is sealed, and takes the new shares alone.
        lab.world().stop("openbao-2");
        let said = go(&lab).await.words();
        assert!(said.contains("permission denied"), "{said}");
        lab.keys_file = Some(keys_file(&lab, &new));
        let ended = go(&lab).await;
        assert!(ended.finished(), "{}", ended.words());
        assert!(lab.world().server("openbao-2").unwrap().open.is_some());
    });
}

#[test]
fn rotated_keys_in_the_unseal_secret_are_cleaned_up_with_once_they_are_given() {
    in_virtual_time(async {
        let mut lab = Lab::new("reseed", ONE);
        assert!(go(&lab).await.finished());
        let new = rotate(&lab);
        lab.cleanup = true;
        let said = go(&lab).await.words();
        assert!(said.contains("permission denied"), "{said}");
        let put = |field: &str, value: &str| {
            let mut world = lab.world();
            let secret = world.secrets.get_mut(&SecretName::Unseal).unwrap();
            secret.insert(field.to_owned(), value.to_owned().into());
        };
        put("root-token", &new.token);
        put("unseal-key", &new.shares[0]);
        let said = go(&lab).await.words();
        assert!(said.contains("neither the key that init gave"), "{said}");
        assert!(said.contains("--keys-file"), "{said}");
        assert_eq!(lab.world().secrets.len(), 3);
        lab.keys_file = Some(keys_file(&lab, &new));
        let ended = go(&lab).await;
        let clean = matches!(ended, Ended::Itself(Ok(End::CleanedUp)));
        assert!(clean, "{}", ended.words());
        lab.check_clean();
    });
}
