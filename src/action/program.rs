//! A program of the operator's own: found, run to its end, and what it prints kept in a file of the run.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::Access;
use rustix::process::{Pid, Signal, kill_process_group};

use super::{Context, Error, Result, blocking};
use crate::event::Event;

/// The folder of the run's in which the output of its programs is kept.
pub const PRINTED: &str = "commands";
/// Bytes of one program's output that are kept.
const KEPT: u64 = 1 << 20;
/// Longer lines are taken in pieces.
const LONGEST_LINE: u64 = 4 << 10;
const TICK: Duration = Duration::from_millis(20);
/// How long one that is over its time may take to end after a friendly signal.
const FRIENDLY: Duration = Duration::from_secs(5);
/// What a program left running in the background may hold its output open for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The end of a program that ended by itself.
pub(super) struct Ended {
    pub status: ExitStatus,
    /// Bytes that it printed.
    pub bytes: u64,
    /// Why not all of them are kept.
    pub lost: Option<String>,
}

/// The program's file: with a `/` in its name below `folder` or absolute, else on the PATH.
pub(super) fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let runs = |path: &PathBuf| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok();
    if name.contains('/') {
        return Some(folder.join(name)).filter(runs);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(runs)
}

/// The words as a person would type them.
pub(super) fn shown(words: &[String]) -> String {
    let plain = |word: &String| {
        let safe = |it: char| it.is_alphanumeric() || "._-/:@%+=,~".contains(it);
        if !word.is_empty() && word.chars().all(safe) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(plain).collect::<Vec<_>>().join(" ")
}

/// Where the output of the running action's programs is kept.
pub(super) fn output(ctx: &Context) -> PathBuf {
    ctx.file(PRINTED)
        .join(format!("{}-{}.log", ctx.step, ctx.place))
}

/// Runs it to its end, at most for `limit`. When this is given up half-way, the program is killed with all that it
/// started. Its output is `told` line by line, or only kept.
pub(super) async fn run(
    ctx: &Context,
    words: &[String],
    limit: Duration,
    told: bool,
) -> Result<Ended> {
    let failed = |how: String| Error::Program {
        program: shown(words),
        how,
    };
    let (name, arguments) = words
        .split_first()
        .ok_or_else(|| failed("names no program".to_owned()))?;
    let program = find(&ctx.folder, name)
        .ok_or_else(|| failed("is not on this machine, and was not run".to_owned()))?;
    let path = output(ctx);
    let file = open(&path).map_err(|error| {
        failed(format!(
            "was not run: its output could not be kept in {}: {error}",
            path.display()
        ))
    })?;
    let target = ctx.platform.target();
    let child = Command::new(program)
        .args(arguments)
        .current_dir(&ctx.folder)
        .env("BAOCTL_RUN", ctx.run.to_string())
        .env("BAOCTL_STEP", &ctx.step)
        .env("BAOCTL_PLATFORM", target.platform)
        .env("BAOCTL_CONTEXT", target.context)
        .env("BAOCTL_NAMESPACE", target.namespace)
        .env("BAOCTL_RELEASE", target.release)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A Ctrl-C at the terminal is the engine's to act on.
        .process_group(0)
        .spawn()
        .map_err(|error| failed(format!("could not be started: {error}")))?;
    let group = Group(Arc::new(Mutex::new(Some(Pid::from_child(&child)))));
    let _killed_when_dropped = KillOnDrop(group.clone());
    let observer = ctx.observer.clone();
    let step = ctx.step.clone();
    let mut kept = Kept {
        file,
        bytes: 0,
        room: KEPT,
        lost: None,
        tell: Box::new(move |line| {
            if told {
                observer.observe(&Event::Output {
                    step: step.clone(),
                    line,
                });
            }
        }),
    };
    kept.head(&shown(words), child.id());
    let watched = blocking(move || Ok::<_, Error>(watch(child, &group, limit, kept))).await?;
    let (status, kept) =
        watched.map_err(|error| failed(format!("was started and then lost: {error}")))?;
    match status {
        Some(status) => Ok(Ended {
            status,
            bytes: kept.bytes,
            lost: kept.lost,
        }),
        None => Err(failed(format!(
            "did not end within {}s and was killed; what it printed is in {}",
            limit.as_secs(),
            path.display()
        ))),
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

/// Until it has ended and said all it has to say; no status for one that was killed as it took too long.
fn watch(
    mut child: Child,
    group: &Group,
    limit: Duration,
    mut kept: Kept,
) -> io::Result<(Option<ExitStatus>, Kept)> {
    let (sender, lines) = sync_channel(64);
    let streams: [Option<Box<dyn Read + Send>>; 2] = [
        child.stdout.take().map(|it| Box::new(it) as _),
        child.stderr.take().map(|it| Box::new(it) as _),
    ];
    for stream in streams.into_iter().flatten() {
        let sender = sender.clone();
        std::thread::Builder::new()
            .name("output".to_owned())
            .spawn(move || read_lines(stream, &sender))?;
    }
    drop(sender);
    let begun = Instant::now();
    let mut asked_to_end = false;
    loop {
        if !take(&lines, &mut kept) {
            std::thread::sleep(TICK);
        }
        if let Some(status) = group.reap(&mut child, asked_to_end)? {
            let ended = Instant::now();
            while ended.elapsed() < LAST_WORDS && take(&lines, &mut kept) {}
            kept.end();
            return Ok(((!asked_to_end).then_some(status), kept));
        }
        match begun.elapsed().checked_sub(limit) {
            Some(over) if over >= FRIENDLY => group.signal(Signal::KILL),
            Some(_) if !asked_to_end => {
                group.signal(Signal::TERM);
                asked_to_end = true;
            }
            _ => {}
        }
    }
}

/// Keeps one line, or waits a moment for it; false once there will be none.
fn take(lines: &Receiver<Vec<u8>>, kept: &mut Kept) -> bool {
    match lines.recv_timeout(TICK) {
        Ok(line) => kept.line(&line),
        Err(RecvTimeoutError::Timeout) => {}
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    true
}

fn read_lines(stream: impl Read, lines: &SyncSender<Vec<u8>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = (&mut stream)
            .take(LONGEST_LINE)
            .read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) || lines.send(line).is_err() {
            return;
        }
    }
}

/// What a program printed.
struct Kept {
    file: File,
    bytes: u64,
    room: u64,
    lost: Option<String>,
    tell: Box<dyn Fn(String) + Send>,
}

impl Kept {
    /// Which process printed what follows: one that outlives this one is found by it.
    fn head(&mut self, words: &str, pid: u32) {
        let now = jiff::Timestamp::now();
        self.write(format!("== {now:.3}, process {pid}: {words}\n").as_bytes());
    }

    fn line(&mut self, line: &[u8]) {
        let length = line.len() as u64;
        self.bytes += length;
        if length <= self.room {
            self.room -= length;
            self.write(line);
        } else {
            self.room = 0;
            self.lost
                .get_or_insert_with(|| format!("over {} KiB", KEPT >> 10));
        }
        (self.tell)(String::from_utf8_lossy(line).trim_end().to_owned());
    }

    fn end(&mut self) {
        if let Err(error) = self.file.sync_data() {
            self.lost.get_or_insert_with(|| error.to_string());
        }
    }

    /// What a program does counts, also where its words find no room.
    fn write(&mut self, bytes: &[u8]) {
        if let Err(error) = self.file.write_all(bytes) {
            self.lost.get_or_insert_with(|| error.to_string());
        }
    }
}

/// The processes of a program, as long as its number is its own.
#[derive(Clone)]
struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    /// How the program ended, if it has; from then on its number may be another's. The rest of the group goes with it
    /// where it was killed.
    fn reap(&self, child: &mut Child, killed: bool) -> io::Result<Option<ExitStatus>> {
        let mut pid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = child.try_wait()?;
        if ended.is_some()
            && let Some(pid) = pid.take()
            && killed
        {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        Ok(ended)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // It may have ended just now.
            let _ = kill_process_group(pid, signal);
        }
    }
}

struct KillOnDrop(Group);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.signal(Signal::KILL);
    }
}
