//! Groups of raft peers: joins, elections, restores.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use baoctl::bao::{RaftConfiguration, RaftServer, VoterState};
use baoctl::platform::StorageKind;
use tokio::time::Instant;

use super::server::{Answer, No};
use super::tree::{self, Entries, RAFT_TLS};
use super::world::{Mishap, SCRATCH, World};

const JOINS: Duration = Duration::from_secs(1);
const ELECTS: Duration = Duration::from_secs(1);
const STABILISES: Duration = Duration::from_secs(10);
const SWAPS: Duration = Duration::from_millis(700);
const SEALS: Duration = Duration::from_secs(5);
const LAGS: Duration = Duration::from_millis(200);

/// The raft files on a volume.
#[derive(Debug, Clone, Default)]
pub struct RaftFiles {
    /// The group, once initialised or joined.
    pub group: Option<u32>,
    pub entries: Arc<Entries>,
}

/// Peers that know of each other.
#[derive(Debug, Default)]
pub struct Group {
    /// When each joined; the founder votes at once.
    pub peers: BTreeMap<String, Option<Instant>>,
    pub leader: Option<String>,
    /// How long a new peer is watched before it votes, when it was set.
    stabilises: Option<Duration>,
    last: Option<String>,
    election: Option<Instant>,
}

/// A restore that was accepted and is to come.
pub struct Swap {
    at: Instant,
    group: u32,
    leader: String,
    mishap: Option<Mishap>,
    entries: Arc<Entries>,
}

impl Swap {
    pub fn is_of(&self, leader: &str) -> bool {
        self.leader == leader
    }
}

impl Group {
    pub fn votes(&self, name: &str) -> bool {
        match self.peers.get(name) {
            None => false,
            Some(None) => true,
            Some(Some(joined)) => *joined + self.stabilises.unwrap_or(STABILISES) <= Instant::now(),
        }
    }
}

impl World {
    pub fn group_id(&self, name: &str) -> Option<u32> {
        self.member(name).raft.as_ref()?.group
    }

    pub fn group_of(&self, name: &str) -> Option<&Group> {
        self.groups.get(&self.group_id(name)?)
    }

    pub fn found(&mut self, name: &str) -> u32 {
        let id = u32::try_from(self.next()).unwrap();
        let group = Group {
            peers: BTreeMap::from([(name.to_owned(), None)]),
            ..Group::default()
        };
        self.groups.insert(id, group);
        id
    }

    /// The peers of a group that run unsealed with the keys of what they hold; of two camps the larger one.
    fn live(&self, id: u32) -> Vec<String> {
        let mut camps: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for name in self.groups[&id].peers.keys() {
            if self.group_id(name) == Some(id)
                && let Some(open) = self.server(name).and_then(|server| server.open.as_deref())
            {
                camps.entry(open).or_default().push(name.clone());
            }
        }
        camps.into_values().max_by_key(Vec::len).unwrap_or_default()
    }

    pub fn elect(&mut self, now: Instant) {
        for id in self.groups.keys().copied().collect::<Vec<_>>() {
            let live = self.live(id);
            let group = &self.groups[&id];
            let voting: Vec<&String> = live.iter().filter(|name| group.votes(name)).collect();
            let voters = group.peers.keys().filter(|name| group.votes(name)).count();
            let quorum = voting.len() > voters / 2;
            let one = group.peers.len() == 1;
            // Without a keyring that all have, peers do not understand each other.
            let speaks = |name: &str| {
                let files = self.member(name).raft.as_ref();
                one || files.is_some_and(|files| files.entries.contains_key(RAFT_TLS))
            };
            let leads = group
                .leader
                .as_ref()
                .is_some_and(|leader| voting.contains(&leader) && speaks(leader));
            if quorum && leads {
                let leader = group.leader.clone().unwrap();
                self.replicate(&leader, &live);
                continue;
            }
            // The first other one that can, whether it has led before or not.
            let next = voting
                .iter()
                .find(|name| Some(**name) != group.last.as_ref())
                .or(voting.first())
                .filter(|name| quorum && speaks(name))
                .map(|name| (*name).clone());
            let due = group.election;
            let group = self.groups.get_mut(&id).unwrap();
            group.leader = None;
            match (next, due) {
                (None, _) => group.election = None,
                (Some(_), None) => group.election = Some(now + ELECTS),
                (Some(leader), Some(due)) if due <= now => {
                    group.election = None;
                    group.leader = Some(leader.clone());
                    group.last = Some(leader.clone());
                    let files = self.member_mut(&leader).raft.as_mut().unwrap();
                    tree::lead(Arc::make_mut(&mut files.entries));
                    self.replicate(&leader, &live);
                }
                (Some(_), Some(_)) => {}
            }
        }
    }

    fn replicate(&mut self, leader: &str, to: &[String]) {
        let entries = self.member(leader).raft.as_ref().unwrap().entries.clone();
        let opened = Self::opened_by(&entries);
        for name in to {
            let files = self.member_mut(name).raft.as_mut().unwrap();
            // One that missed a restore has nothing to put the leader's entries onto.
            if Self::opened_by(&files.entries) == opened {
                files.entries = entries.clone();
            }
        }
    }

