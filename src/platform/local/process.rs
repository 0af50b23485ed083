//! One server process: started so that it outlives us, found again after we were killed, never mistaken.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};
use tokio::process::Command;

use super::files;
use super::layout::NodeFiles;
use crate::platform::{Error, Result};

/// How long a server may take to end after a friendly signal.
const FRIENDLY: Duration = Duration::from_secs(10);
/// How long the kernel may take to remove a killed one.
const REMOVAL: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Running {
    pub pid: u32,
    #[serde(flatten)]
    pub started: Started,
}

/// When a process was started. On Linux by a clock that nobody sets: ticks since the boot, and which boot that was;
/// elsewhere seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Started {
    #[serde(rename = "start_time")]
    pub time: u64,
    #[serde(default)]
    boot: uuid::Uuid,
}

/// `process.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
enum Record {
    /// Written before the process is made: it may or may not be there.
    Starting,
    /// Written after.
    Running(Running),
}

/// Starts `bao server` for one node. The caller knows that none runs and that its configuration is written.
pub(super) fn spawn(program: &Path, node: &NodeFiles) -> Result<Running> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(node.log())
        .map_err(files::io("opening", &node.log()))?;
    let errors = log.try_clone().map_err(files::io("opening", &node.log()))?;
    files::write_json(&node.process(), &Record::Starting)?;
    let mut command = Command::new(program);
    command
        .args(arguments(node))
        .current_dir(node.folder())
        .env_clear()
        .envs(
            ["PATH", "HOME"]
                .into_iter()
                .filter_map(|name| std::env::var_os(name).map(|value| (name, value))),
        )
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // A Ctrl-C at the terminal goes to our process group and must not reach the servers.
        .process_group(0);
    let mut child = command.spawn().map_err(files::io("running", program))?;
    let pid = child.id().unwrap_or_default();
    let started = look_at(pid).map(|seen| seen.started).unwrap_or_default();
    // Waited for, so that a server that ends does not stay behind as a zombie of ours.
    tokio::spawn(async move { child.wait().await });
    let running = Running { pid, started };
    files::write_json(&node.process(), &Record::Running(running))?;
    Ok(running)
}

/// The node's running server.
pub(super) fn find(node: &NodeFiles) -> Result<Option<Running>> {
    match files::read_json::<Record>(&node.process())? {
        None => Ok(None),
        Some(Record::Running(running)) => Ok(is_ours(running, node).then_some(running)),
        Some(Record::Starting) => {
            let found = scan(node);
            if let Some(running) = found {
                files::write_json(&node.process(), &Record::Running(running))?;
            }
            Ok(found)
        }
    }
}

/// Stops the node's server, first friendly, and waits until it is gone.
pub(super) async fn stop(name: &str, node: &NodeFiles) -> Result<()> {
    if let Some(server) = hold(node)? {
        server.signal(Signal::TERM, node)?;
        if !server.gone_within(FRIENDLY, node).await {
            kill(name, &server, node).await?;
        }
    }
    files::remove(&node.process())
}

/// Kills the node's server at once and waits until it is gone.
pub(super) async fn kill_now(name: &str, node: &NodeFiles) -> Result<()> {
    if let Some(server) = hold(node)? {
        kill(name, &server, node).await?;
    }
    files::remove(&node.process())
}

async fn kill(name: &str, server: &Held, node: &NodeFiles) -> Result<()> {
    server.signal(Signal::KILL, node)?;
    if server.gone_within(REMOVAL, node).await {
        return Ok(());
    }
    Err(Error::Refused(format!(
        "the server of {name} (process {}) does not end, not even when killed",
        server.running.pid
    )))
}

/// A running server that no other process can be taken for.
struct Held {
    running: Running,
    #[cfg(target_os = "linux")]
    handle: std::os::fd::OwnedFd,
}

/// Takes hold of the node's server; `None` when there is none.
#[cfg(target_os = "linux")]
fn hold(node: &NodeFiles) -> Result<Option<Held>> {
    use rustix::process::{PidfdFlags, pidfd_open};
    let Some(running) = find(node)? else {
        return Ok(None);
    };
    let Some(pid) = raw(running.pid) else {
        return Ok(None);
    };
    // The handle is taken before the look: the process looked at is then the one that gets the signals, even
    // when it ends in between and another takes its number.
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Ok(is_ours(running, node).then_some(Held { running, handle })),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(files::io("signalling", node.folder())(error.into())),
    }
}

