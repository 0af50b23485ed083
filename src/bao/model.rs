//! The answers of the API that this tool reads. Unknown fields are ignored: servers add some with every version.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// `GET sys/seal-status`: needs no token and answers while sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the server's own fields")]
pub struct SealStatus {
    /// The seal's kind; `shamir` for unseal shares.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether the storage holds an initialised barrier (on a raft follower: whether it knows of one).
    pub initialized: bool,
    /// Whether the barrier is sealed.
    pub sealed: bool,
    /// Shares needed to unseal.
    pub t: u32,
    /// Shares in existence.
    pub n: u32,
    /// Shares given so far in the running attempt.
    pub progress: u32,
    /// The server's version, for example `2.6.2`.
    pub version: String,
    /// A seal migration is under way.
    #[serde(default)]
    pub migration: bool,
    /// The unseal key is a recovery key (auto-unseal).
    #[serde(default)]
    pub recovery_seal: bool,
    /// The storage backend's kind as the running process sees it: `file`, `raft`.
    #[serde(default)]
    pub storage_type: String,
    /// The cluster's name, only while unsealed.
    #[serde(default)]
    pub cluster_name: Option<String>,
    /// The cluster's id, only while unsealed.
    #[serde(default)]
    pub cluster_id: Option<String>,
}

/// `GET sys/health` by its status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// 200: unsealed and active.
    Active,
    /// 429: unsealed standby.
    Standby,
    /// 501: not initialised.
    Uninitialized,
    /// 503: sealed.
    Sealed,
    /// Any other code.
    Other(u16),
}

/// `GET sys/leader`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Whether this node leads; a standby leaves it out.
    #[serde(default)]
    pub is_self: bool,
    /// The leader's `api_addr`, empty when there is none.
    #[serde(default)]
    pub leader_address: String,
    /// The raft index this node has applied; only raft storage has one.
    pub raft_applied_index: u64,
}

/// The keys that `PUT sys/init` hands out once.
#[derive(Debug, Clone)]
pub struct InitKeys {
    /// Unseal shares, base64.
    pub shares: Vec<SecretString>,
    /// The first root token.
    pub root_token: SecretString,
}

/// `GET auth/token/lookup-self`, without the token itself, which the answer repeats.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TokenDetails {
    /// `service` or `batch`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Its policies, by name, without those of its entity.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Seconds that are left of it, rounded; 0 as well when it does not expire.
    #[serde(default)]
    pub ttl: u64,
    /// When it expires, RFC 3339, where it does.
    #[serde(default)]
    pub expire_time: Option<String>,
    /// Whether it can be renewed.
    #[serde(default)]
    pub renewable: bool,
    /// Calls that it is good for after this one, 0 for any number.
    #[serde(default)]
    pub num_uses: i64,
    /// It does not go with a token that it was made with.
    #[serde(default)]
    pub orphan: bool,
}

impl TokenDetails {
    /// What is left of it; `None` when it does not expire.
    pub fn left(&self) -> Option<Duration> {
        self.expire_time
            .as_ref()
            .map(|_| Duration::from_secs(self.ttl))
    }
}

/// One row of `sys/mounts` or `sys/auth`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Engine or method, for example `kv`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The mount's uuid, the first part of its storage prefix `logical/<uuid>/`.
    #[serde(default)]
    pub uuid: String,
    /// The accessor.
    #[serde(default)]
    pub accessor: String,
    /// Not replicated beyond this cluster.
    #[serde(default)]
    pub local: bool,
    /// Engine options, for example `version: "2"`.
    #[serde(default)]
    pub options: Option<BTreeMap<String, String>>,
}

/// One row of `sys/audit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditDevice {
    /// The device's kind, for example `file`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its options, for example `file_path`.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// `GET sys/storage/raft/configuration`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftConfiguration {
    /// The peers.
    pub servers: Vec<RaftServer>,
}

/// One raft peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftServer {
    /// The raft node id.
    pub node_id: String,
    /// Its cluster address, host and port.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it votes; a new peer does not during autopilot's stabilisation time.
    pub voter: bool,
}

/// One server of `GET sys/storage/raft/autopilot/state`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterState {
    /// The raft node id.
    pub id: String,
    /// Whether autopilot calls it healthy.
    pub healthy: bool,
    /// `leader`, `voter` or `non-voter`.
    pub status: String,
    /// The last raft index it is known to have.
    #[serde(default)]
    pub last_index: u64,
}
