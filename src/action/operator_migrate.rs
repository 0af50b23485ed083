//! Has `bao operator migrate` write the source's tree into a raft store on the same volume.
//!
//! The tree keeps its tombstone meanwhile: `bao` reads it through links that leave the tombstone out, and its own lock
//! stands beside them. It writes into a folder that no server looks at, from which `vault.db` and `raft/` move into their
//! place when it is done.

use async_trait::async_trait;

use super::cluster::may_have_served;
use super::replace_source::{last_look, take_off_raft};
use super::suspend_actors::nobody_acts;
use super::{
    Action, Context, Error, Evidence, FinalCopied, Forecast, Observation, Outcome, Restored, Result,
};
use crate::armed::Armed;
use crate::meter::Unit;
use crate::platform::StorageKind;

/// See [`super::ActionSpec::OperatorMigrate`].
pub struct OperatorMigrate;

/// Seconds until `bao operator migrate` has begun, and entries that it writes in a second, as seen.
const BEGINS: f64 = 1.4;
const A_SECOND: f64 = 3_600.0;

fn evidence(ctx: &Context, migrated: &Restored) -> Evidence {
    let entries = ctx.find::<FinalCopied>().map_or(0, |copied| copied.entries);
    let first = migrated.sealed.join(", ");
    Evidence::new(format!(
        "{entries} entries migrated into the raft store of {first}"
    ))
    .with(migrated)
}

#[async_trait]
impl Action for OperatorMigrate {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "migrate the file tree of {} into a raft store",
            ctx.first().unwrap_or_default()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        Ok(vec![
            format!(
                "{first}: GET sys/seal-status; manifest of the file tree again, compared with the copied one"
            ),
            format!("{first}: stop, and keep it from starting"),
            format!("{first}: bao operator migrate, from the file tree into a folder beside it"),
            format!("{first}: move vault.db and raft/ from there into their place"),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        // Files that a killed run left may be half of the data: only a migration that was seen to end counts.
        Ok(ctx
            .find::<Restored>()
            .map_or(Observation::Pending, |migrated| {
                Observation::Done(evidence(ctx, &migrated))
            }))
    }

    fn forecast(&self, forecast: &mut Forecast) {
        let timings = forecast.timings;
        // Entries are far fewer than 2^52.
        #[allow(clippy::cast_precision_loss)]
        let entries = timings.entries as f64;
        forecast.add(
            timings.migrator + BEGINS + entries / A_SECOND,
            timings.manifest,
        );
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
        last_look(ctx).await?;
        ctx.meter.total(Unit::Entries, copied.entries);
        ctx.platform
            .operator_migrate(&first, &ctx.run.to_string(), ctx.meter.as_ref(), &armed)
            .await?;
        Ok(evidence(
            ctx,
            &Restored {
                sealed: vec![first],
                absent: Vec::new(),
            },
        )
        .into())
    }

    fn describe_undo(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        Ok(vec![
            format!("{first}: end a migration that is under way, remove what it has half written"),
            format!("{first}: stop; move its raft files aside"),
        ])
    }

    async fn irrevocable(&self, ctx: &Context) -> Result<Option<String>> {
        may_have_served(ctx).await
    }

    async fn undo(&self, ctx: &Context, armed: Armed) -> Result<String> {
        let first = ctx.first()?;
        ctx.platform.discard_migration(&first, &armed).await?;
        take_off_raft(ctx, &first, &armed).await?;
        Ok(format!(
            "{first} has no raft files that a server would read"
        ))
    }
}
