//! One running server, and what it says to the calls that need no raft.

use std::sync::Arc;

use baoctl::bao::{Health, SealStatus};
use baoctl::platform::{SecretName, StorageKind};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::raft::RaftFiles;
use super::tree;
use super::world::{DRAIN, HOOKS, KeySet, MEMBERS, SCRATCH, World};

/// A server's no.
#[derive(Debug)]
pub enum No {
    /// Nothing listens.
    Down,
    /// An error status with its text.
    Status(u16, &'static str),
    /// Ask the leader.
    Redirect,
    /// No answer in time.
    Late,
}

pub type Answer<T> = Result<T, No>;

/// A running server.
pub struct Server {
    pub id: u64,
    pub storage: StorageKind,
    /// The name of the key set that it is unsealed with.
    pub open: Option<String>,
    /// Shares of the running attempt.
    pub given: Vec<String>,
    /// Shares and threshold as it read them at its start, or when it was initialised. A restore does not change them.
    pub counts: Option<(usize, usize)>,
    pub started: Instant,
    /// A follower's challenge: the group and the key set that answers it.
    pub challenge: Option<(u32, String)>,
    /// A root token that was generated with its shares.
    pub generated: Option<String>,
    /// It answered its challenge with another key and does so for ever.
    pub poisoned: bool,
    /// It has a whole snapshot, and its log says so.
    pub restored: bool,
    /// When it seals itself after a restore.
    pub seals: Option<Instant>,
    /// When it goes away for good, having missed a restore.
    pub dies: Option<Instant>,
    /// It has the raw endpoint, and no client reaches it.
    pub apart: bool,
    /// When its last write after a seal is done.
    pub drained: Option<Instant>,
}

impl Server {
    pub fn new(id: u64, storage: StorageKind, counts: Option<(usize, usize)>) -> Self {
        Self {
            id,
            storage,
            open: None,
            given: Vec::new(),
            counts,
            started: Instant::now(),
            challenge: None,
            generated: None,
            poisoned: false,
            restored: false,
            seals: None,
            dies: None,
            apart: false,
            drained: None,
        }
    }
}

impl World {
    fn running(&self, name: &str) -> Answer<&Server> {
        self.server(name).ok_or(No::Down)
    }

    pub fn seal_status(&self, name: &str) -> Answer<SealStatus> {
        let server = self.running(name)?;
        let (n, t) = server.counts.unwrap_or_default();
        let narrow = |count: usize| u32::try_from(count).unwrap();
        let open = server.open.as_ref().map(|open| self.key_set(open));
        Ok(SealStatus {
            kind: "shamir".to_owned(),
            initialized: server.counts.is_some(),
            sealed: open.is_none(),
            t: narrow(t),
            n: narrow(n),
            progress: narrow(server.given.len()),
            version: "2.6.2".to_owned(),
            migration: false,
            recovery_seal: false,
            storage_type: server.storage.name().to_owned(),
            cluster_name: None,
            cluster_id: open.map(|open| open.cluster_id),
        })
    }

    pub fn health(&self, name: &str) -> Answer<Health> {
        let server = self.running(name)?;
        Ok(match (&server.counts, &server.open) {
            (None, _) => Health::Uninitialized,
            (_, None) => Health::Sealed,
            _ if self.is_active(name) => Health::Active,
            _ => Health::Standby,
        })
    }

    pub fn is_active(&self, name: &str) -> bool {
        let server = self.server(name);
        match server.map(|server| (server.storage, &server.open)) {
            None | Some((_, None)) => false,
            Some((StorageKind::File | StorageKind::Pebbledb, _)) => true,
            Some((StorageKind::Raft, _)) => {
                let group = self.group_of(name);
                group.is_some_and(|group| group.leader.as_deref() == Some(name))
            }
        }
    }

    /// The key set that an unsealed server serves, when it is this token's.
    pub fn authorised(&self, name: &str, token: &str) -> Answer<KeySet> {
        let server = self.running(name)?;
        let Some(open) = &server.open else {
            return Err(No::Status(503, "Vault is sealed"));
        };
        let stored = self.opens(name, server.storage);
        if self.standbys_redirect && !self.is_active(name) {
            return Err(No::Redirect);
        }
        let set = self.key_set(open);
        // An inert copy has no leases, and the operator's token is none without its own.
        let inert = name == SCRATCH && open == "old";
        let known = server.generated.as_deref() == Some(token) || (set.token == token && !inert);
        if stored.as_ref() != Some(open) || !known {
            return Err(No::Status(403, "permission denied"));
        }
        Ok(set)
    }

