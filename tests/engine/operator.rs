//! What the person at the terminal may do: interrupt, look on, decline, and run a part.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::scene::{ONE, RESTORING, RUNBOOKS, Scene, to_the_end};
use crate::scripted::{Consent, Doom, Ended, Fate, Lab, Mishap};
use crate::scripted::{everywhere, in_virtual_time};
use baoctl::action::ActionSpec;
use baoctl::engine::{End, Error};
use baoctl::event::Effect;
use baoctl::journal::Record;
use baoctl::platform::StorageKind;
use baoctl::runbook::Loaded;

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
            assert_eq!(declined.as_deref(), Some(step));
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
                let declined = matches!(&ended, Ended::Itself(Err(Error::Declined { step })) if step.as_deref() == Some("restore"));
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
