//! What clients wrote to the new cluster, and the source does not have: it is lost on the way back.

use std::path::Path;

use super::cluster::{active, current_keys};
use super::compare::{against_source, counts, mounted};
use super::context::blocking;
use super::final_copy::{is_as_copied, opened_by_old, whole};
use super::keys::Keys;
use super::{Context, Error, Proof, Result, Snapshot, Source};
use crate::event::ParityCounts;
use crate::meter::SharedMeter;
use crate::storage::{self, ArchiveReader};

/// The member that leads the new cluster, on the source's data where it has that.
async fn leader(ctx: &Context) -> Result<String> {
    let source: Source = ctx.fact()?;
    if let Some(leader) = active(ctx).await? {
        let status = ctx.node(&leader)?.seal_status().await?;
        let is_it = ctx.keys_kept || status.cluster_id == Some(source.cluster_id);
        if status.storage_type == "raft" && is_it {
            return Ok(leader);
        }
    }
    Err(Error::refused(
        "no member leads the new cluster (unseal its members)",
    ))
}

/// How the entries of the new cluster compare with those of the source; `None` where it was initialised to stay and has none
/// of those. Looks only.
pub async fn count(ctx: &Context) -> Result<Option<ParityCounts>> {
    if ctx.keys_kept {
        return Ok(None);
    }
    let leader = leader(ctx).await?;
    whole(ctx).await?;
    let token = Keys::old(ctx).await?.token;
    let path = ctx.file("newer.snap");
    ctx.node(&leader)?
        .snapshot_save(&token, &path, ctx.meter.as_ref())
        .await?;
    let tables = mounted(ctx, &leader, &token).await?;
    let found = against_source(ctx, &path, &tables, true).await;
    let _ = std::fs::remove_file(&path);
    Ok(Some(counts(&found?)))
}

/// Saves the new cluster as a native snapshot, reads it back whole and returns its entries.
pub async fn save(ctx: &Context, to: &Path) -> Result<u64> {
    let leader = leader(ctx).await?;
    let token = current_keys(ctx).await?.token;
    ctx.node(&leader)?
        .snapshot_save(&token, to, ctx.meter.as_ref())
        .await?;
    verify(ctx, to).await
}

async fn verify(ctx: &Context, snapshot: &Path) -> Result<u64> {
    let (path, meter): (_, SharedMeter) = (snapshot.to_owned(), ctx.meter.clone());
    blocking(move || -> Result<u64> {
        Ok(storage::verify(ArchiveReader::open(&path)?, meter.as_ref())?.entries)
    })
    .await
}

/// Refuses where the file tree is not there as it was sealed, and where the keys that are found do not open it: there is
/// nothing to go back to then.
pub async fn source_stands(ctx: &Context) -> Result<()> {
    if let Some(snapshot) = ctx.find::<Snapshot>() {
        return Err(Error::refused(format!(
            "the data came from {}, and before it there was none to go back to",
            snapshot.path.display()
        )));
    }
    if is_as_copied(ctx).await? {
        whole(ctx).await?;
        return match opened_by_old(ctx, &ctx.fact::<Proof>()?).await? {
            Some(false) => Err(Error::refused(
                "the keys that are found do not open the source: its shares were changed on the new cluster since. Name the \
                 old ones, with a token, with --keys-file FILE, and write them into the unseal Secret again afterwards",
            )),
            _ => Ok(()),
        };
    }
    let first = ctx.first()?;
    Err(Error::refused(format!(
        "the file tree on the volume of {first} is not the one that was sealed, so that there is nothing to go back to; the \
         tree as it was sealed is in {}",
        ctx.file("final.tar").display()
    )))
}
