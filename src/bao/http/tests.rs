//! The client against scripted servers: what it sends, what it makes of the answers, and of none.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{Deadlines, HttpNode};
use crate::armed::Armed;
use crate::bao::{Error, Node};
use crate::meter::Silent;

mod calls;
mod failures;
mod forwards;
mod secrets;
mod snapshots;

/// Far longer than anything here takes: a test that meets it hangs where it should have ended.
const LONG: Duration = Duration::from_secs(20);

/// All deadlines out of the way.
fn patient() -> Deadlines {
    Deadlines {
        connect: LONG,
        call: LONG,
        init: LONG,
        seal: LONG,
        idle: LONG,
        accepted: LONG,
    }
}

fn node(address: &str, deadlines: Deadlines) -> HttpNode {
    HttpNode::with_deadlines("openbao-0", address, deadlines).unwrap()
}

/// A test has nothing to lose.
fn armed() -> Armed {
    Armed::by_record(7)
}

fn token() -> SecretString {
    "s.token-of-the-run".into()
}

/// A server that gives one answer to whatever comes.
async fn answering(answer: ResponseTemplate) -> (MockServer, HttpNode) {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    let node = node(&server.uri(), patient());
    (server, node)
}

async fn saying(status: u16, body: Value) -> (MockServer, HttpNode) {
    answering(ResponseTemplate::new(status).set_body_json(body)).await
}

/// The one request that came: a second one would be a retry.
async fn only(server: &MockServer) -> Request {
    let mut came = server.received_requests().await.unwrap();
    assert_eq!(came.len(), 1, "{came:?}");
    came.remove(0)
}

/// A server on bare TCP that does to each connection what `act` says; and how many came.
async fn bare<F, W>(act: F) -> (String, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> W + Send + 'static,
    W: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&came);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            // The client may go away in the middle, which is what some tests want.
            tokio::spawn(act(stream));
        }
    });
    (address, came)
}

/// Reads a request's head.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Makes every call once and collects the errors, for statements that hold for all of them.
async fn errors_of_all(node: &HttpNode, token: &SecretString) -> Vec<(&'static str, Error)> {
    let (armed, folder) = (armed(), tempfile::tempdir().unwrap());
    let (to, from) = (folder.path().join("to"), folder.path().join("from"));
    std::fs::write(&from, "snapshot").unwrap();
    let body = serde_json::json!({});
    let mut errors = Vec::new();
    macro_rules! fails {
        ($($call:expr),* $(,)?) => {
            $(errors.push((stringify!($call), $call.await.map(drop).unwrap_err()));)*
        };
    }
    fails![
        node.seal_status(),
        node.leader(),
        node.init(5, 3, &armed),
        node.unseal(token, LONG, &armed),
        node.reset_unseal(&armed),
        node.seal(token, &armed),
        node.touch(token, &armed),
        node.generate_root(std::slice::from_ref(token), &armed),
        node.lookup_self(token),
        node.capabilities(token, &["sys/seal"]),
        node.upload_time(token, 1000),
        node.mounts(token),
        node.auth_methods(token),
        node.policies(token),
        node.audit_devices(token),
        node.raft_configuration(token),
        node.autopilot(token),
        node.snapshot_save(token, &to, &Silent),
        node.snapshot_force(token, &from, &Silent, &armed),
        node.raw_len(token, "core/mounts"),
        node.read(token, "secret/data/app"),
        node.read_with(token, "secret/data/app", &[("version", "2")]),
        node.list(token, "secret/metadata"),
        node.write(token, "secret/data/app", &body, &armed),
    ];
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "a failed download left a file: {left:?}");
    errors
}
/// As many requests as [`errors_of_all`] makes.
const ALL: usize = 24;
