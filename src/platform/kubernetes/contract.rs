//! The contract of [`Platform`] on a cluster.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::config::ServerConfig;
use super::driver::DriverKind;
use super::form::{Form, told_by};
use super::migrator::{POD, STARTS};
use super::platform::KubernetesPlatform;
use super::{apart, inspect, jobs, probe, suspend, volume};
use crate::armed::Armed;
use crate::bao::Node;
use crate::meter::Meter;
use crate::platform::{
    Actor, Aim, Applicability, Before, Flip, FlipPlan, Instance, JobState, Part, Platform, Release,
    Remark, Result, SecretData, SecretName, Target, UNSEAL_KEY, Volume,
};
use crate::storage::{Digest, DigestList, Phase};

#[async_trait]
impl Platform for KubernetesPlatform {
    fn target(&self) -> Target {
        Target {
            platform: "kubernetes".to_owned(),
            context: self.cluster.context().to_owned(),
            namespace: self.options.namespace.clone(),
            release: self.options.release.clone(),
            uid: self.uid.clone(),
        }
    }

    fn address(&self) -> String {
        format!(
            "{}://{}.{}.{}:{} (by port-forward)",
            if self.tls { "https" } else { "http" },
            self.layout.member(0),
            self.layout.service,
            self.options.namespace,
            self.port
        )
    }

    fn members(&self) -> Vec<String> {
        (0..self.options.members)
            .map(|ordinal| self.layout.member(ordinal))
            .collect()
    }

    fn flip_starts_members(&self) -> bool {
        false
    }

    fn applicability(&self, part: Part) -> Applicability {
        Applicability::LeftToYou(match part {
            Part::Network => {
                "open 8200 and 8201 between the members in every NetworkPolicy before the window"
            }
            Part::VolumeBackup => {
                "make a snapshot of the source's volume with your own tool, beside the archive that this run makes"
            }
            Part::Clients => {
                "after the run look whether each client syncs again, for example every ExternalSecret"
            }
            Part::Git if self.options.driver == DriverKind::Helm => {
                "write the new values (`helm get values` shows them) into the release's source, before its reconciler is \
                 resumed: an upgrade without them brings file storage back"
            }
            Part::Git => {
                "write the changed objects into the release's source, before its reconciler is resumed: applying what it has \
                 now brings file storage back"
            }
        })
    }

    fn run_dir(&self) -> &Path {
        // The trait hands out a path and no error: one that cannot be made shows at its first use.
        let _ = make_folder(&self.options.run_dir);
        &self.options.run_dir
    }

    fn node(&self, member: &str) -> Result<Arc<dyn Node>> {
        Ok(Arc::new(self.http_node(member)?))
    }

    async fn instance(&self, member: &str) -> Result<Option<Instance>> {
        self.running(member).await
    }

    fn to_look(&self, member: &str) -> String {
        let namespace = &self.options.namespace;
        format!(
            "see `kubectl -n {namespace} describe pod {member}` and `kubectl -n {namespace} logs {member} --previous`"
        )
    }

    fn to_unseal(&self, member: &str) -> Result<String> {
        let namespace = &self.options.namespace;
        Ok(format!(
            "`kubectl -n {namespace} exec -it {member} -- bao operator unseal` unseals it"
        ))
    }

    async fn log_tail(&self, member: &str, lines: usize) -> Result<Vec<String>> {
        self.layout.ordinal(member)?;
        self.log_of(member, &self.layout.container, lines).await
    }

    async fn stop(&self, member: &str, _armed: &Armed) -> Result<()> {
        // A pod that is only deleted is there again at once.
        self.scale_away(std::slice::from_ref(&member.to_owned()))
            .await
    }

    async fn replace(&self, member: &str, _armed: &Armed) -> Result<()> {
        self.replace_pod(member).await
    }

    async fn restart_at_once(&self, member: &str, _armed: &Armed) -> Result<bool> {
        self.restart_container(member).await
    }

    async fn put_away(&self, members: &[String], label: &str, _armed: &Armed) -> Result<()> {
        self.put_pods_away(members, label).await
    }

    async fn replace_empty(&self, member: &str, label: &str, _armed: &Armed) -> Result<()> {
        self.replace_pod_empty(member, label).await
    }

