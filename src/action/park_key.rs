//! Takes the old key out of the Secret that the auto-unseal hook reads, and puts it back.
//!
//! A follower that starts while the hook still offers the old key takes it for its join challenge and loops for ever.

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::keys::{Keys, UNSEAL_KEY, decoded, shares_of};
use super::seal_source::serves_nobody;
use super::{
    Action, Context, Error, Evidence, KeysRead, Observation, Outcome, Restored, Result, Snapshot,
};
use crate::armed::Armed;
use crate::platform::{SecretData, SecretName, StorageKind};

/// See [`super::ActionSpec::ParkKey`].
pub struct ParkKey;

/// See [`super::ActionSpec::ReturnKey`].
pub struct ReturnKey;

pub(super) fn key_of(data: Option<&SecretData>) -> Option<&str> {
    data.and_then(|data| data.get(UNSEAL_KEY))
        .map(ExposeSecret::expose_secret)
        .filter(|key| !key.is_empty())
}

/// Whether the release's Secret has the key that init gave.
pub(super) async fn has_new_key(ctx: &Context) -> Result<bool> {
    let live = ctx.platform.secret(SecretName::Unseal).await?;
    let own = ctx.platform.secret(SecretName::Throwaway).await?;
    let live = key_of(live.as_ref());
    Ok(live.is_some() && live == key_of(own.as_ref()))
}

/// Whether the release's Secret has the shares that the operator gives for the new cluster: they were rotated since `init`.
pub(super) async fn has_rotated_key(ctx: &Context) -> Result<bool> {
    let live = ctx.platform.secret(SecretName::Unseal).await?;
    let live = live.as_ref().map(shares_of).unwrap_or_default();
    let live: Option<Vec<_>> = live.iter().map(decoded).collect();
    let live = live.filter(|live| !live.is_empty());
    let mut given = Keys::given_since(ctx).into_iter().flatten();
    Ok(live.is_some_and(|live| given.any(|keys| keys.decoded() == live)))
}

/// Refuses to start followers while the hook would offer them another key than their leader's.
pub async fn stays_parked(ctx: &Context) -> Result<()> {
    let live = ctx.platform.secret(SecretName::Unseal).await?;
    if ctx.restore_sent || key_of(live.as_ref()).is_none() || has_new_key(ctx).await? {
        return Ok(());
    }
    if ctx.keys_kept && has_rotated_key(ctx).await? {
        return Ok(());
    }
    Err(Error::refused(format!(
        "somebody wrote a key into `{UNSEAL_KEY}` of the unseal Secret while it was parked, and a follower that starts \
         with it never joins: find out who does (an operator that syncs Secrets?) and keep it from doing so, empty the \
         field, then resume"
    )))
}

