//! Replaces the source's process by one with the changed release, after a last look.

use async_trait::async_trait;

use super::cluster::{clear, clear_calls, instances};
use super::final_copy::{WAY_OUT, is_as_copied, still_frozen};
use super::suspend_actors::nobody_acts;
use super::{Action, Context, Error, Evidence, Forecast, Observation, Outcome, Restored, Result};
use crate::armed::Armed;
use crate::platform::StorageKind;

/// See [`super::ActionSpec::ReplaceSource`].
pub struct ReplaceSource;

/// Whether its data was put into the raft store before it starts on that.
fn migrated(ctx: &Context) -> bool {
    ctx.find::<Restored>().is_some()
}

/// Which process was started on migrated data stands in the record: another one may have served before it was looked at.
async fn evidence(ctx: &Context, first: &str) -> Result<Evidence> {
    let evidence = Evidence::new(format!("{first} reports raft"));
    Ok(if migrated(ctx) {
        evidence.with(&instances(ctx).await?)
    } else {
        evidence
    })
}

/// The source is still frozen, and its tree the one that was copied.
pub(super) async fn last_look(ctx: &Context) -> Result<()> {
    let first = ctx.first()?;
    still_frozen(ctx).await?;
    if is_as_copied(ctx).await? {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the tree of {first} changed after it was copied; find out what writes to it. {WAY_OUT}"
    )))
}

/// Stops the first member and moves its raft files aside, unless it serves from what it was on: it is the source itself then. One
/// that has not ended yet answers as the source as well, beside raft files that are in their place already.
pub(super) async fn take_off_raft(ctx: &Context, first: &String, armed: &Armed) -> Result<()> {
    let status = ctx.node(first)?.seal_status().await;
    let is_source = status.is_ok_and(|status| status.storage_type != StorageKind::Raft.name());
    // A later change of the release that was taken back has taken every member off.
    let on_raft = ctx.platform.release().await?.storage == StorageKind::Raft && !is_source;
    if on_raft || ctx.platform.volume(first).await?.raft_files {
        clear(ctx, std::slice::from_ref(first), armed).await?;
    }
    Ok(())
}

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
        // Raft on a volume that held only the file tree is empty; anything else did not come from here.
        Ok(match (status.storage_type.as_str(), status.initialized) {
            ("raft", initialized) if initialized == migrated(ctx) => {
                Observation::Done(evidence(ctx, &first).await?)
            }
            ("raft", true) => Observation::Conflict(format!(
                "{first} is already initialised on raft, and not by this run"
            )),
            ("raft", false) => Observation::Conflict(format!(
                "{first} has no data on raft, although it was migrated: its raft files are gone. {WAY_OUT}"
            )),
            _ => Observation::Pending,
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        let timings = forecast.timings;
        forecast.add(timings.end + timings.start, timings.manifest);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let first = ctx.first()?;
        nobody_acts(ctx).await?;
        if ctx.platform.release().await?.storage != StorageKind::Raft {
            return Err(Error::refused(
                "the release is not configured for raft any more; something changed it back",
            ));
        }
        // A migration had this look before it, and nothing that comes into the tree afterwards is in the store.
        if !migrated(ctx) {
            last_look(ctx).await?;
        }
        ctx.platform.replace(&first, &armed).await?;
        Ok(evidence(ctx, &first).await?.into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        if !ctx.is_throwaway() {
            // It was cleared with all the others, before anything else was taken back.
            return Ok(Vec::new());
        }
        Ok(clear_calls(&[ctx.first()?]))
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        let first = ctx.first()?;
        take_off_raft(ctx, &first, &armed).await?;
        Ok(format!("{first} does not run on raft"))
    }
}