    async fn place_follower(&self, member: &str, _armed: &Armed) -> Result<Option<String>> {
        // Pods are large, and so is a future that looks at some.
        Box::pin(self.place(member)).await
    }

    async fn not_apart(&self) -> Result<Option<String>> {
        if let Some(why) = self.driver.not_apart() {
            return Ok(Some(why.to_owned()));
        }
        Ok(probe::wants_reach(&self.stateful_set().await?).then(|| {
            "the liveness or startup probe reaches the server from outside its pod, and would restart it: use an exec probe, or \
             none, for the move"
                .to_owned()
        }))
    }

    async fn stands_apart(&self) -> Result<bool> {
        Ok(apart::stands_apart(&self.config_text().await?))
    }

    async fn one_by_one(&self) -> Result<bool> {
        Ok(probe::one_by_one(&self.stateful_set().await?))
    }

    async fn volume(&self, member: &str) -> Result<Volume> {
        self.layout.ordinal(member)?;
        let looked = volume::look(&self.site, member).await;
        self.look_done(member).await?;
        looked
    }

    async fn tree_manifest(
        &self,
        member: &str,
        phase: Phase,
        meter: &dyn Meter,
    ) -> Result<DigestList> {
        let tree = self.tree(member, meter).await?;
        volume::manifest(&tree, phase, meter).await
    }

    async fn tree_copy(&self, member: &str, to: &Path, meter: &dyn Meter) -> Result<()> {
        volume::copy(&self.tree(member, meter).await?, to, meter).await
    }

    async fn tree_copy_since(
        &self,
        member: &str,
        base: &Path,
        manifest: &Arc<DigestList>,
        to: &Path,
        meter: &dyn Meter,
    ) -> Result<()> {
        let tree = self.tree(member, meter).await?;
        volume::copy_since(&tree, base, manifest, to, meter).await
    }

    async fn tree_entry(&self, member: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let path = self.entry_file(member, key).await?;
        volume::file(&self.site, member, &path).await
    }

    async fn write_tree_entry(
        &self,
        member: &str,
        key: &str,
        file: &[u8],
        _armed: &Armed,
    ) -> Result<()> {
        let path = self.entry_file(member, key).await?;
        volume::write_file(&self.site, member, &path, file).await
    }

    async fn remove_tree_entry(&self, member: &str, key: &str, _armed: &Armed) -> Result<()> {
        let path = self.entry_file(member, key).await?;
        volume::remove_file(&self.site, member, &path).await
    }

    async fn set_raft_aside(&self, member: &str, label: &str, _armed: &Armed) -> Result<()> {
        if self.running(member).await?.is_some() {
            return Err(crate::platform::Error::Refused(format!(
                "{member} runs: its raft files can only be moved aside when it is stopped"
            )));
        }
        self.raft_aside(member, label).await
    }

    async fn operator_migrate(
        &self,
        member: &str,
        label: &str,
        meter: &dyn Meter,
        _armed: &Armed,
    ) -> Result<()> {
        // Pods are large, and so is a future that looks at some.
        Box::pin(self.migrate(member, label, meter)).await
    }

    async fn discard_migration(&self, member: &str, _armed: &Armed) -> Result<()> {
        self.discard_half(member).await
    }

    async fn volume_files(
        &self,
        member: &str,
        meter: &dyn Meter,
    ) -> Result<BTreeMap<String, Digest>> {
        self.layout.ordinal(member)?;
        let files = volume::files(&self.site, member, meter).await;
        self.look_done(member).await?;
        files
    }

    async fn remove_volume_files(
        &self,
        member: &str,
        paths: &[String],
        _armed: &Armed,
    ) -> Result<()> {
        self.layout.ordinal(member)?;
        let removed = volume::remove_files(&self.site, member, paths).await;
        self.helper_done(member).await?;
        removed
    }

    async fn remove_aside(&self, member: &str, folder: &str, _armed: &Armed) -> Result<()> {
        self.layout.ordinal(member)?;
        let removed = volume::remove_aside(&self.site, member, folder).await;
        self.helper_done(member).await?;
        removed
    }

