//! Everything there is: members with their volumes and servers, the release, its Secrets, and the time.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use baoctl::platform::{Actor, SecretData, SecretName, StorageKind};
use tokio::time::Instant;

use super::native;
use super::raft::{Group, RaftFiles, Swap};
use super::server::Server;
use super::tree::{self, Entries};

pub const MEMBERS: [&str; 3] = ["openbao-0", "openbao-1", "openbao-2"];
pub const SCRATCH: &str = "scratch";

/// The keys of one cluster.
#[derive(Debug, Clone)]
pub struct KeySet {
    pub name: String,
    pub cluster_id: String,
    pub shares: Vec<String>,
    pub threshold: usize,
    pub token: String,
}

impl KeySet {
    pub fn new(name: &str, shares: u32, threshold: u32) -> Self {
        Self {
            name: name.to_owned(),
            cluster_id: format!("cluster-{name}"),
            shares: (1..=shares).map(|n| format!("{name:x<12}{n:04}")).collect(),
            threshold: threshold as usize,
            token: format!("{name}-token"),
        }
    }
}

/// Something that goes wrong once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    /// The leader's server dies while it restores a snapshot of many voters: no follower takes it.
    LeaderDies,
    /// A follower misses the restore, and its server dies when the others have sealed themselves.
    FollowerDies,
    /// A follower misses the restore, and lives on with the throwaway data.
    FollowerMisses,
}

/// A member with its volume.
#[derive(Default)]
pub struct Member {
    pub raft: Option<RaftFiles>,
    pub aside: Vec<(String, RaftFiles)>,
    /// Half of the source's data stands where no server looks.
    pub migrating: bool,
    pub server: Option<Server>,
}

pub struct Release {
    pub storage: StorageKind,
    pub replicas: u32,
    pub revision: u32,
    /// A server that starts now has the raw endpoint, and no client reaches it.
    pub apart: bool,
}

#[allow(clippy::struct_excessive_bools)] // Each is a fact of its own.
pub struct World {
    /// The folder of the source's tree.
    pub data: PathBuf,
    pub members: BTreeMap<String, Member>,
    /// What the release was on when the run began.
    pub source: StorageKind,
    pub release: Release,
    pub secrets: HashMap<SecretName, SecretData>,
    pub key_sets: Vec<KeySet>,
    pub groups: BTreeMap<u32, Group>,
    pub mishap: Option<Mishap>,
    /// Kinds that were mounted, as an engine and as an auth method, and have a policy.
    pub more_mounts: Vec<&'static str>,
    /// The source's token may not seal it.
    pub refuses_seals: bool,
    /// A job of the release, until it is suspended.
    pub job: Actor,
    /// The copies of Jobs that a run made, when, and whether they fail.
    pub jobs: BTreeMap<String, (Instant, bool)>,
    /// A Job that is run now fails.
    pub job_fails: bool,
    /// The source was only initialised: nothing is mounted or allowed on it.
    pub bare: bool,
    /// Standbys redirect reads to the leader (`disable_standby_reads`).
    pub standbys_redirect: bool,
    /// What is left of the source's token.
    pub token_left: Duration,
    /// Beside each server runs a hook that unseals it with the key in the release's Secret.
    pub hooked: bool,
    /// What a real server or an auditor would call a catastrophe.
    pub violations: Vec<String>,
    /// The source has a child namespace.
    pub namespaced: bool,
    /// Restores that were accepted, by the cluster that they went over.
    pub restores: BTreeMap<String, u32>,
    /// Inits that were carried out on members.
    pub inits: u32,
    pub(super) swaps: Vec<Swap>,
    /// What the tree should be, the tombstone left out.
    baseline: BTreeMap<PathBuf, Vec<u8>>,
    counter: u64,
}

