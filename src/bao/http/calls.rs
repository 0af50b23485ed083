//! The calls of [`Node`] over HTTP.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::body::{
    self, Autopilot, Configuration, Enveloped, Init, Keys, Raw, RootAttempt, RootProgress,
};
use super::client::{HttpNode, accepted, authorised, json as sending, whole};
use super::error::Call;
use crate::armed::Armed;
use crate::bao::{
    AuditDevice, Health, InitKeys, Leader, Mount, Node, RaftConfiguration, Result, SealStatus,
    TokenDetails, VoterState,
};
use crate::meter::Meter;

const UNSEAL: &str = "sys/unseal";
const GENERATE_ROOT: &str = "sys/generate-root/attempt";

#[derive(Serialize)]
struct InitRequest {
    secret_shares: u32,
    secret_threshold: u32,
}

#[derive(Serialize)]
struct UnsealRequest<'share> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'share str>,
    reset: bool,
}

#[derive(Serialize)]
struct RawRequest<'value> {
    value: &'value str,
    encoding: &'static str,
}

#[derive(Serialize)]
struct RootShare<'share> {
    key: &'share str,
    nonce: &'share str,
}

impl HttpNode {
    async fn put_unseal(&self, call: Call, request: &UnsealRequest<'_>) -> Result<SealStatus> {
        let request = body::wiped(request).map_err(|error| call.malformed(error.to_string()))?;
        let answer = self.put(&call, UNSEAL, None, request).await?;
        body::parse(&answer).map_err(|why| call.malformed(why))
    }

    /// A change that takes a token and answers nothing.
    async fn command(
        &self,
        token: &SecretString,
        path: &str,
        body: &Value,
        deadline: Duration,
    ) -> Result<()> {
        let call = self.call(&Method::PUT, path, deadline).carrying(token);
        self.put(&call, path, Some(token), body.to_string().into())
            .await
            .map(drop)
    }
}

#[async_trait]
impl Node for HttpNode {
    fn name(&self) -> &str {
        &self.name
    }

    async fn seal_status(&self) -> Result<SealStatus> {
        self.open("sys/seal-status").await
    }

    async fn health(&self) -> Result<Health> {
        let path = "sys/health";
        let call = self.call(&Method::GET, path, self.deadlines.call);
        let request = self.request(Method::GET, path, self.deadlines.call, false);
        let (status, _) = whole(&call, request).await?;
        if status.is_redirection() {
            return Err(call.redirected());
        }
        Ok(match status.as_u16() {
            200 => Health::Active,
            429 => Health::Standby,
            501 => Health::Uninitialized,
            503 => Health::Sealed,
            other => Health::Other(other),
        })
    }

    async fn leader(&self) -> Result<Leader> {
        self.open("sys/leader").await
    }

    async fn init(&self, shares: u32, threshold: u32, _armed: &Armed) -> Result<InitKeys> {
        let path = "sys/init";
        let call = self.call(&Method::PUT, path, self.deadlines.init);
        let request = body::wiped(&InitRequest {
            secret_shares: shares,
            secret_threshold: threshold,
        })
        .map_err(|error| call.malformed(error.to_string()))?;
        let answer = self.put(&call, path, None, request).await?;
        let keys = body::parse::<Init>(&answer).map_err(|why| call.malformed(why));
        body::wipe(answer);
        keys.map(InitKeys::from)
    }

    async fn unseal(
        &self,
        share: &SecretString,
        deadline: Duration,
        _armed: &Armed,
    ) -> Result<SealStatus> {
        let call = self.call(&Method::PUT, UNSEAL, deadline).carrying(share);
        let request = UnsealRequest {
            key: Some(share.expose_secret()),
            reset: false,
        };
        self.put_unseal(call, &request).await
    }

    async fn reset_unseal(&self, _armed: &Armed) -> Result<SealStatus> {
        let call = self.call(&Method::PUT, UNSEAL, self.deadlines.call);
        let request = UnsealRequest {
            key: None,
            reset: true,
        };
        self.put_unseal(call, &request).await
    }

