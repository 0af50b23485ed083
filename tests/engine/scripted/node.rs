//! One server's API.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use baoctl::armed::Armed;
use baoctl::bao::{
    AuditDevice, Error, Health, InitKeys, Leader, Mount, Node, RaftConfiguration, Result,
    SealStatus, TokenDetails, VoterState,
};
use baoctl::meter::Meter;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::fate::{Fate, Loss};
use super::server::{Answer, No};
use super::tree;
use super::world::{CALL, DRAIN, LOOK, World};

/// What one process has of the world.
#[derive(Clone)]
pub struct Grip {
    pub world: Arc<Mutex<World>>,
    pub fate: Arc<Fate>,
}

impl Grip {
    /// The world as it is now.
    pub fn now<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.tick();
        look(&mut world)
    }

    /// A call that only looks; `None` when its answer got lost.
    pub async fn look<T>(&self, look: impl FnOnce(&mut World) -> T) -> Option<T> {
        sleep(LOOK).await;
        if self.fate.look() {
            return None;
        }
        Some(self.now(look))
    }

    /// A call that has an effect, with a point before and one after it; `None` when it or its answer got lost.
    pub async fn act<T>(&self, call: &str, act: impl FnOnce(&mut World) -> T) -> Option<T> {
        self.fate.point(format!("before {call}"));
        let loss = self.fate.call(call);
        sleep(CALL).await;
        if loss == Some(Loss::Request) {
            return None;
        }
        let answer = self.now(|world| {
            let answer = act(world);
            world.audit();
            answer
        });
        self.fate.point(format!("after {call}"));
        sleep(CALL).await;
        loss.is_none().then_some(answer)
    }
}

/// A server's API.
pub struct ScriptedNode {
    pub name: String,
    pub grip: Grip,
}

impl ScriptedNode {
    fn error(&self, call: &str, no: &No) -> Error {
        let (node, call) = (self.name.clone(), call.to_owned());
        match no {
            No::Down => Error::Unreachable {
                node,
                call,
                why: "connection refused".to_owned(),
            },
            No::Status(status, text) => Error::Status {
                node,
                call,
                status: *status,
                errors: vec![(*text).to_owned()],
            },
            No::Redirect => Error::Redirected { node, call },
            No::Late => Error::Timeout {
                node,
                call,
                after: Duration::from_mins(1),
            },
        }
    }

    async fn look<T>(&self, call: &str, look: impl FnOnce(&mut World) -> Answer<T>) -> Result<T> {
        match self.grip.look(look).await {
            None => Err(self.error(call, &No::Late)),
            Some(answer) => answer.map_err(|no| self.error(call, &no)),
        }
    }

    async fn act<T>(&self, call: &str, act: impl FnOnce(&mut World) -> Answer<T>) -> Result<T> {
        let what = format!("{}: {call}", self.name);
        match self.grip.act(&what, act).await {
            None => Err(Error::Broken {
                node: self.name.clone(),
                call: call.to_owned(),
                why: "connection reset".to_owned(),
            }),
            Some(answer) => answer.map_err(|no| self.error(call, &no)),
        }
    }

    /// What an authorised look at the server's tables finds.
    async fn table<T>(&self, token: &SecretString, make: impl FnOnce(bool) -> T) -> Result<T> {
        let token = token.expose_secret();
        self.look("tables", |world| {
            let set = world.authorised(&self.name, token)?;
            Ok(make(set.name == "old" && !world.bare))
        })
        .await
    }
}

fn mount(kind: &str) -> Mount {
    // The tree has entries of one mount.
    let uuid = match kind {
        "kv" => tree::MOUNTED.to_owned(),
        _ => format!("uuid-of-{kind}"),
    };
    Mount {
        kind: kind.to_owned(),
        uuid,
        accessor: String::new(),
        local: false,
        options: None,
    }
}

#[async_trait]
impl Node for ScriptedNode {
    fn name(&self) -> &str {
        &self.name
    }

    async fn seal_status(&self) -> Result<SealStatus> {
        self.look("GET sys/seal-status", |world| world.seal_status(&self.name))
            .await
    }

    async fn health(&self) -> Result<Health> {
        self.look("GET sys/health", |world| world.health(&self.name))
            .await
    }

    async fn leader(&self) -> Result<Leader> {
        self.look("GET sys/leader", |world| {
            Ok(Leader {
                is_self: world.is_active(&self.name),
                leader_address: String::new(),
                raft_applied_index: 1,
            })
        })
        .await
    }

