//! What the run owes its mirror: whoever goes on elsewhere must know of everything that could be repeated.
//!
//! The intent of an effect that takes the service away, or that must not be repeated blindly, is in the mirror before the
//! effect. Everything else follows in the background, in order, without holding up the run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

use super::program::{Step, Unit};
use super::{End, Engine, Error, Result};
use crate::action::Marker;
use crate::armed::Armed;
use crate::event::{Effect, Event, Level};
use crate::journal::{Mirror, MirrorError, Record};

/// The longest that one call to the mirror may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Tries of what must be in the mirror before the run goes on.
const TRIES: u32 = 3;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// Between two tries in the background.
const BACK_OFF: Duration = Duration::from_secs(5);

/// The mirror of a run, and how far it reaches.
pub struct Mirrored {
    mirror: Arc<dyn Mirror>,
    /// Bytes that the mirror is known to hold. Held while pushing, so that pushes are in order.
    reaches: Mutex<u64>,
    /// There is something to push.
    news: Arc<Notify>,
}

impl Mirrored {
    /// Nothing is known yet of what it holds: the first push compares all of it.
    pub fn new(mirror: Arc<dyn Mirror>) -> Self {
        Self {
            mirror,
            reaches: Mutex::new(0),
            news: Arc::default(),
        }
    }

    async fn check(&self) -> std::result::Result<(), MirrorError> {
        let asked = timeout(DEADLINE, self.mirror.check()).await;
        asked.unwrap_or_else(|_| Err(late()))
    }
}

fn late() -> MirrorError {
    MirrorError::Unavailable {
        why: format!("no answer within {}s", DEADLINE.as_secs()),
    }
}

/// Which way an action is about to act.
#[derive(Debug)]
pub(super) enum Course {
    /// Forward, with what was read right before.
    On(BTreeMap<String, Value>),
    Back,
}

impl Engine {
    /// Does the work with the mirror following it, and stops it as soon as somebody else took over.
    pub(super) async fn followed(&self, work: impl Future<Output = Result<End>>) -> Result<End> {
        let Some(mirrored) = self.mirror.as_ref().filter(|_| self.journal.is_some()) else {
            return work.await;
        };
        // Before anything else: a copy that goes further than the file is of somebody who went on with it.
        self.follow().await?;
        let end = tokio::select! {
            biased;
            end = work => end,
            error = self.keep_following(mirrored) => Err(stopped(error)),
        };
        match end {
            Err(error @ (Error::Lost { .. } | Error::Parted { .. })) => Err(error),
            end => self.follow().await.and(end),
        }
    }

    /// Records that an action is about to act, once that is known to be this process' to do, and where the effect asks for it only
    /// with the record in the mirror.
    pub(super) async fn arm(
        &self,
        step: &Step,
        index: usize,
        unit: &Unit,
        calls: Vec<String>,
        course: Course,
    ) -> Result<Armed> {
        self.still_held(step, unit).await?;
        let on = matches!(course, Course::On(_));
        let armed = match (self.journal(), course) {
            (Some(mut journal), Course::On(facts)) => {
                journal.intend(&step.id, index, unit.kind, calls, facts)?
            }
            (Some(mut journal), Course::Back) => {
                journal.intend_undo(&step.id, index, unit.kind, calls)?
            }
            (None, _) => {
                return Err(Error::NotThere {
                    step: step.id.clone(),
                    kind: unit.kind.to_owned(),
                    found: "a dry run cannot act".to_owned(),
                });
            }
        };
        let Err(error) = self.covered(step, unit).await else {
            return Ok(armed);
        };
        drop(armed);
        // An undo leaves nothing open; an intent would tell the next process that its effect may be there.
        if on {
            self.record(Record::Refused {
                step: step.id.clone(),
                action: index,
                kind: unit.kind.to_owned(),
                why: error.to_string(),
            })?;
        }
        Err(error)
    }

    pub(super) fn record(&self, record: Record) -> Result<()> {
        if let Some(mut journal) = self.journal() {
            journal.append(record)?;
        }
        self.tell_news();
        Ok(())
    }

    /// The marker of an action, whose marks are pushed at once.
    pub(super) fn followed_marker(&self, marker: Marker) -> Marker {
        let Some(mirrored) = &self.mirror else {
            return marker;
        };
        let news = mirrored.news.clone();
        Arc::new(move |mark| {
            marker(mark)?;
            news.notify_one();
            Ok(())
        })
    }

    fn tell_news(&self) {
        if let Some(mirrored) = &self.mirror {
            mirrored.news.notify_one();
        }
    }

