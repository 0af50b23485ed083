//! How the lower layers tell how far they are, without knowing who listens.

use std::sync::Arc;

/// What a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Bytes read, written or sent.
    Bytes,
    /// Storage entries handled.
    Entries,
}

/// A listener for the progress of one long operation. Calls are cheap and may come from any thread.
pub trait Meter: Send + Sync {
    /// The total is known (or known better) now.
    fn total(&self, unit: Unit, total: u64);
    /// `more` units are done.
    fn advance(&self, unit: Unit, more: u64);
    /// Says what is being waited for, for example `2 of 3 voters, openbao-2 in stabilisation`.
    fn waiting(&self, what: &str);
}

/// A meter that nobody reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Meter for Silent {
    fn total(&self, _: Unit, _: u64) {}
    fn advance(&self, _: Unit, _: u64) {}
    fn waiting(&self, _: &str) {}
}

/// A shared meter, as handed through the layers.
pub type SharedMeter = Arc<dyn Meter>;
