//! Child namespaces, nested ones too, with everything that a namespace has of its own.

use serde_json::{Value, json};

use super::golden::{AppRole, KvSample, NamespaceSample, PolicySample, TokenSample, TransitSample};
use super::server::Server;
use super::special::{LIFE, READER, kinds, ready};
use super::verify::same;
use crate::bao::{HttpNode, Node};
use crate::platform::Result;

/// The namespaces, each after the one it is in.
const PATHS: [&str; 4] = ["sales/", "sales/emea/", "sales/emea/north/", "research/"];

/// Makes them all.
pub(super) async fn make(server: &Server<'_>) -> Result<Vec<NamespaceSample>> {
    let mut made = Vec::new();
    for path in PATHS {
        let whole = path.trim_end_matches('/');
        let (parent, name) = whole
            .rsplit_once('/')
            .map_or(("", whole), |(parent, name)| (parent, name));
        let slash = if parent.is_empty() { "" } else { "/" };
        let to = format!("{parent}{slash}sys/namespaces/{name}");
        server.put(&to, &json!({})).await?;
        made.push(one(server, path).await?);
    }
    Ok(made)
}

async fn one(server: &Server<'_>, path: &str) -> Result<NamespaceSample> {
    for (mount, body) in [
        (
            "sys/mounts/secret",
            json!({"type": "kv", "options": {"version": "2"}}),
        ),
        ("sys/mounts/near", json!({"type": "kv", "local": true})),
        ("sys/mounts/transit", json!({"type": "transit"})),
        ("sys/auth/approle", json!({"type": "approle"})),
        ("sys/auth/near", json!({"type": "approle", "local": true})),
        ("sys/policies/acl/sample-reader", json!({"policy": READER})),
        ("transit/keys/orders", json!({})),
    ] {
        server.put(&format!("{path}{mount}"), &body).await?;
    }
    ready(server, &format!("{path}secret")).await?;
    let mut kv = Vec::new();
    for number in 0..4 {
        let value = json!({"password": format!("{path}{number}")});
        let (versioned, local) = (
            format!("{path}secret/data/app-{number}"),
            format!("{path}near/app-{number}"),
        );
        server.put(&versioned, &json!({"data": value})).await?;
        server.put(&local, &value).await?;
        for (path, pointer) in [(versioned, "/data/data"), (local, "/data")] {
            kv.push(KvSample {
                path,
                version: None,
                pointer: pointer.to_owned(),
                value: Some(value.clone()),
            });
        }
    }
    let plaintext = base64_simd::STANDARD.encode_to_string(path);
    let encrypt = format!("{path}transit/encrypt/orders");
    let ciphertext = server
        .ask(
            &encrypt,
            &json!({"plaintext": plaintext}),
            "/data/ciphertext",
        )
        .await?;
    let mut approles = Vec::new();
    let mut tokens = Vec::new();
    for method in ["approle", "near"] {
        let role = format!("{path}auth/{method}/role/sample");
        let body =
            json!({"token_policies": ["sample-reader"], "token_ttl": LIFE, "token_max_ttl": LIFE});
        server.put(&role, &body).await?;
        let approle = AppRole {
            role_id: server
                .get(&format!("{role}/role-id"), "/data/role_id")
                .await?,
            secret_id: server
                .ask(&format!("{role}/secret-id"), &json!({}), "/data/secret_id")
                .await?,
        };
        let login = format!("{path}auth/{method}/login");
        tokens.push(
            server
                .ask(&login, &credentials(&approle), "/auth/client_token")
                .await?,
        );
        approles.push((login, approle));
    }
    let create = format!("{path}auth/token/create");
    let body = json!({"policies": ["sample-reader"], "period": LIFE});
    tokens.push(server.ask(&create, &body, "/auth/client_token").await?);
    let sample = |token| TokenSample {
        token,
        policies: vec!["default".to_owned(), "sample-reader".to_owned()],
    };
    Ok(NamespaceSample {
        path: path.to_owned(),
        kv,
        transit: TransitSample {
            key: "orders".to_owned(),
            ciphertext,
            plaintext,
        },
        policy: PolicySample {
            name: "sample-reader".to_owned(),
            text: READER.to_owned(),
        },
        tokens: tokens.into_iter().map(sample).collect(),
        approles,
        mounts: kinds(server.data(&format!("{path}sys/mounts")).await?),
        auth: kinds(server.data(&format!("{path}sys/auth")).await?),
    })
}

fn credentials(approle: &AppRole) -> Value {
    json!({"role_id": approle.role_id, "secret_id": approle.secret_id})
}

/// Finds what a namespace has beside its key-value samples, and says how many things those were.
pub(super) async fn verify(
    sample: &NamespaceSample,
    server: &Server<'_>,
    active: bool,
) -> Result<u64> {
    let (node, path) = (&server.node, &sample.path);
    let tables = [("mounts", &sample.mounts), ("auth", &sample.auth)];
    for (table, expected) in tables {
        let table = format!("{path}sys/{table}");
        same(node, &table, kinds(server.data(&table).await?) == *expected)?;
    }
    let policy = format!("{path}sys/policies/acl/{}", sample.policy.name);
    let text = server.get(&policy, "/data/policy").await?;
    same(node, &policy, text == sample.policy.text)?;
    for token in &sample.tokens {
        let own = format!("{path}auth/token/lookup-self");
        let answer = node.read(&token.token.clone().into(), &own).await?;
        let policies = answer
            .as_ref()
            .and_then(|answer| answer.pointer("/data/policies"));
        same(node, &own, policies == Some(&json!(token.policies)))?;
        allowed(node, token, path).await?;
    }
    let mut checked = 3 + sample.tokens.len();
    if active {
        let decrypt = format!("{path}transit/decrypt/{}", sample.transit.key);
        let body = json!({"ciphertext": sample.transit.ciphertext});
        let plaintext = server.ask(&decrypt, &body, "/data/plaintext").await?;
        same(node, &decrypt, plaintext == sample.transit.plaintext)?;
        for (login, approle) in &sample.approles {
            server
                .ask(login, &credentials(approle), "/auth/client_token")
                .await?;
        }
        checked += 1 + sample.approles.len();
    }
    Ok(checked as u64)
}

/// A token reads what its policy in this namespace lets it.
async fn allowed(node: &HttpNode, token: &TokenSample, path: &str) -> Result<()> {
    let secret = format!("{path}secret/data/app-0");
    let answer = node.read(&token.token.clone().into(), &secret).await?;
    same(node, &secret, answer.is_some())
}
