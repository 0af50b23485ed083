//! The file backend's tree: one JSON file per entry, from a directory or a tar stream.

mod chunk;
mod entry;
mod read;
mod since;
mod tarball;
#[cfg(test)]
mod tests;
mod types;
mod walk;

pub use entry::encode;
pub(crate) use read::child_namespace;
pub use read::{entries, read};
pub use since::{merge, stale};
pub use types::{Entry, Phase, SkipReason, Skipped, Source, TreeOptions, TreeSummary};
