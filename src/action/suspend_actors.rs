//! Suspends whatever else acts on the release for the time of the run, and resumes it.
//!
//! A job that initialises an empty server makes a blank vault of the first member on raft, and a reconciler brings the
//! file server back in the middle.

use std::time::Duration;

use async_trait::async_trait;

use super::{Action, Context, Error, Evidence, Held, Look, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::event::Level;
use crate::platform::{Actor, SuspendedBy};

/// See [`super::ActionSpec::SuspendActors`].
pub struct SuspendActors;

/// See [`super::ActionSpec::ResumeActors`].
pub struct ResumeActors;

/// Time for the pods of suspended jobs to go.
const GO: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(500);
const NONE: &str = "nothing else acts on the release";

fn names<'actor>(actors: impl IntoIterator<Item = &'actor Actor>) -> String {
    let all: Vec<String> = actors.into_iter().map(Actor::to_string).collect();
    all.join(", ")
}

fn ours(actor: &Actor) -> bool {
    actor.suspended == Some(SuspendedBy::Run)
}

/// Refuses to go on while something else acts on the release.
pub async fn nobody_acts(ctx: &Context) -> Result<()> {
    let actors = ctx.platform.actors().await?;
    let acting: Vec<&Actor> = actors.iter().filter(|it| it.acts()).collect();
    if acting.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "{} may act on the release, in the middle of this run: suspend it ({}), then resume",
        names(acting.iter().copied()),
        ctx.platform.suspend_by_hand(acting[0], true)
    )))
}

#[async_trait]
impl Action for SuspendActors {
    fn title(&self, _: &Context) -> String {
        "suspend whatever else acts on the release".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let actors = ctx.platform.actors().await?;
        let acting = actors.iter().filter(|it| it.acts());
        let calls: Vec<String> = acting.map(|it| format!("suspend {it}")).collect();
        Ok(if calls.is_empty() {
            vec![format!("nothing: {NONE}")]
        } else {
            calls
        })
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let actors = ctx.platform.actors().await?;
        Ok(if actors.is_empty() {
            Observation::NotApplicable(NONE.to_owned())
        } else if actors.iter().any(Actor::acts) {
            Observation::Pending
        } else {
            Observation::Done(Evidence::new(format!("suspended: {}", names(&actors))))
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        Ok(Evidence::new(suspend(ctx, &armed).await?).into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(if ctx.platform.others_act() {
            vec!["resume what this run suspended".to_owned()]
        } else {
            Vec::new()
        })
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        if ctx.find::<Held>().is_none() {
            return resume(ctx, &armed, |_| true).await;
        }
        // The run had landed: what their source says now is not known here.
        let resumed = resume(ctx, &armed, |actor| !actor.reconciles).await?;
        let held = hold(
            ctx,
            &ctx.platform.actors().await?,
            "it would bring raft back. When its source renders file storage",
        );
        Ok(if held.is_empty() {
            resumed
        } else {
            format!("{resumed}; {}", held.join("; "))
        })
    }
}

/// Suspends all of them and waits until their pods are gone.
async fn suspend(ctx: &Context, armed: &Armed) -> Result<String> {
    let suspended = ctx
        .until("their pods to go", GO, PAUSE, async || {
            // A CronJob may have made one more Job meanwhile.
            let actors = ctx.platform.actors().await?;
            for actor in actors.iter().filter(|it| it.suspended.is_none()) {
                ctx.platform.suspend_actor(actor, true, armed).await?;
            }
            Ok(if actors.iter().any(Actor::acts) {
                Look::NotYet(names(actors.iter().filter(|it| it.acts())))
            } else {
                Look::Ready(names(&actors))
            })
        })
        .await?;
    Ok(format!("suspended: {suspended}"))
}

/// Resumes those of the run's that `wanted` says.
async fn resume(ctx: &Context, armed: &Armed, wanted: fn(&Actor) -> bool) -> Result<String> {
    let actors = ctx.platform.actors().await?;
    let resumed: Vec<&Actor> = actors.iter().filter(|it| ours(it) && wanted(it)).collect();
    for actor in &resumed {
        ctx.platform.suspend_actor(actor, false, armed).await?;
    }
    Ok(if resumed.is_empty() {
        "nothing to resume".to_owned()
    } else {
        format!("resumed: {}", names(resumed))
    })
}

#[async_trait]
impl Action for ResumeActors {
    fn title(&self, _: &Context) -> String {
        "resume the jobs that this run suspended".to_owned()
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![
            "resume each Job and CronJob that this run suspended; reconcilers stay suspended until their source says raft"
                .to_owned(),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let actors = ctx.platform.actors().await?;
        Ok(if actors.iter().any(|it| ours(it) && !it.reconciles) {
            Observation::Pending
        } else if actors.is_empty() {
            Observation::NotApplicable(NONE.to_owned())
        } else {
            Observation::Done(held(ctx, &actors))
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        resume(ctx, &armed, |actor| !actor.reconciles).await?;
        Ok(held(ctx, &ctx.platform.actors().await?).into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(if ctx.platform.others_act() {
            vec!["suspend again whatever else acts on the release".to_owned()]
        } else {
            Vec::new()
        })
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        suspend(ctx, &armed).await
    }
}

/// One that is resumed too early renders the file server again: two voters are deleted and the quorum is lost.
fn held(ctx: &Context, actors: &[Actor]) -> Evidence {
    let held: Vec<&Actor> = held_back(actors).collect();
    let summary = if held.is_empty() {
        "the jobs of the release run again".to_owned()
    } else {
        format!("landed, held: {}", names(held))
    };
    let until =
        "it would bring the file server back. When its source renders raft with all replicas";
    Evidence::new(summary).with(&Held {
        actors: hold(ctx, actors, until),
    })
}

fn held_back(actors: &[Actor]) -> impl Iterator<Item = &Actor> {
    actors
        .iter()
        .filter(|it| it.suspended.is_some() && it.reconciles)
}

/// Says of each reconciler that is suspended until when it has to be, and what resumes it.
fn hold(ctx: &Context, actors: &[Actor], until: &str) -> Vec<String> {
    let each = held_back(actors).map(|actor| {
        let by_hand = ctx.platform.suspend_by_hand(actor, false);
        format!("{actor} stays suspended: {until}: {by_hand}")
    });
    let each: Vec<String> = each.collect();
    for line in &each {
        ctx.note(Level::Warn, line.clone());
    }
    each
}
