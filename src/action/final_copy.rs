//! Copies the frozen tree, compares it with a manifest made beside the data, and converts it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::back_up::open;
use super::context::blocking;
use super::data_keys::{data_keys, of_a_saved_keyring};
use super::graft_snapshot::graft;
use super::keys::Keys;
use super::prove::{ToProve, prove};
use super::tombstone::of_this_run;
use super::{
    Action, Backup, Context, Error, Evidence, FinalCopied, Forecast, Frozen, Observation, Outcome,
    Proof, Result, Timings,
};
use crate::armed::Armed;
use crate::event::Level;
use crate::meter::SharedMeter;
use crate::storage::{self, Conversion, ConvertOptions, DigestList, Phase, Source, TreeOptions};

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
            "compare the entries that bind keys and data with the proven ones; where only the keyring was saved anew, compare its \
                 keys; prove the copy on a scratch node where anything else changed"
                .to_owned(),
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
        Ok(if Files::of(ctx).all_there(&copied) {
            Observation::Done(evidence(&copied))
        } else {
            // Taken over without the first machine's disk: the tree still stands on the volume.
            Observation::Pending
        })
    }

    fn forecast(&self, forecast: &mut Forecast) {
        let timings = forecast.timings;
        forecast.add(0.0, timings.manifest + timings.copy + timings.convert);
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        still_frozen(ctx).await?;
        let (copied, seal_material) = make(ctx, self.graft, None).await?;
        let proof: Proof = ctx.fact()?;
        let changed = changed(&proof.seal_material, &seal_material);
        if changed.is_empty() {
            return Ok(evidence(&copied).into());
        }
        if let Some(proof) = saved_anew(ctx, &proof, &changed, &seal_material).await? {
            return Ok(evidence(&copied).with(&proof).into());
        }
        ctx.note(
            Level::Info,
            format!(
                "{} changed since the proof: the keys are proved on the final copy itself",
                changed.join(", ")
            ),
        );
        let proof = prove_again(ctx, &proof, &armed).await?;
        Ok(evidence(&copied).with(&proof).into())
    }
}

/// Where the final copy stands on this machine.
pub struct Files {
    /// The tree, as a tar.
    pub tree: PathBuf,
    /// The converted snapshot.
    pub snapshot: PathBuf,
    /// Digest of each value, the reference for parity.
    pub values: PathBuf,
    /// The manifest made beside the data.
    pub manifest: PathBuf,
}

impl Files {
    /// The files of the run.
    pub fn of(ctx: &Context) -> Self {
        Self {
            tree: ctx.file("final.tar"),
            snapshot: ctx.file("final.snap"),
            values: ctx.file("final.snap.values"),
            manifest: ctx.file("final.manifest"),
        }
    }

    pub(super) fn all_there(&self, copied: &FinalCopied) -> bool {
        let manifest = copied.manifest_digest.as_ref().map(|_| &self.manifest);
        let mut all = [&self.snapshot, &self.values].into_iter().chain(manifest);
        all.all(|path| path.is_file())
    }
}

/// What is restored, made again where it is gone or damaged, or was made on another machine: the tree still stands on the
/// volume, frozen, or the operator's snapshot is where it was.
pub async fn whole(ctx: &Context) -> Result<FinalCopied> {
    let copied: FinalCopied = ctx.fact()?;
    let files = Files::of(ctx);
    let (path, expected) = (files.snapshot.clone(), copied.sha256.clone());
    let same = files.all_there(&copied)
        && blocking(move || -> Result<bool> { Ok(storage::sha256_of(&path)? == expected) }).await?;
    if same {
        return Ok(copied);
    }
    ctx.note(
        Level::Warn,
        format!(
            "{} is gone or damaged: it is made again",
            files.snapshot.display()
        ),
    );
    let Some(manifest) = &copied.manifest_digest else {
        return graft(ctx).await;
    };
    let proof: Proof = ctx.fact()?;
    let (copied, seal_material) = make(ctx, copied.grafted, Some(manifest)).await?;
    let changed = changed(&proof.seal_material, &seal_material);
    if changed.is_empty() {
        return Ok(copied);
    }
    Err(Error::refused(format!(
        "the proof no longer holds: {} changed since. {WAY_OUT}",
        changed.join(", ")
    )))
}

/// The proof as it holds for a final copy whose keyring was only saved again since: the same shares open it, and the data
/// keys that were proved are in it. A server that is written to does that every few minutes.
async fn saved_anew(
    ctx: &Context,
    proof: &Proof,
    changed: &[&str],
    seal_material: &BTreeMap<String, String>,
) -> Result<Option<Proof>> {
    if !of_a_saved_keyring(changed) || opened_by_old(ctx, proof).await? != Some(true) {
        return Ok(None);
    }
    Ok(Some(Proof {
        seal_material: seal_material.clone(),
        ..proof.clone()
    }))
}

/// Whether the old keys, as they are found now, open each data key that was proved in the final copy; `None` where this tool
/// could not read those.
pub(super) async fn opened_by_old(ctx: &Context, proof: &Proof) -> Result<Option<bool>> {
    if proof.data_keys.is_empty() {
        return Ok(None);
    }
    let old = Keys::old(ctx).await?;
    let now = data_keys(ctx, &old, Files::of(ctx).snapshot).await?;
    let same = |(term, key): (&u32, &String)| now.get(term) == Some(key);
    Ok(Some(proof.data_keys.iter().all(same)))
}

