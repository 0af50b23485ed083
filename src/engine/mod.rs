//! Order, gates, confirmations, retries, resume and dry run, for any actions on any place.

mod act;
mod ask;
mod budget;
mod cleanup;
mod error;
mod interrupt;
mod meter;
mod mirrored;
mod plan;
mod program;
mod rollback;
mod run;

pub use budget::{expected, fact, outlasts};
pub use error::{Error, Result};
pub use interrupt::Interrupt;
pub use meter::ActionMeter;
pub use mirrored::Mirrored;
pub use plan::plan;
pub use program::{Program, Range, Step, Unit};
pub use rollback::{Back, lost};
pub use run::{End, Engine, SharedJournal, ready};
