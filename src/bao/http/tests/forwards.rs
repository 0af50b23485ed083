//! Through a Unix socket, and what its other end says when it has no server to lead to.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use super::*;
use crate::bao::{FORWARD_BROKEN, FORWARD_HEADER, FORWARD_UNREACHABLE, Transport};

const ADDRESS: &str = "http://openbao-0.openbao-internal:8200";

/// A socket that answers each connection's first bytes with `answer`, and then reads on as the real one does.
fn socket(folder: &tempfile::TempDir, answer: String) -> HttpNode {
    let path = folder.path().join("0");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut piece = vec![0; 1 << 16];
                let length = stream.read(&mut piece).await?;
                let head = String::from_utf8_lossy(&piece[..length]);
                assert!(
                    head.contains("host: openbao-0.openbao-internal:8200"),
                    "{head}"
                );
                stream.write_all(answer.as_bytes()).await?;
                stream.shutdown().await?;
                while stream.read(&mut piece).await? > 0 {}
                io::Result::Ok(())
            });
        }
    });
    let transport = Transport {
        socket: Some(path),
        ca_pem: None,
    };
    HttpNode::build("openbao-0", ADDRESS, &transport, patient()).unwrap()
}

fn failure(header: &str, kind: &str) -> String {
    let why = "pod openbao-0 is not there";
    format!(
        "HTTP/1.1 502 Bad Gateway\r\n{header}: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{why}",
        why.len()
    )
}

#[tokio::test]
async fn a_call_that_was_not_carried_says_whether_it_may_have_arrived() {
    for (kind, unknown) in [(FORWARD_UNREACHABLE, false), (FORWARD_BROKEN, true)] {
        let folder = tempfile::tempdir().unwrap();
        let node = socket(&folder, failure(FORWARD_HEADER, kind));
        let mut errors = errors_of_all(&node, &token()).await;
        errors.push(("health", node.health().await.unwrap_err()));
        assert_eq!(errors.len(), ALL + 1);
        for (call, error) in errors {
            assert_eq!(error.outcome_unknown(), unknown, "{call}: {error}");
            let expected = if unknown {
                matches!(error, Error::Broken { .. })
            } else {
                matches!(error, Error::Unreachable { .. })
            };
            assert!(expected, "{call}: {error:?}");
            assert!(error.to_string().ends_with("pod openbao-0 is not there"));
        }
    }
}

#[tokio::test]
async fn a_large_upload_hears_of_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let node = socket(&folder, failure(FORWARD_HEADER, FORWARD_BROKEN));
    let from = folder.path().join("snapshot");
    std::fs::write(&from, vec![7; 8 << 20]).unwrap();
    let sent = node
        .snapshot_force(&token(), &from, &Silent, &armed())
        .await;
    assert!(matches!(sent, Err(Error::Broken { .. })), "{sent:?}");
}

#[tokio::test]
async fn a_servers_own_502_stays_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let node = socket(&folder, failure("x-other", FORWARD_UNREACHABLE));
    assert_eq!(node.leader().await.unwrap_err().status(), Some(502));
    assert_eq!(node.health().await.unwrap(), crate::bao::Health::Other(502));
}

#[test]
fn a_certificate_that_is_none_is_refused() {
    let transport = Transport {
        socket: None,
        ca_pem: Some(b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n".to_vec()),
    };
    assert!(HttpNode::over("openbao-0", ADDRESS, &transport).is_err());
}
