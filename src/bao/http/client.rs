//! The client of one node: one request at a time, with a deadline, without redirects and without retries.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::body::{self, Enveloped};
use super::error::Call;
use super::forward;
use super::path::encode;
use crate::armed::Armed;
use crate::bao::{Error, Result};

/// How long a call may take. The defaults fit a real server; tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Establishing a connection.
    pub connect: Duration,
    /// Any call that has no deadline of its own. Even `sys/seal-status` waits for the server's state lock.
    pub call: Duration,
    /// `sys/init`, which elects a first leader on raft.
    pub init: Duration,
    /// `sys/seal`, which drains for up to 90 s.
    pub seal: Duration,
    /// The longest pause between two pieces of a snapshot.
    pub idle: Duration,
    /// From the last byte of a snapshot sent to the server's answer.
    pub accepted: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(10),
            init: Duration::from_mins(1),
            seal: Duration::from_mins(2),
            idle: Duration::from_mins(1),
            accepted: Duration::from_mins(2),
        }
    }
}

/// Installs the TLS provider for the whole process; call it first thing in `main`. Again is harmless.
pub fn install_crypto() {
    // An error says that one is installed already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// How a node is reached, besides its address.
#[derive(Debug, Clone, Default)]
pub struct Transport {
    /// A Unix socket to connect to instead of the address, which then is only what the server is called: the `Host`
    /// of each request and the name that its certificate must bear.
    pub socket: Option<PathBuf>,
    /// Certificates (PEM, one or more) to trust instead of the system's.
    pub ca_pem: Option<Vec<u8>>,
}

impl Transport {
    fn apply(&self, mut builder: ClientBuilder) -> reqwest::Result<ClientBuilder> {
        if let Some(socket) = &self.socket {
            builder = builder.unix_socket(socket.as_path());
        }
        if let Some(pem) = &self.ca_pem {
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(pem)?);
        }
        Ok(builder)
    }
}

/// One node's HTTP API.
#[derive(Clone)]
pub struct HttpNode {
    pub(super) name: String,
    base: String,
    /// Opens a connection per call: a kept one may have died with the server's last instance, which would
    /// leave the outcome of a call unknown that must not be sent twice.
    fresh: Client,
    /// Keeps connections, for reads and for seeding.
    kept: Client,
    pub(super) deadlines: Deadlines,
}

