//! One of everything: engines, policies, tokens, identities and values of every kind.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::golden::{AppRole, Entity, Golden, KvSample, PolicySample, TokenSample, TransitSample};
use super::server::Server;
use crate::bao::{Error as NodeError, Node};
use crate::platform::{Error, Result};

/// The versioned key-value engine.
pub(super) const VERSIONED: &str = "secret";
/// The plain key-value engine.
pub(super) const PLAIN: &str = "legacy";
pub(super) const READER: &str = "path \"secret/data/*\" {\n  capabilities = [\"read\"]\n}\n";
const WRITER: &str =
    "path \"legacy/*\" {\n  capabilities = [\"create\", \"read\", \"update\"]\n}\n";
/// Long enough for any rehearsal.
pub(super) const LIFE: &str = "720h";

/// Makes it all.
pub(super) async fn make(server: &Server<'_>, large: bool) -> Result<Golden> {
    engines(server).await?;
    let policies = policies(server).await?;
    let mut kv = versions(server).await?;
    kv.extend(sizes(server, large).await?);
    let transit = transit(server).await?;
    let (approle, accessor, mut tokens) = approle(server).await?;
    tokens.extend(children(server).await?);
    let entity = entity(server, &accessor, &approle.role_id).await?;
    let status = server.node.seal_status().await?;
    Ok(Golden {
        cluster_id: status.cluster_id.unwrap_or_default(),
        entries: 0,
        kv,
        transit,
        policies,
        tokens,
        approle,
        entity,
        mounts: kinds(server.node.mounts(&server.token).await?),
        auth: kinds(server.node.auth_methods(&server.token).await?),
        namespaces: Vec::new(),
    })
}

pub(super) fn kinds(mounts: BTreeMap<String, crate::bao::Mount>) -> BTreeMap<String, String> {
    mounts
        .into_iter()
        .map(|(path, mount)| (path, mount.kind))
        .collect()
}

async fn engines(server: &Server<'_>) -> Result<()> {
    let versioned = json!({"type": "kv", "options": {"version": "2"}});
    server
        .put(&format!("sys/mounts/{VERSIONED}"), &versioned)
        .await?;
    server
        .put(&format!("sys/mounts/{PLAIN}"), &json!({"type": "kv"}))
        .await?;
    server
        .put("sys/mounts/transit", &json!({"type": "transit"}))
        .await?;
    server
        .put("sys/auth/approle", &json!({"type": "approle"}))
        .await?;
    ready(server, VERSIONED).await
}

