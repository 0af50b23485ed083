//! Removes what is left of a run that has ended: exactly what is listed, and nothing of what serves.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use indicatif::HumanBytes;
use uuid::Uuid;

use super::await_voters::AwaitVoters;
use super::context::blocking;
use super::final_copy::Files;
use super::tombstone;
use super::{
    Action, Context, Error, Evidence, FinalCopied, Look, Observation, Outcome, Reseeded, Result,
    SOURCE_PATHS, Source,
};
use crate::armed::Armed;
use crate::meter::Silent;
use crate::platform::{StorageKind, is_of_store};
use crate::storage::key::{path_of_key, split};
use crate::storage::{Digest, DigestList, DigestSource, Phase};

/// Looks whether the new cluster serves on its own: the tree is no way back any more after this.
pub struct StillServes;

/// Removes the files of the tree as they were sealed, and the tombstone last.
pub struct RemoveTree;

/// Removes the raft files that the run and those before it moved aside.
pub struct RemoveAside;

/// Removes what the run may have left running beside the servers.
pub struct RemoveLeftovers;

/// Removes the copies of the data in the run's folder.
pub struct RemoveCopies;

/// Copies of the data in the run's folder, as ciphertext.
pub const COPIES: [&str; 5] = [
    "backup.tar",
    "backup.snap",
    "proof-inert.snap",
    "final.tar",
    "final.snap",
];
/// What tells of their entries.
const LISTS: [&str; 3] = ["final.snap.values", "final.manifest", SOURCE_PATHS];
/// Names of unknown files that are told.
const MOST: usize = 5;

/// Why the tree must stay, where it must: three voters, one of them leading, each of the cluster that the run ended with.
async fn unserved(ctx: &Context) -> Result<Option<String>> {
    let cluster_id = match ctx.find::<Reseeded>() {
        Some(reseeded) => reseeded.cluster_id,
        None => ctx.fact::<Source>()?.cluster_id,
    };
    if ctx.platform.release().await?.storage != StorageKind::Raft {
        return Ok(Some("the release is not configured for raft".to_owned()));
    }
    for member in ctx.platform.members() {
        if ctx.platform.instance(&member).await?.is_none() {
            let look = ctx.platform.to_look(&member);
            return Ok(Some(format!("{member} does not run ({look})")));
        }
        let status = ctx.node(&member)?.seal_status().await?;
        if status.storage_type != "raft" {
            let storage = status.storage_type;
            return Ok(Some(format!("{member} is on {storage} storage")));
        }
        if status.sealed {
            let unseal = ctx.platform.to_unseal(&member)?;
            return Ok(Some(format!("{member} is sealed ({unseal})")));
        }
        if status.cluster_id.as_ref() != Some(&cluster_id) {
            return Ok(Some(format!(
                "{member} is in cluster {}, not in {cluster_id}",
                status.cluster_id.unwrap_or_default()
            )));
        }
    }
    let voters = AwaitVoters {
        voters: ctx.replicas,
    };
    Ok(match voters.look(ctx).await? {
        Look::Ready(_) => None,
        Look::NotYet(seen) => Some(seen),
    })
}

#[async_trait]
impl Action for StillServes {
    fn title(&self, _: &Context) -> String {
        "look whether the new cluster serves with all its voters".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        Ok(vec![format!(
            "each member: GET sys/seal-status; leader: {} voters, all healthy",
            ctx.replicas
        )])
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(match unserved(ctx).await? {
            None => Observation::Done(Evidence::new("the new cluster serves")),
            Some(why) => Observation::Conflict(format!("{why}: nothing is removed")),
        })
    }

    async fn apply(&self, _: &Context, _: Armed) -> Result<Outcome> {
        Ok(Evidence::new("the new cluster serves").into())
    }
}

/// What stands where the file tree stood.
struct Tree {
    /// What that was.
    name: &'static str,
    /// Files that are as they were sealed, with their bytes in all. Those of a store are as long as the tombstone stands beside them:
    /// nothing opens it since.
    known: Vec<String>,
    bytes: u64,
    /// This run's tombstone, where it stands.
    tombstone: Option<String>,
    /// What is not of the sealed tree, and is kept.
    others: Vec<String>,
}

