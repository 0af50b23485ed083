//! Removes what only the run needed: the throwaway keys and the parked copy.

use async_trait::async_trait;

use super::{Action, Context, Evidence, Observation, Outcome, Result, ReturnKey};
use crate::armed::Armed;
use crate::platform::SecretName;

/// See [`super::ActionSpec::DestroyThrowaway`].
pub struct DestroyThrowaway;

#[async_trait]
impl Action for DestroyThrowaway {
    fn title(&self, _: &Context) -> String {
        "destroy the throwaway keys and the parked copy".to_owned()
    }

    async fn describe(&self, _: &Context) -> Result<Vec<String>> {
        Ok(vec![
            "remove the Secret with the throwaway keys".to_owned(),
            "remove the parked copy".to_owned(),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let throwaway = ctx.platform.secret(SecretName::Throwaway).await?.is_some();
        let parked = ctx.platform.secret(SecretName::Parked).await?.is_some();
        if parked
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
        ctx.platform
            .remove_secret(SecretName::Throwaway, &armed)
            .await?;
        ctx.platform
            .remove_secret(SecretName::Parked, &armed)
            .await?;
        Ok(Evidence::new("no throwaway key is left").into())
    }
}
