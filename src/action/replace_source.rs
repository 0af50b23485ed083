//! Replaces the source's process by one with the changed release, after a last look.

use async_trait::async_trait;

use super::cluster::{clear, clear_calls};
use super::final_copy::{WAY_OUT, still_frozen};
use super::suspend_actors::nobody_acts;
use super::{Action, Context, Error, Evidence, FinalCopied, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::platform::StorageKind;
use crate::storage::Phase;

/// See [`super::ActionSpec::ReplaceSource`].
pub struct ReplaceSource;

#[async_trait]
impl Action for ReplaceSource {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "replace {} by a server on raft, after a last look",
            ctx.first().unwrap_or_default()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        Ok(vec![
            format!(
                "{first}: GET sys/seal-status; manifest of the file tree again, compared with the copied one"
            ),
            format!("{first}: stop, then start with the changed release"),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let first = ctx.first()?;
        if ctx.platform.instance(&first).await?.is_none() {
            return Ok(Observation::Pending);
        }
        let status = ctx.node(&first)?.seal_status().await?;
        Ok(match (status.storage_type.as_str(), status.initialized) {
            // Raft on a volume that held only the file tree is empty; anything else did not come from here.
            ("raft", false) => Observation::Done(Evidence::new(format!("{first} reports raft"))),
            ("raft", true) => Observation::Conflict(format!(
                "{first} is already initialised on raft, and not by this run"
            )),
            _ => Observation::Pending,
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let first = ctx.first()?;
        let copied: FinalCopied = ctx.fact()?;
        nobody_acts(ctx).await?;
        if ctx.platform.release().await?.storage != StorageKind::Raft {
            return Err(Error::refused(
                "the release is not configured for raft any more; something changed it back",
            ));
        }
        still_frozen(ctx).await?;
        let manifest = ctx
            .platform
            .tree_manifest(&first, Phase::Sealed, ctx.meter.as_ref())
            .await?;
        if manifest.sha256() != copied.manifest_digest {
            return Err(Error::refused(format!(
                "the tree of {first} changed after it was copied; find out what writes to it. {WAY_OUT}"
            )));
        }
        ctx.platform.replace(&first, &armed).await?;
        Ok(Evidence::new(format!("{first} reports raft")).into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        if ctx.restore_sent {
            // It was cleared with all the others, before anything else was taken back.
            return Ok(Vec::new());
        }
        Ok(clear_calls(&[ctx.first()?]))
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        let first = ctx.first()?;
        // One that still serves from its files is the source itself: it was never replaced.
        let status = ctx.node(&first)?.seal_status().await;
        let on_file = status.is_ok_and(|status| status.storage_type == "file");
        if ctx.platform.release().await?.storage == StorageKind::Raft && !on_file {
            clear(ctx, std::slice::from_ref(&first), &armed).await?;
        }
        Ok(format!("{first} does not run on raft"))
    }
}
