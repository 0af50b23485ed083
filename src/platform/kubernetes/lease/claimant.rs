//! Who claims a release: a process, by a name for people and by what tells it from any other.

use std::fmt;

use uuid::Uuid;

use crate::journal::whoami;

/// Who claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimant {
    /// `user@host pid N run UUID`.
    pub(super) identity: String,
    pub(super) process: Option<Process>,
}

impl Claimant {
    /// This process, for a run.
    pub fn this_process(run: Uuid) -> Self {
        let (who, pid) = (whoami(), std::process::id());
        Self {
            identity: format!("{who} pid {pid} run {run}"),
            process: Process::this(),
        }
    }

    /// One with another name: for tests, and for what claims on somebody's behalf.
    pub fn named(identity: &str) -> Self {
        Self {
            identity: identity.to_owned(),
            process: None,
        }
    }
}

impl fmt::Display for Claimant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.identity)
    }
}

/// A process so that no other can be taken for it: the boot and the namespace that its number counts in, and its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    boot: String,
    namespace: String,
    pid: u32,
    /// In ticks since the boot.
    start: u64,
}

impl Process {
    /// `None` where the system does not tell, which is everywhere but on Linux.
    pub(super) fn this() -> Option<Self> {
        let pid = std::process::id();
        Some(Self {
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()?
                .trim()
                .to_owned(),
            namespace: std::fs::read_link("/proc/self/ns/pid")
                .ok()?
                .to_str()?
                .to_owned(),
            pid,
            start: start_of(pid)?,
        })
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        Some(Self {
            boot: parts.next()?.to_owned(),
            namespace: parts.next()?.to_owned(),
            pid: parts.next()?.parse().ok()?,
            start: parts.next()?.parse().ok()?,
        })
    }

    /// Whether it is known to be gone: it counted where `here` counts, and is not there.
    pub(super) fn is_gone(
        &self,
        here: Option<&Self>,
        start_of: impl Fn(u32) -> Option<u64>,
    ) -> bool {
        here.is_some_and(|here| here.boot == self.boot && here.namespace == self.namespace)
            && start_of(self.pid) != Some(self.start)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            boot,
            namespace,
            pid,
            start,
        } = self;
        write!(formatter, "{boot} {namespace} {pid} {start}")
    }
}

/// When a process started; `None` when there is none of this number.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may have any character in it.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_knows_itself() {
        let Some(this) = Process::this() else {
            return;
        };
        assert_eq!(Process::parse(&this.to_string()), Some(this.clone()));
        assert!(!this.is_gone(Some(&this), start_of));
        let earlier = Process {
            start: this.start + 1,
            ..this.clone()
        };
        assert!(earlier.is_gone(Some(&this), start_of));
        assert!(!earlier.is_gone(None, start_of));
    }
}
