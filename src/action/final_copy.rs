//! Copies the frozen tree, compares it with a manifest made beside the data, and converts it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;

use super::context::blocking;
use super::tombstone::of_this_run;
use super::{
    Action, Context, Error, Evidence, FinalCopied, Frozen, Observation, Outcome, Proof, Result,
};
use crate::armed::Armed;
use crate::event::Level;
use crate::meter::SharedMeter;
use crate::storage::{
    self, ArchiveReader, Conversion, ConvertOptions, DigestList, Phase, Source, TreeOptions,
};

/// See [`super::ActionSpec::FinalCopy`].
pub struct FinalCopy {
    /// Put the proof's `core/raft/tls` into the snapshot.
    pub graft: bool,
}

#[async_trait]
impl Action for FinalCopy {
    fn title(&self, _: &Context) -> String {
        "copy the frozen tree, compare it with its manifest and convert it".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let first = ctx.first()?;
        let mut calls = vec![
            format!(
                "{first}: manifest of the file tree (path, size, SHA-256), made beside the data"
            ),
            format!(
                "{first}: copy the file tree to {}",
                ctx.file("final.tar").display()
            ),
            format!(
                "convert it to {}, file by file against the manifest",
                ctx.file("final.snap").display()
            ),
            "compare the entries that bind keys and data with the proven ones".to_owned(),
        ];
        if self.graft {
            calls.push("graft the proof's core/raft/tls into it".to_owned());
        }
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let Some(copied) = ctx.find::<FinalCopied>() else {
            return Ok(Observation::Pending);
        };
        Ok(
            if copied.snapshot.is_file() && copied.values.is_file() && copied.manifest.is_file() {
                Observation::Done(evidence(&copied))
            } else {
                // Taken over without the first machine's disk: the tree still stands on the volume.
                Observation::Pending
            },
        )
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        still_frozen(ctx).await?;
        Ok(evidence(&make(ctx, self.graft, None).await?).into())
    }
}

/// The final copy, made again where it is gone or damaged: the tree still stands on the volume, frozen.
pub async fn whole(ctx: &Context) -> Result<FinalCopied> {
    let copied: FinalCopied = ctx.fact()?;
    let (path, expected) = (copied.snapshot.clone(), copied.sha256.clone());
    let same = blocking(move || -> Result<bool> {
        Ok(path.is_file() && storage::sha256_of(&path)? == expected)
    });
    if same.await? {
        return Ok(copied);
    }
    ctx.note(
        Level::Warn,
        format!(
            "{} is gone or damaged: it is made again from the file tree",
            copied.snapshot.display()
        ),
    );
    make(ctx, copied.grafted, Some(&copied.manifest_digest)).await
}

/// `expected` is the digest of the manifest that the tree must still have.
async fn make(ctx: &Context, graft: bool, expected: Option<&str>) -> Result<FinalCopied> {
    let first = ctx.first()?;
    let proof: Proof = ctx.fact()?;
    let tombstone = of_this_run(ctx).await?;
    if tombstone.is_none() {
        return Err(Error::refused("the tombstone is not in the tree"));
    }
    ctx.meter.waiting("the manifest of the frozen tree");
    let manifest = ctx
        .platform
        .tree_manifest(&first, Phase::Sealed, ctx.meter.as_ref())
        .await?;
    let tar = ctx.file("final.tar");
    if expected.is_some_and(|expected| manifest.sha256() != expected) {
        return Err(Error::refused(format!(
            "the file tree of {first} is not the one that was sealed: something wrote to it since, and \
             nothing was copied. The tree as it was sealed is in {}",
            tar.display()
        )));
    }
    ctx.platform
        .tree_copy(&first, &tar, ctx.meter.as_ref())
        .await?;

    let work = Work {
        tar,
        snapshot: ctx.file("final.snap"),
        manifest_file: ctx.file("final.manifest"),
        scratch: ctx.platform.run_dir().to_owned(),
        graft_from: graft.then(|| proof.snapshot.clone()),
        tombstone,
        meter: ctx.meter.clone(),
    };
    let (conversion, manifest_digest) = blocking(move || work.run(&manifest)).await?;

    if !conversion.tree.child_namespaces.is_empty() {
        return Err(Error::refused(
            "child namespaces have appeared since preflight; this server version breaks them on the move",
        ));
    }
    proof_holds(&proof.seal_material, &conversion.seal_material)?;
    let Some((values, _)) = conversion.values else {
        return Err(Error::refused("the conversion wrote no digests"));
    };
    Ok(FinalCopied {
        manifest: ctx.file("final.manifest"),
        manifest_digest,
        snapshot: ctx.file("final.snap"),
        sha256: conversion.archive.sha256,
        values,
        entries: conversion.tree.entries,
        grafted: conversion.grafted,
    })
}

fn evidence(copied: &FinalCopied) -> Evidence {
    Evidence::new(format!(
        "{} entries copied, equal to their manifest, converted",
        copied.entries
    ))
    .with(copied)
}

struct Work {
    tar: PathBuf,
    snapshot: PathBuf,
    manifest_file: PathBuf,
    scratch: PathBuf,
    graft_from: Option<PathBuf>,
    tombstone: Option<Vec<u8>>,
    meter: SharedMeter,
}

impl Work {
    fn run(self, manifest: &DigestList) -> std::result::Result<(Conversion, String), Error> {
        let digest = manifest.save(&self.manifest_file)?;
        let raft_tls = match &self.graft_from {
            None => None,
            Some(proof) => Some(
                storage::raft_tls_of(ArchiveReader::open(proof)?)?.ok_or_else(|| {
                    Error::refused(
                        "the proof's snapshot has no core/raft/tls to graft; prove again",
                    )
                })?,
            ),
        };
        let file = std::fs::File::open(&self.tar).map_err(|error| {
            Error::refused(format!("cannot read {}: {error}", self.tar.display()))
        })?;
        let options = ConvertOptions {
            raft_tls,
            manifest: Some(manifest),
            write_values: true,
            ..ConvertOptions::new(
                TreeOptions {
                    phase: Phase::Sealed,
                    tombstone: self.tombstone,
                },
                &self.scratch,
            )
        };
        let conversion = storage::convert(
            Source::Tar(Box::new(file)),
            &self.snapshot,
            &options,
            self.meter.as_ref(),
        )?;
        Ok((conversion, digest))
    }
}

/// The source is sealed (or gone) and still the process that was sealed.
pub async fn still_frozen(ctx: &Context) -> Result<()> {
    let first = ctx.first()?;
    let frozen: Frozen = ctx.fact()?;
    let now = ctx.platform.instance(&first).await?;
    if now.is_none() {
        return Ok(());
    }
    if now != frozen.instance {
        return Err(Error::refused(format!(
            "{first} was restarted after it was sealed: what it did since is unknown. Seal it again and begin a new run"
        )));
    }
    if !ctx.node(&first)?.seal_status().await?.sealed {
        return Err(Error::refused(format!(
            "{first} was unsealed behind the run; seal it again and begin a new run"
        )));
    }
    Ok(())
}

fn proof_holds(proven: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> Result<()> {
    let changed: Vec<&str> = proven
        .keys()
        .chain(now.keys())
        .filter(|key| proven.get(*key) != now.get(*key))
        .map(String::as_str)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the proof no longer holds: {} changed since. Unseal the source and begin a new run, which proves again",
        changed.join(", ")
    )))
}
