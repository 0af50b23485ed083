//! The raft snapshot archive: a gzip of a USTAR tar with `meta.json`, `state.bin`, `SHA256SUMS` and, from a server,
//! `SHA256SUMS.sealed`.
//!
//! Sources: `helper/snapshot` of OpenBao's raft library fork for the archive, `physical/raft/fsm.go` for `state.bin`:
//! messages `{1: key, 2: value}` (`StorageEntry`), each after its length as a varint, in ascending order of the keys.

mod compare;
mod inspect;
mod meta;
mod reader;
mod state;
mod tarred;
mod writer;

pub(crate) use compare::merge;
pub use compare::{ArchiveDigests, Diff, diff};
pub(crate) use inspect::prefix_of;
pub use inspect::{Inspection, PrefixCount, RAFT_TLS, Verified, inspect, raft_tls_of, verify};
pub use meta::{Meta, Server};
pub use reader::ArchiveReader;
pub(crate) use writer::state_bytes;
pub use writer::{Written, write};
