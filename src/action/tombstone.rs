//! The entry `core/migration`: a server on file storage refuses to start on a tree that has it.
//!
//! Without it a container restart under the old mount unseals the source behind the final copy.

use async_trait::async_trait;
use serde_json::json;

use super::final_copy::still_frozen;
use super::{Action, Context, Error, Evidence, Forecast, Observation, Outcome, Result};
use crate::armed::Armed;
use crate::storage::tree;

/// See [`super::ActionSpec::WriteTombstone`].
pub struct WriteTombstone;

/// The entry's key.
pub const KEY: &str = "core/migration";

/// The tombstone's file in the source's tree when this run wrote it, `None` when there is none.
pub async fn of_this_run(ctx: &Context) -> Result<Option<Vec<u8>>> {
    let Some(found) = ctx.platform.tree_entry(&ctx.first()?, KEY).await? else {
        return Ok(None);
    };
    if ours(ctx, &found) {
        return Ok(Some(found));
    }
    Err(Error::refused(format!(
        "the tree holds an entry `{KEY}` that this run did not write: another migration is under way or was cut off. \
         Finish or clear that one first"
    )))
}

/// The file's bytes are the same each time, whichever process of the run writes them.
pub fn file(ctx: &Context) -> Vec<u8> {
    let start = ctx.run.get_timestamp().map_or(0, |time| time.to_unix().0);
    let start = i64::try_from(start)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .unwrap_or_default();
    tree::encode(
        json!({ "start": start.to_string(), "run": ctx.run })
            .to_string()
            .as_bytes(),
    )
}

fn ours(ctx: &Context, found: &[u8]) -> bool {
    found == file(ctx)
}

#[async_trait]
impl Action for WriteTombstone {
    fn title(&self, _: &Context) -> String {
        "keep any server on file storage from starting on the tree".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(vec![format!(
            "{}: write the entry {KEY} into the file tree",
            ctx.first()?
        )])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match of_this_run(ctx).await {
            Ok(Some(_)) => Observation::Done(Evidence::new(format!("{KEY} is in the tree"))),
            Ok(None) => Observation::Pending,
            Err(Error::Refused { why }) => Observation::Conflict(why),
            Err(error) => return Err(error),
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        forecast.add(0.0, 2.0 * forecast.timings.look);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        still_frozen(ctx).await?;
        ctx.platform
            .write_tree_entry(&ctx.first()?, KEY, &file(ctx), &armed)
            .await?;
        Ok(Evidence::new(format!("{KEY} is in the tree")).into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(vec![format!(
            "{}: remove the entry {KEY} from the file tree",
            ctx.first()?
        )])
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        // Also where it is not there: what a write that was cut off left would keep a store from being opened.
        of_this_run(ctx).await?;
        ctx.platform
            .remove_tree_entry(&ctx.first()?, KEY, &armed)
            .await?;
        Ok(format!("{KEY} is not in the tree"))
    }
}
