//! What a runbook can ask for: one file per kind, each a small struct that is read from the runbook.

mod spec;

pub use spec::{ActionSpec, Key, Leaders, Members};