impl fmt::Debug for HttpNode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpNode")
            .field("name", &self.name)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl HttpNode {
    /// A client for the node `name` at `address`, for example `http://127.0.0.1:8200`.
    pub fn new(name: impl Into<String>, address: &str) -> Result<Self> {
        Self::with_deadlines(name, address, Deadlines::default())
    }

    /// The same with other deadlines.
    pub fn with_deadlines(
        name: impl Into<String>,
        address: &str,
        deadlines: Deadlines,
    ) -> Result<Self> {
        Self::build(name, address, &Transport::default(), deadlines)
    }

    /// A client that reaches its node in another way than by its address.
    pub fn over(name: impl Into<String>, address: &str, transport: &Transport) -> Result<Self> {
        Self::build(name, address, transport, Deadlines::default())
    }

    /// A client with all that can be chosen.
    pub fn build(
        name: impl Into<String>,
        address: &str,
        transport: &Transport,
        deadlines: Deadlines,
    ) -> Result<Self> {
        install_crypto();
        let name = name.into();
        let build = |idle: usize| {
            let builder = Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .http1_only()
                .connect_timeout(deadlines.connect)
                .pool_max_idle_per_host(idle);
            let built = transport.apply(builder).and_then(ClientBuilder::build);
            built.map_err(|error| Error::Unreachable {
                node: name.clone(),
                call: format!("connecting to {address}"),
                why: error.to_string(),
            })
        };
        let (fresh, kept) = (build(0)?, build(64)?);
        Ok(Self {
            base: format!("{}/v1/", address.trim_end_matches('/')),
            name,
            fresh,
            kept,
            deadlines,
        })
    }

    /// `POST <path>` with a JSON body: the answer, `None` where there is no content.
    pub async fn write(
        &self,
        token: &SecretString,
        path: &str,
        body: &Value,
        _armed: &Armed,
    ) -> Result<Option<Value>> {
        let call = self
            .call(&Method::POST, path, self.deadlines.call)
            .carrying(token);
        let body = body::wiped(body).map_err(|error| call.malformed(error.to_string()))?;
        let request = self.request(Method::POST, path, self.deadlines.call, true);
        let request = json(authorised(&call, request, token)?, body);
        let (status, answer) = whole(&call, request).await?;
        accepted(&call, status, &answer)?;
        if answer.is_empty() {
            return Ok(None);
        }
        body::parse(&answer)
            .map(Some)
            .map_err(|why| call.malformed(why))
    }

    /// `GET <path>` with a query, for example `version=2`; the whole answer, `None` for 404.
    pub async fn read_with(
        &self,
        token: &SecretString,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Option<Value>> {
        let call = self
            .call(&Method::GET, path, self.deadlines.call)
            .carrying(token);
        let request = self
            .request(Method::GET, path, self.deadlines.call, true)
            .query(query);
        let (status, answer) = whole(&call, authorised(&call, request, token)?).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        accepted(&call, status, &answer)?;
        body::parse(&answer)
            .map(Some)
            .map_err(|why| call.malformed(why))
    }

    /// `GET <path>` with a token; the `data` of the answer.
    pub(super) async fn data<T: DeserializeOwned>(
        &self,
        token: &SecretString,
        path: &str,
    ) -> Result<T> {
        let call = self
            .call(&Method::GET, path, self.deadlines.call)
            .carrying(token);
        let request = self.request(Method::GET, path, self.deadlines.call, true);
        let (status, answer) = whole(&call, authorised(&call, request, token)?).await?;
        accepted(&call, status, &answer)?;
        body::parse::<Enveloped<T>>(&answer)
            .map(|enveloped| enveloped.data)
            .map_err(|why| call.malformed(why))
    }

    /// `GET <path>` without a token on a connection of its own.
    pub(super) async fn open<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let call = self.call(&Method::GET, path, self.deadlines.call);
        let request = self.request(Method::GET, path, self.deadlines.call, false);
        let (status, answer) = whole(&call, request).await?;
        accepted(&call, status, &answer)?;
        body::parse(&answer).map_err(|why| call.malformed(why))
    }

    /// A `PUT` on a connection of its own; the answer's bytes, whatever they hold.
    pub(super) async fn put(
        &self,
        call: &Call,
        path: &str,
        token: Option<&SecretString>,
        body: Bytes,
    ) -> Result<Bytes> {
        let mut request = self.request(Method::PUT, path, call.deadline, false);
        if let Some(token) = token {
            request = authorised(call, request, token)?;
        }
        let (status, answer) = whole(call, json(request, body)).await?;
        accepted(call, status, &answer)?;
        Ok(answer)
    }

    /// A call's name for errors.
    pub(super) fn call(&self, method: &Method, path: &str, deadline: Duration) -> Call {
        Call {
            node: self.name.clone(),
            name: format!("{method} {path}"),
            deadline,
            secret: None,
        }
    }

    /// A request under a total deadline.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        deadline: Duration,
        keep: bool,
    ) -> RequestBuilder {
        self.streaming(method, path, keep).timeout(deadline)
    }

    /// A request without a total deadline.
    pub(super) fn streaming(&self, method: Method, path: &str, keep: bool) -> RequestBuilder {
        let client = if keep { &self.kept } else { &self.fresh };
        client.request(method, format!("{}{}", self.base, encode(path)))
    }
}

/// Adds the token as a header that no log shows.
pub(super) fn authorised(
    call: &Call,
    request: RequestBuilder,
    token: &SecretString,
) -> Result<RequestBuilder> {
    let mut value = HeaderValue::from_str(token.expose_secret())
        .map_err(|_| call.malformed("the token has characters that no header can carry"))?;
    value.set_sensitive(true);
    Ok(request.header("X-Vault-Token", value))
}

pub(super) fn json(request: RequestBuilder, body: Bytes) -> RequestBuilder {
    request
        .header(CONTENT_TYPE, "application/json")
        .body(reqwest::Body::from(body))
}

/// Sends a request: every call goes through here, so that a failed port-forward is never taken for the server's answer.
pub(super) async fn send(call: &Call, request: RequestBuilder) -> Result<Response> {
    let answered = request.send().await;
    let response = answered.map_err(|error| call.transport(&error))?;
    forward::judge(call, response).await
}

/// Sends a request and reads its whole answer.
pub(super) async fn whole(call: &Call, request: RequestBuilder) -> Result<(StatusCode, Bytes)> {
    let response = send(call, request).await?;
    let status = response.status();
    let answer = bytes_of(call, response).await?;
    Ok((status, answer))
}

/// The rest of an answer.
pub(super) async fn bytes_of(call: &Call, response: Response) -> Result<Bytes> {
    response
        .bytes()
        .await
        .map_err(|error| call.transport(&error))
}

/// Turns every status but success into an error.
pub(super) fn accepted(call: &Call, status: StatusCode, answer: &[u8]) -> Result<()> {
    if status.is_success() {
        return Ok(());
    }
    if status.is_redirection() {
        return Err(call.redirected());
    }
    Err(call.status(status.as_u16(), body::errors(answer)))
}
