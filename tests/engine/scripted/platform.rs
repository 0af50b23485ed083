//! The place the servers live in.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use baoctl::armed::Armed;
use baoctl::bao::Node;
use baoctl::meter::Meter;
use baoctl::platform::{
    Actor, Applicability, Before, Error, Flip, FlipPlan, Instance, JobState, Part, Platform,
    Release, Result, SecretData, SecretName, StorageKind, SuspendedBy, Target, Volume,
};
use baoctl::storage::{Digest, DigestList, Phase};
use secrecy::ExposeSecret;
use tokio::time::Instant;
use uuid::Uuid;

use super::node::{Grip, ScriptedNode};
use super::raft::RaftFiles;
use super::server::Server;
use super::tree;
use super::world::{JOBS, MEMBERS, Member, SCRATCH, World};

/// The platform as one process sees it.
pub struct ScriptedPlatform {
    pub run_dir: PathBuf,
    pub grip: Grip,
}

impl ScriptedPlatform {
    async fn look<T>(&self, look: impl FnOnce(&mut World) -> T) -> Result<T> {
        self.grip.look(look).await.ok_or_else(|| {
            Error::Node(baoctl::bao::Error::Timeout {
                node: "platform".to_owned(),
                call: "look".to_owned(),
                after: std::time::Duration::from_secs(5),
            })
        })
    }

    async fn act<T>(&self, call: &str, act: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        let lost = || Err(Error::Refused("the answer got lost".to_owned()));
        self.grip.act(call, act).await.unwrap_or_else(lost)
    }

    async fn start(&self, name: &str) -> Result<()> {
        self.act(&format!("start {name}"), |world| {
            let ordinal = MEMBERS.iter().position(|member| *member == name);
            if ordinal.is_some_and(|ordinal| ordinal >= world.release.replicas as usize) {
                return Err(Error::Refused(format!("{name} is beyond the replicas")));
            }
            world.start(name).map_err(|line| Error::DidNotStart {
                member: name.to_owned(),
                why: "the process ended".to_owned(),
                log: vec![line],
            })
        })
        .await
    }
}

impl World {
    /// Whether a Secret holds this key set.
    pub fn knows(&self, set: &str) -> bool {
        let shares = self.key_set(set).shares.join("\n");
        let mut secrets = self.secrets.values();
        secrets.any(|data| data["unseal-key"].expose_secret() == shares)
    }

    /// What must hold after every effect.
    pub fn audit(&mut self) {
        let old = self.key_set("old").shares.join("\n");
        let kept = [SecretName::Unseal, SecretName::Parked].iter().any(|name| {
            let key = self.secrets.get(name).and_then(|it| it.get("unseal-key"));
            key.is_some_and(|key| key.expose_secret() == old)
        });
        // Once the tree is removed it opens nothing.
        if !kept && tree::file_of(&self.data, "core/keyring").exists() {
            self.violation("no Secret holds the old key");
        }
        for name in MEMBERS {
            let open = self.server(name).and_then(|it| it.open.clone());
            if let Some(set) = open.filter(|open| open != "old" && !self.knows(open)) {
                self.violation(format!("{name} is open, and no Secret holds the key {set}"));
            }
            let files = self.member(name).raft.as_ref();
            let broken = files.is_some_and(|files| tree::breaks(&files.entries));
            let open = |server: &Server| server.open.is_some() && !server.apart;
            if broken && self.server(name).is_some_and(open) {
                self.violation(format!("{name} serves what it will break on"));
            }
        }
        let empty = self
            .server(MEMBERS[0])
            .is_some_and(|server| server.storage == StorageKind::Raft && server.counts.is_none());
        if empty && self.job.suspended.is_none() {
            self.violation("a job may initialise the empty server");
        }
    }
}

#[async_trait]
impl Platform for ScriptedPlatform {
    fn target(&self) -> Target {
        Target {
            platform: "scripted".to_owned(),
            context: "memory".to_owned(),
            namespace: "vault".to_owned(),
            release: "openbao".to_owned(),
            uid: "one".to_owned(),
        }
    }

    fn address(&self) -> String {
        "memory".to_owned()
    }