impl World {
    /// A source on file storage that serves, and nothing beside it.
    pub fn new(folder: &Path, shares: u32, threshold: u32) -> Self {
        let data = folder.join("data");
        let old = KeySet::new("old", shares, threshold);
        tree::plant(&data, &tree::source(&old.name));
        let secret = SecretData::from([
            ("unseal-key".to_owned(), old.shares.join("\n").into()),
            ("root-token".to_owned(), old.token.clone().into()),
        ]);
        let mut world = Self {
            baseline: tree::files(&data),
            data,
            members: MEMBERS
                .map(|name| (name.to_owned(), Member::default()))
                .into(),
            source: StorageKind::File,
            release: Release {
                storage: StorageKind::File,
                replicas: 1,
                revision: 1,
                apart: false,
            },
            secrets: HashMap::from([(SecretName::Unseal, secret)]),
            key_sets: vec![old],
            groups: BTreeMap::new(),
            mishap: None,
            more_mounts: Vec::new(),
            refuses_seals: false,
            job: Actor {
                kind: "CronJob".to_owned(),
                namespace: "vault".to_owned(),
                name: "set-up".to_owned(),
                suspended: None,
                busy: false,
                reconciles: false,
            },
            jobs: BTreeMap::new(),
            job_fails: false,
            bare: false,
            standbys_redirect: false,
            token_left: Duration::from_hours(12),
            hooked: false,
            violations: Vec::new(),
            namespaced: false,
            restores: BTreeMap::new(),
            inits: 0,
            swaps: Vec::new(),
            counter: 0,
        };
        world.start(MEMBERS[0]).unwrap();
        world.server_mut(MEMBERS[0]).unwrap().open = Some("old".to_owned());
        world
    }

    /// Where a cluster on raft was lost: a release that has never run, and the keys.
    pub fn lost(folder: &Path) -> Self {
        let mut world = Self::new(folder, 1, 1);
        world.stop(MEMBERS[0]);
        fs::remove_dir_all(&world.data).unwrap();
        fs::create_dir(&world.data).unwrap();
        world.baseline.clear();
        let share = hex::encode(native::SHARE);
        let secret = world.secrets.get_mut(&SecretName::Unseal).unwrap();
        secret.insert("unseal-key".to_owned(), share.clone().into());
        world.key_sets[0].shares = vec![share];
        world
    }

    /// Makes a child namespace on the source.
    pub fn add_namespace(&mut self) {
        self.namespaced = true;
        tree::plant(&self.data, &tree::child());
        self.baseline = tree::files(&self.data);
    }

    pub fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    /// Lets everything come about that was due by now.
    pub fn tick(&mut self) {
        let now = Instant::now();
        let drained = self.members.values_mut().any(|member| {
            let server = member.server.as_mut();
            server.is_some_and(|server| server.drained.take_if(|due| *due <= now).is_some())
        });
        if drained {
            self.drain();
        }
        self.restore_due(now);
        self.challenge(now);
        self.hook();
        self.elect(now);
    }

    /// What the source had still to write when it was sealed.
    pub fn drain(&mut self) {
        let key = "core/wal/drained";
        tree::put(
            &self.data,
            key,
            &baoctl::storage::tree::encode(b"last words"),
        );
        let path = tree::file_of(&self.data, key);
        self.baseline.insert(path.clone(), fs::read(path).unwrap());
    }

    /// The source keeps its data in a store in place of a tree.
    pub fn keep_in_pebbledb(&mut self) {
        self.source = StorageKind::Pebbledb;
        self.release.storage = self.source;
        self.server_mut(MEMBERS[0]).unwrap().storage = self.source;
    }

    /// A client writes to the source.
    pub fn write_to_source(&mut self, key: &str) {
        assert!(
            self.is_active(MEMBERS[0])
                && self.server(MEMBERS[0]).unwrap().storage != StorageKind::Raft
        );
        tree::put(&self.data, key, &baoctl::storage::tree::encode(b"written"));
        let path = tree::file_of(&self.data, key);
        self.baseline.insert(path.clone(), fs::read(path).unwrap());
    }

    /// What a client of the new cluster writes.
    pub fn write_to_cluster(&mut self, key: &str) {
        for member in self.members.values_mut() {
            if let Some(files) = &mut member.raft {
                let entries = Arc::make_mut(&mut files.entries);
                entries.insert(key.to_owned(), b"written".to_vec());
            }
        }
    }

