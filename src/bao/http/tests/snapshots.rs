//! Snapshots on their way in both directions.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;

use tokio::io::AsyncWriteExt;

use super::*;
use crate::meter::{Meter, Unit};

#[derive(Default)]
struct Counting {
    total: AtomicU64,
    done: AtomicU64,
}

impl Meter for Counting {
    fn total(&self, _: Unit, total: u64) {
        self.total.store(total, Ordering::SeqCst);
    }
    fn advance(&self, _: Unit, more: u64) {
        self.done.fetch_add(more, Ordering::SeqCst);
    }
    fn waiting(&self, _: &str) {}
}

impl Counting {
    fn seen(&self) -> (u64, u64) {
        (
            self.done.load(Ordering::SeqCst),
            self.total.load(Ordering::SeqCst),
        )
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    (folder, path)
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn idle(milliseconds: u64) -> Deadlines {
    Deadlines {
        idle: Duration::from_millis(milliseconds),
        ..patient()
    }
}

/// A server that sends `parts` with a pause after each, and then does what `end` says.
async fn sending(
    parts: Vec<&'static [u8]>,
    pause: Duration,
    end: End,
) -> (String, Arc<AtomicUsize>) {
    bare(move |mut stream| {
        let parts = parts.clone();
        async move {
            head(&mut stream).await?;
            for part in parts {
                stream.write_all(part).await?;
                tokio::time::sleep(pause).await;
            }
            match end {
                End::Close => stream.shutdown().await,
                End::Reset => stream.set_zero_linger(),
                End::Stall => {
                    tokio::time::sleep(LONG).await;
                    Ok(())
                }
            }
        }
    })
    .await
}

#[derive(Clone, Copy)]
enum End {
    Close,
    Reset,
    Stall,
}

#[tokio::test]
async fn a_download_lands_whole_private_and_counted() {
    let content = vec![7_u8; 300_000];
    let (server, node) =
        answering(ResponseTemplate::new(200).set_body_bytes(content.clone())).await;
    let (folder, to) = folder();
    std::fs::write(&to, "an older one").unwrap();
    let meter = Counting::default();
    let length = node.snapshot_save(&token(), &to, &meter).await.unwrap();
    assert_eq!(length, 300_000);
    assert_eq!(meter.seen(), (300_000, 300_000));
    assert_eq!(std::fs::read(&to).unwrap(), content);
    assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(names(&folder), ["snapshot"]);
    let request = only(&server).await;
    assert_eq!(request.method.as_str(), "GET");
    assert_eq!(request.url.path(), "/v1/sys/storage/raft/snapshot");
    assert_eq!(request.headers["x-vault-token"], "s.token-of-the-run");
    assert!(request.body.is_empty());
}

#[tokio::test]
async fn a_truncated_download_is_an_error_and_leaves_no_file() {
    let sized: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc";
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    for (head, end) in [
        (sized, End::Close),
        (sized, End::Reset),
        (chunked, End::Close),
        (chunked, End::Reset),
    ] {
        let (address, came) = sending(vec![head], Duration::ZERO, end).await;
        let (folder, to) = folder();
        let error = node(&address, patient())
            .snapshot_save(&token(), &to, &Silent)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Broken { .. }), "{error:?}");
        assert!(names(&folder).is_empty());
        assert_eq!(came.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn an_empty_download_is_not_a_snapshot() {
    let (_server, node) = answering(ResponseTemplate::new(200)).await;
    let (folder, to) = folder();
    let error = node
        .snapshot_save(&token(), &to, &Silent)
        .await
        .unwrap_err();
    assert!(
        error.to_string().ends_with("the snapshot is empty"),
        "{error}"
    );
    assert!(names(&folder).is_empty());
}

#[tokio::test]
async fn a_failed_download_keeps_the_older_file() {
    let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc";
    let (address, _) = sending(vec![head], Duration::ZERO, End::Close).await;
    let (folder, to) = folder();
    std::fs::write(&to, "an older one").unwrap();
    let node = node(&address, patient());
    node.snapshot_save(&token(), &to, &Silent)
        .await
        .unwrap_err();
    assert_eq!(std::fs::read(&to).unwrap(), b"an older one");
    assert_eq!(names(&folder), ["snapshot"]);
}

#[tokio::test]
async fn a_download_that_cannot_get_its_name_leaves_nothing_beside_it() {
    let (_server, node) = answering(ResponseTemplate::new(200).set_body_bytes("abc")).await;
    let (folder, to) = folder();
    std::fs::create_dir(&to).unwrap();
    let error = node
        .snapshot_save(&token(), &to, &Silent)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::File { path, .. } if *path == to),
        "{error:?}"
    );
    assert_eq!(names(&folder), ["snapshot"]);
}

#[tokio::test]
async fn a_download_that_stalls_meets_the_idle_deadline() {
    let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc";
    let refused: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\n{";
    // In its middle, in the middle of a refusal, and before it has begun.
    for parts in [vec![head], vec![refused], vec![]] {
        let (address, came) = sending(parts, Duration::ZERO, End::Stall).await;
        let (folder, to) = folder();
        let error = node(&address, idle(150))
            .snapshot_save(&token(), &to, &Silent)
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Timeout { after, .. } if after == Duration::from_millis(150)),
            "{error:?}"
        );
        assert!(names(&folder).is_empty());
        assert_eq!(came.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_download_that_is_slow_but_steady_is_waited_for() {
    let head: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    let mut parts = vec![head];
    parts.extend([b"x".as_slice(); 10]);
    let (address, _) = sending(parts, Duration::from_millis(120), End::Stall).await;
    let (_folder, to) = folder();
    let length = node(&address, idle(1_000))
        .snapshot_save(&token(), &to, &Silent)
        .await
        .unwrap();
    assert_eq!(length, 10);
}

#[tokio::test]
async fn an_upload_sends_the_file_with_its_length() {
    let content: Vec<u8> = (0..700_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let (server, node) = answering(ResponseTemplate::new(204)).await;
    let (_folder, from) = folder();
    std::fs::write(&from, &content).unwrap();
    let meter = Counting::default();
    node.snapshot_force(&token(), &from, &meter, &armed())
        .await
        .unwrap();
    assert_eq!(meter.seen(), (700_000, 700_000));
    let request = only(&server).await;
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.url.path(), "/v1/sys/storage/raft/snapshot-force");
    assert_eq!(request.headers["x-vault-token"], "s.token-of-the-run");
    assert_eq!(request.headers["content-length"], "700000");
    assert!(!request.headers.contains_key("transfer-encoding"));
    assert!(request.body == content);
}

#[tokio::test]
async fn an_upload_without_its_file_sends_nothing() {
    let (server, node) = answering(ResponseTemplate::new(204)).await;
    let (_folder, from) = folder();
    let error = node
        .snapshot_force(&token(), &from, &Silent, &armed())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    assert!(!error.outcome_unknown());
    assert!(server.received_requests().await.unwrap().is_empty());
}

/// A file of a size that no socket buffer swallows.
fn large() -> (tempfile::TempDir, PathBuf, u64) {
    let (folder, path) = folder();
    let length = 64 << 20;
    std::fs::File::create(&path)
        .unwrap()
        .set_len(length)
        .unwrap();
    (folder, path, length)
}

#[tokio::test]
async fn an_upload_that_is_never_read_meets_the_idle_deadline() {
    let (address, came) = bare(|mut stream| async move {
        head(&mut stream).await?;
        tokio::time::sleep(LONG).await;
        drop(stream);
        Ok(())
    })
    .await;
    let (_folder, from, length) = large();
    let meter = Counting::default();
    let error = node(&address, idle(300))
        .snapshot_force(&token(), &from, &meter, &armed())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Timeout { after, .. } if after == Duration::from_millis(300)),
        "{error:?}"
    );
    assert!(error.outcome_unknown());
    assert!(meter.seen().0 < length);
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_upload_without_an_answer_meets_the_deadline_of_its_own() {
    let (address, came) = bare(|mut stream| async move {
        head(&mut stream).await?;
        let mut sink = vec![0; 1 << 20];
        while stream.read(&mut sink).await? > 0 {}
        Ok(())
    })
    .await;
    let (_folder, from, length) = large();
    let accepted = Duration::from_millis(200);
    let deadlines = Deadlines {
        accepted,
        ..patient()
    };
    let meter = Counting::default();
    let error = node(&address, deadlines)
        .snapshot_force(&token(), &from, &meter, &armed())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Timeout { after, .. } if after == accepted),
        "{error:?}"
    );
    assert_eq!(meter.seen(), (length, length));
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_upload_that_is_refused_in_its_middle_tells_the_refusal() {
    let (address, came) = bare(|mut stream| async move {
        head(&mut stream).await?;
        let mut some = vec![0; 1 << 20];
        stream.read_exact(&mut some).await?;
        stream
            .write_all(
                b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 28\r\n\r\n\
                  {\"errors\":[\"an i/o timeout\"]}"
                    .get(..)
                    .unwrap_or_default(),
            )
            .await?;
        tokio::time::sleep(LONG).await;
        Ok(())
    })
    .await;
    let (_folder, from, _) = large();
    let error = node(&address, idle(5_000))
        .snapshot_force(&token(), &from, &Silent, &armed())
        .await
        .unwrap_err();
    assert_eq!(error.status(), Some(500), "{error:?}");
    assert!(!error.outcome_unknown());
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_upload_that_is_cut_has_an_unknown_outcome() {
    let (address, came) = bare(|mut stream| async move {
        head(&mut stream).await?;
        let mut some = vec![0; 1 << 20];
        stream.read_exact(&mut some).await?;
        stream.set_zero_linger()
    })
    .await;
    let (_folder, from, _) = large();
    let error = node(&address, patient())
        .snapshot_force(&token(), &from, &Silent, &armed())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Broken { .. }), "{error:?}");
    assert_eq!(came.load(Ordering::SeqCst), 1);
}
