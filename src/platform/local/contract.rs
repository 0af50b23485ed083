//! The contract of [`Platform`], as far as processes and folders have it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::layout::SCRATCH;
use super::platform::LocalPlatform;
use super::{config, files, process, relay, secrets, servers, tree, volume};
use crate::armed::Armed;
use crate::bao::{HttpNode, Node};
use crate::meter::{Meter, Silent};
use crate::platform::{
    Applicability, Before, Error, Flip, FlipPlan, Instance, Part, Platform, Release, Result,
    SecretData, SecretName, StorageKind, Target, Volume,
};
use crate::storage::{Digest, DigestList, Phase};

#[async_trait]
impl Platform for LocalPlatform {
    fn target(&self) -> Target {
        Target {
            platform: "local".to_owned(),
            context: self.work_dir().display().to_string(),
            namespace: "local".to_owned(),
            release: "openbao".to_owned(),
            uid: self.topology().uid.to_string(),
        }
    }

    fn address(&self) -> String {
        self.topology()
            .members
            .first()
            .map_or_else(String::new, super::topology::Member::api)
    }

    fn members(&self) -> Vec<String> {
        self.topology()
            .members
            .iter()
            .map(|member| member.name.clone())
            .collect()
    }

    fn applicability(&self, part: Part) -> Applicability {
        Applicability::DoesNotApply(match part {
            Part::Network => "the processes share one loopback interface",
            Part::VolumeBackup => "the data is a plain folder, and the archive is its copy",
            Part::Clients => "no client syncs from these servers",
            Part::Git => "the configuration is rendered, not kept in Git",
        })
    }

    fn run_dir(&self) -> &Path {
        // The trait hands out a path and no error: one that cannot be made shows at its first use.
        let _ = files::make_folder(&self.run);
        &self.run
    }

    fn node(&self, member: &str) -> Result<Arc<dyn Node>> {
        Ok(Arc::new(self.http_node(member)?))
    }

    async fn instance(&self, member: &str) -> Result<Option<Instance>> {
        self.running(member)
    }

    fn to_look(&self, member: &str) -> String {
        let log = self.files(member).log();
        format!("its log is {}", log.display())
    }

    fn to_unseal(&self, member: &str) -> Result<String> {
        let api = self.address_of(&self.known(member)?)?;
        let bao = self.topology().bao.display().to_string();
        Ok(format!("`{bao} operator unseal -address={api}` unseals it"))
    }

    async fn log_tail(&self, member: &str, lines: usize) -> Result<Vec<String>> {
        self.known(member)?;
        servers::log_tail(&self.files(member), lines)
    }

    async fn stop(&self, member: &str, _armed: &Armed) -> Result<()> {
        self.known(member)?;
        process::stop(member, &self.files(member)).await
    }

    async fn replace(&self, member: &str, _armed: &Armed) -> Result<()> {
        self.known(member)?;
        process::stop(member, &self.files(member)).await?;
        self.start(member).await
    }

    async fn restart_at_once(&self, member: &str, _armed: &Armed) -> Result<bool> {
        self.kill_now(member).await?;
        self.start(member).await?;
        Ok(true)
    }

    async fn stands_apart(&self) -> Result<bool> {
        Ok(self.topology().applied().apart())
    }

    async fn volume(&self, member: &str) -> Result<Volume> {
        self.known(member)?;
        volume::look(&self.files(member).data())
    }

    async fn tree_manifest(
        &self,
        member: &str,
        phase: Phase,
        meter: &dyn Meter,
    ) -> Result<DigestList> {
        let tree = self.tree(member, meter).await?;
        relay::blocking(meter, move |relay| tree::manifest(&tree, phase, relay)).await
    }

    async fn tree_copy(&self, member: &str, to: &Path, meter: &dyn Meter) -> Result<()> {
        let tree = self.tree(member, meter).await?;
        let to = to.to_owned();
        relay::blocking(meter, move |relay| tree::copy(&tree, &to, relay)).await
    }

    async fn tree_entry(&self, member: &str, key: &str) -> Result<Option<Vec<u8>>> {
        files::read(&self.entry_file(member, key)?)
    }

    async fn write_tree_entry(
        &self,
        member: &str,
        key: &str,
        file: &[u8],
        _armed: &Armed,
    ) -> Result<()> {
        tree::write_entry(&self.entry_file(member, key)?, file)
    }

    async fn remove_tree_entry(&self, member: &str, key: &str, _armed: &Armed) -> Result<()> {
        tree::remove_entry(&self.entry_file(member, key)?)
    }

