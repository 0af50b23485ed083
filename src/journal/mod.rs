//! The append-only record of a run: intent before effect, result after it, and the fold that is the checkpoint.

mod record;

pub use record::{Header, Mark, Record, RunbookText};
