//! Removes what is left of a run that has ended: exactly what is listed, and nothing of what serves.

mod tree;

pub use self::tree::RemoveTree;

use std::path::PathBuf;

use async_trait::async_trait;
use indicatif::HumanBytes;
use uuid::Uuid;

use super::await_voters::AwaitVoters;
use super::{
    Action, Context, Error, Evidence, Look, Observation, Outcome, Reseeded, Result, SOURCE_PATHS,
    Source,
};
use crate::armed::Armed;
use crate::platform::StorageKind;

/// Looks whether the new cluster serves on its own: the tree is no way back any more after this.
pub struct StillServes;

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
const LISTS: [&str; 4] = [
    "final.snap.values",
    "final.manifest",
    "watch.values",
    SOURCE_PATHS,
];

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