    /// Whether the source's tree is as its server left it.
    pub fn tree_is_whole(&self) -> bool {
        tree::files(&self.data) == self.baseline
    }

    /// The entries of the tree.
    pub fn tree_entries(&self) -> Entries {
        let mut entries = tree::source("old");
        if self.namespaced {
            entries.extend(tree::child());
        }
        let drained = "core/wal/drained";
        if tree::file_of(&self.data, drained).exists() {
            entries.insert(drained.to_owned(), b"last words".to_vec());
        }
        entries
    }

    pub fn member(&self, name: &str) -> &Member {
        &self.members[name]
    }

    pub fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members.get_mut(name).unwrap()
    }

    pub fn server(&self, name: &str) -> Option<&Server> {
        self.members.get(name)?.server.as_ref()
    }

    pub fn server_mut(&mut self, name: &str) -> Option<&mut Server> {
        self.members.get_mut(name)?.server.as_mut()
    }

    pub fn key_set(&self, name: &str) -> KeySet {
        let mut sets = self.key_sets.iter();
        sets.find(|set| set.name == name).unwrap().clone()
    }

    /// The name of the key set that opens these entries.
    pub fn opened_by(entries: &Entries) -> Option<String> {
        let keyring = entries.get("core/keyring")?;
        // One as a server writes it bears no name.
        let named = match keyring.first() {
            Some(0) => entries.get("core/root-key")?,
            _ => keyring,
        };
        let text = String::from_utf8_lossy(named);
        Some(text.split(' ').next()?.to_owned())
    }

    pub fn violation(&mut self, what: impl Into<String>) {
        self.violations.push(what.into());
    }

    /// Starts a member's server with the release's configuration. The error is its last log line.
    pub fn start(&mut self, name: &str) -> Result<(), String> {
        let storage = if name == SCRATCH {
            StorageKind::Raft
        } else {
            self.release.storage
        };
        let id = self.next();
        match storage {
            StorageKind::File | StorageKind::Pebbledb => {
                if name != MEMBERS[0] {
                    return Err("this volume has no file tree".to_owned());
                }
                if tree::file_of(&self.data, tree::MIGRATION).exists() {
                    return Err("storage migration in progress".to_owned());
                }
            }
            StorageKind::Raft => {
                // The store's files appear with the first start.
                self.member_mut(name).raft.get_or_insert_default();
            }
        }
        let counts = self
            .opens(name, storage)
            .map(|name| self.key_set(&name))
            .map(|set| (set.shares.len(), set.threshold));
        let mut server = Server::new(id, storage, counts);
        server.apart = name == SCRATCH || self.release.apart;
        self.member_mut(name).server = Some(server);
        Ok(())
    }

    /// The key set that opens what is on a member's volume.
    pub fn opens(&self, name: &str, storage: StorageKind) -> Option<String> {
        match storage {
            StorageKind::File | StorageKind::Pebbledb => {
                let sealed = tree::file_of(&self.data, "core/seal-config").exists();
                sealed.then(|| "old".to_owned())
            }
            StorageKind::Raft => Self::opened_by(&self.member(name).raft.as_ref()?.entries),
        }
    }

    /// Every member goes down at once, and comes back by itself or not.
    pub fn restart_all(&mut self, come_back: bool) {
        let running = MEMBERS.map(|name| self.server(name).is_some());
        for name in MEMBERS {
            self.stop(name);
        }
        for (name, ran) in MEMBERS.iter().zip(running) {
            if ran && come_back {
                self.start(name).unwrap();
            }
        }
    }

    pub fn stop(&mut self, name: &str) {
        if let Some(server) = self.member_mut(name).server.take()
            && server.drained.is_some()
        {
            self.drain();
        }
        self.elect(Instant::now());
    }
}

/// How long things take.
pub const LOOK: Duration = Duration::from_millis(1);
pub const CALL: Duration = Duration::from_millis(5);
pub const DRAIN: Duration = Duration::from_secs(3);
pub const JOBS: Duration = Duration::from_secs(2);
pub const HOOKS: Duration = Duration::from_secs(1);