    async fn seal(&self, token: &SecretString, _armed: &Armed) -> Result<()> {
        self.command(token, "sys/seal", &json!({}), self.deadlines.seal)
            .await
    }

    async fn set_stabilization(
        &self,
        token: &SecretString,
        time: Duration,
        _armed: &Armed,
    ) -> Result<()> {
        let time = format!("{}ms", time.as_millis());
        let path = "sys/storage/raft/autopilot/configuration";
        let body = json!({ "server_stabilization_time": time });
        self.command(token, path, &body, self.deadlines.call).await
    }

    async fn touch(&self, token: &SecretString, _armed: &Armed) -> Result<()> {
        let path = "sys/wrapping/wrap";
        let call = self
            .call(&Method::PUT, path, self.deadlines.call)
            .carrying(token);
        let request = self
            .request(Method::PUT, path, self.deadlines.call, true)
            .header("X-Vault-Wrap-TTL", "1s");
        let request = sending(authorised(&call, request, token)?, "{}".into());
        let (status, answer) = whole(&call, request).await?;
        accepted(&call, status, &answer)?;
        // It names a token.
        body::wipe(answer);
        Ok(())
    }

    async fn generate_root(&self, shares: &[SecretString], _armed: &Armed) -> Result<SecretString> {
        let call = self.call(&Method::PUT, GENERATE_ROOT, self.deadlines.call);
        let answer = self.put(&call, GENERATE_ROOT, None, "{}".into()).await?;
        let attempt = body::parse::<RootAttempt>(&answer).map_err(|why| call.malformed(why));
        body::wipe(answer);
        let attempt = attempt?;
        for share in shares {
            let path = "sys/generate-root/update";
            let call = self
                .call(&Method::PUT, path, self.deadlines.call)
                .carrying(share);
            let request = body::wiped(&RootShare {
                key: share.expose_secret(),
                nonce: &attempt.nonce,
            })
            .map_err(|error| call.malformed(error.to_string()))?;
            let answer = self.put(&call, path, None, request).await?;
            let progress = body::parse::<RootProgress>(&answer).map_err(|why| call.malformed(why));
            body::wipe(answer);
            let progress = progress?;
            if progress.complete {
                return attempt
                    .token(&progress)
                    .ok_or_else(|| call.malformed("the token does not decode"));
            }
        }
        Err(call.malformed("more shares are wanted than were given"))
    }

    async fn lookup_self(&self, token: &SecretString) -> Result<TokenDetails> {
        self.data(token, "auth/token/lookup-self").await
    }

    async fn capabilities(
        &self,
        token: &SecretString,
        paths: &[&str],
    ) -> Result<BTreeMap<String, Vec<String>>> {
        let path = "sys/capabilities-self";
        let call = self
            .call(&Method::PUT, path, self.deadlines.call)
            .carrying(token);
        let body = json!({ "paths": paths }).to_string();
        let answer = self.put(&call, path, Some(token), body.into()).await?;
        body::parse::<Enveloped<BTreeMap<String, Vec<String>>>>(&answer)
            .map(|enveloped| enveloped.data)
            .map_err(|why| call.malformed(why))
    }

    async fn upload_time(&self, token: &SecretString, bytes: u64) -> Result<Duration> {
        let path = "sys/capabilities-self";
        let call = self
            .call(&Method::PUT, path, self.deadlines.idle)
            .carrying(token);
        let padding = "x".repeat(usize::try_from(bytes).unwrap_or_default());
        let body = json!({ "paths": [path], "padding": padding }).to_string();
        let started = Instant::now();
        self.put(&call, path, Some(token), body.into()).await?;
        Ok(started.elapsed())
    }

    async fn mounts(&self, token: &SecretString) -> Result<BTreeMap<String, Mount>> {
        self.data(token, "sys/mounts").await
    }

    async fn auth_methods(&self, token: &SecretString) -> Result<BTreeMap<String, Mount>> {
        self.data(token, "sys/auth").await
    }