    /// A server on an empty store finds a leader, and is asked for the key.
    pub fn challenge(&mut self, now: Instant) {
        let leading = self.groups.iter().find_map(|(id, group)| {
            let leader = group.leader.as_ref().filter(|leader| *leader != SCRATCH)?;
            let open = self.server(leader)?.open.clone()?;
            Some((*id, open))
        });
        let Some((id, open)) = leading else { return };
        let set = self.key_set(&open);
        for (name, member) in &mut self.members {
            let empty = member
                .raft
                .as_ref()
                .is_some_and(|files| files.group.is_none());
            if let Some(server) = &mut member.server
                && server.storage == StorageKind::Raft
                && name != SCRATCH
                && empty
                && server.challenge.is_none()
                && server.started + JOINS <= now
            {
                server.challenge = Some((id, open.clone()));
                server.counts = Some((set.shares.len(), set.threshold));
            }
        }
    }

    pub fn join(&mut self, name: &str, id: u32) -> Answer<()> {
        let Some(leader) = self.groups[&id].leader.clone() else {
            return Err(No::Late);
        };
        let entries = self.member(&leader).raft.as_ref().unwrap().entries.clone();
        let open = Self::opened_by(&entries);
        let peers = &mut self.groups.get_mut(&id).unwrap().peers;
        peers.insert(name.to_owned(), Some(Instant::now()));
        let member = self.member_mut(name);
        member.raft = Some(RaftFiles {
            group: Some(id),
            entries,
        });
        member.server.as_mut().unwrap().open = open;
        Ok(())
    }

    pub fn set_stabilization(&mut self, name: &str, token: &str, time: Duration) -> Answer<()> {
        let set = self.authorised(name, token)?;
        if !self.is_active(name) {
            return Err(No::Redirect);
        }
        if set.name == "old" {
            self.violation("the restored cluster got another stabilization");
        }
        let id = self.group_id(name).unwrap();
        self.groups.get_mut(&id).unwrap().stabilises = Some(time);
        Ok(())
    }

    pub fn configuration(&self, name: &str, token: &str) -> Answer<RaftConfiguration> {
        self.authorised(name, token)?;
        let group = self.group_of(name).ok_or(No::Status(400, "not raft"))?;
        let server = |peer: &String| RaftServer {
            node_id: peer.clone(),
            address: format!("{peer}:8201"),
            leader: group.leader.as_ref() == Some(peer),
            voter: group.votes(peer),
        };
        Ok(RaftConfiguration {
            servers: group.peers.keys().map(server).collect(),
        })
    }

    pub fn autopilot(&self, name: &str, token: &str) -> Answer<BTreeMap<String, VoterState>> {
        self.authorised(name, token)?;
        if !self.is_active(name) {
            return Err(No::Redirect);
        }
        let id = self.group_id(name).unwrap();
        let live = self.live(id);
        let state = |peer: &String| VoterState {
            id: peer.clone(),
            healthy: live.contains(peer),
            status: String::new(),
            last_index: 1,
        };
        let peers = self.groups[&id].peers.keys();
        Ok(peers.map(|peer| (peer.clone(), state(peer))).collect())
    }

    /// Of the server's own store, whoever leads.
    pub fn snapshot(&self, name: &str, token: &str) -> Answer<Arc<Entries>> {
        self.authorised(name, token)?;
        let files = self.member(name).raft.as_ref();
        let files = files.ok_or(No::Status(400, "raft storage is not in use"))?;
        Ok(files.entries.clone())
    }

    /// Accepts a restore. That is all: it comes about later.
    pub fn force(&mut self, name: &str, token: &str, from: &Path) -> Answer<()> {
        let set = self.authorised(name, token)?;
        if !self.is_active(name) {
            return Err(No::Redirect);
        }
        let Ok(entries) = tree::unpack(from) else {
            return Err(No::Status(400, "failed to verify the snapshot"));
        };
        if set.name == "old" {
            self.violation(format!("a restore over the live cluster, sent to {name}"));
        }
        let times = self.restores.entry(set.cluster_id).or_default();
        *times += 1;
        if *times > 1 {
            self.violation(format!("a second restore over one cluster, sent to {name}"));
        }
        let group = self.group_id(name).unwrap();
        let mishap = if name == SCRATCH {
            None
        } else {
            self.mishap.take()
        };
        self.swaps.push(Swap {
            at: Instant::now() + SWAPS,
            group,
            leader: name.to_owned(),
            mishap,
            entries: Arc::new(entries),
        });
        Ok(())
    }

    pub fn restore_due(&mut self, now: Instant) {
        let due = self.swaps.extract_if(.., |swap| swap.at <= now);
        for swap in due.collect::<Vec<_>>() {
            let mut takes = self.live(swap.group);
            match swap.mishap {
                None => {}
                Some(Mishap::LeaderDies) => takes.retain(|name| *name == swap.leader),
                Some(mishap) => {
                    if let Some(at) = takes.iter().position(|name| *name != swap.leader) {
                        let lost = takes.remove(at);
                        if mishap == Mishap::FollowerDies {
                            self.server_mut(&lost).unwrap().dies = Some(swap.at + SEALS + LAGS * 3);
                        }
                    }
                }
            }
            // It was an entry of the data that is gone.
            self.groups.get_mut(&swap.group).unwrap().stabilises = None;
            for (after, name) in (0..).zip(takes) {
                let member = self.member_mut(&name);
                member.raft.as_mut().unwrap().entries = swap.entries.clone();
                if let Some(server) = &mut member.server {
                    server.restored = true;
                    server.seals = Some(swap.at + SEALS + LAGS * after);
                }
            }
            if swap.mishap == Some(Mishap::LeaderDies) {
                self.stop(&swap.leader);
            }
        }
        for member in self.members.values_mut() {
            member
                .server
                .take_if(|server| server.dies.is_some_and(|due| due <= now));
            if let Some(server) = &mut member.server
                && server.seals.take_if(|due| *due <= now).is_some()
            {
                server.open = None;
                server.given.clear();
            }
        }
    }
}
