//! The local platform itself: making and opening a work folder, and what rehearsals need beyond the contract.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use super::layout::{Layout, NodeFiles};
use super::topology::{Member, Topology};
use super::{binary, config, files, pebbledb, process, servers, tree};
use crate::bao::{AuditDevice, HttpNode};
use crate::meter::Meter;
use crate::platform::{Error, Instance, Result, StorageKind};

/// What a new work folder shall hold.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// What the source keeps its data in: `file` or `pebbledb`.
    pub storage: StorageKind,
    /// The later voters.
    pub members: u16,
    /// The audit stanzas by path, for example `file/`. Relative file paths start in each member's own folder.
    pub audit: BTreeMap<String, AuditDevice>,
}

impl Default for CreateOptions {
    fn default() -> Self {
        let device = AuditDevice {
            kind: "file".to_owned(),
            // Relative, because the text must be the same on every member and the file must not be.
            options: BTreeMap::from([("file_path".to_owned(), "audit/audit.log".to_owned())]),
        };
        Self {
            storage: StorageKind::File,
            members: 3,
            audit: BTreeMap::from([("file/".to_owned(), device)]),
        }
    }
}

/// One server as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The member, or `scratch`.
    pub name: String,
    /// Its API's address.
    pub address: String,
    /// Its running server.
    pub instance: Option<Instance>,
}

/// Real `bao server` processes on loopback, kept in one work folder.
#[derive(Debug)]
pub struct LocalPlatform {
    pub(super) layout: Layout,
    topology: Mutex<Topology>,
    version: OnceCell<String>,
    pub(super) run: PathBuf,
}

impl LocalPlatform {
    /// Makes a work folder for servers of the program `bao`. Refuses a folder that holds anything already.
    /// Nothing is started.
    pub fn create(work_dir: &Path, bao: &Path, options: CreateOptions) -> Result<Self> {
        if options.members == 0 {
            return Err(Error::Refused("a release needs a member".to_owned()));
        }
        binary::check(bao)?;
        files::make_folder(work_dir)?;
        let layout = Layout::new(resolved(work_dir)?);
        let mut held =
            std::fs::read_dir(layout.root()).map_err(files::io("listing", layout.root()))?;
        if held.next().is_some() {
            return Err(Error::Refused(format!(
                "{} is not empty; name a new folder, or remove what it holds",
                layout.root().display()
            )));
        }
        let topology = Topology::new(resolved(bao)?, options)?;
        topology.save(&layout)?;
        Ok(Self::with(layout, topology))
    }

    /// Opens a work folder that [`LocalPlatform::create`] made.
    pub fn open(work_dir: &Path) -> Result<Self> {
        let layout = Layout::new(resolved(work_dir).unwrap_or_else(|_| work_dir.to_owned()));
        let topology = Topology::load(&layout)?;
        Ok(Self::with(layout, topology))
    }

    fn with(layout: Layout, topology: Topology) -> Self {
        Self {
            run: layout.run(),
            layout,
            topology: Mutex::new(topology),
            version: OnceCell::new(),
        }
    }

    /// The work folder.
    pub fn work_dir(&self) -> &Path {
        self.layout.root()
    }

    /// Where the sample-data maker keeps what it wrote.
    pub fn golden_file(&self) -> PathBuf {
        self.layout.golden()
    }

    /// The member's API, with the calls that only the sample-data maker makes.
    pub fn http_node(&self, member: &str) -> Result<HttpNode> {
        let server = self.known(member)?;
        let address = self.address_of(&server)?;
        Ok(HttpNode::new(server.name, &address)?)
    }

    /// Every server with its process, the scratch node last.
    pub fn status(&self) -> Result<Vec<MemberStatus>> {
        let topology = self.topology().clone();
        topology
            .members
            .iter()
            .chain([&topology.scratch])
            .map(|member| {
                Ok(MemberStatus {
                    name: member.name.clone(),
                    address: self.address_of(member)?,
                    instance: self.running(&member.name)?,
                })
            })
            .collect()
    }

