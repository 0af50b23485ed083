//! Sockets that lead to pods: each connection gets a port-forward of its own, to the pod that has the name then.
//!
//! Nothing is shared between connections, so that a broken stream breaks one call and no other. What goes wrong is
//! answered on the socket as an HTTP error of its own kind, because the client must know whether its call may have
//! reached the server.

use std::collections::HashMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::client::{Cluster, within};
use crate::bao::{FORWARD_BROKEN, FORWARD_HEADER, FORWARD_UNREACHABLE};
use crate::platform::{Error, Result};

/// Opening a port-forward: shorter than any call's own deadline, so that the caller hears "not reached".
const OPEN: Duration = Duration::from_secs(7);
/// How long the reason of a failure may come after the end of the data.
const REASON: Duration = Duration::from_secs(2);
/// How long a client may take to read the answer to a call that went wrong.
const LINGER: Duration = Duration::from_secs(5);
/// The first byte of a TLS connection, in which no plain answer can be given.
const TLS_HANDSHAKE: u8 = 0x16;
/// A socket's path must fit into the system's address (108 bytes, 104 on others).
const LONGEST_FOLDER: usize = 80;

/// The sockets of one platform.
pub struct Forwards {
    cluster: Cluster,
    runtime: Handle,
    folder: TempDir,
    sockets: Mutex<HashMap<(String, u16), Socket>>,
}

struct Socket {
    path: PathBuf,
    _accepting: AbortOnDropHandle<()>,
}

impl std::fmt::Debug for Forwards {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Forwards")
            .field("folder", &self.folder.path())
            .finish_non_exhaustive()
    }
}

impl Forwards {
    /// Makes the private folder for the sockets. They work as long as this and the async runtime live.
    pub fn new(cluster: &Cluster) -> Result<Self> {
        let runtime = Handle::try_current()
            .map_err(|error| Error::Refused(format!("no async runtime: {error}")))?;
        Ok(Self {
            cluster: cluster.clone(),
            runtime,
            folder: private_folder()?,
            sockets: Mutex::default(),
        })
    }

    /// The socket that leads to a port of the pod of that name; the same one each time.
    pub fn socket(&self, pod: &str, port: u16) -> Result<PathBuf> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        let number = sockets.len();
        if let Some(known) = sockets.get(&(pod.to_owned(), port)) {
            return Ok(known.path.clone());
        }
        let path = self.folder.path().join(number.to_string());
        let listener = {
            let _inside = self.runtime.enter();
            UnixListener::bind(&path).map_err(|source| Error::Io {
                doing: "listening on",
                path: path.clone(),
                source,
            })?
        };
        let target = Target {
            cluster: self.cluster.clone(),
            pod: pod.to_owned(),
            port,
        };
        let accepting = self.runtime.spawn(accept(listener, target));
        let socket = Socket {
            path: path.clone(),
            _accepting: AbortOnDropHandle::new(accepting),
        };
        sockets.insert((pod.to_owned(), port), socket);
        Ok(path)
    }
}

/// A folder that only this user can enter, with a short path.
fn private_folder() -> Result<TempDir> {
    let usual = std::env::temp_dir();
    let place = if usual.as_os_str().len() > LONGEST_FOLDER {
        PathBuf::from("/tmp")
    } else {
        usual
    };
    tempfile::Builder::new()
        .prefix("baoctl-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&place)
        .map_err(|source| Error::Io {
            doing: "making a private folder in",
            path: place,
            source,
        })
}

#[derive(Clone)]
struct Target {
    cluster: Cluster,
    pod: String,
    port: u16,
}

/// Takes connections until it is dropped, and its connections with it.
async fn accept(listener: UnixListener, target: Target) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let target = target.clone();
                    connections.spawn(async move { target.serve(client).await });
                }
                // Out of file descriptors, for example: those that end make room.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What the client is told instead of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Failure {
    kind: &'static str,
    why: String,
}

