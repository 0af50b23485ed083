//! The token that every mutating call asks for.

/// Proof that the intent of an effect is on disk.
///
/// Only `journal` makes one, as the return value of a synced intent record; an action gets it by value and
/// lends it to each mutating call, so that nothing can act without a record, nor after its action ended.
/// The makers of sample data arm themselves: their server is new and has nothing to lose.
#[derive(Debug)]
pub struct Armed {
    sequence: u64,
}

impl Armed {
    /// Called by `journal` after the intent's `fsync`, and by the makers of sample data; a test over the
    /// sources holds that nothing else does.
    pub(crate) const fn by_record(sequence: u64) -> Self {
        Self { sequence }
    }

    /// The sequence number of the journal's intent record behind this token.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}