/// A proof of the final copy: its keyring of the raft is the one that was grafted, and as old as before.
async fn prove_again(ctx: &Context, proof: &Proof, armed: &Armed) -> Result<Proof> {
    let copy = ToProve::Tree {
        tar: Files::of(ctx).tree,
        options: TreeOptions {
            phase: Phase::Sealed,
            tombstone: of_this_run(ctx).await?,
        },
        raft_tls: Some(tls_of(proof)?),
    };
    let again = prove(ctx, copy, Timings::default(), armed).await;
    let (again, _) = again.map_err(|error| {
        Error::refused(format!(
            "the keys could not be proved on the final copy: {error}. {WAY_OUT}"
        ))
    })?;
    Ok(Proof {
        seal_material: again.seal_material,
        decrypted: again.decrypted,
        ..proof.clone()
    })
}

pub(super) fn tls_of(proof: &Proof) -> Result<Vec<u8>> {
    let found = hex::decode(&proof.raft_tls);
    found.map_err(|error| Error::refused(format!("the proof's core/raft/tls: {error}")))
}

/// The copy, and digests of the entries that bind keys and data. `expected` is the digest of the manifest that the tree
/// must still have.
async fn make(
    ctx: &Context,
    graft: bool,
    expected: Option<&str>,
) -> Result<(FinalCopied, BTreeMap<String, String>)> {
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
    let manifest = Arc::new(manifest);
    let files = Files::of(ctx);
    if expected.is_some_and(|expected| manifest.sha256() != expected) {
        return Err(Error::refused(format!(
            "the file tree of {first} is not the one that was sealed: something wrote to it since, and \
             nothing was copied. The tree as it was sealed is in {}",
            files.tree.display()
        )));
    }
    let meter = ctx.meter.as_ref();
    // Another machine than the one that made the backup does not have it.
    let base = ctx.find::<Backup>().filter(|it| it.tree.is_file());
    match base {
        Some(base) => {
            let (base, to) = (&base.tree, &files.tree);
            ctx.platform
                .tree_copy_since(&first, base, &manifest, to, meter)
                .await?;
        }
        None => ctx.platform.tree_copy(&first, &files.tree, meter).await?,
    }

    let raft_tls = if graft { Some(tls_of(&proof)?) } else { None };
    let work = Work {
        files,
        scratch: ctx.platform.run_dir().to_owned(),
        raft_tls,
        tombstone,
        meter: ctx.meter.clone(),
    };
    let (conversion, manifest_digest) = blocking(move || work.run(&manifest)).await?;

    let source: super::Source = ctx.fact()?;
    if source.namespaces == 0 && !conversion.tree.child_namespaces.is_empty() {
        return Err(Error::refused(
            "child namespaces have appeared since preflight; this server version breaks them on the move",
        ));
    }
    let copied = FinalCopied {
        manifest_digest: Some(manifest_digest),
        sha256: conversion.archive.sha256,
        entries: conversion.tree.entries,
        grafted: conversion.grafted,
    };
    Ok((copied, conversion.seal_material))
}

fn evidence(copied: &FinalCopied) -> Evidence {
    Evidence::new(format!(
        "{} entries copied, equal to their manifest, converted",
        copied.entries
    ))
    .with(copied)
}

struct Work {
    files: Files,
    scratch: PathBuf,
    raft_tls: Option<Vec<u8>>,
    tombstone: Option<Vec<u8>>,
    meter: SharedMeter,
}

impl Work {
    fn run(self, manifest: &DigestList) -> std::result::Result<(Conversion, String), Error> {
        let digest = manifest.save(&self.files.manifest)?;
        let tree = open(&self.files.tree)?;
        let options = ConvertOptions {
            raft_tls: self.raft_tls,
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
            Source::Tar(Box::new(tree)),
            &self.files.snapshot,
            &options,
            self.meter.as_ref(),
        )?;
        if conversion.values.as_ref().map(|(path, _)| path) != Some(&self.files.values) {
            return Err(Error::refused("the conversion wrote no digests"));
        }
        Ok((conversion, digest))
    }
}

/// Nothing was restored yet, so the source has all that there is, whatever was written to it since.
pub const WAY_OUT: &str = "Nothing is lost: `baoctl rollback` lets it serve as it is now, and then a new run copies and \
                           proves anew";

/// Whether the tree on the volume is the one that the final copy was made of.
pub async fn is_as_copied(ctx: &Context) -> Result<bool> {
    let copied: FinalCopied = ctx.fact()?;
    let manifest = ctx
        .platform
        .tree_manifest(&ctx.first()?, Phase::Sealed, ctx.meter.as_ref())
        .await?;
    Ok(Some(manifest.sha256()) == copied.manifest_digest)
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
            "{first} was restarted after it was sealed: what it did since is unknown. {WAY_OUT}"
        )));
    }
    if !ctx.node(&first)?.seal_status().await?.sealed {
        return Err(Error::refused(format!(
            "{first} was unsealed behind the run. {WAY_OUT}"
        )));
    }
    Ok(())
}

/// The entries that differ.
fn changed<'keys>(
    proven: &'keys BTreeMap<String, String>,
    now: &'keys BTreeMap<String, String>,
) -> Vec<&'keys str> {
    let all: BTreeSet<&str> = proven
        .keys()
        .chain(now.keys())
        .map(String::as_str)
        .collect();
    all.into_iter()
        .filter(|key| proven.get(*key) != now.get(*key))
        .collect()
}
