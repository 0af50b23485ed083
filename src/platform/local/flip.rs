//! The change of the release to raft, tried or done, and the way back.

use std::path::Path;

use rustix::fs::Access;
use similar::TextDiff;

use super::platform::LocalPlatform;
use super::topology::{Applied, Topology};
use super::{config, process, servers};
use crate::platform::{Error, Flip, FlipPlan, Result, StorageKind};

impl LocalPlatform {
    pub(super) async fn try_flip(&self, flip: &Flip) -> Result<FlipPlan> {
        let before = self.topology().clone();
        let mut after = before.clone();
        apply(&mut after, flip)?;
        let version = self.version().await?.to_owned();

        let mut calls = vec![format!(
            "write {}: storage raft, replicas {}",
            self.layout.topology().display(),
            flip.replicas
        )];
        let mut diff = String::new();
        for (ordinal, member) in after.members.iter().enumerate() {
            if ordinal >= flip.replicas as usize {
                break;
            }
            let files = self.files(&member.name);
            let old = if ordinal < before.applied().replicas as usize {
                config::member(&before, before.applied(), member, &files)
            } else {
                String::new()
            };
            let new = config::member(&after, after.applied(), member, &files);
            diff.push_str(&unified(&member.name, &old, &new));

            let running = process::find(&files)?.is_some();
            if ordinal == 0 || running {
                calls.push(format!(
                    "leave {} as it runs until it is replaced",
                    member.name
                ));
                continue;
            }
            servers::check_ports(member)?;
            writable(&files.data())?;
            calls.push(format!("write {}", files.config().display()));
            calls.push(format!(
                "start {}: bao server -config={} (OpenBao {version})",
                member.name,
                files.config().display()
            ));
        }
        Ok(FlipPlan {
            calls,
            diff,
            left_to_you: false,
        })
    }

    pub(super) async fn do_flip(&self, flip: &Flip) -> Result<()> {
        let after = {
            let mut topology = self.topology();
            let mut after = topology.clone();
            apply(&mut after, flip)?;
            after.save(&self.layout)?;
            topology.clone_from(&after);
            after
        };
        self.start_missing(&after).await
    }

    /// Starts the members beyond the first that should exist and do not.
    async fn start_missing(&self, topology: &Topology) -> Result<()> {
        let wanted = topology.applied().replicas as usize;
        let mut starts = Vec::new();
        for member in topology.members.iter().take(wanted).skip(1) {
            let files = self.files(&member.name);
            if process::find(&files)?.is_none() {
                starts.push(self.start(&member.name));
            }
        }
        futures_util::future::join_all(starts)
            .await
            .into_iter()
            .collect()
    }

    pub(super) async fn do_revert(&self, revision: &str) -> Result<()> {
        let surplus = {
            let mut topology = self.topology();
            let mut after = topology.clone();
            let Some(Applied {
                storage,
                replicas,
                flip,
                ..
            }) = topology.revision(revision).cloned()
            else {
                return Err(Error::Refused(format!(
                    "the release has no revision {revision}"
                )));
            };
            after.apply(storage, replicas, flip);
            after.save(&self.layout)?;
            topology.clone_from(&after);
            after.members.split_off(replicas as usize)
        };
        for member in surplus {
            process::stop(&member.name, &self.files(&member.name)).await?;
        }
        let now = self.topology().clone();
        self.start_missing(&now).await
    }
}

fn apply(topology: &mut Topology, flip: &Flip) -> Result<()> {
    if flip.replicas == 0 || flip.replicas as usize > topology.members.len() {
        return Err(Error::Refused(format!(
            "{} replicas: this work folder has {} members",
            flip.replicas,
            topology.members.len()
        )));
    }
    topology.apply(StorageKind::Raft, flip.replicas, Some(flip.clone()));
    Ok(())
}

fn unified(member: &str, old: &str, new: &str) -> String {
    let name = format!("nodes/{member}/config.hcl");
    TextDiff::from_lines(old, new)
        .unified_diff()
        .header(&format!("{name} (now)"), &format!("{name} (raft)"))
        .to_string()
}

/// Whether the folder, or the one that it will be made in, may be written.
fn writable(folder: &Path) -> Result<()> {
    let standing = folder
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(folder);
    rustix::fs::access(standing, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| super::files::io("writing in", standing)(error.into()))
}
