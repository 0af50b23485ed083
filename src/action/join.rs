//! Waits until each follower has found its leader.

use std::time::Duration;

use async_trait::async_trait;

use super::cluster::{bring_up, current_keys, start};
use super::park_key::stays_parked;
use super::{Action, Context, Error, Evidence, Forecast, Look, Observation, Outcome, Result};
use crate::armed::Armed;

/// See [`super::ActionSpec::Join`].
pub struct Join;

/// Seconds until the followers have found their leader, as seen.
const FINDS: f64 = 2.0;

/// A follower that knows of an initialised leader, holds its challenge and waits for the key, says so by
/// `initialized` (source: `Core.InitializedLocally` and `isRaftUnseal` of the server).
async fn look(ctx: &Context, followers: &[String]) -> Result<Look<Evidence>> {
    for member in followers {
        if ctx.platform.instance(member).await?.is_none() {
            return Ok(Look::NotYet(format!("{member} does not run")));
        }
        if !ctx.node(member)?.seal_status().await?.initialized {
            return Ok(Look::NotYet(format!("{member} has not found its leader")));
        }
    }
    Ok(Look::Ready(Evidence::new(format!(
        "{} found their leader",
        followers.join(", ")
    ))))
}

const WHAT: &str = "the followers to find their leader";

/// Awaited, with the followers' own words when it does not come.
async fn joined(ctx: &Context, followers: &[String]) -> Result<Evidence> {
    let awaited = ctx
        .until(
            WHAT,
            Duration::from_mins(2),
            Duration::from_millis(200),
            async || look(ctx, followers).await,
        )
        .await;
    let Err(Error::Stuck { last, after, .. }) = awaited else {
        return awaited;
    };
    let mut log = Vec::new();
    for member in followers {
        let tail = ctx.platform.log_tail(member, 3).await?;
        log.extend(tail.into_iter().map(|line| format!("  {member}: {line}")));
    }
    Err(Error::Stuck {
        what: format!(
            "{WHAT} (they ask for its challenge on 8200 and then speak raft on 8201: both must be open between the members)"
        ),
        last: format!("{last}\n{}", log.join("\n")),
        after,
    })
}

#[async_trait]
impl Action for Join {
    fn title(&self, _: &Context) -> String {
        "wait until each follower has found its leader".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let mut calls = vec![format!(
            "{}: start where it is down, PUT sys/unseal where it is sealed",
            ctx.first()?
        )];
        calls.extend(ctx.followers().iter().map(|member| {
            format!("{member}: start where it is down; GET sys/seal-status until it is initialized")
        }));
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match look(ctx, &ctx.followers()).await {
            Ok(Look::Ready(evidence)) => Observation::Done(evidence),
            Ok(Look::NotYet(_)) => Observation::Pending,
            Err(error) if error.is_transient() => Observation::Pending,
            Err(error) => return Err(error),
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        forecast.add(FINDS, 0.0);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let followers = ctx.followers();
        stays_parked(ctx).await?;
        let keys = current_keys(ctx).await?;
        // They find none before it is unsealed.
        bring_up(ctx, &[ctx.first()?], &keys, &armed).await?;
        start(ctx, &followers, &armed).await?;
        if ctx.platform.one_by_one().await? {
            // The next one is created only when this one is unsealed.
            for follower in &followers {
                let follower = std::slice::from_ref(follower);
                joined(ctx, follower).await?;
                bring_up(ctx, follower, &keys, &armed).await?;
            }
        }
        Ok(joined(ctx, &followers).await?.into())
    }
}
