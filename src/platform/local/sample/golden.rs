//! What a sample source holds, to be found again after the migration.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::platform::local::files;
use crate::platform::{Error, Result};

/// A sample source's contents, or a selection of them. It holds live credentials of the samples: the file is
/// private, and its `Debug` shows counts alone.
#[derive(Clone, Serialize, Deserialize)]
pub struct Golden {
    /// The source's cluster id.
    pub cluster_id: String,
    /// Files in the source's tree after seeding.
    pub entries: u64,
    /// Key-value samples.
    pub kv: Vec<KvSample>,
    /// Transit samples.
    pub transit: Vec<TransitSample>,
    /// Policies.
    pub policies: Vec<PolicySample>,
    /// Tokens that must go on working.
    pub tokens: Vec<TokenSample>,
    /// The `AppRole` that must go on working.
    pub approle: AppRole,
    /// The identity entity.
    pub entity: Entity,
    /// Mount paths with their engines.
    pub mounts: BTreeMap<String, String>,
    /// Auth method paths with their kinds.
    pub auth: BTreeMap<String, String>,
    /// Child namespaces.
    #[serde(default)]
    pub namespaces: Vec<NamespaceSample>,
}

/// What a child namespace has of its own.
#[derive(Clone, Serialize, Deserialize)]
pub struct NamespaceSample {
    /// Its path, for example `sales/emea/`.
    pub path: String,
    /// Key-value samples; their paths begin with the namespace's.
    pub kv: Vec<KvSample>,
    /// A transit sample.
    pub transit: TransitSample,
    /// A policy.
    pub policy: PolicySample,
    /// Tokens that must go on working.
    pub tokens: Vec<TokenSample>,
    /// Paths of logins, with what must go on working there.
    pub approles: Vec<(String, AppRole)>,
    /// Mount paths with their engines.
    pub mounts: BTreeMap<String, String>,
    /// Auth method paths with their kinds.
    pub auth: BTreeMap<String, String>,
}

/// One value, or the mark that there must be none.
#[derive(Clone, Serialize, Deserialize)]
pub struct KvSample {
    /// The API path, for example `secret/data/app`.
    pub path: String,
    /// The version, on a versioned engine.
    pub version: Option<u64>,
    /// Where in the answer the value stands, for example `/data/data`.
    pub pointer: String,
    /// The value there; none for a version that was deleted.
    pub value: Option<Value>,
}

/// A ciphertext and what it holds.
#[derive(Clone, Serialize, Deserialize)]
pub struct TransitSample {
    /// The transit key's name.
    pub key: String,
    /// The ciphertext.
    pub ciphertext: String,
    /// The plaintext, base64.
    pub plaintext: String,
}

/// A policy by its text.
#[derive(Clone, Serialize, Deserialize)]
pub struct PolicySample {
    /// Its name.
    pub name: String,
    /// Its rules.
    pub text: String,
}

/// A token and the policies it must have.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenSample {
    /// The token.
    pub token: String,
    /// Its policies, sorted.
    pub policies: Vec<String>,
}

/// Credentials of an `AppRole`.
#[derive(Clone, Serialize, Deserialize)]
pub struct AppRole {
    /// The role id.
    pub role_id: String,
    /// The secret id.
    pub secret_id: String,
}

/// An identity entity.
#[derive(Clone, Serialize, Deserialize)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
}

impl fmt::Debug for Golden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Golden")
            .field("cluster_id", &self.cluster_id)
            .field("entries", &self.entries)
            .field("kv", &self.kv.len())
            .field("transit", &self.transit.len())
            .field("tokens", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl Golden {
    /// Writes it to a private file, replaced whole.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write_json(path, self)
    }

    /// Reads what [`Golden::save`] wrote.
    pub fn load(path: &Path) -> Result<Self> {
        files::read_json(path)?
            .ok_or_else(|| Error::Refused(format!("{} does not exist", path.display())))
    }
}
