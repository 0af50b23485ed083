//! `baoctl snapshot`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::Exit;
use super::exit::fail;
use crate::storage::archive::ArchiveDigests;
use crate::storage::{
    self, ArchiveReader, ConvertOptions, DigestList, DigestSource, Phase, Source, StorageError,
    TreeOptions, tree,
};
use crate::ui::{self, Progress};

/// Inspect, verify, make and compare raft snapshots
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Tell what is in a snapshot, after all of it is verified
    Inspect {
        /// The snapshot
        file: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check sums, sizes, order and end of a snapshot
    Verify {
        /// The snapshot
        file: PathBuf,
    },
    /// Turn the file tree of a stopped or sealed server into a snapshot
    ///
    /// The unseal keys stay the same. To restore it into more than one voter it needs a raft TLS keyring: --graft takes
    /// it from a snapshot of a single node that restored the same data.
    Convert {
        /// The folder of `storage "file"`, or `-` for a tar stream of its contents
        tree: PathBuf,
        /// The snapshot to write; it appears whole or not at all
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Snapshot to take `core/raft/tls` from
        #[arg(long, value_name = "SNAPSHOT")]
        graft: Option<PathBuf>,
    },
    /// Compare two of them entry by entry; exit code 1 when they differ
    Diff {
        /// A tree or a snapshot
        a: PathBuf,
        /// A tree or a snapshot
        b: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(args: &Args) -> Exit {
    let done = match &args.command {
        Verb::Inspect { file, json } => inspect(file, *json),
        Verb::Verify { file } => verify(file),
        Verb::Convert { tree, out, graft } => convert(tree, out, graft.as_deref()),
        Verb::Diff { a, b, json } => diff(a, b, *json),
    };
    // As `diff` does it: scripts tell a difference from trouble.
    let trouble = match &args.command {
        Verb::Diff { .. } => Exit::Usage,
        _ => Exit::Failed,
    };
    done.unwrap_or_else(|error| fail(error, &[], trouble))
}

fn inspect(file: &Path, as_json: bool) -> Result<Exit, StorageError> {
    let found = storage::inspect(
        ArchiveReader::open(file)?,
        &Progress::new("read the snapshot"),
    )?;
    if as_json {
        ui::line(&json!({"version": 1, "inspection": found}).to_string());
        return Ok(Exit::Done);
    }
    let verified = &found.verified;
    ui::line(&format!("{}: whole, every sum is right", file.display()));
    ui::line(&format!("  entries        {}", verified.entries));
    ui::line(&format!("  value bytes    {}", verified.value_bytes));
    ui::line(&format!(
        "  index, term    {}, {}",
        verified.meta.index, verified.meta.term
    ));
    ui::line(&format!(
        "  core/raft/tls  {}",
        if verified.raft_tls {
            "yes"
        } else {
            "no: it must not be restored into more than one voter"
        }
    ));
    ui::line(&format!(
        "  sealed sums    {}",
        if verified.sealed_sums {
            "yes, a server made it"
        } else {
            "no, it was converted: restore it with force"
        }
    ));
    if !found.child_namespaces.is_empty() {
        ui::line(&format!(
            "  namespaces     {}",
            found.child_namespaces.join(", ")
        ));
    }
    ui::line(&format!("  over 1 MiB     {}", found.oversized.total));
    for (prefix, count) in &found.prefixes {
        ui::line(&format!(
            "  {:>8}  {:>12} B  {}",
            count.entries,
            count.bytes,
            if prefix.is_empty() {
                "(others)"
            } else {
                prefix
            }
        ));
    }
    Ok(Exit::Done)
}

fn verify(file: &Path) -> Result<Exit, StorageError> {
    let verified = storage::verify(
        ArchiveReader::open(file)?,
        &Progress::new("verify the snapshot"),
    )?;
    ui::line(&format!(
        "{}: whole, {} entries, every sum is right",
        file.display(),
        verified.entries
    ));
    Ok(Exit::Done)
}

fn convert(tree: &Path, out: &Path, graft: Option<&Path>) -> Result<Exit, StorageError> {
    let raft_tls = match graft {
        None => None,
        Some(snapshot) => {
            let found = storage::raft_tls_of(ArchiveReader::open(snapshot)?)?;
            if found.is_none() {
                return Ok(fail(
                    format!("{} has no core/raft/tls to graft", snapshot.display()),
                    &["baoctl snapshot inspect FILE"],
                    Exit::Usage,
                ));
            }
            found
        }
    };
    let scratch = out
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let options = ConvertOptions {
        raft_tls,
        ..ConvertOptions::new(TreeOptions::new(Phase::Sealed), scratch)
    };
    let source = if tree == Path::new("-") {
        Source::Tar(Box::new(std::io::stdin()))
    } else {
        Source::Directory(tree)
    };
    let made = storage::convert(source, out, &options, &Progress::new("convert the tree"))?;
    ui::line(&format!(
        "{}: {} entries, {} bytes, SHA-256 {}",
        out.display(),
        made.entries,
        made.archive.bytes,
        made.archive.sha256
    ));
    for skipped in &made.tree.skipped.first {
        ui::line(&format!(
            "  left out: {} ({:?})",
            skipped.key, skipped.reason
        ));
    }
    for large in &made.tree.oversized.first {
        ui::line(&format!(
            "  over 1 MiB: {} ({} bytes); set max_entry_size on the raft servers",
            large.key, large.bytes
        ));
    }
    if !made.tree.child_namespaces.is_empty() {
        ui::line(&format!(
            "  warning: child namespaces {}: a server that restores this panics at its second unseal",
            made.tree.child_namespaces.join(", ")
        ));
    }
    Ok(Exit::Done)
}

/// The digests of a tree or a snapshot.
enum Side {
    Tree(DigestList),
    Snapshot(Box<ArchiveDigests<std::fs::File>>),
}

fn side(path: &Path) -> Result<Side, StorageError> {
    Ok(if path.is_dir() {
        Side::Tree(
            tree::entries(
                Source::Directory(path),
                &TreeOptions::new(Phase::Sealed),
                &Progress::new("read the tree"),
            )?
            .0,
        )
    } else {
        Side::Snapshot(Box::new(ArchiveDigests(ArchiveReader::open(path)?)))
    })
}

fn diff(a: &Path, b: &Path, as_json: bool) -> Result<Exit, StorageError> {
    let (mut left, mut right) = (side(a)?, side(b)?);
    let (mut left_list, mut right_list);
    let left: &mut dyn DigestSource = match &mut left {
        Side::Tree(list) => {
            left_list = list.digests();
            &mut left_list
        }
        Side::Snapshot(archive) => archive.as_mut(),
    };
    let right: &mut dyn DigestSource = match &mut right {
        Side::Tree(list) => {
            right_list = list.digests();
            &mut right_list
        }
        Side::Snapshot(archive) => archive.as_mut(),
    };
    let found = storage::diff(left, right)?;
    let same = found.is_empty();
    if as_json {
        ui::line(&json!({"version": 1, "same": same, "diff": found}).to_string());
    } else {
        for (sign, list) in [
            ("-", &found.only_left),
            ("+", &found.only_right),
            ("~", &found.changed),
        ] {
            for key in &list.first {
                ui::line(&format!("{sign} {key}"));
            }
            let more = list.total - list.first.len() as u64;
            if more > 0 {
                ui::line(&format!("{sign} and {more} more"));
            }
        }
        ui::line(&format!(
            "{} identical, {} changed, {} only in {}, {} only in {}",
            found.identical,
            found.changed.total,
            found.only_left.total,
            a.display(),
            found.only_right.total,
            b.display()
        ));
    }
    Ok(if same { Exit::Done } else { Exit::Failed })
}