    /// Before each effect: whether it is this process that may act.
    async fn still_held(&self, step: &Step, unit: &Unit) -> Result<()> {
        let Some(mirrored) = self.mirror.as_ref().filter(|_| unit.effect > Effect::Read) else {
            return Ok(());
        };
        let mut tries = 1;
        loop {
            match mirrored.check().await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_final() => return Err(stopped(error)),
                Err(error) if !must_be_covered(unit) => {
                    self.warn(format!(
                        "it cannot be seen whether somebody else took over: {error}"
                    ));
                    return Ok(());
                }
                Err(error) if tries == TRIES => return Err(uncovered(step, unit, &error)),
                Err(_) => {}
            }
            tries += 1;
            sleep(BETWEEN_TRIES).await;
        }
    }

    /// After an intent, before its effect.
    async fn covered(&self, step: &Step, unit: &Unit) -> Result<()> {
        let Some(mirrored) = &self.mirror else {
            return Ok(());
        };
        if !must_be_covered(unit) {
            self.tell_news();
            return Ok(());
        }
        let mut tries = 1;
        loop {
            match self.push(mirrored).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is_final() => return Err(stopped(error)),
                Err(error) if tries == TRIES => return Err(uncovered(step, unit, &error)),
                Err(_) => {}
            }
            tries += 1;
            sleep(BETWEEN_TRIES).await;
        }
    }

    /// Pushes once, as far as it can: only a takeover is an error.
    async fn follow(&self) -> Result<()> {
        let Some(mirrored) = &self.mirror else {
            return Ok(());
        };
        match self.push(mirrored).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_final() => Err(stopped(error)),
            Err(error) => {
                self.warn(format!(
                    "the copy of the journal in the cluster is behind: {error}"
                ));
                Ok(())
            }
        }
    }

    /// Pushes what is new, for as long as this process may act.
    async fn keep_following(&self, mirrored: &Mirrored) -> MirrorError {
        let mut behind = false;
        loop {
            tokio::select! {
                () = mirrored.news.notified() => {}
                error = mirrored.mirror.lost() => return error,
            }
            loop {
                match self.push(mirrored).await {
                    Ok(()) => behind = false,
                    Err(error) if error.is_final() => return error,
                    Err(error) => {
                        // Once, and not for every record of a time in which the cluster is not to be reached.
                        if !std::mem::replace(&mut behind, true) {
                            self.warn(format!(
                                "the copy of the journal in the cluster is behind: {error}"
                            ));
                        }
                        tokio::select! {
                            () = sleep(BACK_OFF) => continue,
                            error = mirrored.mirror.lost() => return error,
                        }
                    }
                }
                break;
            }
        }
    }

    /// Makes the mirror reach to the journal's end.
    async fn push(&self, mirrored: &Mirrored) -> std::result::Result<(), MirrorError> {
        let mut reaches = mirrored.reaches.lock().await;
        loop {
            let lines = self.journal().map(|journal| journal.lines(*reaches));
            let lines = match lines.transpose() {
                Ok(lines) => lines.unwrap_or_default(),
                Err(error) => {
                    return Err(MirrorError::Unavailable {
                        why: error.to_string(),
                    });
                }
            };
            if lines.is_empty() {
                return Ok(());
            }
            match timeout(DEADLINE, mirrored.mirror.push(*reaches, &lines)).await {
                Ok(Ok(())) => {
                    *reaches += lines.len() as u64;
                    return Ok(());
                }
                // A part of it was removed; it is put back.
                Ok(Err(MirrorError::Behind { held })) if held < *reaches => *reaches = held,
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(late()),
            }
        }
    }

    fn warn(&self, message: String) {
        self.observer.observe(&Event::Note {
            level: Level::Warn,
            message,
        });
    }
}

/// The end that a final error of the mirror is.
fn stopped(error: MirrorError) -> Error {
    match error {
        MirrorError::Lost { holder } => Error::Lost { holder },
        MirrorError::Parted { why }
        // Those two are not final.
        | MirrorError::Unavailable { why } => Error::Parted { why },
        MirrorError::Behind { .. } => Error::Parted {
            why: error.to_string(),
        },
    }
}

/// Whoever goes on elsewhere must know of it, as it takes the service away or must not be done twice.
fn must_be_covered(unit: &Unit) -> bool {
    unit.effect >= Effect::Outage
}

fn uncovered(step: &Step, unit: &Unit, error: &MirrorError) -> Error {
    Error::Uncovered {
        step: step.id.clone(),
        kind: unit.kind.to_owned(),
        why: error.to_string(),
    }
}
