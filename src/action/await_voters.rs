//! Waits until the cluster has its voters.

use std::time::Duration;

use async_trait::async_trait;

use super::cluster::{active, bring_up, current_keys, instances};
use super::{Action, Context, Evidence, Forecast, Look, Observation, Outcome, Result};
use crate::armed::Armed;

/// See [`super::ActionSpec::AwaitVoters`].
pub struct AwaitVoters {
    /// How many.
    pub voters: u32,
}

/// Seconds until new peers vote, as seen.
const SETTLE: f64 = 4.0;

impl AwaitVoters {
    pub(super) async fn look(&self, ctx: &Context) -> Result<Look<Evidence>> {
        let Some(leader) = active(ctx).await? else {
            return Ok(Look::NotYet("no member leads".to_owned()));
        };
        let token = current_keys(ctx).await?.token;
        let node = ctx.node(&leader)?;
        let servers = node.raft_configuration(&token).await?.servers;
        let voters: Vec<&str> = servers
            .iter()
            .filter(|server| server.voter)
            .map(|server| server.node_id.as_str())
            .collect();
        let states = node.autopilot(&token).await?;
        let unhealthy: Vec<&str> = states
            .values()
            .filter(|state| !state.healthy)
            .map(|state| state.id.as_str())
            .collect();
        if voters.len() == self.voters as usize
            && servers.len() == voters.len()
            && unhealthy.is_empty()
        {
            let mut evidence = Evidence::new(format!("{} voters, {leader} leads", voters.len()));
            if !ctx.restore_sent {
                evidence = evidence.with(&instances(ctx).await?);
            }
            return Ok(Look::Ready(evidence));
        }
        let stabilising: Vec<&str> = servers
            .iter()
            .filter(|server| !server.voter)
            .map(|server| server.node_id.as_str())
            .collect();
        let mut seen = format!("{} of {} voters", voters.len(), self.voters);
        if !stabilising.is_empty() {
            seen = format!("{seen}, {} in stabilisation", stabilising.join(", "));
        }
        if !unhealthy.is_empty() {
            seen = format!("{seen}, {} not healthy yet", unhealthy.join(", "));
        }
        Ok(Look::NotYet(seen))
    }
}

#[async_trait]
impl Action for AwaitVoters {
    fn title(&self, _: &Context) -> String {
        format!("wait for {} voters", self.voters)
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![
            "each member that is down or sealed: start, PUT sys/unseal".to_owned(),
            "leader: GET sys/storage/raft/configuration".to_owned(),
            "leader: GET sys/storage/raft/autopilot/state".to_owned(),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match self.look(ctx).await {
            Ok(Look::Ready(evidence)) => Observation::Done(evidence),
            Ok(Look::NotYet(_)) => Observation::Pending,
            Err(error) if error.is_transient() => Observation::Pending,
            Err(error) => return Err(error),
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        forecast.add(SETTLE, 0.0);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let members = ctx.platform.members();
        let voters = &members[..members.len().min(self.voters as usize)];
        let keys = current_keys(ctx).await?;
        let what = format!("{} voters", self.voters);
        let evidence = ctx
            .until(
                &what,
                Duration::from_mins(3),
                Duration::from_millis(250),
                async || {
                    // One that restarts while it is waited for comes back sealed, and may have to join again.
                    if !all_unsealed(ctx, voters).await? {
                        bring_up(ctx, voters, &keys, &armed).await?;
                    }
                    self.look(ctx).await
                },
            )
            .await?;
        Ok(evidence.into())
    }
}

async fn all_unsealed(ctx: &Context, members: &[String]) -> Result<bool> {
    for member in members {
        let status = ctx.node(member)?.seal_status().await;
        if !status.is_ok_and(|status| !status.sealed) {
            return Ok(false);
        }
    }
    Ok(true)
}
