//! The append-only record of a run: intent before effect, result after it, and the fold that is the checkpoint.
//!
//! `docs/journal-format.md` describes the file.

mod error;
mod file;
mod fold;
mod line;
mod lock;
mod mirror;
mod record;
mod scan;

pub use error::{Error, Result};
pub use file::{Journal, read, records};
pub use fold::{ActionKey, ActionState, Done, Fact, FoldError, Span, State};
pub use lock::{Holder, is_locked, whoami};
pub use mirror::{Mirror, MirrorError, Restored, mirrored, restore};
pub use record::{CLEANUP, FORMAT, Header, Loss, Mark, Record, RunbookText, millis};
