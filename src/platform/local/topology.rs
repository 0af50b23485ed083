//! `local.json`: which servers there are and what configuration was applied to them.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::files;
use super::layout::{Layout, SCRATCH};
use super::platform::CreateOptions;
use crate::bao::AuditDevice;
use crate::platform::{Error, Flip, Result, StorageKind};

/// The format that this version writes.
const VERSION: u32 = 1;

/// One server and its ports on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    pub name: String,
    pub api_port: u16,
    pub cluster_port: u16,
}

impl Member {
    pub fn api(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }
}

/// One applied configuration of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Applied {
    pub revision: u32,
    pub storage: StorageKind,
    pub replicas: u32,
    pub flip: Option<Flip>,
}

impl Applied {
    /// Whether two revisions are the same configuration.
    pub fn same(&self, other: &Self) -> bool {
        self.storage == other.storage && self.replicas == other.replicas && self.flip == other.flip
    }

    /// Whether clients are kept out.
    pub fn apart(&self) -> bool {
        self.flip.as_ref().is_some_and(|flip| flip.apart)
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Topology {
    version: u32,
    pub uid: Uuid,
    pub bao: PathBuf,
    pub members: Vec<Member>,
    pub scratch: Member,
    /// The audit stanzas by path. Their options are the same on every member; each runs in its own folder.
    pub audit: BTreeMap<String, AuditDevice>,
    /// Every configuration since the beginning; the last is the one in force.
    history: Vec<Applied>,
}

impl Topology {
    /// A release with one replica on its first storage.
    pub fn new(bao: PathBuf, options: CreateOptions) -> Result<Self> {
        let members = options.members;
        let first = free_ports(2 * (members + 1))?;
        let member = |name: String, pair: u16| Member {
            name,
            api_port: first + 2 * pair,
            cluster_port: first + 2 * pair + 1,
        };
        Ok(Self {
            version: VERSION,
            uid: Uuid::new_v4(),
            bao,
            scratch: member(SCRATCH.to_owned(), members),
            members: (0..members)
                .map(|ordinal| member(format!("openbao-{ordinal}"), ordinal))
                .collect(),
            audit: options.audit,
            history: vec![Applied {
                revision: 1,
                storage: options.storage,
                replicas: 1,
                flip: None,
            }],
        })
    }

    /// Reads the file of a work folder.
    pub fn load(layout: &Layout) -> Result<Self> {
        let path = layout.topology();
        let Some(topology) = files::read_json::<Self>(&path)? else {
            return Err(Error::Refused(format!(
                "{} has no local.json: it is not the work folder of a local server; make one with \
                 `baoctl rehearse --source-only --work-dir {}`",
                layout.root().display(),
                layout.root().display()
            )));
        };
        if topology.version != VERSION || topology.history.is_empty() {
            return Err(Error::Refused(format!(
                "{} has format {}, this version reads {VERSION}",
                path.display(),
                topology.version
            )));
        }
        Ok(topology)
    }

    pub fn save(&self, layout: &Layout) -> Result<()> {
        files::write_json(&layout.topology(), self)
    }

    /// The configuration in force.
    pub fn applied(&self) -> &Applied {
        // Neither `new` nor `load` lets an empty history through.
        &self.history[self.history.len() - 1]
    }

    /// What the source keeps its data in, also when the release is on raft.
    pub fn source(&self) -> StorageKind {
        self.history[0].storage
    }

    /// The configuration of a revision.
    pub fn revision(&self, revision: &str) -> Option<&Applied> {
        self.history
            .iter()
            .find(|applied| applied.revision.to_string() == revision)
    }

    /// Makes a configuration the one in force; the same again changes nothing.
    pub fn apply(&mut self, storage: StorageKind, replicas: u32, flip: Option<Flip>) {
        let next = Applied {
            revision: self.applied().revision + 1,
            storage,
            replicas,
            flip,
        };
        if !self.applied().same(&next) {
            self.history.push(next);
        }
    }

    /// A member where `applied` puts it: apart it listens at the scratch node's port, which no client knows.
    pub fn placed(&self, applied: &Applied, member: &Member) -> Member {
        let mut placed = member.clone();
        if applied.apart() {
            placed.api_port = self.scratch.api_port;
        }
        placed
    }

    /// A member or the scratch node by name.
    pub fn server(&self, name: &str) -> Result<&Member> {
        self.members
            .iter()
            .chain([&self.scratch])
            .find(|member| member.name == name)
            .ok_or_else(|| Error::Refused(format!("there is no member {name}")))
    }
}

/// The first of `wanted` free ports side by side, below the range that outgoing connections take theirs from: a
/// server that is down for a moment must find its port free when it comes back. One running server of another work
/// folder keeps the whole block, as those that are yet to start hold no port.
fn free_ports(wanted: u16) -> Result<u16> {
    const LOWEST: u16 = 15_000;
    const RANGE: u16 = 15_000;
    const TRIES: usize = 200;
    let size = wanted.clamp(1, RANGE / 2).next_power_of_two();
    (0..TRIES)
        .map(|_| {
            let block = Uuid::new_v4().as_u128() % u128::from(RANGE / size);
            LOWEST + size * u16::try_from(block).unwrap_or_default()
        })
        .find(|first| (*first..first + wanted).all(port_is_free))
        .ok_or_else(|| {
            let last = LOWEST + RANGE;
            Error::Refused(format!(
                "no {wanted} ports side by side are free on 127.0.0.1, from {LOWEST} to {last}"
            ))
        })
}

/// Whether a server could listen on the port now.
pub(super) fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_server_keeps_the_ports_of_those_that_are_yet_to_start() {
        let theirs = free_ports(8).unwrap();
        let _running = TcpListener::bind((Ipv4Addr::LOCALHOST, theirs)).unwrap();
        for _ in 0..5_000 {
            let ours = free_ports(8).unwrap();
            assert!(ours.abs_diff(theirs) >= 8, "{ours} beside {theirs}");
        }
    }

    #[test]
    fn a_taken_port_is_not_free() {
        let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        assert!(!port_is_free(held.local_addr().unwrap().port()));
    }

    #[test]
    fn the_same_configuration_again_keeps_the_revision() {
        let mut topology = Topology::new("bao".into(), CreateOptions::default()).unwrap();
        let flip = Flip::new(3, None);
        topology.apply(StorageKind::Raft, 3, Some(flip.clone()));
        topology.apply(StorageKind::Raft, 3, Some(flip));
        assert_eq!(topology.applied().revision, 2);
        topology.apply(StorageKind::File, 1, None);
        assert_eq!(topology.applied().revision, 3);
        assert!(
            topology
                .revision("1")
                .is_some_and(|first| first.same(topology.applied()))
        );
    }
}