#[cfg(target_os = "linux")]
impl Held {
    /// Sends a signal to the server and to nothing else.
    fn signal(&self, signal: Signal, node: &NodeFiles) -> Result<()> {
        let sent = rustix::process::pidfd_send_signal(&self.handle, signal);
        delivered(sent, node)
    }

    fn gone(&self, _: &NodeFiles) -> bool {
        ended(&self.handle)
    }
}

/// Takes hold of the node's server; `None` when there is none.
#[cfg(not(target_os = "linux"))]
fn hold(node: &NodeFiles) -> Result<Option<Held>> {
    Ok(find(node)?.map(|running| Held { running }))
}

#[cfg(not(target_os = "linux"))]
impl Held {
    /// Sends a signal to the server, after a last look that it is one.
    fn signal(&self, signal: Signal, node: &NodeFiles) -> Result<()> {
        match raw(self.running.pid) {
            Some(pid) if is_ours(self.running, node) => {
                delivered(rustix::process::kill_process(pid, signal), node)
            }
            _ => Ok(()),
        }
    }

    fn gone(&self, node: &NodeFiles) -> bool {
        !is_ours(self.running, node)
    }
}

impl Held {
    async fn gone_within(&self, limit: Duration, node: &NodeFiles) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while !self.gone(node) {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }
}

fn delivered(sent: rustix::io::Result<()>, node: &NodeFiles) -> Result<()> {
    match sent {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(files::io("signalling", node.folder())(error.into())),
    }
}

fn raw(pid: u32) -> Option<rustix::process::Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
}

fn arguments(node: &NodeFiles) -> [OsString; 2] {
    let mut config = OsString::from("-config=");
    config.push(node.config());
    [OsString::from("server"), config]
}

struct Seen {
    started: Started,
    command: Vec<OsString>,
}

fn kind() -> ProcessRefreshKind {
    ProcessRefreshKind::nothing()
        .with_cmd(UpdateKind::Always)
        .without_tasks()
}

/// A live process by its number.
fn look_at(pid: u32) -> Option<Seen> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind());
    let process = system.process(pid)?;
    Some(Seen {
        started: started(process).filter(|_| alive(process))?,
        command: process.cmd().to_vec(),
    })
}

/// `sysinfo` tells seconds since 1970, which move when the clock is set.
#[cfg(target_os = "linux")]
fn started(process: &sysinfo::Process) -> Option<Started> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.pid())).ok()?;
    // Field 22 is the 20th behind the name, which may hold anything, also blanks and parentheses.
    let ticks = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(Started {
        time: ticks.parse().ok()?,
        boot: boot.trim().parse().ok()?,
    })
}

#[cfg(not(target_os = "linux"))]
fn started(process: &sysinfo::Process) -> Option<Started> {
    Some(Started {
        time: process.start_time(),
        ..Started::default()
    })
}

/// Whether a process has not ended. Its first thread may be a zombie while others still hold its ports and the
/// lock of its data, so its state says nothing.
#[cfg(target_os = "linux")]
fn alive(process: &sysinfo::Process) -> bool {
    use rustix::process::{PidfdFlags, pidfd_open};
    raw(process.pid().as_u32())
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok())
        .is_some_and(|handle| !ended(&handle))
}

/// Whether a process has ended with all its threads.
#[cfg(target_os = "linux")]
fn ended(handle: &std::os::fd::OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut handles = [PollFd::new(handle, PollFlags::IN)];
    // A poll that was interrupted is asked again by whoever waits.
    poll(&mut handles, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Whether a process has not ended; a zombie has.
#[cfg(not(target_os = "linux"))]
fn alive(process: &sysinfo::Process) -> bool {
    use sysinfo::ProcessStatus;
    !matches!(
        process.status(),
        ProcessStatus::Zombie | ProcessStatus::Dead
    )
}

/// Number, start time and command line together: a number alone is reused. A process that is ending has no
/// command line any more and still has its ports, so it counts as running.
fn is_ours(running: Running, node: &NodeFiles) -> bool {
    look_at(running.pid).is_some_and(|seen| {
        seen.started == running.started && (seen.command.is_empty() || serves(&seen.command, node))
    })
}

fn serves(command: &[OsString], node: &NodeFiles) -> bool {
    command.get(1..).is_some_and(|rest| rest == arguments(node))
}

/// The server of a start that nobody lived to record.
fn scan(node: &NodeFiles) -> Option<Running> {
    let mut system = System::new().ok()?;
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind());
    system
        .processes()
        .values()
        .find(|process| serves(process.cmd(), node) && alive(process))
        .and_then(|process| {
            Some(Running {
                pid: process.pid().as_u32(),
                started: started(process)?,
            })
        })
}