    async fn init(&self, shares: u32, threshold: u32, _: &Armed) -> Result<InitKeys> {
        let set = self
            .act("init", |world| world.init(&self.name, shares, threshold))
            .await?;
        Ok(InitKeys {
            shares: set.shares.into_iter().map(SecretString::from).collect(),
            root_token: set.token.into(),
        })
    }

    async fn unseal(&self, share: &SecretString, _: Duration, _: &Armed) -> Result<SealStatus> {
        let share = share.expose_secret();
        self.act("unseal", |world| world.unseal(&self.name, share))
            .await
    }

    async fn reset_unseal(&self, _: &Armed) -> Result<SealStatus> {
        self.act("reset unseal", |world| world.reset_unseal(&self.name))
            .await
    }

    async fn seal(&self, token: &SecretString, _: &Armed) -> Result<()> {
        let token = token.expose_secret();
        self.act("seal", |world| world.seal(&self.name, token))
            .await?;
        sleep(DRAIN).await;
        Ok(())
    }

    async fn touch(&self, token: &SecretString, _: &Armed) -> Result<()> {
        let token = token.expose_secret();
        self.act("touch", |world| {
            world.authorised(&self.name, token)?;
            if world.is_active(&self.name) {
                Ok(())
            } else {
                Err(No::Redirect)
            }
        })
        .await
    }

    async fn generate_root(&self, shares: &[SecretString], _: &Armed) -> Result<SecretString> {
        let shares: Vec<&str> = shares.iter().map(ExposeSecret::expose_secret).collect();
        let token = self.act("generate root", |world| {
            world.generate_root(&self.name, &shares)
        });
        Ok(token.await?.into())
    }

    async fn lookup_self(&self, token: &SecretString) -> Result<TokenDetails> {
        let left = self.grip.now(|world| world.token_left);
        self.table(token, |_| TokenDetails {
            kind: "service".to_owned(),
            policies: vec!["baoctl".to_owned()],
            ttl: left.as_secs(),
            expire_time: Some("2027-01-01T00:00:00Z".to_owned()),
            renewable: true,
            num_uses: 0,
            orphan: true,
        })
        .await
    }

    async fn capabilities(
        &self,
        token: &SecretString,
        paths: &[&str],
    ) -> Result<BTreeMap<String, Vec<String>>> {
        self.table(token, |_| {
            let everything = || vec!["root".to_owned()];
            let each = paths.iter().map(|path| ((*path).to_owned(), everything()));
            each.collect()
        })
        .await
    }

    async fn upload_time(&self, token: &SecretString, bytes: u64) -> Result<Duration> {
        self.table(token, |_| Duration::from_nanos(bytes)).await
    }

    async fn mounts(&self, token: &SecretString) -> Result<BTreeMap<String, Mount>> {
        let more = self.grip.now(|world| world.more_mounts.clone());
        self.table(token, |old| {
            let kinds = ["cubbyhole", "identity", "sys", "kv"];
            let kinds = kinds.iter().chain(&more);
            let kinds = kinds.filter(|kind| old || ["cubbyhole", "identity", "sys"].contains(kind));
            kinds
                .map(|kind| (format!("{kind}/"), mount(kind)))
                .collect()
        })
        .await
    }

    async fn auth_methods(&self, token: &SecretString) -> Result<BTreeMap<String, Mount>> {
        let more = self.grip.now(|world| world.more_mounts.clone());
        self.table(token, |old| {
            let kinds = more.iter().filter(|_| old).chain([&"token"]);
            kinds
                .map(|kind| (format!("{kind}/"), mount(kind)))
                .collect()
        })
        .await
    }

    async fn policies(&self, token: &SecretString) -> Result<Vec<String>> {
        let more = self.grip.now(|world| world.more_mounts.clone());
        self.table(token, |old| {
            let names = more.iter().filter(|_| old).chain([&"default", &"root"]);
            names.map(|name| (*name).to_owned()).collect()
        })
        .await
    }

    async fn audit_devices(&self, token: &SecretString) -> Result<BTreeMap<String, AuditDevice>> {
        self.table(token, |_| BTreeMap::new()).await
    }

    async fn raft_configuration(&self, token: &SecretString) -> Result<RaftConfiguration> {
        let token = token.expose_secret();
        self.look("GET raft/configuration", |world| {
            world.configuration(&self.name, token)
        })
        .await
    }

