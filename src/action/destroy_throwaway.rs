//! Removes what only the run needed: the keys that init gave and the parked copy.

use async_trait::async_trait;

use super::park_key::{has_new_key, has_rotated_key, key_of};
use super::{Action, Context, Evidence, Observation, Outcome, Result, ReturnKey};
use crate::armed::Armed;
use crate::platform::{SecretName, StorageKind};

/// See [`super::ActionSpec::DestroyThrowaway`].
pub struct DestroyThrowaway;

#[async_trait]
impl Action for DestroyThrowaway {
    fn title(&self, _: &Context) -> String {
        "destroy the throwaway keys and the parked copy".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let [parked, own] = if ctx.keys_kept {
            [
                "remove the parked copy of the old keys, which alone open what there is of the old data elsewhere",
                "remove the run's own copy of the new keys",
            ]
        } else {
            [
                "remove the parked copy",
                "remove the Secret with the throwaway keys",
            ]
        };
        Ok(vec![parked.to_owned(), own.to_owned()])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let throwaway = ctx.platform.secret(SecretName::Throwaway).await?.is_some();
        let parked = ctx.platform.secret(SecretName::Parked).await?.is_some();
        // On raft the new cluster is there to stay, and on file storage again it is taken back.
        if ctx.keys_kept && ctx.platform.release().await?.storage == StorageKind::Raft {
            if ctx.platform.secret(SecretName::Unseal).await?.is_none() {
                return Ok(Observation::NotApplicable(
                    "the release has no unseal Secret: the run's own copy of the new keys stays, and the parked one".to_owned(),
                ));
            }
            if (throwaway || parked) && !has_new_key(ctx).await? && !has_rotated_key(ctx).await? {
                return Ok(Observation::Conflict(not_the_new_key(ctx).await?));
            }
        } else if parked
            && let Observation::Pending | Observation::Conflict(_) = ReturnKey.observe(ctx).await?
        {
            return Ok(Observation::Conflict(
                "the unseal Secret does not hold the old key yet: the parked copy is kept"
                    .to_owned(),
            ));
        }
        Ok(if throwaway || parked {
            Observation::Pending
        } else {
            Observation::Done(Evidence::new("no throwaway key is left"))
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        // The keys that the unseal Secret is compared with go last.
        for name in [SecretName::Parked, SecretName::Throwaway] {
            ctx.platform.remove_secret(name, &armed).await?;
        }
        Ok(Evidence::new("no throwaway key is left").into())
    }
}

/// What stands in the unseal Secret in place of the new key, and what to do about it.
async fn not_the_new_key(ctx: &Context) -> Result<String> {
    let live = ctx.platform.secret(SecretName::Unseal).await?;
    let parked = ctx.platform.secret(SecretName::Parked).await?;
    let live = key_of(live.as_ref());
    let found = if live.is_none() {
        "is empty"
    } else if live == key_of(parked.as_ref()) {
        "holds the old key again"
    } else {
        return Ok(
            "the unseal Secret holds neither the key that init gave nor the old one: the run's own copy of the former is kept. If \
             the shares were rotated since and these are the ones that open the cluster, say so: the same command with \
             --keys-file FILE, which has them and a token. Else put the new key there"
                .to_owned(),
        );
    };
    Ok(format!(
        "the unseal Secret {found} and does not hold the new key: the run's own copy of it is kept. Put it there, and where that \
         Secret comes from (Git, an operator that syncs it)"
    ))
}
