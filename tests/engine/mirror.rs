//! Whatever becomes of the mirror or of this machine: nothing that must be known elsewhere happens unknown there, nothing
//! is done after a takeover, and who goes on from the mirror's records ends where an undisturbed run does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::scripted::{Doom, Ended, Fate, Lab, Shares, everywhere, in_virtual_time};
use async_trait::async_trait;
use baoctl::engine::{Back, End, Error};
use baoctl::event::Effect;
use baoctl::journal::{self, Mirror, MirrorError, Record};
use baoctl::runbook::Loaded;

const RUNBOOKS: [&str; 3] = ["migrate-raft", "migrate-raft-fast", "operator-migrate"];
const ONE: Shares = (1, 1);

/// What the cluster holds for all of them.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    epoch: u64,
    /// Records in the journal when somebody took the run away.
    taken_at: Option<usize>,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It never arrives.
    Fails,
    /// It arrives, and its answer does not.
    AnswerLost,
    /// It never comes back.
    Stalls,
    /// Just before it somebody takes the run away.
    TakenOver,
}

type Plan = Box<dyn Fn(usize) -> Option<Trouble> + Send + Sync>;

/// One process' hold on it.
struct Fake {
    held: Arc<Mutex<Held>>,
    epoch: u64,
    journal: PathBuf,
    fate: Arc<Fate>,
    plan: Plan,
    calls: AtomicUsize,
}

