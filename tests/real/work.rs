//! A work folder of real servers that are gone with it, however its test ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use baoctl::armed::Armed;
use baoctl::journal::Journal;
use baoctl::platform::local::{CreateOptions, LocalPlatform, find_bao};
use baoctl::platform::{Platform, StorageKind};

/// The server's program. A test that cannot run says so instead of passing.
pub fn bao() -> PathBuf {
    find_bao(None, StorageKind::File)
        .unwrap_or_else(|error| panic!("this test needs a real server: {error}"))
}

/// A token for changes, from a journal of its own.
pub fn armed() -> Armed {
    let (_folder, path) = crate::journal::folder();
    Journal::create(&path, crate::journal::header())
        .unwrap()
        .intend(
            "test",
            0,
            "test",
            Vec::new(),
            std::collections::BTreeMap::new(),
        )
        .unwrap()
}

pub struct Work {
    pub platform: LocalPlatform,
    _folder: tempfile::TempDir,
}

impl Work {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let work = folder.path().join("work");
        Self {
            platform: LocalPlatform::create(&work, &bao(), CreateOptions::default()).unwrap(),
            _folder: folder,
        }
    }

    /// A server's folder.
    pub fn node(&self, name: &str) -> PathBuf {
        self.platform.work_dir().join("nodes").join(name)
    }

    /// A member's `api_port` or `cluster_port`.
    pub fn port(&self, ordinal: usize, kind: &str) -> u16 {
        let text = fs::read(self.platform.work_dir().join("local.json")).unwrap();
        let topology: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let port = topology["members"][ordinal][kind].as_u64().unwrap();
        port.try_into().unwrap()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // On a thread of its own: the test's runtime may be what is going away.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let _ = runtime.map(|runtime| runtime.block_on(self.platform.kill_all()));
            });
        });
    }
}

/// The process number of a member's running server.
pub async fn pid_of(platform: &LocalPlatform, member: &str) -> Option<u32> {
    let instance = platform.instance(member).await.unwrap()?;
    instance.id.split('-').next()?.parse().ok()
}

pub fn pid(number: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(number.try_into().unwrap()).unwrap()
}

/// Whether a process runs; one that has ended and is not yet waited for does not.
pub fn lives(number: u32) -> bool {
    fs::read_to_string(format!("/proc/{number}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

/// Every file is 0600 at most and every folder 0700.
pub fn assert_private(folder: &Path) {
    let mode = folder.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o700, "{}", folder.display());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_private(&path);
        } else {
            let mode = path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
}