/// Waits until a versioned engine takes a secret.
pub(super) async fn ready(server: &Server<'_>, engine: &str) -> Result<()> {
    // A versioned engine answers 400 for a moment while it sets itself up.
    for _ in 0..100 {
        let tried = server
            .put(&format!("{engine}/data/first"), &json!({"data": {}}))
            .await;
        match tried {
            Err(Error::Node(NodeError::Status { status: 400, .. })) => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
    Err(Error::Refused(format!("{engine}/ does not get ready")))
}

async fn policies(server: &Server<'_>) -> Result<Vec<PolicySample>> {
    let mut made = Vec::new();
    for (name, text) in [("sample-reader", READER), ("sample-writer", WRITER)] {
        server
            .put(
                &format!("sys/policies/acl/{name}"),
                &json!({"policy": text}),
            )
            .await?;
        made.push(PolicySample {
            name: name.to_owned(),
            text: text.to_owned(),
        });
    }
    Ok(made)
}

/// Secrets with a past: several versions, deleted and destroyed ones, metadata of the user's.
async fn versions(server: &Server<'_>) -> Result<Vec<KvSample>> {
    let mut samples = Vec::new();
    for number in 0..12 {
        let name = format!("versions/app {number}?#%é");
        let path = format!("{VERSIONED}/data/{name}");
        for version in 1..=3_u64 {
            let value = json!({"password": format!("pass-{number}-{version}"), "n": version});
            server.put(&path, &json!({"data": value})).await?;
            samples.push(sample(&path, Some(version), "/data/data", Some(value)));
        }
        let metadata = json!({"custom_metadata": {"owner": format!("team-{number}")}});
        let metadata_path = format!("{VERSIONED}/metadata/{name}");
        server.put(&metadata_path, &metadata).await?;
        samples.push(sample(
            &metadata_path,
            None,
            "/data/custom_metadata",
            Some(metadata["custom_metadata"].clone()),
        ));
        let gone = match number % 3 {
            0 => Some("delete"),
            1 => Some("destroy"),
            _ => None,
        };
        if let Some(deed) = gone {
            server
                .put(
                    &format!("{VERSIONED}/{deed}/{name}"),
                    &json!({"versions": [2]}),
                )
                .await?;
            for sample in &mut samples {
                if sample.path == path && sample.version == Some(2) {
                    sample.value = None;
                }
            }
        }
    }
    Ok(samples)
}

async fn sizes(server: &Server<'_>, large: bool) -> Result<Vec<KvSample>> {
    // Base64 in the tree and the barrier's frame around the value: 700 KiB stay under raft's limit of 1 MiB.
    let mut wanted = vec![("empty", 0), ("big", 700 * 1024)];
    if large {
        wanted.push(("over-the-limit", 1_300 * 1024));
    }
    let mut samples = Vec::new();
    for (name, length) in wanted {
        let path = format!("{PLAIN}/sizes/{name}");
        let value = json!({"blob": "0123456789abcdef".repeat(length / 16)});
        server.put(&path, &value).await?;
        samples.push(sample(&path, None, "/data", Some(value)));
    }
    Ok(samples)
}

fn sample(path: &str, version: Option<u64>, pointer: &str, value: Option<Value>) -> KvSample {
    KvSample {
        path: path.to_owned(),
        version,
        pointer: pointer.to_owned(),
        value,
    }
}

async fn transit(server: &Server<'_>) -> Result<Vec<TransitSample>> {
    let mut samples = Vec::new();
    for (key, kind) in [("orders", "aes256-gcm96"), ("sealed", "chacha20-poly1305")] {
        server
            .put(&format!("transit/keys/{key}"), &json!({"type": kind}))
            .await?;
        for round in 0..3 {
            let plaintext = base64_simd::STANDARD.encode_to_string(format!("{key} {round}"));
            let ciphertext = server
                .ask(
                    &format!("transit/encrypt/{key}"),
                    &json!({"plaintext": plaintext}),
                    "/data/ciphertext",
                )
                .await?;
            samples.push(TransitSample {
                key: key.to_owned(),
                ciphertext,
                plaintext,
            });
            // Older ciphertexts then need the key's older versions.
            server
                .put(&format!("transit/keys/{key}/rotate"), &json!({}))
                .await?;
        }
    }
    Ok(samples)
}

/// A role, its credentials and a token with a lease that it issued.
async fn approle(server: &Server<'_>) -> Result<(AppRole, String, Vec<TokenSample>)> {
    let role = "auth/approle/role/sample";
    server
        .put(
            role,
            &json!({"token_policies": ["sample-reader"], "token_ttl": LIFE, "token_max_ttl": LIFE}),
        )
        .await?;
    let role_id = server
        .get(&format!("{role}/role-id"), "/data/role_id")
        .await?;
    let secret_id = server
        .ask(&format!("{role}/secret-id"), &json!({}), "/data/secret_id")
        .await?;
    let token = server
        .ask(
            "auth/approle/login",
            &json!({"role_id": role_id, "secret_id": secret_id}),
            "/auth/client_token",
        )
        .await?;
    let accessor = server
        .node
        .auth_methods(&server.token)
        .await?
        .remove("approle/")
        .map(|mount| mount.accessor)
        .unwrap_or_default();
    let token = TokenSample {
        token,
        policies: vec!["default".to_owned(), "sample-reader".to_owned()],
    };
    Ok((AppRole { role_id, secret_id }, accessor, vec![token]))
}

async fn children(server: &Server<'_>) -> Result<Vec<TokenSample>> {
    let mut tokens = Vec::new();
    for body in [
        json!({"policies": ["sample-writer"], "period": LIFE}),
        json!({"policies": ["sample-reader", "sample-writer"], "ttl": LIFE}),
        json!({"policies": ["sample-reader"], "period": LIFE, "no_parent": true}),
    ] {
        let token = server
            .ask("auth/token/create", &body, "/auth/client_token")
            .await?;
        let mut policies: Vec<String> = body["policies"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|policy| policy.as_str().map(str::to_owned))
            .collect();
        policies.push("default".to_owned());
        policies.sort_unstable();
        tokens.push(TokenSample { token, policies });
    }
    Ok(tokens)
}

async fn entity(server: &Server<'_>, accessor: &str, role_id: &str) -> Result<Entity> {
    let name = "sample-entity";
    // The login has made an entity for the role already: the alias finds it and gives it to this one.
    let id = server
        .ask(
            "identity/entity",
            &json!({"name": name, "metadata": {"team": "sample"}}),
            "/data/id",
        )
        .await?;
    server
        .put(
            "identity/entity-alias",
            &json!({"name": format!("{role_id}-second"), "canonical_id": id, "mount_accessor": accessor}),
        )
        .await?;
    Ok(Entity {
        name: name.to_owned(),
        id,
    })
}
