//! Changes the release to raft, or tries it.

use std::time::Duration;

use async_trait::async_trait;

use super::cluster::{clear, clear_calls, holds_no_raft};
use super::park_key::stays_parked;
use super::{
    Action, Children, Context, Error, Evidence, FinalCopied, Forecast, Look, Observation, Outcome,
    Placed, Result, Snapshot, Source,
};
use crate::armed::Armed;
use crate::event::Level;
use crate::platform::{self, Aim, Before, StorageKind};

/// Looks that a change of the release is as long as.
const CALLS: f64 = 20.0;

/// Time for a server that was made a moment ago to listen.
const ANSWERS: Duration = Duration::from_secs(15);

/// See [`super::ActionSpec::RehearseFlip`].
pub struct RehearseFlip {
    /// Members that should exist afterwards.
    pub replicas: u32,
}

/// See [`super::ActionSpec::Flip`].
pub struct Flip {
    /// Members that should exist afterwards.
    pub replicas: u32,
}

pub fn values(ctx: &Context, replicas: u32) -> platform::Flip {
    let source = ctx.find::<Source>();
    let large = source.as_ref().and_then(|source| source.max_entry_size);
    let namespaces = source.is_some_and(|source| source.namespaces > 0);
    platform::Flip {
        // Until their tables are moved, and they are moved on the only member; in a snapshot they are where raft has them.
        apart: replicas == 1
            && namespaces
            && ctx.children == Children::Moved
            && !ctx.namespaces_moved
            && ctx.find::<Snapshot>().is_none(),
        ..platform::Flip::new(replicas, large)
    }
}

/// Whether taking it back takes the first member as well: else that is the source, which `replace-source` takes back.
fn all_go(ctx: &Context) -> bool {
    !ctx.is_throwaway() || ctx.find::<Snapshot>().is_some()
}

/// Refuses where a volume has raft files that no server has opened, as the checks did: that may be long ago.
async fn still_empty(ctx: &Context) -> Result<()> {
    for member in ctx.platform.members() {
        let runs = ctx.platform.instance(&member).await?.is_some();
        if !runs || ctx.node(&member)?.seal_status().await?.storage_type != StorageKind::Raft.name()
        {
            holds_no_raft(ctx, &member).await?;
        }
    }
    Ok(())
}

/// Refuses where a member has data that this run did not bring: what its `init` made is away by now.
async fn only_own(ctx: &Context) -> Result<()> {
    for member in ctx.running().await? {
        let (node, answers) = (ctx.node(&member)?, format!("{member} to answer"));
        let look = async || Ok(Look::Ready(node.seal_status().await?));
        let status = ctx
            .until(&answers, ANSWERS, Duration::from_millis(200), look)
            .await;
        // Of one that does not answer the checks before the change are all that is known.
        let Ok(status) = status else {
            continue;
        };
        let held = if status.initialized {
            "is initialised"
        } else if status.storage_type != StorageKind::Raft.name()
            && ctx.platform.volume(&member).await?.raft_files
        {
            "has raft files that it did not open"
        } else {
            continue;
        };
        return Err(Error::refused(format!(
            "{member} {held}, and no init of this run did that: this may be data that was thought to be lost, and nothing of it is \
             touched. Unseal it with its own key and find out whose it is. To go back from this run stop {member}, move its \
             `vault.db` and `raft/` to a folder of your own, and roll back again; where they are wanted put them back after it"
        )));
    }
    Ok(())
}

/// Says what is left to a person, where something is.
async fn tell(ctx: &Context, aim: Aim<'_>, before: &Before) -> Result<()> {
    if let Some(todo) = ctx.platform.by_hand(aim, before).await? {
        ctx.note(Level::Warn, todo);
    }
    Ok(())
}