    fn members(&self) -> Vec<String> {
        MEMBERS.map(str::to_owned).into()
    }

    fn applicability(&self, _: Part) -> Applicability {
        Applicability::DoesNotApply("nothing of the kind is in memory")
    }

    fn run_dir(&self) -> &Path {
        &self.run_dir
    }

    fn node(&self, member: &str) -> Result<Arc<dyn Node>> {
        Ok(Arc::new(ScriptedNode {
            name: member.to_owned(),
            grip: self.grip.clone(),
        }))
    }

    async fn instance(&self, member: &str) -> Result<Option<Instance>> {
        self.look(|world| {
            world.server(member).map(|server| Instance {
                id: server.id.to_string(),
                restarts: 0,
            })
        })
        .await
    }

    fn to_look(&self, member: &str) -> String {
        format!("see the log of {member}")
    }

    fn to_unseal(&self, member: &str) -> Result<String> {
        Ok(format!("`unseal {member}`"))
    }

    async fn log_tail(&self, member: &str, _: usize) -> Result<Vec<String>> {
        self.look(|world| {
            let restored = world.server(member).is_some_and(|server| server.restored);
            restored
                .then(|| "storage.raft: restored user snapshot".to_owned())
                .into_iter()
                .collect()
        })
        .await
    }

    async fn stop(&self, member: &str, _: &Armed) -> Result<()> {
        self.act(&format!("stop {member}"), |world| {
            world.stop(member);
            Ok(())
        })
        .await
    }

    async fn replace(&self, member: &str, armed: &Armed) -> Result<()> {
        self.stop(member, armed).await?;
        self.start(member).await
    }

    async fn restart_at_once(&self, member: &str, armed: &Armed) -> Result<bool> {
        self.look(|world| {
            let running = MEMBERS.iter().filter(|name| world.server(name).is_some());
            if running.count() > 1 {
                world.violation("a voter among others was restarted before it had sealed itself");
            }
        })
        .await?;
        self.replace(member, armed).await?;
        Ok(true)
    }

    async fn stands_apart(&self) -> Result<bool> {
        self.look(|world| world.release.apart).await
    }

    async fn volume(&self, member: &str) -> Result<Volume> {
        self.look(|world| {
            let found = world.member(member);
            let holds = member == MEMBERS[0] && !tree::files(&world.data).is_empty();
            let in_store = member == MEMBERS[0] && world.source == StorageKind::Pebbledb;
            Volume {
                exists: true,
                file_tree: !in_store && holds,
                store: in_store && (holds || found.server.is_some()),
                raft_files: found.raft.is_some(),
                aside: found
                    .aside
                    .iter()
                    .map(|(label, _)| format!("raft-aside-{label}"))
                    .collect(),
                free_bytes: 1 << 40,
            }
        })
        .await
    }

    async fn tree_manifest(&self, _: &str, phase: Phase, _: &dyn Meter) -> Result<DigestList> {
        Ok(self
            .look(|world| tree::manifest(&world.data, phase))
            .await??)
    }

    async fn tree_copy(&self, _: &str, to: &Path, _: &dyn Meter) -> Result<()> {
        self.grip.fate.point("before a copy of the tree");
        self.look(|world| tree::copy(&world.data, to)).await?;
        self.grip.fate.point("after a copy of the tree");
        Ok(())
    }

    async fn tree_entry(&self, _: &str, key: &str) -> Result<Option<Vec<u8>>> {
        self.look(|world| fs::read(tree::file_of(&world.data, key)).ok())
            .await
    }

    async fn write_tree_entry(&self, _: &str, key: &str, file: &[u8], _: &Armed) -> Result<()> {
        self.act(&format!("write {key}"), |world| {
            let running = world.server(MEMBERS[0]);
            if running
                .is_some_and(|server| server.storage != StorageKind::Raft && server.open.is_some())
            {
                world.violation("a write into the tree of a serving source");
            }
            tree::put(&world.data, key, file);
            Ok(())
        })
        .await
    }

    async fn remove_tree_entry(&self, _: &str, key: &str, _: &Armed) -> Result<()> {
        self.act(&format!("remove {key}"), |world| {
            let _ = fs::remove_file(tree::file_of(&world.data, key));
            Ok(())
        })
        .await
    }

