//! The worlds that the engine is tried in, and what a run is when nothing disturbs it.

use std::sync::Arc;

use crate::scripted::{Fate, Lab, Mishap, Shares, in_virtual_time};

pub const RUNBOOKS: [&str; 4] = [
    "migrate-raft",
    "migrate-raft-fast",
    "operator-migrate",
    "reseed",
];
/// Those that restore a snapshot.
pub const RESTORING: [&str; 2] = ["migrate-raft", "migrate-raft-fast"];
pub const ONE: Shares = (1, 1);
pub const THREE_OF_FIVE: Shares = (3, 5);

/// What the engine did in an undisturbed run, and in what world.
#[derive(Clone, Copy)]
pub struct Scene {
    pub runbook: &'static str,
    pub shares: Shares,
    pub mishap: Option<Mishap>,
    pub hooked: bool,
    pub namespaced: bool,
    pub on_pebbledb: bool,
}

impl Scene {
    pub const fn of(runbook: &'static str, shares: Shares) -> Self {
        Self {
            runbook,
            shares,
            mishap: None,
            hooked: false,
            namespaced: false,
            on_pebbledb: false,
        }
    }

    pub const fn with(self, mishap: Mishap) -> Self {
        Self {
            mishap: Some(mishap),
            ..self
        }
    }

    /// With the release's own hook, which unseals each server that starts.
    pub const fn hooked(self) -> Self {
        Self {
            hooked: true,
            ..self
        }
    }

    /// With a child namespace.
    pub const fn namespaced(self) -> Self {
        Self {
            namespaced: true,
            ..self
        }
    }

    pub fn lab(self) -> Lab {
        let lab = Lab::new(self.runbook, self.shares);
        lab.world().mishap = self.mishap;
        lab.world().hooked = self.hooked;
        if self.on_pebbledb {
            lab.world().keep_in_pebbledb();
        }
        if self.namespaced {
            lab.world().add_namespace();
        }
        lab
    }

    /// The course of a run that is left in peace.
    pub fn undisturbed(self) -> Arc<Fate> {
        let lab = self.lab();
        let fate = Arc::new(Fate::kind());
        in_virtual_time(async {
            let ended = lab.process(&fate).await;
            assert!(ended.finished(), "{}: {}", self.runbook, ended.words());
            lab.check();
        });
        fate
    }
}

/// Runs one process after another until the run is finished, within so many.
pub async fn to_the_end(lab: &Lab, processes: usize) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..processes {
        let ended = lab.process(&Arc::new(Fate::kind())).await;
        lab.check_source();
        if ended.finished() {
            lab.check();
            return Ok(());
        }
        last = ended.words();
    }
    Err(last)
}
