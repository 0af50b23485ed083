//! Finding the sample data again.

use futures_util::{StreamExt, TryStreamExt, stream};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::children;
use super::golden::{Golden, KvSample};
use super::server::Server;
use crate::armed::Armed;
use crate::bao::{HttpNode, Node};
use crate::platform::{Error, Result};

/// Reads everything back from one node and returns how many things were looked at; the first difference is an
/// error that names it without its value. `active` also decrypts and logs in, which only the active node can.
pub async fn verify(
    golden: &Golden,
    node: &HttpNode,
    token: &SecretString,
    active: bool,
) -> Result<u64> {
    let mut checked = 1;
    let status = node.seal_status().await?;
    same(
        node,
        "the cluster id",
        status.cluster_id.as_ref() == Some(&golden.cluster_id),
    )?;
    checked += kv(&golden.kv, node, token).await?;
    checked += system(golden, node, token).await?;
    checked += namespaces(golden, node, token, active).await?;
    if active {
        checked += writes(golden, node, token).await?;
    }
    Ok(checked)
}

pub(super) fn same(node: &HttpNode, what: &str, same: bool) -> Result<()> {
    if same {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "{}: {what} is not what the source held",
        node.name()
    )))
}

async fn kv(samples: &[KvSample], node: &HttpNode, token: &SecretString) -> Result<u64> {
    stream::iter(samples)
        .map(|sample| one(node, token, sample))
        .buffer_unordered(16)
        .try_fold(0, |done, ()| async move { Ok(done + 1) })
        .await
}

async fn one(node: &HttpNode, token: &SecretString, sample: &KvSample) -> Result<()> {
    let version = sample.version.map(|version| version.to_string());
    let query: Vec<(&str, &str)> = version
        .iter()
        .map(|version| ("version", version.as_str()))
        .collect();
    let answer = node.read_with(token, &sample.path, &query).await?;
    let found = answer
        .as_ref()
        .and_then(|answer| answer.pointer(&sample.pointer));
    same(node, &sample.path, found == sample.value.as_ref())
}

async fn system(golden: &Golden, node: &HttpNode, token: &SecretString) -> Result<u64> {
    let mounts = node.mounts(token).await?;
    for (path, kind) in &golden.mounts {
        let found = mounts.get(path).map(|mount| &mount.kind);
        same(node, &format!("mount {path}"), found == Some(kind))?;
    }
    let methods = node.auth_methods(token).await?;
    for (path, kind) in &golden.auth {
        let found = methods.get(path).map(|mount| &mount.kind);
        same(node, &format!("auth method {path}"), found == Some(kind))?;
    }
    for policy in &golden.policies {
        let path = format!("sys/policies/acl/{}", policy.name);
        let answer = node.read(token, &path).await?.unwrap_or_default();
        let found = answer.pointer("/data/policy").and_then(Value::as_str);
        same(node, &path, found == Some(policy.text.as_str()))?;
    }
    for (number, sample) in golden.tokens.iter().enumerate() {
        let own = node.lookup_self(&sample.token.clone().into()).await?;
        same(
            node,
            &format!("token sample {number}"),
            own.policies == sample.policies,
        )?;
    }
    let path = format!("identity/entity/name/{}", golden.entity.name);
    let answer = node.read(token, &path).await?.unwrap_or_default();
    let found = answer.pointer("/data/id").and_then(Value::as_str);
    same(node, &path, found == Some(golden.entity.id.as_str()))?;
    let checked =
        golden.mounts.len() + golden.auth.len() + golden.policies.len() + golden.tokens.len() + 1;
    Ok(checked as u64)
}

async fn namespaces(
    golden: &Golden,
    node: &HttpNode,
    token: &SecretString,
    active: bool,
) -> Result<u64> {
    // Its logins leave tokens of the samples' own roles.
    let armed = Armed::for_own_server();
    let server = Server {
        node: node.clone(),
        token: token.clone(),
        armed: &armed,
    };
    let mut checked = 0;
    for sample in &golden.namespaces {
        checked += kv(&sample.kv, node, token).await?;
        checked += children::verify(sample, &server, active).await?;
    }
    Ok(checked)
}

async fn writes(golden: &Golden, node: &HttpNode, token: &SecretString) -> Result<u64> {
    // Decrypting changes nothing, and the login leaves a token of the sample's own role.
    let armed = Armed::for_own_server();
    for sample in &golden.transit {
        let path = format!("transit/decrypt/{}", sample.key);
        let body = json!({"ciphertext": sample.ciphertext});
        let answer = node
            .write(token, &path, &body, &armed)
            .await?
            .unwrap_or_default();
        let found = answer.pointer("/data/plaintext").and_then(Value::as_str);
        same(node, &path, found == Some(sample.plaintext.as_str()))?;
    }
    let login = json!({
        "role_id": golden.approle.role_id,
        "secret_id": golden.approle.secret_id,
    });
    let path = "auth/approle/login";
    let answer = node
        .write(token, path, &login, &armed)
        .await?
        .unwrap_or_default();
    same(node, path, answer.pointer("/auth/client_token").is_some())?;
    Ok(golden.transit.len() as u64 + 1)
}