    async fn set_raft_aside(&self, member: &str, label: &str, _: &Armed) -> Result<()> {
        self.act(&format!("set the raft files of {member} aside"), |world| {
            if world.server(member).is_some() {
                world.violation(format!("raft files moved away under {member}"));
                return Err(Error::Refused(format!("{member} runs")));
            }
            let member = world.member_mut(member);
            if let Some(files) = member.raft.take() {
                member.aside.push((label.to_owned(), files));
            }
            Ok(())
        })
        .await
    }

    async fn operator_migrate(
        &self,
        member: &str,
        label: &str,
        _: &dyn Meter,
        armed: &Armed,
    ) -> Result<()> {
        self.stop(member, armed).await?;
        self.act("begin to migrate", |world| {
            world.member_mut(member).migrating = true;
            Ok(())
        })
        .await?;
        self.act("put the migrated store in place", |world| {
            if world.server(member).is_some() || !world.member(member).migrating {
                world.violation(format!(
                    "a store put in place under {member}, or half of one"
                ));
            }
            world.member_mut(member).migrating = false;
            let entries = Arc::new(world.tree_entries());
            let group = Some(world.found(member));
            let member = world.member_mut(member);
            if let Some(files) = member.raft.replace(RaftFiles { group, entries }) {
                member.aside.push((label.to_owned(), files));
            }
            Ok(())
        })
        .await
    }

    async fn volume_files(&self, member: &str, _: &dyn Meter) -> Result<BTreeMap<String, Digest>> {
        assert_eq!(member, MEMBERS[0]);
        self.look(|world| tree::digests(&world.data)).await
    }

