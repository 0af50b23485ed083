//! Removes what only the run needed: the keys that init gave and the parked copy.

use async_trait::async_trait;

use super::park_key::has_new_key;
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
            if (throwaway || parked) && !has_new_key(ctx).await? {
                return Ok(Observation::Conflict(
                    "the unseal Secret does not hold the new key: the run's own copy of it is kept. Put it there, and where that \
                     Secret comes from (Git, an operator that syncs it)"
                        .to_owned(),
                ));
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