impl Tree {
    async fn look(ctx: &Context) -> Result<Self> {
        let first = ctx.first()?;
        let of_store = of_a_store(ctx)?;
        let sealed = if of_store {
            BTreeMap::new()
        } else {
            files(ctx).await?
        };
        let mark = Digest::of(&tombstone::file(ctx));
        let mut found = ctx
            .platform
            .volume_files(&first, ctx.meter.as_ref())
            .await?;
        let marked = found.iter().find(|(_, digest)| **digest == mark);
        let marked = marked.map(|(path, _)| path.clone());
        let mut tree = Self {
            name: if of_store { "store" } else { "file tree" },
            known: Vec::new(),
            bytes: 0,
            tombstone: marked.filter(|path| found.remove(path).is_some()),
            others: Vec::new(),
        };
        let store = tree.tombstone.as_deref().filter(|_| of_store).map(split);
        for (path, digest) in found {
            let (folder, name) = split(&path);
            let closed = store.is_some_and(|(store, _)| folder == store && is_of_store(name));
            if closed || sealed.get(&path) == Some(&digest) {
                tree.bytes += digest.bytes;
                tree.known.push(path);
            } else {
                tree.others.push(path);
            }
        }
        Ok(tree)
    }

    fn is_gone(&self) -> bool {
        self.known.is_empty() && self.tombstone.is_none()
    }

    fn kept(&self) -> String {
        match self.others.len() {
            0 => String::new(),
            others => format!(
                "{others} files that are not of the sealed {} are kept: {}",
                self.name,
                self.others[..others.min(MOST)].join(", ")
            ),
        }
    }
}

/// The files of the tree as they were sealed: from the manifest of the run, or from the tree while it is whole. None where an
/// earlier cleanup removed both.
async fn sealed(ctx: &Context) -> Result<DigestList> {
    let copied: FinalCopied = ctx.fact()?;
    let path = Files::of(ctx).manifest;
    let fits = |list: &DigestList| Some(list.sha256()) == copied.manifest_digest;
    let loaded = blocking(move || DigestList::load(&path)).await.ok();
    if let Some(list) = loaded.filter(fits) {
        return Ok(list);
    }
    let first = ctx.first()?;
    if !ctx.platform.volume(&first).await?.file_tree {
        return Ok(DigestList::default());
    }
    let list = ctx
        .platform
        .tree_manifest(&first, Phase::Sealed, &Silent)
        .await?;
    if fits(&list) {
        return Ok(list);
    }
    Err(Error::refused(format!(
        "the manifest of the sealed tree is not in {}, and the tree is not as it was sealed: nobody can say which of its files are \
         the run's; nothing was removed",
        Files::of(ctx).manifest.display()
    )))
}

/// Whether the source kept its data in a store of `pebbledb`.
fn of_a_store(ctx: &Context) -> Result<bool> {
    Ok(ctx.fact::<Source>()?.storage == StorageKind::Pebbledb)
}

/// The files of the tree as they were sealed, by their path on the volume.
async fn files(ctx: &Context) -> Result<BTreeMap<String, Digest>> {
    let list = sealed(ctx).await?;
    let (mut files, mut digests, mut key) = (BTreeMap::new(), list.digests(), String::new());
    while let Some(digest) = digests.next_digest(&mut key)? {
        files.insert(path_of_key(&key)?, digest);
    }
    Ok(files)
}

