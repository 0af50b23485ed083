//! The calls this tool makes to one node.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{
    AuditDevice, Health, InitKeys, Leader, Mount, RaftConfiguration, Result, SealStatus,
    TokenDetails, VoterState,
};
use crate::armed::Armed;
use crate::meter::Meter;

/// One node, addressed directly and never through a Service. A call that changes anything wants an [`Armed`].
///
/// Nothing here retries: only the caller knows whether a call may be sent twice.
#[async_trait]
pub trait Node: Send + Sync {
    /// The node's name, for example `openbao-0`.
    fn name(&self) -> &str;

    /// `GET sys/seal-status`.
    async fn seal_status(&self) -> Result<SealStatus>;
    /// `GET sys/health`; each of the status codes it knows is an answer, not an error.
    async fn health(&self) -> Result<Health>;
    /// `GET sys/leader`.
    async fn leader(&self) -> Result<Leader>;

    /// `PUT sys/init` with `shares` and `threshold`; deadline 60 s.
    async fn init(&self, shares: u32, threshold: u32, armed: &Armed) -> Result<InitKeys>;
    /// `PUT sys/unseal` with one share; `deadline` is the caller's, as the last key of a joining follower blocks.
    async fn unseal(
        &self,
        share: &SecretString,
        deadline: Duration,
        armed: &Armed,
    ) -> Result<SealStatus>;
    /// `PUT sys/unseal` with `reset`: forgets the shares given so far.
    async fn reset_unseal(&self, armed: &Armed) -> Result<SealStatus>;
    /// `PUT sys/seal`; deadline 120 s. The data is frozen when this has returned.
    async fn seal(&self, token: &SecretString, armed: &Armed) -> Result<()>;
    /// `POST sys/storage/raft/autopilot/configuration`: how long a new peer is watched before it votes.
    async fn set_stabilization(
        &self,
        token: &SecretString,
        time: Duration,
        armed: &Armed,
    ) -> Result<()>;
    /// `PUT sys/wrapping/wrap` of nothing for a second: a write that each voter must take, and that goes by itself. Every
    /// kind of token may; a batch token has no cubbyhole.
    async fn touch(&self, token: &SecretString, armed: &Armed) -> Result<()>;

    /// `PUT sys/generate-root/attempt`, then `PUT sys/generate-root/update` with each share until the token is complete: a
    /// root token of the node's data. Needs the unauthenticated endpoints, which a listener has off by default.
    async fn generate_root(&self, shares: &[SecretString], armed: &Armed) -> Result<SecretString>;

    /// `GET auth/token/lookup-self`. 403 means that this cluster does not know the token, or that its policies deny the look.
    async fn lookup_self(&self, token: &SecretString) -> Result<TokenDetails>;
    /// `PUT sys/capabilities-self`: what the token may do with each path, for example `read` and `sudo`; `root` stands for
    /// everything. Changes nothing.
    async fn capabilities(
        &self,
        token: &SecretString,
        paths: &[&str],
    ) -> Result<BTreeMap<String, Vec<String>>>;
    /// `PUT sys/capabilities-self` with `bytes` of padding, which the server ignores: how long until it has answered.
    /// Changes nothing.
    async fn upload_time(&self, token: &SecretString, bytes: u64) -> Result<Duration>;
    /// `GET sys/mounts` by path.
    async fn mounts(&self, token: &SecretString) -> Result<BTreeMap<String, Mount>>;
    /// `GET sys/auth` by path.
    async fn auth_methods(&self, token: &SecretString) -> Result<BTreeMap<String, Mount>>;
    /// `LIST sys/policies/acl`, sorted.
    async fn policies(&self, token: &SecretString) -> Result<Vec<String>>;
    /// `GET sys/audit` by path.
    async fn audit_devices(&self, token: &SecretString) -> Result<BTreeMap<String, AuditDevice>>;

    /// `GET sys/storage/raft/configuration`.
    async fn raft_configuration(&self, token: &SecretString) -> Result<RaftConfiguration>;
    /// `GET sys/storage/raft/autopilot/state`, its servers by id.
    async fn autopilot(&self, token: &SecretString) -> Result<BTreeMap<String, VoterState>>;
    /// `GET sys/storage/raft/snapshot` streamed into `to` (mode 0600, synced); returns its bytes.
    async fn snapshot_save(
        &self,
        token: &SecretString,
        to: &Path,
        meter: &dyn Meter,
    ) -> Result<u64>;
    /// `POST sys/storage/raft/snapshot-force` streamed from `from`. An Ok is "accepted", not "restored".
    async fn snapshot_force(
        &self,
        token: &SecretString,
        from: &Path,
        meter: &dyn Meter,
        armed: &Armed,
    ) -> Result<()>;

    /// `GET sys/raw/<key>`: the decrypted entry, `None` for 404. Needs `raw_storage_endpoint`, as the next two do.
    async fn raw(&self, token: &SecretString, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>>;
    /// The length of [`Node::raw`], in bytes.
    async fn raw_len(&self, token: &SecretString, key: &str) -> Result<Option<u64>> {
        Ok(self.raw(token, key).await?.map(|value| value.len() as u64))
    }
    /// `PUT sys/raw/<key>`: writes an entry; the same again is the same.
    async fn raw_write(
        &self,
        token: &SecretString,
        key: &str,
        value: &[u8],
        armed: &Armed,
    ) -> Result<()>;
    /// `DELETE sys/raw/<key>`; absent is fine.
    async fn raw_delete(&self, token: &SecretString, key: &str, armed: &Armed) -> Result<()>;
    /// `LIST <path>`, as the server sorts it; empty for 404.
    async fn list(&self, token: &SecretString, path: &str) -> Result<Vec<String>>;
    /// `GET <path>` on the data API; the whole answer, `None` for 404.
    async fn read(&self, token: &SecretString, path: &str) -> Result<Option<Value>>;
}
