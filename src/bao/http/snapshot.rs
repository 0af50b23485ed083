//! Raft snapshots, streamed from and to a file under an idle deadline.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use secrecy::SecretString;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use super::client::{HttpNode, accepted, authorised, bytes_of, send};
use super::error::Call;
use crate::bao::{Error, Result};
use crate::meter::{Meter, Unit};

const PATH: &str = "sys/storage/raft/snapshot";
const FORCE: &str = "sys/storage/raft/snapshot-force";
/// Pieces of an upload: large enough for the speed, small enough for a smooth meter.
const PIECE: usize = 256 * 1024;

impl HttpNode {
    /// Streams the server's snapshot to `to`, which appears whole or not at all.
    pub(super) async fn save_snapshot(
        &self,
        token: &SecretString,
        to: &Path,
        meter: &dyn Meter,
    ) -> Result<u64> {
        let partial = partial_of(to);
        let saved = async {
            let length = self.receive(token, &partial, meter).await?;
            tokio::fs::rename(&partial, to).await.map_err(at(to))?;
            Ok(length)
        }
        .await;
        if saved.is_err() {
            // Best effort: the error that is on its way matters more, and the next try truncates the file.
            let _ = tokio::fs::remove_file(&partial).await;
        }
        let length = saved?;
        sync_folder(to).await?;
        Ok(length)
    }

    async fn receive(
        &self,
        token: &SecretString,
        partial: &Path,
        meter: &dyn Meter,
    ) -> Result<u64> {
        let idle = self.deadlines.idle;
        let call = self.call(&Method::GET, PATH, idle).carrying(token);
        let request = authorised(&call, self.streaming(Method::GET, PATH, false), token)?;
        let response = within(&call, idle, send(&call, request)).await??;
        let status = response.status();
        if !status.is_success() {
            let answer = within(&call, idle, bytes_of(&call, response)).await??;
            return accepted(&call, status, &answer).map(|()| 0);
        }
        let promised = response.content_length();
        if let Some(total) = promised {
            meter.total(Unit::Bytes, total);
        }
        let mut file = create(partial).await?;
        let mut body = response.bytes_stream();
        let mut length = 0_u64;
        while let Some(piece) = within(&call, idle, body.next()).await? {
            let piece = piece.map_err(|error| call.transport(&error))?;
            file.write_all(&piece).await.map_err(at(partial))?;
            length += piece.len() as u64;
            meter.advance(Unit::Bytes, piece.len() as u64);
        }
        if promised.is_some_and(|promised| promised != length) {
            return Err(call.broken(format!("the snapshot ended after {length} bytes")));
        }
        if length == 0 {
            return Err(call.malformed("the snapshot is empty"));
        }
        file.flush().await.map_err(at(partial))?;
        file.sync_all().await.map_err(at(partial))?;
        Ok(length)
    }

    /// Streams the snapshot in `from` to the server.
    pub(super) async fn force_snapshot(
        &self,
        token: &SecretString,
        from: &Path,
        meter: &dyn Meter,
    ) -> Result<()> {
        let call = self
            .call(&Method::POST, FORCE, self.deadlines.idle)
            .carrying(token);
        let file = File::open(from).await.map_err(at(from))?;
        let length = file.metadata().await.map_err(at(from))?.len();
        meter.total(Unit::Bytes, length);

        let (sent, progress) = watch::channel(0_u64);
        let failure = Arc::new(Mutex::new(None));
        let pieces = upload(file, length, sent, Arc::clone(&failure));
        let request = authorised(&call, self.streaming(Method::POST, FORCE, false), token)?
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(pieces));

        let answered = async {
            let response = send(&call, request).await?;
            let status = response.status();
            let answer = bytes_of(&call, response).await?;
            accepted(&call, status, &answer)
        };
        let outcome = self.watched(&call, answered, progress, length, meter).await;
        let unreadable = failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match unreadable {
            Some(error) => Err(at(from)(error)),
            None => outcome,
        }
    }

    /// Waits for the answer as long as bytes go out, and for its own while after the last one.
    async fn watched(
        &self,
        call: &Call,
        answered: impl Future<Output = Result<()>>,
        mut progress: watch::Receiver<u64>,
        length: u64,
        meter: &dyn Meter,
    ) -> Result<()> {
        tokio::pin!(answered);
        let mut shown = 0;
        let mut closed = false;
        loop {
            let limit = if closed || shown == length {
                self.deadlines.accepted
            } else {
                self.deadlines.idle
            };
            tokio::select! {
                biased;
                outcome = &mut answered => {
                    // The answer may come before the last pieces were counted.
                    meter.advance(Unit::Bytes, *progress.borrow() - shown);
                    return outcome;
                }
                changed = progress.changed(), if !closed => {
                    closed = changed.is_err();
                    let now = *progress.borrow_and_update();
                    meter.advance(Unit::Bytes, now - shown);
                    shown = now;
                }
                () = tokio::time::sleep(limit) => return Err(call.timeout(limit)),
            }
        }
    }
}

/// The file as a stream that counts what the transport took and keeps the reason when it cannot be read.
fn upload(
    file: File,
    length: u64,
    sent: watch::Sender<u64>,
    failure: Arc<Mutex<Option<io::Error>>>,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    ReaderStream::with_capacity(file.take(length), PIECE).map(move |piece| match piece {
        Ok(piece) => {
            sent.send_modify(|total| *total += piece.len() as u64);
            Ok(piece)
        }
        Err(error) => {
            let told = io::Error::from(error.kind());
            *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            Err(told)
        }
    })
}

async fn within<T>(call: &Call, limit: Duration, step: impl Future<Output = T>) -> Result<T> {
    timeout(limit, step).await.map_err(|_| call.timeout(limit))
}

fn partial_of(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

async fn create(path: &Path) -> Result<File> {
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .await
        .map_err(at(path))
}

async fn sync_folder(of: &Path) -> Result<()> {
    let folder = match of.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let opened = File::open(folder).await.map_err(at(folder))?;
    opened.sync_all().await.map_err(at(folder))
}

fn at(path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File {
        path: path.clone(),
        source,
    }
}
