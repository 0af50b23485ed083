//! Files that appear whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::error::StorageError;

/// SHA-256 of a file, in hex.
pub fn sha256_of(path: &Path) -> Result<String, StorageError> {
    let mut file = File::open(path).map_err(StorageError::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file
            .read(&mut buffer)
            .map_err(StorageError::io("read", path))?
        {
            0 => return Ok(hex::encode(hasher.finalize())),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Writes a file of mode 0600 that appears whole or not at all.
pub fn save_private(path: &Path, content: &[u8]) -> Result<(), StorageError> {
    let mut file = Partial::create(path)?;
    let failed = StorageError::io("write", file.path());
    file.write_all(content).map_err(failed)?;
    file.finish()
}

/// A file being written as `NAME.partial` with mode 0600; dropped unfinished, it is removed.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Partial {
    pub(crate) fn create(target: &Path) -> Result<Self, StorageError> {
        let mut name = target.as_os_str().to_owned();
        name.push(".partial");
        let partial = PathBuf::from(name);
        // An older one may have another mode, or be open elsewhere.
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::io("replace", &partial)(error));
            }
            _ => {}
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)
            .map_err(StorageError::io("create", &partial))?;
        let target = target.to_owned();
        Ok(Self {
            file,
            path: partial,
            target,
            finished: false,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the contents durable under the final name.
    pub(crate) fn finish(mut self) -> Result<(), StorageError> {
        self.file
            .sync_all()
            .map_err(StorageError::io("sync", &self.path))?;
        std::fs::rename(&self.path, &self.target)
            .map_err(StorageError::io("rename", &self.path))?;
        self.finished = true;
        let directory = match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(StorageError::io("sync", directory))
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be done about a failure here, and the name says what the file is.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
