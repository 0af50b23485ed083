//! A directory, walked in the order of its keys and read by two threads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::chunk::{Chunk, is_foreign, is_ignored, is_unfinished};
use super::types::{Phase, SkipReason, TreeOptions};
use crate::storage::error::{StorageError, TreeProblem};
use crate::storage::key::{key_of_path, path_of_key};

const READERS: usize = 2;
/// Files per job: enough to make the hand-over cheap.
const FILES_PER_JOB: usize = 256;
/// Jobs that wait for a reader, and finished ones that wait for their turn.
const QUEUE: usize = 4;

type Read1 = Result<Chunk, StorageError>;

/// Keys of neighbouring files, and where their contents go.
struct Job {
    keys: Vec<String>,
    out: SyncSender<Read1>,
}

/// Reads the files below `root` in ascending order of their keys.
pub(super) fn directory(
    root: &Path,
    options: &TreeOptions,
    hash: bool,
    each: &mut dyn FnMut(Chunk) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    thread::scope(|scope| {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let (turns, in_order) = sync_channel::<Receiver<Read1>>(QUEUE);
        let queue = std::sync::Arc::new(Mutex::new(queue));
        for _ in 0..READERS {
            let queue = std::sync::Arc::clone(&queue);
            scope.spawn(move || reader(root, options, hash, &queue));
        }
        drop(queue);
        scope.spawn(move || {
            let mut planner = Planner {
                jobs,
                turns,
                keys: Vec::new(),
            };
            if let Err(Stop::Failed(error)) = walk(root, options, &mut planner) {
                planner.fail(error);
            }
        });
        // Leaving early drops `in_order`; senders then fail and the threads end.
        for turn in in_order {
            for chunk in turn {
                each(chunk?)?;
            }
        }
        Ok(())
    })
}

/// Why the walk ended before its end.
enum Stop {
    Failed(StorageError),
    /// Nobody listens any more.
    Abandoned,
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

struct Planner {
    jobs: SyncSender<Job>,
    turns: SyncSender<Receiver<Read1>>,
    keys: Vec<String>,
}

impl Planner {
    fn add(&mut self, key: String) -> Result<(), Stop> {
        self.keys.push(key);
        if self.keys.len() < FILES_PER_JOB {
            Ok(())
        } else {
            self.flush()
        }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        let (out, turn) = sync_channel(2);
        let keys = std::mem::take(&mut self.keys);
        self.turns.send(turn).map_err(|_| Stop::Abandoned)?;
        self.jobs
            .send(Job { keys, out })
            .map_err(|_| Stop::Abandoned)
    }

    fn fail(&self, error: StorageError) {
        let (out, turn) = sync_channel(1);
        // Both fail only when nobody listens any more.
        let _ = out.send(Err(error));
        let _ = self.turns.send(turn);
    }
}

/// One directory's children; directories end with a slash, so that sorting the names sorts the keys below them.
struct Level {
    prefix: String,
    names: String,
    spans: Vec<(u32, u32)>,
    next: usize,
}

fn walk(root: &Path, options: &TreeOptions, planner: &mut Planner) -> Result<(), Stop> {
    let mut levels = Vec::new();
    levels.extend(list(root, String::new(), options)?);
    while let Some(level) = levels.last_mut() {
        let Some(&(start, end)) = level.spans.get(level.next) else {
            levels.pop();
            continue;
        };
        level.next += 1;
        let name = &level.names[start as usize..end as usize];
        let key = format!("{}{name}", level.prefix);
        if name.ends_with('/') {
            levels.extend(list(root, key, options)?);
        } else if !is_ignored(&key) {
            planner.add(key)?;
        }
    }
    planner.flush()
}

/// Lists one directory; none if a live server just removed it.
fn list(root: &Path, prefix: String, options: &TreeOptions) -> Result<Option<Level>, StorageError> {
    let directory = root.join(&prefix);
    let failed = StorageError::io("list", &directory);
    let children = match std::fs::read_dir(&directory) {
        Ok(children) => children,
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && !prefix.is_empty()
                && options.phase == Phase::Live =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut level = Level {
        prefix,
        names: String::new(),
        spans: Vec::new(),
        next: 0,
    };
    for child in children {
        let child = child.map_err(StorageError::io("list", &directory))?;
        let name = child.file_name();
        let at = |problem| {
            StorageError::tree(
                format!("{}{}", level.prefix, name.to_string_lossy()),
                problem,
            )
        };
        let Some(text) = name.to_str() else {
            return Err(at(TreeProblem::NotUtf8));
        };
        if level.prefix.is_empty() && is_foreign(text) {
            continue;
        }
        let kind = child
            .file_type()
            .map_err(StorageError::io("look at", &child.path()))?;
        let start = level.names.len();
        if kind.is_dir() {
            level.names.push_str(text);
            level.names.push('/');
        } else if kind.is_file() {
            key_of_path(&format!("{}{text}", level.prefix))?;
            level.names.push_str(&text[1..]);
        } else {
            let what = if kind.is_symlink() {
                "symbolic link"
            } else {
                "special file"
            };
            return Err(at(TreeProblem::NotAFile(what)));
        }
        let narrow = |length| u32::try_from(length).map_err(|_| StorageError::TooManyKeys);
        level
            .spans
            .push((narrow(start)?, narrow(level.names.len())?));
    }
    let names = &level.names;
    level
        .spans
        .sort_unstable_by_key(|(start, end)| &names[*start as usize..*end as usize]);
    Ok(Some(level))
}

fn reader(root: &Path, options: &TreeOptions, hash: bool, queue: &Mutex<Receiver<Job>>) {
    let mut buffer = Vec::new();
    loop {
        // A reader that panicked has not touched the queue itself.
        let next = queue
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .recv();
        let Ok(job) = next else { return };
        let mut chunk = Chunk::default();
        for key in job.keys {
            if let Err(error) = read_one(root, key, options, hash, &mut buffer, &mut chunk) {
                let _ = job.out.send(Err(error));
                return;
            }
            if chunk.is_full() && job.out.send(Ok(std::mem::take(&mut chunk))).is_err() {
                return;
            }
        }
        if !chunk.is_empty() && job.out.send(Ok(chunk)).is_err() {
            return;
        }
    }
}

fn read_one(
    root: &Path,
    key: String,
    options: &TreeOptions,
    hash: bool,
    buffer: &mut Vec<u8>,
    chunk: &mut Chunk,
) -> Result<(), StorageError> {
    if is_unfinished(&key, options.phase) {
        chunk.skip(key, SkipReason::Temporary);
        return Ok(());
    }
    let relative = path_of_key(&key)?;
    let path = root.join(&relative);
    let length = match open(&path).and_then(|mut file| read_whole(&mut file, buffer)) {
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if options.phase == Phase::Sealed {
                return Err(StorageError::tree(relative, TreeProblem::Vanished));
            }
            chunk.skip(key, SkipReason::Vanished);
            return Ok(());
        }
        Err(error) => return Err(StorageError::io("read", &path)(error)),
    };
    chunk.file(key, &buffer[..length], options, hash)
}

fn open(path: &Path) -> io::Result<File> {
    // The listing saw a file; a link put there since must not lead elsewhere.
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Like `read_to_end`, without its `fstat` and `lseek` for each of a million small files.
fn read_whole(file: &mut File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            buffer.resize((length * 2).max(1 << 16), 0);
        }
        match file.read(&mut buffer[length..]) {
            Ok(0) => return Ok(length),
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
