//! Initialises the first member on raft, exactly once.

use std::time::Duration;

use async_trait::async_trait;

use super::cluster::{clear, clear_calls, start};
use super::final_copy::whole;
use super::keys::Keys;
use super::suspend_actors::nobody_acts;
use super::{
    Action, Context, Error, Evidence, Forecast, Look, Observation, Outcome, Proof, Result, Source,
};
use crate::armed::Armed;
use crate::platform::{SecretName, StorageKind};

/// See [`super::ActionSpec::Init`].
pub struct Init;

/// Time for a server that runs to listen.
const ANSWERS: Duration = Duration::from_secs(30);

fn evidence(first: &str) -> Evidence {
    Evidence::new(format!(
        "{first} is initialised, its keys are in a Secret of the run"
    ))
}

/// The first member was stopped to begin anew, and never started again.
async fn cut_off(ctx: &Context, first: &str) -> Result<bool> {
    Ok(ctx.earlier_intents > 0
        && ctx.is_throwaway()
        && ctx.platform.instance(first).await?.is_none())
}

/// A follower that has data of a cluster, where one tells so.
async fn initialized_follower(ctx: &Context) -> Result<Option<String>> {
    for member in ctx.followers() {
        if ctx.platform.instance(&member).await?.is_some() {
            // One that was made a moment ago does not listen yet; it is asked again before the init.
            let status = ctx.node(&member)?.seal_status().await;
            if status.is_ok_and(|status| status.initialized) {
                return Ok(Some(member));
            }
        }
    }
    Ok(None)
}

#[async_trait]
impl Action for Init {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "initialise {}, exactly once",
            ctx.first().unwrap_or_default()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let shares = ctx.find::<Source>().map_or_else(String::new, |source| {
            format!(
                " ({} shares, threshold {})",
                source.shares, source.threshold
            )
        });
        Ok(vec![
            format!("{}: PUT sys/init{shares}, as the source has", ctx.first()?),
            "write its keys to a Secret of the run".to_owned(),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let first = ctx.first()?;
        if cut_off(ctx, &first).await? {
            return Ok(Observation::Redo(format!(
                "{first} does not run: clearing what an init of this run left was cut off. Nothing was restored into it \
                 yet. Its empty raft files will be moved aside and it is initialised again"
            )));
        }
        if ctx.platform.instance(&first).await?.is_none() {
            return Ok(Observation::Pending);
        }
        let status = ctx.node(&first)?.seal_status().await?;
        let keys = Keys::throwaway(ctx).await?.is_some();
        // An intent of an init would make whatever is initialised this run's, which may clear it.
        if let (false, 0) = (status.initialized, ctx.earlier_intents)
            && let Some(member) = initialized_follower(ctx).await?
        {
            return Ok(Observation::Conflict(format!(
                "{member} is initialised, and {first} is not: joined to another cluster it would lose its data. Find out whose \
                 it is"
            )));
        }
        Ok(match (status.initialized, keys) {
            (false, _) => Observation::Pending,
            (true, true) if ctx.earlier_intents > 0 => Observation::Done(evidence(&first)),
            // Whoever unsealed it has its keys: it is not this run's.
            (true, false) if ctx.earlier_intents > 0 && ctx.is_throwaway() && status.sealed => {
                Observation::Redo(format!(
                    "the answer of this run's init was lost: {first} is initialised, and nobody has its keys. Nothing was \
                 restored into it yet. Its empty raft files will be moved aside and it is initialised again"
                ))
            }
            (true, _) => Observation::Conflict(format!(
                "{first} is initialised on {}, and this run's journal has no init that did it. Initialising or \
                 restoring over it could destroy data: find out whose it is",
                status.storage_type
            )),
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        forecast.add(forecast.timings.init, 0.0);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let first = ctx.first()?;
        let source: Source = ctx.fact()?;
        ctx.fact::<Proof>()?;
        whole(ctx).await?;
        nobody_acts(ctx).await?;
        if !ctx.is_throwaway() {
            return Err(Error::refused(
                "what this run initialised is in use already; init is not repeated after that",
            ));
        }
        let node = ctx.node(&first)?;
        let lost = ctx.earlier_intents > 0
            && (cut_off(ctx, &first).await? || node.seal_status().await?.initialized);
        if lost {
            // Only a Redo leads here (see observe), and the engine has asked for it.
            let label = format!("lost-init-{}-{}", ctx.run, armed.sequence());
            ctx.platform.replace_empty(&first, &label, &armed).await?;
        }
        start(ctx, std::slice::from_ref(&first), &armed).await?;
        for member in ctx.running().await? {
            let node = ctx.node(&member)?;
            let answers = format!("{member} to answer");
            let look = async || Ok(Look::Ready(node.seal_status().await?));
            // One that was made a moment ago does not listen yet.
            let status = ctx
                .until(&answers, ANSWERS, Duration::from_millis(200), look)
                .await?;
            if status.storage_type != "raft" {
                return Err(Error::refused(format!(
                    "{member} reports {} storage, not raft",
                    status.storage_type
                )));
            }
            if status.initialized {
                return Err(Error::refused(format!(
                    "{member} is initialised already; init is for an empty cluster only"
                )));
            }
        }
        ctx.platform
            .remove_secret(SecretName::Throwaway, &armed)
            .await?;
        let keys = node.init(source.shares, source.threshold, &armed).await?;
        let keys = Keys {
            shares: keys.shares,
            token: keys.root_token,
        };
        ctx.platform
            .write_secret(SecretName::Throwaway, &keys.to_secret(), &armed)
            .await?;
        Ok(evidence(&first).into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        let mut calls = clear_calls(&ctx.platform.members());
        if !ctx.keys_kept {
            calls.push("remove the Secret with the throwaway keys".to_owned());
        }
        Ok(calls)
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        // A release that is on file storage again has none of them: they were cleared before it was changed back.
        if ctx.platform.release().await?.storage == StorageKind::Raft {
            clear(ctx, &ctx.platform.members(), &armed).await?;
        }
        // What lies aside, and what was saved of the cluster, is opened by no other keys.
        if !ctx.keys_kept {
            ctx.platform
                .remove_secret(SecretName::Throwaway, &armed)
                .await?;
        }
        Ok("no member holds raft files that a server would read".to_owned())
    }
}