    async fn leftovers(&self) -> Result<Vec<String>> {
        self.left_behind().await
    }

    async fn remove_leftovers(&self, _armed: &Armed) -> Result<()> {
        self.remove_left_behind().await
    }

    async fn inspect(&self) -> Result<Vec<Remark>> {
        inspect::all(self).await
    }

    fn others_act(&self) -> bool {
        true
    }

    async fn actors(&self) -> Result<Vec<Actor>> {
        self.find_actors().await
    }

    async fn suspend_actor(&self, actor: &Actor, suspend: bool, _armed: &Armed) -> Result<()> {
        Self::suspend_actor(self, actor, suspend).await
    }

    fn suspend_by_hand(&self, actor: &Actor, suspend: bool) -> String {
        suspend::by_hand(actor, suspend)
    }

    fn has_jobs(&self) -> bool {
        true
    }

    async fn job_obstacle(&self, job: &str) -> Result<Option<String>> {
        self.why_no_job(job).await
    }

    async fn job_state(&self, job: &str, run: Uuid) -> Result<Option<JobState>> {
        self.copy_state(&jobs::name_of(job, run)).await
    }

    async fn run_job(&self, job: &str, run: Uuid, _armed: &Armed) -> Result<()> {
        self.copy_job(job, &jobs::name_of(job, run)).await
    }

    async fn remove_job(&self, job: &str, run: Uuid, _armed: &Armed) -> Result<()> {
        self.remove_copy(&jobs::name_of(job, run)).await
    }

    async fn release(&self) -> Result<Release> {
        let set = self.stateful_set().await?;
        let form = Form::of(&set, self.config_text().await?);
        let config = ServerConfig::parse(&form.config)?;
        Ok(Release {
            storage: config.kind()?,
            replicas: form.replicas,
            version: self.version(&set).await,
            revision: self.driver.before(self, &form).await?.revision,
            audit: config.audit,
            foreign_stanzas: config.foreign,
            config: told_by(&form.config),
        })
    }

    async fn rehearse_flip(&self, flip: &Flip) -> Result<FlipPlan> {
        self.try_flip(flip).await
    }

    async fn before(&self) -> Result<Before> {
        self.driver.before(self, &self.form().await?).await
    }

    async fn flipped(&self, flip: &Flip, before: &Before) -> Result<bool> {
        self.is_flipped(flip, before).await
    }

    async fn by_hand(&self, aim: Aim<'_>, before: &Before) -> Result<Option<String>> {
        self.driver.by_hand(self, aim, before).await
    }

    async fn flip(
        &self,
        flip: &Flip,
        before: &Before,
        meter: &dyn Meter,
        _armed: &Armed,
    ) -> Result<()> {
        self.driver.flip(self, flip, before, meter).await
    }

    async fn revert(&self, before: &Before, meter: &dyn Meter, _armed: &Armed) -> Result<()> {
        self.do_revert(before, meter).await
    }

    async fn scratch_start(&self, _armed: &Armed) -> Result<Arc<dyn Node>> {
        Ok(Arc::new(self.start_scratch().await?))
    }

    fn tolls(&self, start: f64) -> (f64, f64) {
        // A pod ends in about the time in which one starts, as seen; a start that is seen early in a pause was no shorter.
        let pod = start.max(POD);
        (pod, STARTS * pod)
    }

    async fn scratch_discard(&self, _armed: &Armed) -> Result<()> {
        self.discard_scratch().await
    }

    async fn secret(&self, name: SecretName) -> Result<Option<SecretData>> {
        self.secrets.read(name).await
    }

    async fn write_secret(
        &self,
        name: SecretName,
        data: &SecretData,
        _armed: &Armed,
    ) -> Result<()> {
        self.secrets.write(name, data).await?;
        if name == SecretName::Unseal {
            self.secrets.refresh_mounts(&self.members()).await;
            let key = data.get(UNSEAL_KEY).map(ExposeSecret::expose_secret);
            if key.is_some_and(str::is_empty) {
                self.until_key_is_gone().await?;
            }
        }
        Ok(())
    }

    async fn remove_secret(&self, name: SecretName, _armed: &Armed) -> Result<()> {
        self.secrets.remove(name).await
    }
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}