#[async_trait]
impl Action for RemoveTree {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "remove the old file tree from the volume of {}",
            ctx.first().unwrap_or_default()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let (first, tree) = (ctx.first()?, Tree::look(ctx).await?);
        let mut calls = Vec::new();
        if !tree.known.is_empty() {
            calls.push(format!(
                "{first}: remove {} files of the {}, {}, each as it was sealed",
                tree.known.len(),
                tree.name,
                HumanBytes(tree.bytes)
            ));
        }
        if tree.tombstone.is_some() {
            calls.push(format!("{first}: remove the entry {}", tombstone::KEY));
        }
        calls.extend(Some(tree.kept()).filter(|kept| !kept.is_empty()));
        Ok(calls)
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        // It was none of a source.
        if ctx.fact::<FinalCopied>()?.manifest_digest.is_none() {
            return Ok(Observation::NotApplicable(
                "a snapshot was restored, and no tree moved".to_owned(),
            ));
        }
        let tree = Tree::look(ctx).await?;
        Ok(if tree.is_gone() {
            Observation::Done(Evidence::new(format!(
                "no file of the sealed {} is left. {}",
                tree.name,
                tree.kept()
            )))
        } else {
            Observation::Pending
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        if let Some(why) = unserved(ctx).await? {
            return Err(Error::refused(format!("{why}: the file tree stays")));
        }
        let (first, tree) = (ctx.first()?, Tree::look(ctx).await?);
        if !tree.known.is_empty() && !of_a_store(ctx)? {
            // A part of the tree tells nobody what is of it.
            let (list, manifest) = (sealed(ctx).await?, Files::of(ctx).manifest);
            blocking(move || list.save(&manifest)).await?;
        }
        ctx.platform
            .remove_volume_files(&first, &tree.known, &armed)
            .await?;
        // As long as any of it stands, no server must start on it.
        if let Some(tombstone) = &tree.tombstone {
            ctx.platform
                .remove_volume_files(&first, std::slice::from_ref(tombstone), &armed)
                .await?;
        }
        Ok(Evidence::new(format!(
            "{} files of the {} removed, {}. {}",
            tree.known.len(),
            tree.name,
            HumanBytes(tree.bytes),
            tree.kept()
        ))
        .into())
    }
}

/// The folders with raft files that lie aside, by member: those of this run and the ones before it, which nobody else removes, and
/// others.
async fn aside(ctx: &Context) -> Result<[Vec<(String, String)>; 2]> {
    let (mut removed, mut kept) = (Vec::new(), Vec::new());
    for member in ctx.platform.members() {
        for folder in ctx.platform.volume(&member).await?.aside {
            // A run's id tells when it began.
            let ended = run_of(&folder).is_some_and(|run| run <= ctx.run);
            let list = if ended { &mut removed } else { &mut kept };
            list.push((member.clone(), folder));
        }
    }
    Ok([removed, kept])
}

/// The run whose id the name of a folder has.
fn run_of(folder: &str) -> Option<Uuid> {
    const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;
    (0..folder.len()).find_map(|from| folder.get(from..from + LENGTH)?.parse().ok())
}

#[async_trait]
impl Action for RemoveAside {
    fn title(&self, _: &Context) -> String {
        "remove the raft files that this run and those before it moved aside".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let [removed, kept] = aside(ctx).await?;
        let own = ctx.run.to_string();
        let removed = removed.into_iter().map(|(member, folder)| {
            let of = if folder.contains(&own) {
                ""
            } else {
                ", of an earlier run"
            };
            format!("{member}: remove the folder {folder}{of}")
        });
        let kept = kept.into_iter().map(|(member, folder)| {
            format!("{member}: {folder} is of no run up to this one and is kept")
        });
        Ok(removed.chain(kept).collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        let [removed, _] = aside(ctx).await?;
        Ok(if removed.is_empty() {
            Observation::Done(Evidence::new("none lie aside"))
        } else {
            Observation::Pending
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        let [removed, _] = aside(ctx).await?;
        for (member, folder) in &removed {
            ctx.platform.remove_aside(member, folder, &armed).await?;
        }
        Ok(Evidence::new(format!("{} folders removed", removed.len())).into())
    }
}

#[async_trait]
impl Action for RemoveLeftovers {
    fn title(&self, _: &Context) -> String {
        "remove what the run left beside the servers".to_owned()
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let left = ctx.platform.leftovers().await?;
        Ok(left.iter().map(|it| format!("remove {it}")).collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(if ctx.platform.leftovers().await?.is_empty() {
            Observation::Done(Evidence::new("nothing is left beside the servers"))
        } else {
            Observation::Pending
        })
    }

    async fn apply(&self, ctx: &Context, armed: Armed) -> Result<Outcome> {
        ctx.platform.remove_leftovers(&armed).await?;
        Ok(Evidence::new("nothing is left beside the servers").into())
    }
}

/// The copies that are there.
fn copies(ctx: &Context) -> Vec<PathBuf> {
    let all = COPIES.into_iter().chain(LISTS);
    all.map(|name| ctx.file(name))
        .filter(|path| path.is_file())
        .collect()
}

#[async_trait]
impl Action for RemoveCopies {
    fn title(&self, ctx: &Context) -> String {
        format!(
            "remove the copies of the data in {}",
            ctx.platform.run_dir().display()
        )
    }

    async fn describe(&self, ctx: &Context) -> Result<Vec<String>> {
        let line = |path: PathBuf| {
            let bytes = path.metadata().map_or(0, |meta| meta.len());
            format!("remove {}, {}", path.display(), HumanBytes(bytes))
        };
        Ok(copies(ctx).into_iter().map(line).collect())
    }

    async fn observe(&self, ctx: &Context) -> Result<Observation> {
        Ok(if copies(ctx).is_empty() {
            Observation::Done(Evidence::new("no copy of the data is left on this machine"))
        } else {
            Observation::Pending
        })
    }

    async fn apply(&self, ctx: &Context, _: Armed) -> Result<Outcome> {
        let copies = copies(ctx);
        for path in &copies {
            std::fs::remove_file(path).map_err(|error| {
                Error::refused(format!("cannot remove {}: {error}", path.display()))
            })?;
        }
        Ok(Evidence::new(format!("{} files removed", copies.len())).into())
    }
}
