//! Shell scripts in a container, and the certainty that all of their output came.
//!
//! An exec stream can lose its tail when the remote end closes first. So each script's output ends with a line that
//! this module adds and takes away again: without that line, or without an exit status, the output is worth nothing.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{AttachParams, AttachedProcess};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::client::{Cluster, within};
use crate::platform::{Error, Result};

/// Opening a stream.
const OPEN: Duration = Duration::from_secs(20);
/// A script whose output is small.
const SHORT: Duration = Duration::from_mins(1);
/// The longest pause in the output of a long one.
const IDLE: Duration = Duration::from_mins(2);
/// What may still be under way when the exit status has come.
const DRAIN: Duration = Duration::from_secs(2);
/// The buffer between the network and the reader.
const BUFFER: usize = 1 << 20;
/// How much of the error output is kept.
const COMPLAINTS: usize = 8 << 10;

const MARK: &[u8] = b"\nbaoctl-end ";
/// The mark, three digits and a line feed.
const MARK_LENGTH: usize = MARK.len() + 4;

/// A shell in a running container.
#[derive(Debug, Clone)]
pub struct Shell {
    cluster: Cluster,
    pod: String,
    container: String,
}

/// How a script ended, all of its output having come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// The end of its error output.
    pub complaints: String,
}

impl Ended {
    /// The last lines of the error output in one line.
    pub fn last_lines(&self) -> String {
        let lines: Vec<&str> = self
            .complaints
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        if lines.is_empty() {
            return "it printed no reason".to_owned();
        }
        lines[lines.len().saturating_sub(5)..].join("; ")
    }
}

/// What the exit status says.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Exited(i32),
    NoShell,
    Broken(String),
}

impl Shell {
    /// The shell of a container; nothing is called yet.
    pub fn new(cluster: &Cluster, pod: &str, container: &str) -> Self {
        Self {
            cluster: cluster.clone(),
            pod: pod.to_owned(),
            container: container.to_owned(),
        }
    }

    /// The pod's name.
    pub fn pod(&self) -> &str {
        &self.pod
    }

    /// Runs `sh -c script sh args...`; its output. A non-zero exit is an error with the last lines of stderr.
    pub async fn run(&self, script: &str, args: &[&str]) -> Result<Vec<u8>> {
        self.short(script, args, None).await
    }

    /// The same with something on its standard input, which the script must read by length: not every API server
    /// can tell a script that its input is over.
    pub async fn feed(&self, script: &str, args: &[&str], stdin: &[u8]) -> Result<Vec<u8>> {
        self.short(script, args, Some(stdin)).await
    }

    async fn short(&self, script: &str, args: &[&str], stdin: Option<&[u8]>) -> Result<Vec<u8>> {
        let (ended, output) = self.answer(script, args, stdin).await?;
        self.well(&ended)?;
        Ok(output)
    }

    /// The same for a script whose exit code is a part of its answer.
    pub async fn answer(
        &self,
        script: &str,
        args: &[&str],
        stdin: Option<&[u8]>,
    ) -> Result<(Ended, Vec<u8>)> {
        let mut output = Vec::new();
        let mut unheard = |_: &[u8]| {};
        let running = self.execute(script, args, stdin, &mut output, &mut unheard);
        let ended = timeout(SHORT, running)
            .await
            .map_err(|_| self.broken(&format!("it did not end within {}s", SHORT.as_secs())))??;
        Ok((ended, output))
    }

