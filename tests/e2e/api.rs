//! One server's API as a client sees it, through a port-forward of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::cluster::cluster;

/// A forwarded port of a pod; it ends with this.
pub struct Api {
    forward: Child,
    /// It writes a line for each connection, and ends when nobody takes them.
    _output: BufReader<ChildStdout>,
    base: String,
    client: Client,
    token: String,
}

pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().unwrap())
}

impl Api {
    pub fn open(namespace: &str, pod: &str, tls: bool, token: &str) -> Self {
        baoctl::bao::install_crypto();
        let target = format!("pod/{pod}");
        let mut forward = cluster()
            .kubectl_command(&["port-forward", "-n", namespace, &target, ":8200"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(forward.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let port: String = line
            .split_once("127.0.0.1:")
            .unwrap_or_else(|| panic!("no port-forward to {pod}: {line}"))
            .1
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let scheme = if tls { "https" } else { "http" };
        // Whether the certificate is right is the program's business, not this client's.
        let client = Client::builder()
            .no_proxy()
            .tls_danger_accept_invalid_certs(true)
            .timeout(Duration::from_mins(1))
            .build()
            .unwrap();
        Self {
            forward,
            _output: output,
            base: format!("{scheme}://127.0.0.1:{port}/v1/"),
            client,
            token: token.to_owned(),
        }
    }

    /// The status and the answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header("X-Vault-Token", &self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                (status, response.json().await.unwrap_or_default())
            }
            Err(error) => (0, Value::String(error.to_string())),
        }
    }

    pub fn get(&self, path: &str) -> (u16, Value) {
        runtime().block_on(self.send(Method::GET, path, None))
    }

    /// Writes, which must go well.
    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = runtime().block_on(self.send(Method::POST, path, Some(body)));
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// The bytes of an answer, which must be a good one.
    #[track_caller]
    pub fn download(&self, path: &str) -> Vec<u8> {
        let url = format!("{}{path}", self.base);
        let request = self.client.get(url).header("X-Vault-Token", &self.token);
        let bytes = runtime().block_on(async {
            let answer = request.send().await?.error_for_status()?;
            answer.bytes().await
        });
        bytes.unwrap().to_vec()
    }

    pub fn seal_status(&self) -> Value {
        self.get("sys/seal-status").1
    }

    pub fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.forward.kill();
        let _ = self.forward.wait();
    }
}