    /// Kills every server of the work folder, the scratch node too: what they hold is about to be removed, and a
    /// voter that is asked to stop takes 10 s to give up its part.
    pub async fn kill_all(&self) -> Result<()> {
        let kills = self.status()?.into_iter().map(|server| async move {
            process::kill_now(&server.name, &self.files(&server.name)).await
        });
        futures_util::future::join_all(kills)
            .await
            .into_iter()
            .collect()
    }

    /// Kills the member's server as a crash would, and waits until it is gone; nothing to do when it is.
    pub async fn kill_now(&self, member: &str) -> Result<()> {
        self.known(member)?;
        process::kill_now(member, &self.files(member)).await
    }

    /// Where the member's server listens; a change of the release moves only the next one.
    pub(super) fn address_of(&self, member: &Member) -> Result<String> {
        let config = files::read(&self.files(&member.name).config())?.unwrap_or_default();
        let config = String::from_utf8_lossy(&config);
        Ok(config::address(&config).map_or_else(|| member.api(), str::to_owned))
    }

    /// The topology as it is in force.
    pub(super) fn topology(&self) -> MutexGuard<'_, Topology> {
        self.topology.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a name that is no member's.
    pub(super) fn known(&self, member: &str) -> Result<Member> {
        self.topology().server(member).cloned()
    }

    pub(super) fn files(&self, member: &str) -> NodeFiles {
        self.layout.node(member)
    }

    /// Where a member's data stands as a tree of files.
    pub(super) async fn tree(&self, member: &str, meter: &dyn Meter) -> Result<PathBuf> {
        self.known(member)?;
        match self.topology().source() {
            StorageKind::Pebbledb => {}
            StorageKind::File | StorageKind::Raft => return Ok(self.files(member).data()),
        }
        self.laid_out(member, meter).await
    }

    /// The file of an entry of the tree. A store has a file for its tombstone alone.
    pub(super) fn entry_file(&self, member: &str, key: &str) -> Result<PathBuf> {
        self.known(member)?;
        let node = self.files(member);
        match (self.topology().source(), key) {
            (StorageKind::Pebbledb, tree::MIGRATION) => Ok(pebbledb::tombstone(&node)),
            (StorageKind::Pebbledb, _) => Err(Error::Refused(format!(
                "the entry {key} of a store of pebbledb has no file of its own"
            ))),
            (StorageKind::File | StorageKind::Raft, _) => tree::entry_file(&node.data(), key),
        }
    }

    /// Where the stores of members may have been laid out.
    pub(super) fn all_laid_out(&self) -> impl Iterator<Item = PathBuf> {
        let members = self.topology().members.clone();
        let folder = |name: String| self.files(&name).laid_out();
        members.into_iter().map(move |member| folder(member.name))
    }

    /// The member's running server.
    pub(super) fn running(&self, member: &str) -> Result<Option<Instance>> {
        self.known(member)?;
        Ok(process::find(&self.files(member))?.map(|running| Instance {
            id: format!("{}-{}", running.pid, running.started.time),
            restarts: 0,
        }))
    }

    /// Starts a member that does not run, with the configuration in force.
    pub(super) async fn start(&self, member: &str) -> Result<()> {
        let topology = self.topology().clone();
        let (server, applied) = (topology.server(member)?, topology.applied());
        let text = config::member(&topology, applied, server, &self.files(member));
        let placed = topology.placed(applied, server);
        servers::start(&self.layout, &topology.bao, &placed, &text)
            .await
            .map(drop)
    }

    /// What the program says its version is; asked once.
    pub(super) async fn version(&self) -> Result<&str> {
        let program = self.topology().bao.clone();
        self.version
            .get_or_try_init(|| async move { binary::version_of(&program).await })
            .await
            .map(String::as_str)
    }
}

/// An absolute path without symbolic links: it must read the same in a process' command line later.
fn resolved(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(files::io("resolving", path))
}
