//! Reads the unseal shares and the token, and checks that they belong to the source.

use async_trait::async_trait;

use super::keys::Keys;
use super::{
    Action, Context, Error, Evidence, KeysRead, Observation, Outcome, Result, Snapshot, Source,
};
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
        let mut calls = vec![format!("read {from}")];
        if ctx.snapshot.is_none() {
            calls.push(format!("{}: GET auth/token/lookup-self", ctx.first()?));
        }
        Ok(calls)
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
        let different = keys.different();
        if different < source.threshold as usize {
            return Err(Error::refused(format!(
                "{different} different unseal shares are at hand, but {} of {} are needed",
                source.threshold, source.shares
            )));
        }
        if !keys.fit_the_hooks(ctx).await? {
            return Err(Error::refused(Keys::UNFIT.join(". ")));
        }
        // Of a snapshot nobody can be asked yet; preflight has opened it with these shares.
        if ctx.find::<Snapshot>().is_none() {
            ctx.node(&ctx.first()?)?.lookup_self(&keys.token).await?;
        }
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

#[cfg(test)]
mod tests {
    use crate::action::keys::decoded;

    #[test]
    fn a_share_is_the_same_as_hex_and_as_base64() {
        let hexed = "ae3be306d08bd393a7bd2393984655ae5257cf9ad71f66d4255842d03984db77";
        let coded = base64_simd::STANDARD.encode_to_string(hex::decode(hexed).unwrap());
        assert_eq!(decoded(&hexed.into()), decoded(&coded.into()));
        assert!(decoded(&hexed.into()).is_some());
        for wrong in ["", "not-a-share", "abc"] {
            assert_eq!(decoded(&wrong.into()), None);
        }
    }
}
