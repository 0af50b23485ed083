//! Unseals members, with the throwaway key before the restore and with the old one after it, or with that of a new cluster.

use std::time::Duration;

use async_trait::async_trait;

use super::cluster::{active, await_active, bring_up, current_keys, end_of_outage, instances};
use super::keys::Keys;
use super::park_key::stays_parked;
use super::{
    Action, Context, Error, Evidence, Forecast, Key, Look, Members, Observation, Outcome, Reseeded,
    Restored, Result, Source, Throwaway,
};
use crate::armed::Armed;
use crate::event::Level;

/// See [`super::ActionSpec::Unseal`].
pub struct Unseal {
    /// Which.
    pub members: Members,
    /// With which key.
    pub key: Key,
}

/// The server watches a new peer for 10 s before it votes. The throwaway cluster lives for seconds and is never served
/// from, and its setting goes with its data: the restored cluster has the server's default.
const STABILIZATION: Duration = Duration::from_secs(1);

/// Seconds until followers are unsealed, as seen.
const FOLLOW: f64 = 4.0;
/// Seconds by which an election among several is longer than that of one alone, as seen.
const AMONG_OTHERS: f64 = 1.5;

impl Unseal {
    fn members(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(match self.members {
            Members::First => vec![ctx.first()?],
            Members::Followers => ctx.followers(),
            Members::All => ctx.platform.members(),
        })
    }

    /// Those that must run for that: a follower joins nobody when the first one is down.
    fn needed(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(match self.members {
            Members::First => vec![ctx.first()?],
            Members::Followers | Members::All => ctx.platform.members(),
        })
    }

    /// Whether the throwaway cluster gets its first leader by this.
    fn begins_throwaway(&self) -> bool {
        (self.members, self.key) == (Members::First, Key::Throwaway)
    }

    const fn word(&self) -> &'static str {
        match self.key {
            Key::Old => "old",
            Key::Throwaway => "throwaway",
            Key::New => "new",
        }
    }

    /// The `cluster_id` that an unsealed member must show.
    fn expected(&self, ctx: &Context) -> Result<Option<String>> {
        Ok(match self.key {
            Key::Old => Some(ctx.fact::<Source>()?.cluster_id),
            Key::Throwaway => ctx
                .find::<Throwaway>()
                .map(|throwaway| throwaway.cluster_id),
            Key::New => ctx.find::<Reseeded>().map(|reseeded| reseeded.cluster_id),
        })
    }

    async fn evidence(&self, ctx: &Context) -> Result<Evidence> {
        let members = self.members(ctx)?;
        let first = ctx.node(&members[0])?.seal_status().await?;
        let cluster_id = first.cluster_id.unwrap_or_default();
        let evidence = Evidence::new(format!(
            "{} unsealed, cluster {cluster_id}",
            members.join(", ")
        ));
        Ok(match self.key {
            Key::Old => evidence,
            Key::New => evidence.with(&Reseeded { cluster_id }),
            Key::Throwaway => evidence
                .with(&Throwaway { cluster_id })
                .with(&instances(ctx).await?),
        })
    }
}

#[async_trait]
impl Action for Unseal {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "unseal {} with the {} key",
            self.members(ctx).unwrap_or_default().join(", "),
            self.word()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let shares = ctx.find::<Source>().map_or(1, |source| source.threshold);
        let mut calls: Vec<String> = self
            .members(ctx)?
            .iter()
            .map(|member| {
                format!(
                    "{member}: PUT sys/unseal, {shares} of the {} shares",
                    self.word()
                )
            })
            .collect();
        if self.begins_throwaway() {
            calls.push(format!(
                "{}: PUT sys/storage/raft/autopilot/configuration, 1 s of stabilization on the throwaway cluster",
                ctx.first()?
            ));
        }
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let expected = self.expected(ctx)?;
        for member in self.members(ctx)? {
            if ctx.platform.instance(&member).await?.is_none() {
                return Ok(Observation::Pending);
            }
            let status = match ctx.node(&member)?.seal_status().await {
                Ok(status) => status,
                Err(error) if error.status().is_none() => return Ok(Observation::Pending),
                Err(error) => return Err(error.into()),
            };
            if status.sealed || (expected.is_some() && status.cluster_id != expected) {
                return Ok(Observation::Pending);
            }
        }
        // The followers have a leader, else they could not have joined; the first one has yet to become it.
        if self.members != Members::Followers && active(ctx).await?.is_none() {
            return Ok(Observation::Pending);
        }
        if self.key == Key::Old && ctx.find::<Restored>().is_none() {
            return Ok(Observation::Conflict(
                "the members are unsealed although nothing was restored yet".to_owned(),
            ));
        }
        if self.serves() && ctx.outage_open {
            // A killed run, or the release's hook, unsealed them and did not come to note that the outage has ended.
            return Ok(Observation::Pending);
        }
        Ok(Observation::Done(self.evidence(ctx).await?))
    }

    fn forecast(&self, forecast: &mut Forecast) {
        let timings = forecast.timings;
        let server = match (self.key, self.members) {
            (Key::Throwaway, Members::Followers) => FOLLOW,
            (Key::Throwaway | Key::New, _) => timings.lead,
            (Key::Old, _) if forecast.members > 1 => timings.reopen + AMONG_OTHERS,
            (Key::Old, _) => timings.reopen,
        };
        forecast.add(server, 0.0);
        if self.serves() {
            forecast.end();
        }
    }

    fn serves(&self) -> bool {
        self.key != Key::Throwaway
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        match self.key {
            Key::Throwaway => self.with_throwaway(ctx, &armed).await?,
            Key::Old => self.with_old(ctx, &armed).await?,
            Key::New => self.with_new(ctx, &armed).await?,
        }
        Ok(self.evidence(ctx).await?.into())
    }

    async fn irrevocable(&self, ctx: &Context) -> Result<Option<String>> {
        // A majority serves before the last member is unsealed, and nobody may have lived to note it.
        let begun = self.serves() && ctx.earlier_intents > 0;
        Ok(begun.then(|| {
            format!(
                "members were unsealed with the {} key, so the new cluster may have served (`baoctl resume` brings the others \
                 back)",
                self.word()
            )
        }))
    }
}