    async fn policies(&self, token: &SecretString) -> Result<Vec<String>> {
        let mut names = self.list(token, "sys/policies/acl").await?;
        names.sort_unstable();
        Ok(names)
    }

    async fn audit_devices(&self, token: &SecretString) -> Result<BTreeMap<String, AuditDevice>> {
        self.data(token, "sys/audit").await
    }

    async fn raft_configuration(&self, token: &SecretString) -> Result<RaftConfiguration> {
        let answer: Configuration<RaftConfiguration> =
            self.data(token, "sys/storage/raft/configuration").await?;
        Ok(answer.config)
    }

    async fn autopilot(&self, token: &SecretString) -> Result<BTreeMap<String, VoterState>> {
        let answer: Autopilot<VoterState> =
            self.data(token, "sys/storage/raft/autopilot/state").await?;
        Ok(answer.servers)
    }

    async fn snapshot_save(
        &self,
        token: &SecretString,
        to: &Path,
        meter: &dyn Meter,
    ) -> Result<u64> {
        self.save_snapshot(token, to, meter).await
    }

    async fn snapshot_force(
        &self,
        token: &SecretString,
        from: &Path,
        meter: &dyn Meter,
        _armed: &Armed,
    ) -> Result<()> {
        self.force_snapshot(token, from, meter).await
    }

    async fn raw(&self, token: &SecretString, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let path = format!("sys/raw/{key}");
        let call = self
            .call(&Method::GET, &path, self.deadlines.call)
            .carrying(token);
        // The bytes as decrypted: inflating them, the server's default, can fail on an entry that is whole.
        let request = self
            .request(Method::GET, &path, self.deadlines.call, true)
            .query(&[("encoding", "base64"), ("compressed", "false")]);
        let (status, answer) = whole(&call, authorised(&call, request, token)?).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        accepted(&call, status, &answer)?;
        let raw = body::parse::<Enveloped<Raw>>(&answer).map_err(|why| call.malformed(why));
        body::wipe(answer);
        let value = Zeroizing::new(raw?.data.value);
        let decoded = base64_simd::STANDARD.decode_to_vec(value.as_bytes());
        let decoded = decoded.map_err(|_| call.malformed("the value is not base64"))?;
        Ok(Some(Zeroizing::new(decoded)))
    }

    async fn raw_write(
        &self,
        token: &SecretString,
        key: &str,
        value: &[u8],
        _armed: &Armed,
    ) -> Result<()> {
        let path = format!("sys/raw/{key}");
        let call = self
            .call(&Method::PUT, &path, self.deadlines.call)
            .carrying(token);
        let value = Zeroizing::new(base64_simd::STANDARD.encode_to_string(value));
        let request = body::wiped(&RawRequest {
            value: &value,
            encoding: "base64",
        })
        .map_err(|error| call.malformed(error.to_string()))?;
        self.put(&call, &path, Some(token), request).await.map(drop)
    }

    async fn raw_delete(&self, token: &SecretString, key: &str, _armed: &Armed) -> Result<()> {
        let path = format!("sys/raw/{key}");
        let call = self
            .call(&Method::DELETE, &path, self.deadlines.call)
            .carrying(token);
        let request = self.request(Method::DELETE, &path, self.deadlines.call, false);
        let (status, answer) = whole(&call, authorised(&call, request, token)?).await?;
        accepted(&call, status, &answer)
    }

    async fn list(&self, token: &SecretString, path: &str) -> Result<Vec<String>> {
        let call = self
            .call(&Method::GET, path, self.deadlines.call)
            .carrying(token);
        let request = self
            .request(Method::GET, path, self.deadlines.call, true)
            .query(&[("list", "true")]);
        let (status, answer) = whole(&call, authorised(&call, request, token)?).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        accepted(&call, status, &answer)?;
        let listed: Enveloped<Keys> = body::parse(&answer).map_err(|why| call.malformed(why))?;
        Ok(listed.data.keys)
    }

    async fn read(&self, token: &SecretString, path: &str) -> Result<Option<Value>> {
        self.read_with(token, path, &[]).await
    }
}