    async fn autopilot(&self, token: &SecretString) -> Result<BTreeMap<String, VoterState>> {
        let token = token.expose_secret();
        self.look("GET autopilot/state", |world| {
            world.autopilot(&self.name, token)
        })
        .await
    }

    async fn set_stabilization(
        &self,
        token: &SecretString,
        time: Duration,
        _: &Armed,
    ) -> Result<()> {
        let token = token.expose_secret();
        self.act("set the stabilization", |world| {
            world.set_stabilization(&self.name, token, time)
        })
        .await
    }

    async fn snapshot_save(&self, token: &SecretString, to: &Path, _: &dyn Meter) -> Result<u64> {
        let token = token.expose_secret();
        let entries = self
            .look("GET snapshot", |world| world.snapshot(&self.name, token))
            .await?;
        self.grip.fate.point("before a snapshot is saved");
        tree::pack(&entries, to);
        self.grip.fate.point("after a snapshot is saved");
        Ok(to.metadata().map_or(0, |meta| meta.len()))
    }

    async fn snapshot_force(
        &self,
        token: &SecretString,
        from: &Path,
        _: &dyn Meter,
        _: &Armed,
    ) -> Result<()> {
        let token = token.expose_secret();
        self.act("snapshot-force", |world| {
            world.force(&self.name, token, from)
        })
        .await
    }

    async fn raw(&self, token: &SecretString, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let token = token.expose_secret();
        self.look("GET raw", |world| {
            let entries = world.raw(&self.name, token)?;
            Ok(entries.get(key).map(|value| Zeroizing::new(value.clone())))
        })
        .await
    }

    async fn raw_write(
        &self,
        token: &SecretString,
        key: &str,
        value: &[u8],
        _: &Armed,
    ) -> Result<()> {
        let token = token.expose_secret();
        self.act("PUT raw", |world| {
            world
                .raw(&self.name, token)?
                .insert(key.to_owned(), value.to_vec());
            Ok(())
        })
        .await
    }

    async fn raw_delete(&self, token: &SecretString, key: &str, _: &Armed) -> Result<()> {
        let token = token.expose_secret();
        self.act("DELETE raw", |world| {
            world.raw(&self.name, token)?.remove(key);
            Ok(())
        })
        .await
    }

    async fn list(&self, token: &SecretString, path: &str) -> Result<Vec<String>> {
        let Some(prefix) = path.strip_prefix("sys/raw/") else {
            let namespaced = self.grip.now(|world| world.namespaced);
            return self
                .table(token, |old| match path {
                    "sys/namespaces" if old && namespaced => vec!["child/".to_owned()],
                    "child/sys/policies/acl" => vec!["default".to_owned()],
                    _ => Vec::new(),
                })
                .await;
        };
        let token = token.expose_secret();
        self.look("LIST raw", |world| {
            let keys = world.raw(&self.name, token)?.keys();
            Ok(keys
                .filter_map(|key| key.strip_prefix(prefix).map(str::to_owned))
                .collect())
        })
        .await
    }

    async fn read(&self, token: &SecretString, path: &str) -> Result<Option<Value>> {
        let id = |row: &str| row.rsplit('/').next().unwrap().to_owned();
        let row = |kind: &str, row: &str| {
            let local = row.starts_with("core/local-");
            json!({"type": kind, "uuid": id(row), "local": local})
        };
        let [mount, local, method] = tree::CHILD_ROWS;
        let data = match path {
            "sys/namespaces/child" => {
                let uuid = id(tree::CHILD.trim_end_matches('/'));
                json!({"id": tree::CHILD_ID, "uuid": uuid})
            }
            "child/sys/mounts" => json!({"kv/": row("kv", mount), "near/": row("kv", local)}),
            "child/sys/auth" => json!({"approle/": row("approle", method)}),
            _ => Value::Null,
        };
        self.table(token, |old| {
            (old && !data.is_null()).then(|| json!({"data": data}))
        })
        .await
    }
}

impl World {
    /// The decrypted entries of a server that lets them be seen.
    fn raw(&mut self, name: &str, token: &str) -> Answer<&mut tree::Entries> {
        self.authorised(name, token)?;
        if !self.server(name).is_some_and(|server| server.apart) {
            return Err(No::Status(404, "unsupported path"));
        }
        let files = self.member_mut(name).raft.as_mut();
        let files = files.ok_or(No::Status(400, "raft storage is not in use"))?;
        Ok(Arc::make_mut(&mut files.entries))
    }
}
