//! Makes a checksummed archive of the live tree and proves that it can be read back.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::Instant;

use super::context::blocking;
use super::{
    Action, Backup, Context, Error, Evidence, Observation, Outcome, Result, Timings, tombstone,
};
use crate::armed::Armed;
use crate::storage::{self, ConvertOptions, Phase, Source, TreeOptions};

/// See [`super::ActionSpec::BackUp`].
pub struct BackUp;

#[async_trait]
impl Action for BackUp {
    fn title(&self, _: &Context) -> String {
        "archive the live tree and read the archive back".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(vec![
            format!(
                "{}: copy the file tree to {}",
                ctx.first()?,
                ctx.file("backup.tar").display()
            ),
            "read the copy back, every entry, and note its SHA-256".to_owned(),
        ])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let Some(backup) = ctx.find::<Backup>() else {
            return Ok(Observation::Pending);
        };
        let (path, expected) = (backup.tree.clone(), backup.sha256.clone());
        let whole = blocking(move || -> Result<bool> {
            Ok(path.is_file() && storage::sha256_of(&path)? == expected)
        })
        .await?;
        Ok(if whole {
            Observation::Done(evidence(&backup))
        } else {
            Observation::Pending
        })
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        let backup = copy_live(ctx, "backup", false).await?;
        if backup.entries == 0 {
            return Err(Error::refused(
                "the backup holds no entry; it proves nothing",
            ));
        }
        Ok(evidence(&backup).into())
    }
}

/// Copies the live tree to `NAME.tar`, converts that to `NAME.snap`, on request with the digests of its values, and tells what
/// each took: the outage will be made of the same.
pub async fn copy_live(ctx: &Context, name: &str, write_values: bool) -> Result<Backup> {
    let (first, meter) = (ctx.first()?, ctx.meter.clone());
    let (tar, again) = (
        ctx.file(&format!("{name}.tar")),
        ctx.file(&format!("{name}-again.tar")),
    );
    let mut timings = Timings::default();
    let began = Instant::now();
    ctx.platform.tree_entry(&first, tombstone::KEY).await?;
    timings.look = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let manifest = ctx
        .platform
        .tree_manifest(&first, Phase::Live, meter.as_ref())
        .await?;
    timings.manifest = began.elapsed().as_secs_f64();
    ctx.platform.tree_copy(&first, &tar, meter.as_ref()).await?;
    let (manifest, began) = (Arc::new(manifest), Instant::now());
    ctx.platform
        .tree_copy_since(&first, &tar, &manifest, &again, meter.as_ref())
        .await?;
    timings.copy = began.elapsed().as_secs_f64();
    let _ = std::fs::remove_file(&again);
    let (path, scratch) = (tar, ctx.platform.run_dir().to_owned());
    blocking(move || -> Result<Backup> {
        let began = Instant::now();
        let options = ConvertOptions {
            write_values,
            ..ConvertOptions::new(TreeOptions::new(Phase::Live), &scratch)
        };
        // Converting it is the strictest way to read it: each entry is decoded, and counted once.
        let converted = storage::convert(
            Source::Tar(Box::new(open(&path)?)),
            &path.with_extension("snap"),
            &options,
            meter.as_ref(),
        )?;
        timings.convert = began.elapsed().as_secs_f64();
        timings.entries = converted.entries;
        Ok(Backup {
            timings,
            sha256: storage::sha256_of(&path)?,
            bytes: path.metadata().map_or(0, |meta| meta.len()),
            tree: path,
            entries: converted.entries,
        })
    })
    .await
}

fn evidence(backup: &Backup) -> Evidence {
    Evidence::new(format!(
        "{} entries in {}, read back whole",
        backup.entries,
        backup.tree.display()
    ))
    .with(backup)
}

/// Opens a copy that this run made.
pub fn open(path: &Path) -> Result<std::fs::File> {
    std::fs::File::open(path)
        .map_err(|error| Error::refused(format!("cannot read {}: {error}", path.display())))
}
