//! How long an outage will be, from what its parts took beforehand.

use serde::{Deserialize, Serialize};

/// What the parts of an outage took beforehand, on the live tree and on the scratch node. Seconds each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Entries of the tree; no time.
    #[serde(default)]
    pub entries: u64,
    /// A look at one entry of the tree.
    pub look: f64,
    /// The manifest of the tree.
    pub manifest: f64,
    /// Copying the tree.
    pub copy: f64,
    /// Converting the copy.
    pub convert: f64,
    /// A server on raft, from nothing to its first answer.
    pub start: f64,
    /// Its init.
    pub init: f64,
    /// The end of a running server, before another takes its place; little on this machine.
    #[serde(default)]
    pub end: f64,
    /// What `bao operator migrate` is run in, beside its own start; nothing on this machine.
    #[serde(default)]
    pub migrator: f64,
    /// From the unseal of the empty cluster of one until it leads.
    pub lead: f64,
    /// From the upload of the data until the server has sealed itself.
    pub restore: f64,
    /// From the unseal with the old key until it leads.
    pub reopen: f64,
    /// Two unseals and two starts more, where child namespaces are to be moved; else nothing.
    #[serde(default)]
    pub namespaces: f64,
}

/// The server sleeps as long after a restore before it seals itself.
pub const SLEEP: f64 = 5.0;

/// The outage as far as it was gone through, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// What it is made from.
    pub timings: Timings,
    /// Members that exist by then.
    pub members: u32,
    /// The server's own part: starts, init, restore, elections.
    pub server: f64,
    /// The rest.
    pub ours: f64,
    course: Course,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Course {
    Before,
    Within,
    After,
}

impl Forecast {
    /// Of an outage that is ahead.
    pub const fn new(timings: Timings) -> Self {
        Self {
            timings,
            members: 1,
            server: 0.0,
            ours: 0.0,
            course: Course::Before,
        }
    }

    /// The outage begins here.
    pub fn begin(&mut self) {
        self.course = Course::Within;
    }

    /// The outage ends here.
    pub fn end(&mut self) {
        self.course = Course::After;
    }

    /// Whether the outage has been gone through to its end.
    pub fn is_whole(&self) -> bool {
        self.course == Course::After
    }

    /// So much of the server's own and of ours, where that is within the outage.
    pub fn add(&mut self, server: f64, ours: f64) {
        if self.course == Course::Within {
            self.server += server;
            self.ours += ours;
        }
    }

    /// All of it.
    pub fn seconds(&self) -> f64 {
        self.server + self.ours
    }
}
