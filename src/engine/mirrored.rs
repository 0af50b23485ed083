//! What the run owes its mirror: whoever goes on elsewhere must know of everything that could be repeated.
//!
//! The intent of whatever has an effect is in the mirror before it, and so is the mark that begins the outage: what is lost with a machine
//! is then what a crash between an intent and its result loses. Everything else follows in the background, in order,
//! without holding up the run.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Mutex, Notify};
use tokio::time::{sleep, timeout};

use super::program::{Step, Unit};
use super::run::SharedJournal;
use super::{End, Engine, Error, Result};
use crate::action::Context;
use crate::armed::Armed;
use crate::event::{Effect, Event, Failure, Level};
use crate::journal::{Mirror, MirrorError, Record};

/// The longest that one call to the mirror may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// Tries of what must be in the mirror before the run goes on.
const TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);
/// Between two tries in the background.
const BACK_OFF: Duration = Duration::from_secs(5);

/// The mirror of a run, and how far it reaches. Clones are of the same one.
#[derive(Clone)]
pub struct Mirrored {
    mirror: Arc<dyn Mirror>,
    /// Bytes that the mirror is known to hold. Held while pushing, so that pushes are in order.
    reaches: Arc<Mutex<u64>>,
    /// There is something to push.
    news: Arc<Notify>,
}

type Answer = std::result::Result<(), MirrorError>;

impl Mirrored {
    /// Nothing is known yet of what it holds: the first push compares all of it.
    pub fn new(mirror: Arc<dyn Mirror>) -> Self {
        Self {
            mirror,
            reaches: Arc::default(),
            news: Arc::default(),
        }
    }

    async fn check(&self) -> Answer {
        let asked = timeout(DEADLINE, self.mirror.check()).await;
        asked.unwrap_or_else(|_| Err(late()))
    }

    /// Makes it reach to the journal's end.
    async fn push(&self, journal: &SharedJournal) -> Answer {
        let mut reaches = self.reaches.lock().await;
        loop {
            let lines = journal
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .lines(*reaches);
            let lines = lines.map_err(|error| MirrorError::Unavailable {
                why: error.to_string(),
            })?;
            if lines.is_empty() {
                return Ok(());
            }
            match timeout(DEADLINE, self.mirror.push(*reaches, &lines)).await {
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
}

/// Asks for some seconds, as long as an API server takes to restart.
async fn patiently<F: Future<Output = Answer>>(ask: impl Fn() -> F) -> Answer {
    for _ in 1..TRIES {
        match ask().await {
            Err(error) if !error.is_final() => sleep(BETWEEN_TRIES).await,
            answer => return answer,
        }
    }
    ask().await
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
        let (Some(mirrored), Some(journal)) = (&self.mirror, &self.journal) else {
            return work.await;
        };
        // Before anything else: a copy that goes further than the file is of somebody who went on with it.
        self.follow(mirrored, journal).await?;
        let end = tokio::select! {
            biased;
            end = work => end,
            error = self.keep_following(mirrored, journal) => Err(stopped(error)),
        };
        match end {
            Err(error @ (Error::Lost { .. } | Error::Parted { .. })) => Err(error),
            end => self.follow(mirrored, journal).await.and(end),
        }
    }

    /// Keeps how this process of the run ended badly, for those who read of it later. What somebody else went on from is left as it is.
    pub async fn keep_end(&self, error: &Error, told: &Failure) {
        if matches!(error, Error::Lost { .. } | Error::Parted { .. })
            || self.record(Record::Stopped(told.clone())).is_err()
        {
            return;
        }
        if let (Some(mirrored), Some(journal)) = (&self.mirror, &self.journal) {
            let _ = mirrored.push(journal).await;
        }
    }

    /// Records that an action is about to act, once that is known to be this process' to do. Where it has an effect, the record is in
    /// the mirror on return.
    pub(super) async fn arm(
        &self,
        step: &Step,
        index: usize,
        unit: &Unit,
        calls: Vec<String>,
        course: Course,
    ) -> Result<Armed> {
        let Some(journal) = &self.journal else {
            return Err(Error::NotThere {
                step: step.id.clone(),
                kind: unit.kind.to_owned(),
                found: "a dry run cannot act".to_owned(),
            });
        };
        let on = matches!(course, Course::On(_));
        let acts = !on || unit.effect > Effect::Read;
        let mirrored = self.mirror.as_ref().filter(|_| acts);
        let failed = |error: MirrorError| {
            if error.is_final() {
                return stopped(error);
            }
            Error::Uncovered {
                step: step.id.clone(),
                kind: unit.kind.to_owned(),
                why: error.to_string(),
            }
        };
        if let Some(mirrored) = mirrored {
            patiently(|| mirrored.check()).await.map_err(failed)?;
        }
        let armed = {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            match course {
                Course::On(facts) => journal.intend(&step.id, index, unit.kind, calls, facts)?,
                Course::Back => journal.intend_undo(&step.id, index, unit.kind, calls)?,
            }
        };
        self.tell_news();
        let Some(mirrored) = mirrored else {
            return Ok(armed);
        };
        let Err(error) = patiently(|| mirrored.push(journal)).await else {
            return Ok(armed);
        };
        let error = failed(error);
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

    /// Lets the marks of an action follow, and the one that begins an outage be waited for.
    pub(super) fn follow_marks(&self, ctx: &mut Context) {
        let (Some(mirrored), Some(journal)) = (&self.mirror, &self.journal) else {
            return;
        };
        let (marker, news) = (ctx.marker.clone(), mirrored.news.clone());
        ctx.marker = Arc::new(move |mark| {
            marker(mark)?;
            news.notify_one();
            Ok(())
        });
        let (mirrored, journal) = (mirrored.clone(), journal.clone());
        ctx.settled = Some(Arc::new(move || {
            let (mirrored, journal) = (mirrored.clone(), journal.clone());
            Box::pin(async move {
                let settled = patiently(|| mirrored.push(&journal)).await;
                settled.map_err(|error| error.to_string())
            })
        }));
    }

    fn tell_news(&self) {
        if let Some(mirrored) = &self.mirror {
            mirrored.news.notify_one();
        }
    }

    /// Pushes as far as it can: only a takeover is an error.
    async fn follow(&self, mirrored: &Mirrored, journal: &SharedJournal) -> Result<()> {
        match patiently(|| mirrored.push(journal)).await {
            Ok(()) => Ok(()),
            Err(error) if error.is_final() => Err(stopped(error)),
            Err(error) => {
                self.warn_behind(&error);
                Ok(())
            }
        }
    }

    /// Pushes what is new, for as long as this process may act.
    async fn keep_following(&self, mirrored: &Mirrored, journal: &SharedJournal) -> MirrorError {
        let mut behind = false;
        loop {
            tokio::select! {
                () = mirrored.news.notified() => {}
                error = mirrored.mirror.lost() => return error,
            }
            while let Err(error) = mirrored.push(journal).await {
                if error.is_final() {
                    return error;
                }
                // Once, and not for every record of a time in which the cluster is not to be reached.
                if !std::mem::replace(&mut behind, true) {
                    self.warn_behind(&error);
                }
                tokio::select! {
                    () = sleep(BACK_OFF) => {}
                    error = mirrored.mirror.lost() => return error,
                }
            }
            behind = false;
        }
    }

    fn warn_behind(&self, error: &MirrorError) {
        self.observer.observe(&Event::Note {
            level: Level::Warn,
            message: format!("the copy of the journal in the cluster is behind: {error}"),
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
