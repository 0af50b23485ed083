//! Reads the unseal shares and the token, and checks that they belong to the source.

use async_trait::async_trait;

use super::keys::{Keys, decoded, shares_of};
use super::{
    Action, Context, Error, Evidence, KeysRead, Observation, Outcome, Result, Snapshot, Source,
};
use crate::armed::Armed;
use crate::platform::SecretName;

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
        if !fit_the_hooks(ctx, &keys).await? {
            return Err(Error::refused(format!("{OTHER_SHARES}. {WHICH_ARE_RIGHT}")));
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

/// Why keys do not fit the hook's.
pub const OTHER_SHARES: &str = "the release's unseal Secret holds other shares than the keys that were given: after the run its hook could not \
     open the servers with a key that nobody proved";
/// What to do about it.
pub const WHICH_ARE_RIGHT: &str =
    "Find out which is right; of several sets of shares give one that has the Secret's in it";

/// The hook's key is the one that opens restarted servers after the run: where the operator gave another copy, both must be
/// the same key.
pub async fn fit_the_hooks(ctx: &Context, keys: &Keys) -> Result<bool> {
    let Some(secret) = ctx.platform.secret(SecretName::Unseal).await? else {
        return Ok(true);
    };
    let hooks = shares_of(&secret);
    let given: Vec<_> = keys.shares.iter().map(decoded).collect();
    let mut hooks = hooks.iter().map(decoded);
    Ok(hooks.all(|share| given.contains(&share)))
}

#[cfg(test)]
mod tests {
    use super::*;

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
