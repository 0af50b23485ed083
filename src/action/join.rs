//! Waits until each follower has found its leader.

use std::time::Duration;

use async_trait::async_trait;

use super::{Action, Context, Error, Evidence, Look, Observation, Outcome, Result};
use crate::armed::Armed;

/// See [`super::ActionSpec::Join`].
pub struct Join;

/// A follower that knows of an initialised leader, holds its challenge and waits for the key, says so by
/// `initialized` (source: `Core.InitializedLocally` and `isRaftUnseal` of the server).
async fn look(ctx: &Context) -> Result<Look<Evidence>> {
    let followers = ctx.followers();
    for member in &followers {
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

#[async_trait]
impl Action for Join {
    fn title(&self, _: &Context) -> String {
        "wait until each follower has found its leader".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(ctx
            .followers()
            .iter()
            .map(|member| format!("{member}: GET sys/seal-status until it is initialized"))
            .collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match look(ctx).await {
            Ok(Look::Ready(evidence)) => Observation::Done(evidence),
            Ok(Look::NotYet(_)) => Observation::Pending,
            Err(error) if error.is_transient() => Observation::Pending,
            Err(error) => return Err(error),
        })
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        let what = "the followers to find their leader";
        match ctx
            .until(
                what,
                Duration::from_mins(2),
                Duration::from_millis(200),
                async || look(ctx).await,
            )
            .await
        {
            Ok(evidence) => Ok(evidence.into()),
            Err(Error::Stuck { last, after, .. }) => {
                let mut log = Vec::new();
                for member in ctx.followers() {
                    log.extend(
                        ctx.platform
                            .log_tail(&member, 3)
                            .await?
                            .into_iter()
                            .map(|line| format!("  {member}: {line}")),
                    );
                }
                Err(Error::Stuck {
                    what: format!(
                        "{what} (they ask for its challenge on 8200 and then speak raft on 8201: both must be open between the members)"
                    ),
                    last: format!("{last}\n{}", log.join("\n")),
                    after,
                })
            }
            Err(error) => Err(error),
        }
    }
}
