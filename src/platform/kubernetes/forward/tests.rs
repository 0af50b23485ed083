//! What a client is told, with pairs of streams in the place of a port-forward.

use std::time::Duration;

use kube::{Client, Config};
use tokio::io::duplex;

use super::*;
use crate::bao::{Error as NodeError, HttpNode, Node, Transport};

/// Nothing listens there.
fn nowhere() -> Cluster {
    crate::bao::install_crypto();
    let mut config = Config::new("http://127.0.0.1:1".parse().unwrap());
    config.default_retry = false;
    Cluster::new(Client::try_from(config).unwrap(), "nowhere", "bao")
}

async fn leader_through(socket: PathBuf) -> NodeError {
    let transport = Transport {
        socket: Some(socket),
        ca_pem: None,
    };
    let node = HttpNode::over(
        "openbao-0",
        "http://openbao-0.openbao-internal:8200",
        &transport,
    );
    node.unwrap().leader().await.unwrap_err()
}

#[tokio::test]
async fn without_an_api_server_nothing_is_reached() {
    let forwards = Forwards::new(&nowhere()).unwrap();
    let socket = forwards.socket("openbao-0", 8200).unwrap();
    assert_eq!(socket, forwards.socket("openbao-0", 8200).unwrap());
    assert_ne!(socket, forwards.socket("openbao-1", 8200).unwrap());
    let folder = socket.parent().unwrap().to_owned();
    let mode = std::fs::metadata(&folder).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert!(socket.as_os_str().len() < 100);

    let error = leader_through(socket).await;
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("opening a port-forward to openbao-0:8200"),
        "{error}"
    );
    drop(forwards);
    assert!(!folder.exists());
}

/// Serves one connection with a pod that does as `pod` says, and the reason that comes afterwards.
async fn told<F>(pod: impl FnOnce(tokio::io::DuplexStream) -> F, reason: Option<&str>) -> NodeError
where
    F: Future<Output = ()> + Send + 'static,
{
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0");
    let listener = UnixListener::bind(&path).unwrap();
    let (ours, theirs) = duplex(1 << 16);
    tokio::spawn(pod(theirs));
    let reason = reason.map(str::to_owned);
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        if let Some((first, failure)) = relay(&mut client, ours, async { reason }).await {
            refuse(client, first, &failure).await;
        }
    });
    leader_through(path).await
}

async fn head(pod: &mut tokio::io::DuplexStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(pod.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn a_closed_port_is_certain_and_anything_else_is_not() {
    let refused = "failed to connect to localhost:8200: dial tcp4 127.0.0.1:8200: connect: connection refused";
    let error = told(|_| async {}, Some(refused)).await;
    assert!(matches!(error, NodeError::Unreachable { .. }), "{error:?}");
    let error = told(|_| async {}, Some("lost connection to pod")).await;
    assert!(matches!(error, NodeError::Broken { .. }), "{error:?}");
    assert!(
        error.to_string().ends_with("lost connection to pod"),
        "{error}"
    );
    let error = told(|mut pod| async move { head(&mut pod).await }, None).await;
    assert!(matches!(error, NodeError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn a_cut_answer_is_a_broken_connection() {
    let cut = |mut pod: tokio::io::DuplexStream| async move {
        head(&mut pod).await;
        let begun = b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{\"is_self\":";
        pod.write_all(begun).await.unwrap();
    };
    let error = told(cut, Some("connection refused")).await;
    assert!(matches!(error, NodeError::Broken { .. }), "{error:?}");
}

#[tokio::test]
async fn answers_pass_through_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0");
    let listener = UnixListener::bind(&path).unwrap();
    let (ours, mut pod) = duplex(64);
    tokio::spawn(async move {
        loop {
            head(&mut pod).await;
            let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
            pod.write_all(answer).await.unwrap();
        }
    });
    let served = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        relay(&mut client, ours, std::future::pending()).await
    });
    let transport = Transport {
        socket: Some(path),
        ca_pem: None,
    };
    let node = HttpNode::over("openbao-0", "http://openbao-0:8200", &transport).unwrap();
    for _ in 0..3 {
        // Reads keep their connection, so that all three take the one there is.
        let token = "t".into();
        assert_eq!(node.read(&token, "secret/data/a").await.unwrap(), None);
    }
    drop(node);
    let ended = timeout(Duration::from_secs(5), served).await.unwrap();
    assert_eq!(ended.unwrap(), None);
}
