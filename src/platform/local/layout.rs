//! Where things lie in the work folder.

use std::path::{Path, PathBuf};

use super::volume::STORE;

/// The name of the scratch node, beside the members.
pub(super) const SCRATCH: &str = "scratch";

/// The work folder.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    root: PathBuf,
}

impl Layout {
    /// `root` is absolute: the servers run in folders of their own.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn topology(&self) -> PathBuf {
        self.root.join("local.json")
    }

    pub fn golden(&self) -> PathBuf {
        self.root.join("golden.json")
    }

    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    pub fn node(&self, name: &str) -> NodeFiles {
        NodeFiles {
            folder: self.root.join("nodes").join(name),
        }
    }
}

/// One server's folder.
#[derive(Debug, Clone)]
pub(super) struct NodeFiles {
    folder: PathBuf,
}

impl NodeFiles {
    /// The folder, which is also the server's working directory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn config(&self) -> PathBuf {
        self.folder.join("config.hcl")
    }

    /// The data volume.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The store of `pebbledb`, on the data volume.
    pub fn store(&self) -> PathBuf {
        self.data().join(STORE)
    }

    /// Where that is laid out as a tree of files, out of every server's sight.
    pub fn laid_out(&self) -> PathBuf {
        self.folder.join("laid-out")
    }

    /// What a migration of the data works in, on the same volume and out of every server's sight.
    pub fn migration(&self) -> PathBuf {
        self.folder.join("migration")
    }

    pub fn audit(&self) -> PathBuf {
        self.folder.join("audit")
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub fn process(&self) -> PathBuf {
        self.folder.join("process.json")
    }
}
