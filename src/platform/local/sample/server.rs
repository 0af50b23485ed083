//! Steps that every source needs: unsealing it, waiting for it, calling it.

use std::time::Duration;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::armed::Armed;
use crate::bao::{Health, HttpNode, Node};
use crate::platform::local::LocalPlatform;
use crate::platform::{Error, Platform, Result};

/// How long one unseal call may take.
const UNSEAL: Duration = Duration::from_mins(1);
/// How long an unsealed server may take to serve.
const ACTIVE: Duration = Duration::from_mins(1);

/// A running source with the token that seeds it.
pub(super) struct Server<'run> {
    pub node: HttpNode,
    pub token: SecretString,
    pub armed: &'run Armed,
}

impl Server<'_> {
    /// Writes and expects no answer.
    pub async fn put(&self, path: &str, body: &Value) -> Result<()> {
        self.node
            .write(&self.token, path, body, self.armed)
            .await
            .map(drop)
            .map_err(Error::from)
    }

    /// Writes and takes a part of the answer.
    pub async fn ask(&self, path: &str, body: &Value, pointer: &str) -> Result<String> {
        let answer = self
            .node
            .write(&self.token, path, body, self.armed)
            .await?
            .unwrap_or_default();
        text(path, &answer, pointer)
    }

    /// Reads the `data` of an answer.
    pub async fn data<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.node.read(&self.token, path).await?.unwrap_or_default();
        serde_json::from_value(answer["data"].clone())
            .map_err(|_| Error::Refused(format!("{path}: an answer of another form")))
    }

    /// Reads a part of an answer.
    pub async fn get(&self, path: &str, pointer: &str) -> Result<String> {
        let answer = self.node.read(&self.token, path).await?.unwrap_or_default();
        text(path, &answer, pointer)
    }
}

/// A string in an answer.
fn text(path: &str, answer: &Value, pointer: &str) -> Result<String> {
    answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| Error::Refused(format!("{path}: the answer has no {pointer}")))
}

/// Gives shares until the node is unsealed and waits until it serves.
pub(super) async fn unseal(
    platform: &LocalPlatform,
    node: &HttpNode,
    shares: &[SecretString],
    armed: &Armed,
) -> Result<()> {
    let mut sealed = true;
    for share in shares {
        sealed = node.unseal(share, UNSEAL, armed).await?.sealed;
        if !sealed {
            break;
        }
    }
    if sealed {
        return Err(Error::Refused(format!(
            "{} stays sealed after all {} shares: they are too few, or not those of this data",
            node.name(),
            shares.len()
        )));
    }
    active(platform, node).await
}

async fn active(platform: &LocalPlatform, node: &HttpNode) -> Result<()> {
    let deadline = Instant::now() + ACTIVE;
    loop {
        let health = node.health().await;
        if matches!(health, Ok(Health::Active)) {
            return Ok(());
        }
        if Instant::now() >= deadline || platform.instance(node.name()).await?.is_none() {
            return Err(not_serving(platform, node.name()).await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn not_serving(platform: &LocalPlatform, member: &str) -> Error {
    let log = platform.log_tail(member, 200).await.unwrap_or_default();
    let audit = log
        .iter()
        .any(|line| line.contains("modifications to audit devices"));
    let why = if audit {
        "it was unsealed, but its audit stanzas are not those that the data was made with; give the same \
         stanzas, options included"
    } else {
        "it was unsealed, but does not serve"
    };
    Error::DidNotStart {
        member: member.to_owned(),
        why: why.to_owned(),
        log: log[log.len().saturating_sub(15)..].to_vec(),
    }
}