    pub fn generate_root(&mut self, name: &str, shares: &[&str]) -> Answer<String> {
        let open = self.running(name)?.open.clone();
        let Some(set) = open.map(|open| self.key_set(&open)) else {
            return Err(No::Status(503, "Vault is sealed"));
        };
        if name != SCRATCH {
            self.violation(format!("a root token was generated on {name}"));
            return Err(No::Status(405, "unsupported operation"));
        }
        let fit = |share: &&&str| set.shares.iter().any(|known| known == **share);
        if shares.iter().filter(fit).count() < set.threshold {
            return Err(No::Status(400, "cipher: message authentication failed"));
        }
        let token = format!("generated-{}", self.next());
        self.server_mut(name).unwrap().generated = Some(token.clone());
        Ok(token)
    }

    pub fn init(&mut self, name: &str, shares: u32, threshold: u32) -> Answer<KeySet> {
        let server = self.running(name)?;
        if server.counts.is_some() {
            self.violation(format!("init on {name}, which is initialised"));
            return Err(No::Status(400, "Vault is already initialized"));
        }
        if name != SCRATCH && server.storage != StorageKind::Raft {
            self.violation(format!("init on {name} on file storage"));
        }
        let number = self.next();
        let set = KeySet::new(&format!("throwaway-{number}"), shares, threshold);
        let group = self.found(name);
        let member = self.member_mut(name);
        member.raft = Some(RaftFiles {
            group: Some(group),
            entries: Arc::new(tree::fresh(&set.name)),
        });
        let server = member.server.as_mut().unwrap();
        server.counts = Some((shares as usize, threshold as usize));
        server.challenge = None;
        self.key_sets.push(set.clone());
        if name != SCRATCH {
            self.inits += 1;
        }
        Ok(set)
    }

    pub fn seal(&mut self, name: &str, token: &str) -> Answer<()> {
        self.authorised(name, token)?;
        if self.refuses_seals {
            return Err(No::Status(403, "permission denied"));
        }
        let server = self.server_mut(name).unwrap();
        server.open = None;
        if server.storage != StorageKind::Raft {
            server.drained = Some(Instant::now() + DRAIN);
        }
        Ok(())
    }

    /// What the release's hook does beside each server: it posts what the Secret holds until that works.
    pub fn hook(&mut self) {
        let keys = self.secrets.get(&SecretName::Unseal);
        let key = keys.map(|data| data["unseal-key"].expose_secret().to_owned());
        let shares = key.unwrap_or_default();
        for name in MEMBERS {
            let waits = self.server(name).is_some_and(|server| {
                server.open.is_none()
                    && !server.poisoned
                    && server.counts.is_some()
                    && server.started + HOOKS <= Instant::now()
            });
            if self.hooked && waits {
                for share in shares.lines() {
                    // A refusal is what it waits for to end.
                    let _ = self.unseal(name, share);
                }
            }
        }
    }

    pub fn reset_unseal(&mut self, name: &str) -> Answer<SealStatus> {
        self.running(name)?;
        self.server_mut(name).unwrap().given.clear();
        self.seal_status(name)
    }

    pub fn unseal(&mut self, name: &str, share: &str) -> Answer<SealStatus> {
        let server = self.running(name)?;
        let spent = self.key_sets.iter().find(|set| {
            set.shares.iter().any(|known| known == share)
                && self.restores.contains_key(&set.cluster_id)
        });
        if let Some(set) = spent {
            let what = format!("{name} was given a key of {} after its restore", set.name);
            self.violation(what);
            return Err(No::Status(400, "a dead key"));
        }
        let joining = server.challenge.clone();
        let own = self.opens(name, server.storage);
        let Some(wanted) = own.clone().or(joining.clone().map(|(_, set)| set)) else {
            return Err(No::Status(400, "Vault is not initialized"));
        };
        if server.open.is_some() || server.poisoned {
            return self.seal_status(name);
        }
        let set = self.key_set(&wanted);
        let server_is_raft = server.storage == StorageKind::Raft;
        let server = self.server_mut(name).unwrap();
        if !server.given.iter().any(|given| given == share) {
            server.given.push(share.to_owned());
        }
        let (n, t) = server.counts.unwrap();
        if server.given.len() < t {
            return self.seal_status(name);
        }
        let given = std::mem::take(&mut server.given);
        let fits = (n, t) == (set.shares.len(), set.threshold)
            && given.iter().all(|share| set.shares.contains(share));
        if own.is_some() {
            if !fits {
                return Err(No::Status(400, "cipher: message authentication failed"));
            }
            server.open = Some(wanted);
            let files = self.member(name).raft.as_ref();
            if server_is_raft && files.is_some_and(|files| tree::breaks(&files.entries)) {
                if !self.server(name).unwrap().apart {
                    self.violation(format!("{name} broke before its clients' eyes"));
                }
                self.stop(name);
                return Err(No::Down);
            }
        } else if fits {
            self.join(name, joining.unwrap().0)?;
        } else {
            // It took the key for its challenge: an answer with 200, and no end to its tries.
            server.poisoned = true;
        }
        self.elect(Instant::now());
        self.seal_status(name)
    }
}