impl Unseal {
    async fn with_throwaway(&self, ctx: &Context, armed: &Armed) -> Result<()> {
        if ctx.restore_sent {
            return Err(Error::refused(
                "the restore was sent: the throwaway key is never used again after that",
            ));
        }
        stays_parked(ctx).await?;
        let keys = current_keys(ctx).await?;
        bring_up(ctx, &self.needed(ctx)?, &keys, armed).await?;
        if self.begins_throwaway() {
            let leader = await_active(ctx, Duration::from_mins(1)).await?;
            ctx.node(&leader)?
                .set_stabilization(&keys.token, STABILIZATION, armed)
                .await?;
        }
        Ok(())
    }

    async fn with_old(&self, ctx: &Context, armed: &Armed) -> Result<()> {
        let restored: Restored = ctx.fact()?;
        let source: Source = ctx.fact()?;
        let keys = Keys::old(ctx).await?;
        let (present, absent): (Vec<String>, Vec<String>) = self
            .needed(ctx)?
            .into_iter()
            .partition(|member| !restored.absent.contains(member));
        let end = end_of_outage(ctx, &present, Some(&source.cluster_id)).await?;
        bring_up(ctx, &present, &keys, armed).await?;
        let leader = await_active(ctx, Duration::from_mins(1)).await?;
        self.same_cluster(ctx, &leader, &source.cluster_id).await?;
        // There is none where nobody was served before: a snapshot is restored.
        if ctx.outage_open {
            ctx.mark(end).await?;
        }
        for member in &present {
            self.same_cluster(ctx, member, &source.cluster_id).await?;
        }
        for member in &absent {
            // It missed the restore and would be a zombie voter on the throwaway data: two others serve, so it is
            // emptied and joins them anew.
            ctx.note(
                Level::Warn,
                format!("{member} was absent during the restore: it is emptied and joins again"),
            );
            let label = format!("absent-{}", ctx.run);
            ctx.platform.replace_empty(member, &label, armed).await?;
            bring_up(ctx, std::slice::from_ref(member), &keys, armed).await?;
            self.same_cluster(ctx, member, &source.cluster_id).await?;
        }
        Ok(())
    }

    async fn with_new(&self, ctx: &Context, armed: &Armed) -> Result<()> {
        let keys = current_keys(ctx).await?;
        let needed = self.needed(ctx)?;
        let end = end_of_outage(ctx, &needed, None).await?;
        bring_up(ctx, &needed, &keys, armed).await?;
        let leader = await_active(ctx, Duration::from_mins(1)).await?;
        // It knows a token that this run's init gave, or the operator: it is nobody else's cluster.
        let keys = current_keys(ctx).await?;
        ctx.node(&leader)?.lookup_self(&keys.token).await?;
        // The first member ended it for those that follow.
        if ctx.outage_open {
            ctx.mark(end).await?;
        }
        Ok(())
    }

    /// Done means the old `cluster_id` on every voter, never health or a 200.
    async fn same_cluster(&self, ctx: &Context, member: &str, cluster_id: &str) -> Result<()> {
        let node = ctx.node(member)?;
        ctx.until(&format!("{member} to show the old cluster id"), Duration::from_mins(1), Duration::from_millis(100), async || {
            let status = node.seal_status().await?;
            match status.cluster_id {
                Some(found) if found == cluster_id => Ok(Look::Ready(())),
                Some(found) => Err(Error::refused(format!(
                    "{member} is unsealed as cluster {found}, but the source's is {cluster_id}: it did not take the restore"
                ))),
                None => Ok(Look::NotYet("sealed or without a leader".to_owned())),
            }
        })
        .await
    }
}
