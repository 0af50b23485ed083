//! `meta.json` of a snapshot archive.

use serde::{Deserialize, Serialize};

/// What a snapshot says about itself. Source: `raft.SnapshotMeta` of hashicorp/raft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Meta {
    /// Format version, 1.
    pub version: u64,
    /// `bolt-snapshot`.
    #[serde(rename = "ID")]
    pub id: String,
    /// Last raft index in the snapshot.
    pub index: u64,
    /// Term of that index.
    pub term: u64,
    /// Superseded by `configuration`; null.
    pub peers: Option<serde_json::Value>,
    /// The cluster at that index; a forced restore keeps the target's own instead.
    pub configuration: Configuration,
    /// Raft index of the configuration.
    pub configuration_index: u64,
    /// Length of `state.bin` in bytes.
    pub size: u64,
}

/// Members of a raft cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Configuration {
    /// The members; null for none.
    pub servers: Option<Vec<Server>>,
}

/// A member of a raft cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Server {
    /// 0 voter, 1 non-voter.
    pub suffrage: u64,
    /// The node id.
    #[serde(rename = "ID")]
    pub id: String,
    /// Cluster address, `host:port`.
    pub address: String,
}

impl Meta {
    /// The metadata of a converted snapshot, as a server accepts it.
    pub fn converted(node_id: &str, address: &str, size: u64) -> Self {
        Self {
            version: 1,
            id: "bolt-snapshot".to_owned(),
            index: 100,
            term: 2,
            peers: None,
            configuration: Configuration {
                servers: Some(vec![Server {
                    suffrage: 0,
                    id: node_id.to_owned(),
                    address: address.to_owned(),
                }]),
            },
            configuration_index: 1,
            size,
        }
    }
}