#[async_trait]
impl Action for RehearseFlip {
    fn title(&self, _: &Context) -> String {
        "try the change of the release without carrying it out".to_owned()
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![
            "render the raft configuration, try it and show its difference".to_owned(),
        ])
    }

    async fn observe(&self, _: &Context) -> Result<Observation> {
        Ok(Observation::Pending)
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        let plan = ctx
            .platform
            .rehearse_flip(&values(ctx, self.replicas))
            .await?;
        ctx.note(Level::Detail, plan.diff);
        let summary = if plan.left_to_you {
            format!(
                "worked out: {} changes that are left to you",
                plan.calls.len()
            )
        } else {
            format!("{} calls would be accepted", plan.calls.len())
        };
        let before = ctx.platform.before().await?;
        Ok(Evidence::new(summary).with(&before).into())
    }
}

#[async_trait]
impl Action for Flip {
    fn title(&self, _: &Context) -> String {
        format!(
            "change the release to raft with {} {}",
            self.replicas,
            if self.replicas == 1 {
                "replica"
            } else {
                "replicas"
            }
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(ctx
            .platform
            .rehearse_flip(&values(ctx, self.replicas))
            .await?
            .calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        // Once it was tried, what is down may have been started by that.
        if ctx.find::<Snapshot>().is_some() && ctx.earlier_intents == 0 {
            match still_empty(ctx).await {
                Err(Error::Refused { why }) => return Ok(Observation::Conflict(why)),
                looked => looked?,
            }
        }
        let flip = values(ctx, self.replicas);
        let flipped = match ctx.find::<Before>() {
            Some(before) => ctx.platform.flipped(&flip, &before).await?,
            None => false,
        };
        let first = ctx.first()?;
        // The first member is not counted: it is replaced by an action of its own.
        let followers = ctx
            .running()
            .await?
            .iter()
            .filter(|member| **member != first)
            .count();
        let started =
            followers + 1 >= self.replicas as usize || !ctx.platform.flip_starts_members();
        // Empty members of a release that is on raft already are taken away on the way back, and only what is an act of the run
        // is taken back: then they are there again.
        let of_run = ctx.find::<Snapshot>().is_none() || ctx.earlier_intents > 0;
        Ok(if flipped && started && of_run {
            let revision = ctx.platform.release().await?.revision;
            Observation::Done(Evidence::new(format!("revision {revision}")))
        } else {
            Observation::Pending
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        forecast.members = self.replicas;
        forecast.add(0.0, CALLS * forecast.timings.look);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        ctx.fact::<FinalCopied>()?;
        if ctx.platform.release().await?.storage != StorageKind::Raft {
            // Those were looked at before the outage, and nothing has started on them since.
            let placed = ctx.find::<Placed>().unwrap_or_default();
            for member in ctx.platform.members() {
                if !placed.nodes.contains_key(&member) {
                    holds_no_raft(ctx, &member).await?;
                }
            }
        }
        stays_parked(ctx).await?;
        let flip = values(ctx, self.replicas);
        let before: Before = ctx.fact()?;
        tell(ctx, Aim::Raft(&flip), &before).await?;
        ctx.platform
            .flip(&flip, &before, ctx.meter.as_ref(), &armed)
            .await?;
        Ok(Evidence::new(format!(
            "revision {}",
            ctx.platform.release().await?.revision
        ))
        .into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        let before = ctx.find::<Before>();
        let revision = before.map_or_else(String::new, |before| before.revision);
        let back = format!("go back to revision {revision} of the release");
        Ok(if all_go(ctx) {
            let mut calls = clear_calls(&ctx.platform.members());
            calls.push(back);
            calls
        } else {
            let mut calls = vec![back];
            calls.extend(clear_calls(&ctx.followers()));
            calls
        })
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        let before: Before = ctx.fact()?;
        // Members with data that clients use may serve: all of them go before the release is another.
        if all_go(ctx) && ctx.platform.release().await?.storage == StorageKind::Raft {
            if ctx.find::<Snapshot>().is_some() {
                only_own(ctx).await?;
            }
            clear(ctx, &ctx.platform.members(), &armed).await?;
        }
        tell(ctx, Aim::Back, &before).await?;
        ctx.platform
            .revert(&before, ctx.meter.as_ref(), &armed)
            .await?;
        if !all_go(ctx) {
            clear(ctx, &ctx.followers(), &armed).await?;
        }
        Ok(format!("the release is as in revision {}", before.revision))
    }
}
