//! One writer per journal: a lock on the file itself, and beside it a note that says who holds it.

use std::ffi::OsString;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};

/// A look at the lock takes it for an instant, so one refusal without a holder's note proves nothing yet.
const TRIES: u32 = 4;
const BETWEEN_TRIES: Duration = Duration::from_millis(5);

/// Who writes to a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id.
    pub pid: u32,
    /// The machine's name.
    pub host: String,
    /// The user's name, or number.
    pub user: String,
    /// Since when.
    pub since: Timestamp,
    /// The program and its first argument; never more, as an argument may say more than a note should.
    pub command: String,
}

/// The user's name, or number.
fn user() -> String {
    let name = std::env::var("USER").ok();
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}

fn host() -> String {
    sysinfo::System::host_name().unwrap_or_else(|_| "unknown host".to_owned())
}

/// Who runs this process, as `user@host`.
pub fn whoami() -> String {
    format!("{}@{}", user(), host())
}

impl Holder {
    fn this_process() -> Self {
        let command: Vec<String> = std::env::args_os()
            .take(2)
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        Self {
            pid: std::process::id(),
            host: host(),
            user: user(),
            since: super::line::now(),
            command: command.join(" "),
        }
    }

    /// The note beside the journal at `path`; `None` when there is none or it cannot be read. It means
    /// nothing unless the journal [is locked](is_locked): a killed process leaves its note behind.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(note(path)).ok()?).ok()
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let note = note(path);
        let folder = note.parent().filter(|it| !it.as_os_str().is_empty());
        // A named temporary file has mode 0600, and a reader sees the whole note or none.
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(note)?;
        Ok(())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pid,
            host,
            user,
            since,
            command,
        } = self;
        write!(
            f,
            "`{command}` (process {pid} of {user} on {host}, since {since:.0})"
        )
    }
}

/// Whether a process writes to the journal at `path` now. A look only: it may change the next moment.
pub fn is_locked(path: &Path) -> Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(Error::io("opening", path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(Error::io("locking", path)(error)),
    }
}

/// The held lock. Dropping it removes the note first, so that none is left of a process that ended well.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// The note beside the path is this lock's own.
    noted: bool,
}

impl Lock {
    /// Takes the lock on `file`, which was opened at `path`.
    pub(super) fn take(file: &File, path: &Path) -> Result<Self> {
        let file = file.try_clone().map_err(Error::io("locking", path))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(Error::io("locking", path)(error)),
                Err(TryLockError::WouldBlock) => {
                    let holder = Holder::read(path);
                    if holder.is_some() || attempt == TRIES {
                        let path = path.to_owned();
                        return Err(Error::Locked { path, holder });
                    }
                    std::thread::sleep(BETWEEN_TRIES);
                }
            }
        }
        let mut lock = Self {
            file,
            path: path.to_owned(),
            noted: false,
        };
        if !lock.is_still_there()? {
            return Err(Error::Replaced {
                path: path.to_owned(),
            });
        }
        Holder::this_process()
            .write(path)
            .map_err(Error::io("noting who writes to", path))?;
        lock.noted = true;
        Ok(lock)
    }

    /// Whether the path still leads to the locked file: a lock on a removed one protects nothing.
    fn is_still_there(&self) -> Result<bool> {
        let ours = self.file.metadata();
        let ours = ours.map_err(Error::io("looking at", &self.path))?;
        match std::fs::metadata(&self.path) {
            Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("looking at", &self.path)(error)),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Neither matters if it fails: a note without a lock is ignored, and closing the file unlocks it.
        if self.noted {
            let _ = std::fs::remove_file(note(&self.path));
        }
        let _ = self.file.unlock();
    }
}

fn note(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".holder");
    PathBuf::from(name)
}
