//! Reads the unseal shares and the token, and checks that they belong to the source.

use async_trait::async_trait;

use super::keys::Keys;
use super::{Action, Context, Error, Evidence, KeysRead, Observation, Outcome, Result, Source};
use crate::armed::Armed;

/// See [`super::ActionSpec::ReadKeys`].
pub struct ReadKeys;

#[async_trait]
impl Action for ReadKeys {
    fn title(&self, _: &Context) -> String {
        "read the unseal shares and the token".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let from = ctx.keys_file.as_ref().map_or_else(
            || "the Secret that the auto-unseal hook reads".to_owned(),
            |path| path.display().to_string(),
        );
        Ok(vec![
            format!("read {from}"),
            format!("{}: GET auth/token/lookup-self", ctx.first()?),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let Some(read) = ctx.find::<KeysRead>() else {
            return Ok(Observation::Pending);
        };
        if Keys::old(ctx).await?.fingerprint(ctx.run) != read.fingerprint {
            return Ok(Observation::Conflict(
                "the keys are not the ones that were read before in this run".to_owned(),
            ));
        }
        Ok(Observation::Done(
            Evidence::new(format!("fingerprint {}", read.fingerprint)).with(&read),
        ))
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        let source: Source = ctx.fact()?;
        let keys = Keys::old(ctx).await?;
        if keys.shares.len() < source.threshold as usize {
            return Err(Error::refused(format!(
                "{} unseal shares are at hand, but {} of {} are needed",
                keys.shares.len(),
                source.threshold,
                source.shares
            )));
        }
        ctx.node(&ctx.first()?)?.lookup_self(&keys.token).await?;
        let read = KeysRead {
            fingerprint: keys.fingerprint(ctx.run),
            shares: keys.shares.len(),
        };
        Ok(Evidence::new(format!(
            "{} of {} shares at hand, {} needed; fingerprint {}",
            read.shares, source.shares, source.threshold, read.fingerprint
        ))
        .with(&read)
        .into())
    }
}