#[async_trait]
impl Action for ParkKey {
    fn title(&self, _: &Context) -> String {
        "park the unseal key out of the hook's reach".to_owned()
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![
            "copy the unseal Secret to a Secret of the run, read it back and compare".to_owned(),
            format!("empty `{UNSEAL_KEY}` in the unseal Secret"),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let live = ctx.platform.secret(SecretName::Unseal).await?;
        let parked = ctx.platform.secret(SecretName::Parked).await?;
        Ok(match (live.is_some(), key_of(live.as_ref()), key_of(parked.as_ref())) {
            (false, ..) => Observation::NotApplicable("the release has no unseal Secret".to_owned()),
            (true, None, Some(_)) => Observation::Done(Evidence::new("the unseal Secret is empty, its copy is whole")),
            (true, Some(live), Some(parked)) if live != parked => Observation::Conflict(
                "the unseal Secret and its parked copy hold different keys; find out which one opens the data".to_owned(),
            ),
            (true, Some(_), _) => Observation::Pending,
            (true, None, None) => {
                Observation::Conflict("the unseal Secret is empty and no parked copy exists".to_owned())
            }
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        // A snapshot may well be restored where a cluster on raft was lost.
        let moves = ctx.find::<Snapshot>().is_none() && !ctx.outage_open;
        if moves && ctx.platform.release().await?.storage == StorageKind::Raft {
            return Err(Error::refused(
                "the release is on raft although this run has not sealed its source: another run moved it, whose key this is. \
                 Nothing was changed; that run's journal is the one that counts",
            ));
        }
        if moves && let Some(why) = serves_nobody(ctx, &ctx.first()?).await? {
            return Err(Error::refused(format!(
                "{why}, while its hook still has the key"
            )));
        }
        let live = ctx
            .platform
            .secret(SecretName::Unseal)
            .await?
            .ok_or_else(|| Error::refused("the unseal Secret is gone"))?;
        // write_secret reads back and compares: only then is the original emptied.
        ctx.platform
            .write_secret(SecretName::Parked, &live, &armed)
            .await?;
        let mut emptied = live;
        emptied.insert(UNSEAL_KEY.to_owned(), SecretString::from(""));
        ctx.platform
            .write_secret(SecretName::Unseal, &emptied, &armed)
            .await?;
        Ok(Evidence::new("the unseal Secret is empty, its copy is whole").into())
    }

    fn describe_undo(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![
            format!(
                "write `{UNSEAL_KEY}` of the parked copy into the unseal Secret, read it back and compare"
            ),
            "remove the parked copy".to_owned(),
        ])
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        match ReturnKey.observe(ctx).await? {
            Observation::Pending => return_key(ctx, &armed).await?,
            Observation::Conflict(why)
                if ctx.platform.secret(SecretName::Parked).await?.is_some() =>
            {
                return Err(Error::refused(why));
            }
            _ => {}
        }
        let live = ctx.platform.secret(SecretName::Unseal).await?;
        if live.is_some() && key_of(live.as_ref()).is_none() {
            return Err(Error::refused(
                "neither the unseal Secret nor a parked copy holds the key: write the old key into it by hand",
            ));
        }
        ctx.platform
            .remove_secret(SecretName::Parked, &armed)
            .await?;
        Ok("the unseal Secret holds the old key".to_owned())
    }
}

#[async_trait]
impl Action for ReturnKey {
    fn title(&self, _: &Context) -> String {
        "put the old unseal key back for the hook".to_owned()
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![format!(
            "write `{UNSEAL_KEY}` of the parked copy into the unseal Secret, read it back and compare"
        )])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let live = ctx.platform.secret(SecretName::Unseal).await?;
        let parked = ctx.platform.secret(SecretName::Parked).await?;
        let read = ctx.find::<KeysRead>().map(|read| read.fingerprint);
        let by_hand = live.as_ref().and_then(Keys::from_secret);
        let by_hand = by_hand.map(|keys| keys.fingerprint(ctx.run));
        Ok(match (key_of(live.as_ref()), key_of(parked.as_ref())) {
            // Somebody put it back when the parked copy was gone.
            (Some(_), None) if by_hand.is_some() && by_hand == read => {
                Observation::Done(Evidence::new("the unseal Secret holds the old key"))
            }
            (Some(live), Some(parked)) if live == parked => Observation::Done(Evidence::new("the unseal Secret holds the old key")),
            (None, Some(_)) => Observation::Pending,
            (Some(_), Some(_)) => Observation::Conflict(
                "somebody wrote another key into the unseal Secret while the old one was parked, and only the old key opens the \
                 source's data: empty the field, with a copy of it elsewhere if it opens anything, then go on"
                    .to_owned(),
            ),
            (_, None) if live.is_none() => Observation::NotApplicable("the release has no unseal Secret".to_owned()),
            (_, None) => Observation::Conflict(
                "the parked copy of the unseal Secret is gone: write the old key into the unseal Secret by hand, then resume"
                    .to_owned(),
            ),
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        ctx.fact::<Restored>()?;
        return_key(ctx, &armed).await?;
        Ok(Evidence::new("the unseal Secret holds the old key").into())
    }
}

/// Puts the key back and nothing else: whoever keeps the Secret may have changed its other fields meanwhile.
async fn return_key(ctx: &Context, armed: &Armed) -> Result<()> {
    let parked = ctx
        .platform
        .secret(SecretName::Parked)
        .await?
        .ok_or_else(|| Error::refused("the parked copy of the unseal Secret is gone"))?;
    let mut live = match ctx.platform.secret(SecretName::Unseal).await? {
        Some(live) => live,
        None => parked.clone(),
    };
    if let Some(key) = parked.get(UNSEAL_KEY) {
        live.insert(UNSEAL_KEY.to_owned(), key.clone());
    }
    ctx.platform
        .write_secret(SecretName::Unseal, &live, armed)
        .await?;
    Ok(())
}