fn locked(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

fn records(path: &Path) -> Vec<Record> {
    let records = journal::records(path).unwrap_or_default();
    records.into_iter().map(|(_, record)| record).collect()
}

impl Fake {
    async fn answer(
        &self,
        what: &str,
        arrives: impl FnOnce() -> Result<(), MirrorError>,
    ) -> Result<(), MirrorError> {
        let trouble = (self.plan)(self.calls.fetch_add(1, Ordering::Relaxed));
        let unavailable = || MirrorError::Unavailable {
            why: "the API server is away".to_owned(),
        };
        self.fate.point(format!("before mirror: {what}"));
        // As over a network: the run goes on meanwhile.
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        match trouble {
            Some(Trouble::Fails) => return Err(unavailable()),
            Some(Trouble::Stalls) => std::future::pending().await,
            Some(Trouble::TakenOver) => {
                let mut held = locked(&self.held);
                held.epoch += 1;
                held.taken_at = Some(records(&self.journal).len());
            }
            Some(Trouble::AnswerLost) | None => {}
        }
        if locked(&self.held).epoch != self.epoch {
            return Err(MirrorError::Lost {
                holder: "a colleague".to_owned(),
            });
        }
        arrives()?;
        self.fate.point(format!("after mirror: {what}"));
        if trouble == Some(Trouble::AnswerLost) {
            return Err(unavailable());
        }
        Ok(())
    }
}

#[async_trait]
impl Mirror for Fake {
    async fn push(&self, at: u64, lines: &[u8]) -> Result<(), MirrorError> {
        self.answer("push", || {
            let mut held = locked(&self.held);
            let at = usize::try_from(at).unwrap();
            if held.bytes.len() < at {
                let held = held.bytes.len() as u64;
                return Err(MirrorError::Behind { held });
            }
            let Some(more) = lines.strip_prefix(&held.bytes[at..]) else {
                return Err(MirrorError::Parted {
                    why: "not the same run".to_owned(),
                });
            };
            held.bytes.extend_from_slice(more);
            // Never ahead of the file, and whole lines of it.
            assert_eq!(held.bytes.last(), Some(&b'\n'));
            assert!(
                std::fs::read(&self.journal)
                    .unwrap()
                    .starts_with(&held.bytes)
            );
            Ok(())
        })
        .await
    }

    async fn check(&self) -> Result<(), MirrorError> {
        self.answer("check", || Ok(())).await
    }
}

/// Whether the run stopped since the mirror was away, before anything that must be in it.
fn stopped_in_time(ended: &Ended) -> bool {
    let refused = "clients are served as before";
    matches!(ended, Ended::Itself(Err(Error::Uncovered { .. })))
        || matches!(ended, Ended::Itself(Err(Error::Action { .. })))
            && ended.words().contains(refused)
}

/// A lab with a cluster that holds the mirror.
struct Scene {
    lab: Lab,
    runbook: &'static str,
    held: Arc<Mutex<Held>>,
}

impl Scene {
    fn new(runbook: &'static str) -> Self {
        Self {
            lab: Lab::new(runbook, ONE),
            runbook,
            held: Arc::default(),
        }
    }

    /// One process of the holder of now; returns its mirror too, for its count of calls.
    async fn process(
        &mut self,
        fate: Fate,
        plan: impl Fn(usize) -> Option<Trouble> + Send + Sync + 'static,
    ) -> (Ended, Arc<Fate>, Arc<Fake>) {
        let fate = Arc::new(fate.seen_by(self.witness()));
        let epoch = locked(&self.held).epoch;
        let mirror = Arc::new(Fake {
            held: self.held.clone(),
            epoch,
            journal: self.lab.journal_path(),
            fate: fate.clone(),
            plan: Box::new(plan),
            calls: AtomicUsize::new(0),
        });
        self.lab.mirror = Some(mirror.clone());
        let ended = self.lab.process(&fate).await;
        self.lab.check_source();
        (ended, fate, mirror)
    }

    /// Panics at a call of an action whose intent must be in the mirror and is not, or came after a takeover.
    fn witness(&self) -> crate::scripted::Witness {
        let (held, journal) = (self.held.clone(), self.lab.journal_path());
        let steps = Loaded::named(self.runbook).unwrap().runbook.steps;
        let effects: BTreeMap<(String, usize), Effect> = steps
            .iter()
            .flat_map(|step| {
                let actions = step.actions.iter().enumerate();
                actions.map(|(index, action)| ((step.id.clone(), index), action.effect()))
            })
            .collect();
        Box::new(move |call| {
            let records = records(&journal);
            let acting = records.iter().rposition(|record| {
                matches!(record, Record::Intent { .. } | Record::Undoing { .. })
            });
            let Some(acting) = acting else {
                return;
            };
            let (Record::Intent { step, action, .. } | Record::Undoing { step, action, .. }) =
                &records[acting]
            else {
                return;
            };
            let held = locked(&held);
            if let Some(taken_at) = held.taken_at {
                assert!(acting < taken_at, "{call} after a takeover");
            }
            if effects[&(step.clone(), *action)] > Effect::Read {
                let mirrored = held.bytes.split_inclusive(|byte| *byte == b'\n').count();
                assert!(mirrored > acting, "{call} without a record elsewhere");
            }
        })
    }

    /// The machine is gone; another one takes the run over with what the cluster holds.
    fn move_to_another_machine(&self) {
        let path = self.lab.journal_path();
        let mut held = locked(&self.held);
        held.epoch += 1;
        held.taken_at = None;
        let _ = std::fs::remove_file(&path);
        if !held.bytes.is_empty() {
            journal::restore(&path, &held.bytes).unwrap();
        }
    }

    async fn goes_to_its_end(&mut self) -> Result<(), String> {
        let over = records(&self.lab.journal_path()).contains(&Record::Finished);
        let (ended, ..) = self.process(Fate::kind(), |_| None).await;
        if !ended.finished() {
            return Err(ended.words());
        }
        self.lab.check();
        // Nobody goes on with a run that is over.
        if !over {
            self.has_all();
        }
        Ok(())
    }

    fn has_all(&self) {
        let journal = std::fs::read(self.lab.journal_path()).unwrap();
        assert!(
            locked(&self.held).bytes == journal,
            "the mirror is not the journal"
        );
    }

    /// The calls to the mirror, and the points, of a run that is left in peace.
    fn undisturbed(runbook: &'static str) -> (usize, Vec<String>) {
        let mut scene = Self::new(runbook);
        in_virtual_time(async {
            let (ended, fate, mirror) = scene.process(Fate::kind(), |_| None).await;
            assert!(ended.finished(), "{}", ended.words());
            scene.lab.check();
            scene.has_all();
            (mirror.calls.load(Ordering::Relaxed), fate.points())
        })
    }
}

#[test]
fn one_call_that_goes_wrong_keeps_no_run_from_its_end() {
    for runbook in RUNBOOKS {
        let (calls, _) = Scene::undisturbed(runbook);
        assert!(calls > 30, "{calls}");
        for trouble in [Trouble::Fails, Trouble::AnswerLost, Trouble::Stalls] {
            everywhere((0..calls).step_by(5), &[], |call| {
                let mut scene = Scene::new(runbook);
                in_virtual_time(async {
                    let plan = move |number| (number == call).then_some(trouble);
                    let (ended, ..) = scene.process(Fate::kind(), plan).await;
                    if !ended.finished() {
                        return Err(format!("{trouble:?}: {}", ended.words()));
                    }
                    scene.lab.check();
                    scene.has_all();
                    Ok(())
                })
            });
        }
    }
}

#[test]
fn without_a_mirror_nothing_begins_that_must_be_in_it() {
    for runbook in RUNBOOKS {
        let (calls, _) = Scene::undisturbed(runbook);
        let stopped = AtomicUsize::new(0);
        for trouble in [Trouble::Fails, Trouble::Stalls] {
            everywhere((0..calls).step_by(2), &[], |call| {
                let mut scene = Scene::new(runbook);
                in_virtual_time(async {
                    let plan = move |number| (number >= call).then_some(trouble);
                    let (ended, ..) = scene.process(Fate::kind(), plan).await;
                    if let Ended::Itself(Err(Error::Uncovered { step, kind, .. })) = &ended {
                        let state = scene.lab.state();
                        let mut open = state.open_intents();
                        if open.any(|((of, _), it)| of == step && it.kind == *kind) {
                            return Err(format!("{step}: {kind} looks as if it had begun"));
                        }
                    }
                    if ended.finished() {
                        scene.lab.check();
                    } else if stopped_in_time(&ended) {
                        stopped.fetch_add(1, Ordering::Relaxed);
                    } else {
                        return Err(ended.words());
                    }
                    scene.goes_to_its_end().await
                })
            });
        }
        assert!(stopped.into_inner() > calls / 4);
    }
}

#[test]
fn whoever_lost_the_run_begins_nothing_more() {
    for runbook in RUNBOOKS {
        let (calls, _) = Scene::undisturbed(runbook);
        everywhere((0..calls).step_by(2), &[], |call| {
            let mut scene = Scene::new(runbook);
            in_virtual_time(async {
                let plan = move |number| (number == call).then_some(Trouble::TakenOver);
                let (ended, ..) = scene.process(Fate::kind(), plan).await;
                if !matches!(&ended, Ended::Itself(Err(Error::Lost { holder })) if holder == "a colleague")
                {
                    return Err(ended.words());
                }
                scene.move_to_another_machine();
                scene.goes_to_its_end().await
            })
        });
    }
}

#[test]
fn a_run_whose_machine_is_gone_at_any_point_goes_on_from_the_mirror() {
    for runbook in RUNBOOKS {
        let (_, points) = Scene::undisturbed(runbook);
        everywhere((0..points.len()).step_by(3), &points, |point| {
            let mut scene = Scene::new(runbook);
            in_virtual_time(async {
                let (ended, ..) = scene.process(Fate::at(point, Doom::Die), |_| None).await;
                if !matches!(ended, Ended::Killed) {
                    return Err(format!("it did not die: {}", ended.words()));
                }
                scene.move_to_another_machine();
                scene.goes_to_its_end().await
            })
        });
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

/// Machines that are lost one after another, with a mirror that hears of only a part of what happens.
fn machines_lost_at_random(seed: usize) -> Result<(), String> {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ ((seed as u64 + 1) << 32));
    let mut scene = Scene::new(RUNBOOKS[dice.below(RUNBOOKS.len())]);
    in_virtual_time(async {
        for reach in [300, 60, 30] {
            let salt = dice.below(1 << 20);
            let plan =
                move |number: usize| match Dice(((number * 2 + 1) * (salt + 7)) as u64 | 1 << 40)
                    .below(8)
                {
                    0 => Some(Trouble::Fails),
                    1 => Some(Trouble::AnswerLost),
                    2 => Some(Trouble::Stalls),
                    _ => None,
                };
            let doomed = Fate::at(dice.below(reach), Doom::Die);
            let ended = scene.process(doomed, plan).await.0;
            let fair = matches!(ended, Ended::Killed | Ended::Itself(Ok(_)));
            if !fair && !stopped_in_time(&ended) {
                return Err(ended.words());
            }
            if dice.below(3) > 0 {
                scene.move_to_another_machine();
            }
        }
        scene.goes_to_its_end().await
    })
}

#[test]
fn machines_may_be_lost_in_a_row_while_the_mirror_misses_records() {
    everywhere(0..60, &[], machines_lost_at_random);
}

#[test]
#[ignore = "takes some minutes"]
fn so_may_be_a_thousand_machines() {
    everywhere(60..1060, &[], machines_lost_at_random);
}

#[test]
fn a_journal_that_another_machine_went_on_from_is_not_gone_on_with() {
    let mut scene = Scene::new("migrate-raft");
    in_virtual_time(async {
        let (ended, ..) = scene.process(Fate::at(60, Doom::Die), |_| None).await;
        assert!(matches!(ended, Ended::Killed));
        let path = scene.lab.journal_path();
        let stale = path.with_extension("stale");
        std::fs::copy(&path, &stale).unwrap();
        scene.move_to_another_machine();
        scene.process(Fate::at(60, Doom::Die), |_| None).await;
        // Somebody goes on with the first machine's file after all.
        std::fs::remove_file(&path).unwrap();
        std::fs::copy(&stale, &path).unwrap();
        let (ended, fate, _) = scene.process(Fate::kind(), |_| None).await;
        assert!(
            matches!(ended, Ended::Itself(Err(Error::Parted { .. }))),
            "{}",
            ended.words()
        );
        assert!(fate.calls().is_empty());
    });
}

#[test]
fn the_way_back_is_mirrored_as_well() {
    in_virtual_time(async {
        for down_from in [None, Some(1), Some(4), Some(8)] {
            let mut scene = Scene::new("migrate-raft");
            scene.lab = scene.lab.ranged(None, Some("init"));
            let (ended, ..) = scene.process(Fate::kind(), |_| None).await;
            assert!(matches!(ended, Ended::Itself(Ok(End::Reached(_)))));
            scene.lab.back = Some(Back::default());
            let plan = move |call| {
                down_from
                    .is_some_and(|from| call >= from)
                    .then_some(Trouble::Fails)
            };
            let (mut ended, ..) = scene.process(Fate::kind(), plan).await;
            if matches!(ended, Ended::Itself(Err(Error::Uncovered { .. }))) {
                assert!(down_from.is_some());
                ended = scene.process(Fate::kind(), |_| None).await.0;
            }
            assert!(
                matches!(ended, Ended::Itself(Ok(End::RolledBack))),
                "{}",
                ended.words()
            );
            scene.lab.check_back();
        }
    });
}