    async fn set_raft_aside(&self, member: &str, label: &str, _armed: &Armed) -> Result<()> {
        if self.running(member)?.is_some() {
            return Err(Error::Refused(format!(
                "{member} runs: its raft files can only be moved aside when it is stopped"
            )));
        }
        volume::set_aside(&self.files(member).data(), label)
    }

    async fn operator_migrate(
        &self,
        member: &str,
        label: &str,
        meter: &dyn Meter,
        armed: &Armed,
    ) -> Result<()> {
        self.stop(member, armed).await?;
        self.migrate(member, label, meter).await
    }

    async fn discard_migration(&self, member: &str, _armed: &Armed) -> Result<()> {
        self.known(member)?;
        files::remove_folder(&self.files(member).migration())
    }

    async fn volume_files(
        &self,
        member: &str,
        meter: &dyn Meter,
    ) -> Result<BTreeMap<String, Digest>> {
        self.known(member)?;
        let data = self.files(member).data();
        relay::blocking(meter, move |relay| tree::files(&data, relay)).await
    }

    async fn remove_volume_files(
        &self,
        member: &str,
        paths: &[String],
        _armed: &Armed,
    ) -> Result<()> {
        self.known(member)?;
        let (data, paths) = (self.files(member).data(), paths.to_vec());
        relay::blocking(&Silent, move |relay| tree::remove(&data, &paths, relay)).await
    }

    async fn remove_aside(&self, member: &str, folder: &str, _armed: &Armed) -> Result<()> {
        self.known(member)?;
        volume::remove_aside(&self.files(member).data(), folder)
    }

    async fn leftovers(&self) -> Result<Vec<String>> {
        let left = [self.files(SCRATCH).folder().to_owned()];
        let left = left.into_iter().chain(self.all_laid_out());
        Ok(left
            .filter(|folder| folder.exists())
            .map(|folder| folder.display().to_string())
            .collect())
    }

    async fn remove_leftovers(&self, armed: &Armed) -> Result<()> {
        self.scratch_discard(armed).await?;
        self.all_laid_out()
            .try_for_each(|folder| files::remove_folder(&folder))
    }

    async fn release(&self) -> Result<Release> {
        let version = self.version().await?.to_owned();
        let topology = self.topology();
        let applied = topology.applied();
        Ok(Release {
            storage: applied.storage,
            replicas: applied.replicas,
            version,
            revision: applied.revision.to_string(),
            audit: topology.audit.clone(),
            foreign_stanzas: Vec::new(),
            config: String::new(),
        })
    }

    async fn rehearse_flip(&self, flip: &Flip) -> Result<FlipPlan> {
        self.try_flip(flip).await
    }

    async fn flipped(&self, flip: &Flip, _before: &Before) -> Result<bool> {
        let topology = self.topology();
        let now = topology.applied();
        Ok(now.storage == StorageKind::Raft
            && now.replicas == flip.replicas
            && now.apart() == flip.apart)
    }

    async fn flip(
        &self,
        flip: &Flip,
        _before: &Before,
        _meter: &dyn Meter,
        _armed: &Armed,
    ) -> Result<()> {
        self.do_flip(flip).await
    }

    async fn revert(&self, before: &Before, _meter: &dyn Meter, _armed: &Armed) -> Result<()> {
        self.do_revert(&before.revision).await
    }

    async fn scratch_start(&self, armed: &Armed) -> Result<Arc<dyn Node>> {
        self.scratch_discard(armed).await?;
        let (program, server) = {
            let topology = self.topology();
            (topology.bao.clone(), topology.scratch.clone())
        };
        let text = config::scratch(&server, &self.files(SCRATCH));
        servers::start(&self.layout, &program, &server, &text).await?;
        Ok(Arc::new(HttpNode::new(SCRATCH, &server.api())?))
    }

    async fn scratch_discard(&self, _armed: &Armed) -> Result<()> {
        let node = self.files(SCRATCH);
        process::stop(SCRATCH, &node).await?;
        files::remove_folder(node.folder())
    }

    async fn secret(&self, name: SecretName) -> Result<Option<SecretData>> {
        secrets::read(&secrets::file(&self.layout.secrets(), name))
    }

    async fn write_secret(
        &self,
        name: SecretName,
        data: &SecretData,
        _armed: &Armed,
    ) -> Result<()> {
        secrets::write(&secrets::file(&self.layout.secrets(), name), data)
    }

    async fn remove_secret(&self, name: SecretName, _armed: &Armed) -> Result<()> {
        if name == SecretName::Unseal {
            return Err(Error::Refused(
                "the Secret openbao-unseal belongs to the release and is never removed".to_owned(),
            ));
        }
        files::remove(&secrets::file(&self.layout.secrets(), name))
    }
}