impl Target {
    async fn serve(&self, mut client: UnixStream) {
        let pods = self.cluster.api::<Pod>();
        let doing = format!("opening a port-forward to {}:{}", self.pod, self.port);
        let ports = [self.port];
        let opened = within(&doing, OPEN, pods.portforward(&self.pod, &ports)).await;
        let mut forward = match opened {
            Ok(forward) => forward,
            Err(error) => {
                let failure = Failure {
                    kind: FORWARD_UNREACHABLE,
                    why: error.to_string(),
                };
                return refuse(client, None, &failure).await;
            }
        };
        if let (Some(stream), Some(reason)) = (
            forward.take_stream(self.port),
            forward.take_error(self.port),
        ) && let Some((first, failure)) = relay(&mut client, stream, reason).await
        {
            refuse(client, first, &failure).await;
        }
        forward.abort();
    }
}

/// Copies both ways until one side is done. A failure that the client has to be told comes with the first byte that it
/// had sent.
async fn relay(
    client: &mut UnixStream,
    pod: impl AsyncRead + AsyncWrite + Unpin,
    reason: impl Future<Output = Option<String>>,
) -> Option<(Option<u8>, Failure)> {
    let (mut from_pod, mut to_pod) = tokio::io::split(pod);
    let (mut from_client, mut to_client) = client.split();
    let mut first = None;
    let mut answered = false;
    {
        let up = async {
            let mut piece = vec![0; 1 << 16];
            loop {
                match from_client.read(&mut piece).await {
                    Ok(0) | Err(_) => return,
                    Ok(length) => {
                        first.get_or_insert(piece[0]);
                        if write(&mut to_pod, &piece[..length]).await.is_err() {
                            // The other direction ends as well, and knows more.
                            std::future::pending::<()>().await;
                        }
                    }
                }
            }
        };
        let down = async {
            let mut piece = vec![0; 1 << 16];
            while let Ok(length @ 1..) = from_pod.read(&mut piece).await {
                answered = true;
                if write(&mut to_client, &piece[..length]).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            // The client is gone, and whatever it waited for with it. The pod's side is not told that nothing more
            // comes: that would discard the rest of its answer.
            () = up => return None,
            () = down => {}
        }
    }
    if answered {
        // A cut answer shows by its length.
        return None;
    }
    let why = timeout(REASON, reason).await.ok().flatten();
    Some((first, failure(why)))
}

async fn write(to: &mut (impl AsyncWrite + Unpin), piece: &[u8]) -> io::Result<()> {
    to.write_all(piece).await?;
    to.flush().await
}

/// A port at which nobody listens got nothing; all else may have.
fn failure(why: Option<String>) -> Failure {
    match why {
        Some(why) if why.contains("connection refused") => Failure {
            kind: FORWARD_UNREACHABLE,
            why: format!("nothing listens there: {}", why.trim()),
        },
        Some(why) => Failure {
            kind: FORWARD_BROKEN,
            why: format!("the port-forward broke: {}", why.trim()),
        },
        None => Failure {
            kind: FORWARD_BROKEN,
            why: "the port-forward ended without an answer".to_owned(),
        },
    }
}

/// Answers with the failure once the client has said something, and waits until it has read that.
async fn refuse(mut client: UnixStream, first: Option<u8>, failure: &Failure) {
    let mut piece = vec![0; 1 << 16];
    // An answer to a question that was not asked yet would be taken for a broken connection.
    let first = match first {
        Some(first) => first,
        None => match client.read(&mut piece).await {
            Ok(1..) => piece[0],
            _ => return,
        },
    };
    if first == TLS_HANDSHAKE {
        // Closing in the handshake says that the call was not made, which is true.
        return;
    }
    let answer = format!(
        "HTTP/1.1 502 Bad Gateway\r\n{FORWARD_HEADER}: {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
        failure.kind,
        failure.why.len(),
        failure.why
    );
    if client.write_all(answer.as_bytes()).await.is_err() || client.shutdown().await.is_err() {
        return;
    }
    // Closing with unread bytes would take the answer back.
    let rest = async { while let Ok(1..) = client.read(&mut piece).await {} };
    let _ = timeout(LINGER, rest).await;
}

#[cfg(test)]
mod tests;