    /// Runs a script with much output, which goes to `sink`; `on_bytes` sees each piece. However the script ended,
    /// `sink` has all that it printed when this returns `Ok`; on an error what `sink` has is worth nothing.
    pub async fn stream(
        &self,
        script: &str,
        args: &[&str],
        sink: &mut (dyn AsyncWrite + Unpin + Send),
        on_bytes: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Ended> {
        self.execute(script, args, None, sink, on_bytes).await
    }

    /// An error unless the script ended with 0.
    pub fn well(&self, ended: &Ended) -> Result<()> {
        if ended.code == 0 {
            return Ok(());
        }
        Err(Error::Refused(format!(
            "a script in pod {} failed with exit code {}: {}",
            self.pod,
            ended.code,
            ended.last_lines()
        )))
    }

    /// Whether the container has a shell.
    pub async fn present(&self) -> Result<bool> {
        let looked = self
            .start(
                &["sh".to_owned(), "-c".to_owned(), "true".to_owned()],
                false,
            )
            .await;
        let mut process = looked?;
        let status = match process.take_status() {
            Some(status) => timeout(OPEN, status).await.ok().flatten(),
            None => None,
        };
        match verdict(status.as_ref()) {
            Verdict::Exited(0) => Ok(true),
            // Some runtimes report a missing program as the shell itself would.
            Verdict::NoShell | Verdict::Exited(126 | 127) => Ok(false),
            Verdict::Exited(code) => Err(self.broken(&format!("`true` ended with {code}"))),
            Verdict::Broken(why) => Err(self.broken(&why)),
        }
    }

    /// Whether the container has a shell with these programs.
    pub async fn has(&self, programs: &[&str]) -> Result<bool> {
        if !self.present().await? {
            return Ok(false);
        }
        let script =
            "for it; do command -v \"$it\" >/dev/null || { echo no; exit; }; done; echo yes";
        Ok(self.run(script, programs).await?.starts_with(b"yes"))
    }

    async fn start(&self, command: &[String], stdin: bool) -> Result<AttachedProcess> {
        let params = AttachParams::default()
            .container(self.container.clone())
            .stdin(stdin)
            .stdout(true)
            .stderr(true)
            .max_stdin_buf_size(BUFFER)
            .max_stdout_buf_size(BUFFER)
            .max_stderr_buf_size(BUFFER);
        let pods = self.cluster.api::<Pod>();
        let doing = format!("running a script in pod {} (pods/exec)", self.pod);
        within(&doing, OPEN, pods.exec(&self.pod, command, &params)).await
    }

    async fn execute(
        &self,
        script: &str,
        args: &[&str],
        stdin: Option<&[u8]>,
        sink: &mut (dyn AsyncWrite + Unpin + Send),
        on_bytes: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Ended> {
        let mut process = self.start(&command(script, args), stdin.is_some()).await?;
        let (Some(status), Some(mut out), Some(mut err)) = (
            process.take_status(),
            AttachedProcess::stdout(&mut process),
            AttachedProcess::stderr(&mut process),
        ) else {
            return Err(self.broken("the stream has no output"));
        };
        let mut writer = process.stdin();
        let feeding = async {
            if let (Some(writer), Some(bytes)) = (writer.as_mut(), stdin) {
                // A script that ends early is known by its exit code.
                let _ = writer.write_all(bytes).await;
                let _ = writer.flush().await;
            }
            std::future::pending::<()>().await;
        };
        tokio::pin!(status, feeding);

        let mut tail = Tail::default();
        let mut complaints = Vec::new();
        let mut verdict_of = None;
        let (mut out_open, mut err_open) = (true, true);
        let (mut out_piece, mut err_piece) = (vec![0; 1 << 16], vec![0; 1 << 12]);
        while verdict_of.is_none() || out_open || err_open {
            let limit = if verdict_of.is_some() { DRAIN } else { IDLE };
            tokio::select! {
                biased;
                read = read(&mut out, &mut out_piece), if out_open => match read {
                    0 => out_open = false,
                    length => {
                        let piece = tail.push(&out_piece[..length]);
                        on_bytes(&piece);
                        sink.write_all(&piece).await.map_err(|error| {
                            Error::Refused(format!("the output of pod {} cannot be kept: {error}", self.pod))
                        })?;
                    }
                },
                read = read(&mut err, &mut err_piece), if err_open => match read {
                    0 => err_open = false,
                    length => keep_end(&mut complaints, &err_piece[..length]),
                },
                status = &mut status, if verdict_of.is_none() => {
                    verdict_of = Some(verdict(status.as_ref()));
                }
                () = &mut feeding => {}
                () = sleep(limit) => {
                    if verdict_of.is_some() {
                        break;
                    }
                    return Err(self.broken(&format!("it was silent for {}s", IDLE.as_secs())));
                }
            }
        }
        let ended = Ended {
            code: 0,
            complaints: String::from_utf8_lossy(&complaints).into_owned(),
        };
        match (verdict_of, tail.mark()) {
            (Some(Verdict::Exited(code)), Some(marked)) if code == marked => {
                Ok(Ended { code, ..ended })
            }
            (Some(Verdict::NoShell | Verdict::Exited(126 | 127)), None) => {
                Err(Error::Refused(format!(
                    "container {} of pod {} has no shell",
                    self.container, self.pod
                )))
            }
            (Some(Verdict::Exited(code)), _) => Err(self.broken(&format!(
                "its output is cut (exit code {code}): {}",
                ended.last_lines()
            ))),
            (Some(Verdict::Broken(why)), _) => Err(self.broken(&why)),
            _ => Err(self.broken("it ended without an exit status")),
        }
    }

    fn broken(&self, why: &str) -> Error {
        Error::Cluster {
            doing: format!("running a script in pod {}", self.pod),
            why: why.to_owned(),
            status: None,
        }
    }
}

/// The command that runs a script and says at the end of its output that this is the end.
pub(super) fn command(script: &str, args: &[&str]) -> Vec<String> {
    let marked = format!(
        "(\n{script}\n); code=$?; printf '\\nbaoctl-end %03d\\n' \"$code\"; exit \"$code\""
    );
    let words = ["sh", "-c", &marked, "sh"];
    words
        .iter()
        .chain(args)
        .map(|word| (*word).to_owned())
        .collect()
}

/// The end of a stream cannot be told from a failure here; the exit status and the mark can.
async fn read(from: &mut (impl AsyncRead + Unpin), into: &mut [u8]) -> usize {
    from.read(into).await.unwrap_or(0)
}

fn keep_end(complaints: &mut Vec<u8>, more: &[u8]) {
    complaints.extend_from_slice(more);
    let surplus = complaints.len().saturating_sub(COMPLAINTS);
    complaints.drain(..surplus);
}

fn verdict(status: Option<&Status>) -> Verdict {
    let Some(status) = status else {
        return Verdict::Broken("the stream ended without an exit status".to_owned());
    };
    if status.status.as_deref() == Some("Success") {
        return Verdict::Exited(0);
    }
    let causes = status.details.as_ref().and_then(|it| it.causes.as_ref());
    let code = causes
        .into_iter()
        .flatten()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
        .and_then(|cause| cause.message.as_deref()?.parse().ok());
    if let Some(code) = code {
        return Verdict::Exited(code);
    }
    let message = status.message.clone().unwrap_or_default();
    let missing = ["executable file not found", "no such file or directory"];
    if missing.iter().any(|words| message.contains(words)) {
        return Verdict::NoShell;
    }
    Verdict::Broken(message)
}

/// Holds back as much as the mark is long.
#[derive(Default)]
pub(super) struct Tail {
    held: Vec<u8>,
}

impl Tail {
    /// What is certainly not the mark.
    pub(super) fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(piece);
        let ready = self.held.len().saturating_sub(MARK_LENGTH);
        let kept = self.held.split_off(ready);
        std::mem::replace(&mut self.held, kept)
    }

    /// The exit code in the mark, `None` when the stream was cut.
    pub(super) fn mark(&self) -> Option<i32> {
        let digits = self.held.strip_prefix(MARK)?.strip_suffix(b"\n")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a script prints, by this machine's own shell, and its code by the mark.
    fn locally(script: &str, args: &[&str]) -> (Vec<u8>, Option<i32>) {
        let command = command(script, args);
        let output = std::process::Command::new(&command[0])
            .args(&command[1..])
            .output()
            .unwrap();
        let mut tail = Tail::default();
        let mut out = Vec::new();
        for piece in output.stdout.chunks(5) {
            out.extend(tail.push(piece));
        }
        assert_eq!(output.status.code(), tail.mark());
        (out, tail.mark())
    }

    #[test]
    fn the_mark_ends_each_output_and_is_taken_away() {
        assert_eq!(
            locally("printf '%s' \"$1\"", &["a b"]),
            (b"a b".to_vec(), Some(0))
        );
        assert_eq!(locally("echo x\nexit 44", &[]), (b"x\n".to_vec(), Some(44)));
        assert_eq!(
            locally("set -e\nfalse\necho no", &[]),
            (Vec::new(), Some(1))
        );
    }

    #[test]
    fn a_cut_output_has_no_mark() {
        let mut tail = Tail::default();
        tail.push(b"entries\nbaoctl-end 00");
        assert_eq!(tail.mark(), None);
        tail.push(b"0\n");
        assert_eq!(tail.mark(), Some(0));
    }

    fn status(json: serde_json::Value) -> Verdict {
        verdict(Some(&serde_json::from_value(json).unwrap()))
    }

    #[test]
    fn the_exit_status_is_read() {
        assert_eq!(
            status(serde_json::json!({"status": "Success"})),
            Verdict::Exited(0)
        );
        assert_eq!(
            status(
                serde_json::json!({"status": "Failure", "reason": "NonZeroExitCode",
                "message": "command terminated with exit code 3",
                "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}})
            ),
            Verdict::Exited(3)
        );
        assert_eq!(
            status(
                serde_json::json!({"status": "Failure", "reason": "InternalError",
                "message": "OCI runtime exec failed: exec: \"sh\": executable file not found in $PATH"})
            ),
            Verdict::NoShell
        );
        assert!(matches!(verdict(None), Verdict::Broken(_)));
    }
}