    async fn remove_volume_files(&self, _: &str, paths: &[String], _: &Armed) -> Result<()> {
        // One call each, so that a process can die between two.
        for half in paths.chunks(paths.len().div_ceil(2).max(1)) {
            self.act("remove files of the tree", |world| {
                let file = world.server(MEMBERS[0]);
                if file.is_some_and(|server| server.storage != StorageKind::Raft) {
                    world.violation("the tree was removed under its server");
                }
                for path in half {
                    let _ = fs::remove_file(world.data.join(path));
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }

    async fn remove_aside(&self, member: &str, folder: &str, _: &Armed) -> Result<()> {
        self.act(&format!("remove {folder} of {member}"), |world| {
            let aside = &mut world.member_mut(member).aside;
            aside.retain(|(label, _)| format!("raft-aside-{label}") != folder);
            Ok(())
        })
        .await
    }

    async fn discard_migration(&self, member: &str, _: &Armed) -> Result<()> {
        self.act("discard the migration", |world| {
            world.member_mut(member).migrating = false;
            Ok(())
        })
        .await
    }

    async fn leftovers(&self) -> Result<Vec<String>> {
        let there = self
            .look(|world| world.members.contains_key(SCRATCH))
            .await?;
        Ok(there.then(|| SCRATCH.to_owned()).into_iter().collect())
    }

    async fn remove_leftovers(&self, armed: &Armed) -> Result<()> {
        self.scratch_discard(armed).await
    }

    fn others_act(&self) -> bool {
        true
    }

    async fn actors(&self) -> Result<Vec<Actor>> {
        self.look(|world| vec![world.job.clone()]).await
    }

    async fn suspend_actor(&self, actor: &Actor, suspend: bool, _: &Armed) -> Result<()> {
        self.act(&format!("suspend {actor}: {suspend}"), |world| {
            world.job.suspended = suspend.then_some(SuspendedBy::Run);
            Ok(())
        })
        .await
    }

    fn has_jobs(&self) -> bool {
        true
    }

    async fn job_state(&self, job: &str, _: Uuid) -> Result<Option<JobState>> {
        self.look(|world| {
            let (made, fails) = *world.jobs.get(job)?;
            Some(if made + JOBS > Instant::now() {
                JobState::Running("1 pods active".to_owned())
            } else if fails {
                JobState::Failed("it failed".to_owned())
            } else {
                JobState::Complete
            })
        })
        .await
    }

    async fn run_job(&self, job: &str, _: Uuid, _: &Armed) -> Result<()> {
        self.act(&format!("run the Job {job}"), |world| {
            if !MEMBERS.iter().any(|name| world.is_active(name)) {
                world.violation("a Job was run that has no server");
            }
            let made = (Instant::now(), world.job_fails);
            world.jobs.entry(job.to_owned()).or_insert(made);
            Ok(())
        })
        .await
    }

    async fn remove_job(&self, job: &str, _: Uuid, _: &Armed) -> Result<()> {
        self.act(&format!("remove the Job {job}"), |world| {
            world.jobs.remove(job);
            Ok(())
        })
        .await
    }

    async fn release(&self) -> Result<Release> {
        self.look(|world| Release {
            storage: world.release.storage,
            replicas: world.release.replicas,
            version: "2.6.2".to_owned(),
            revision: world.release.revision.to_string(),
            audit: BTreeMap::new(),
            foreign_stanzas: Vec::new(),
            config: String::new(),
        })
        .await
    }

    async fn rehearse_flip(&self, _: &Flip) -> Result<FlipPlan> {
        Ok(FlipPlan {
            calls: vec!["change the release".to_owned()],
            diff: String::new(),
            left_to_you: false,
        })
    }

    async fn flipped(&self, flip: &Flip, _: &Before) -> Result<bool> {
        self.look(|world| {
            let now = &world.release;
            (now.storage, now.replicas, now.apart) == (StorageKind::Raft, flip.replicas, flip.apart)
        })
        .await
    }

    async fn flip(&self, flip: &Flip, _: &Before, _: &dyn Meter, _: &Armed) -> Result<()> {
        self.act("change the release", |world| {
            world.release.storage = StorageKind::Raft;
            world.release.replicas = flip.replicas;
            world.release.apart = flip.apart;
            world.release.revision += 1;
            Ok(())
        })
        .await?;
        for name in &MEMBERS[1..flip.replicas as usize] {
            if self.look(|world| world.server(name).is_none()).await? {
                self.start(name).await?;
            }
        }
        Ok(())
    }

    async fn revert(&self, before: &Before, _: &dyn Meter, armed: &Armed) -> Result<()> {
        // The one that a run begins with.
        assert_eq!(before.revision, "1");
        self.act("go back to the first revision", |world| {
            world.release.storage = world.source;
            world.release.replicas = 1;
            world.release.apart = false;
            world.release.revision += 1;
            Ok(())
        })
        .await?;
        for name in &MEMBERS[1..] {
            self.stop(name, armed).await?;
        }
        Ok(())
    }

    async fn scratch_start(&self, armed: &Armed) -> Result<Arc<dyn Node>> {
        self.scratch_discard(armed).await?;
        self.act("start scratch", |world| {
            world.members.insert(SCRATCH.to_owned(), Member::default());
            world.start(SCRATCH).map_err(Error::Refused)
        })
        .await?;
        self.node(SCRATCH)
    }

    async fn scratch_discard(&self, _: &Armed) -> Result<()> {
        self.act("remove scratch", |world| {
            world.members.remove(SCRATCH);
            world.swaps.retain(|swap| !swap.is_of(SCRATCH));
            world
                .groups
                .retain(|_, group| !group.peers.contains_key(SCRATCH));
            Ok(())
        })
        .await
    }

    async fn secret(&self, name: SecretName) -> Result<Option<SecretData>> {
        self.look(|world| world.secrets.get(&name).cloned()).await
    }

    async fn write_secret(&self, name: SecretName, data: &SecretData, _: &Armed) -> Result<()> {
        self.act(&format!("write the Secret {name:?}"), |world| {
            world.secrets.insert(name, data.clone());
            Ok(())
        })
        .await
    }

    async fn remove_secret(&self, name: SecretName, _: &Armed) -> Result<()> {
        self.act(&format!("remove the Secret {name:?}"), |world| {
            if name == SecretName::Unseal {
                world.violation("the release's own Secret was removed");
            }
            world.secrets.remove(&name);
            Ok(())
        })
        .await
    }
}
