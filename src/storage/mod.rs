//! OpenBao's storage formats, streaming and without any policy on where the bytes come from or go to.
//!
//! - [`tree`]: the file backend's tree, from a directory or a tar stream of it
//! - [`digests`] and [`manifest`]: lists of key, length and SHA-256, in memory or streamed
//! - [`archive`]: the raft snapshot archive, read with full verification, written, inspected, compared
//! - [`barrier`]: the data keys, to tell whether they are the same, and what they open
//! - [`convert`]: tree to archive, and archive to archive
//! - [`parity`]: the reference of a conversion against a native snapshot of the new cluster
//!
//! Everything here blocks; callers run it on a thread of its own. A stream is cancelled by letting its
//! [`std::io::Read`] return an error.

pub mod archive;
pub mod barrier;
pub mod bounded;
pub mod convert;
pub mod digests;
mod durable;
mod error;
pub mod key;
mod keys;
pub mod manifest;
pub mod parity;
mod spool;
#[cfg(test)]
mod testing;
pub mod tree;

pub use archive::{
    ArchiveDigests, ArchiveReader, Diff, Inspection, Verified, diff, inspect, raft_tls_of, verify,
};
pub use bounded::Bounded;
pub use convert::{Conversion, ConvertOptions, Filter, convert, rewrite};
pub use digests::{Digest, DigestLines, DigestList, DigestSource};
pub use durable::{save_private, sha256_of};
pub use error::{StorageError, StorageError as Error, TreeProblem};

pub use parity::{Parity, ParityOptions, parity};
pub use tree::{Phase, SkipReason, Skipped, Source, TreeOptions, TreeSummary};
