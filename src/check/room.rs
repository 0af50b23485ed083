//! Room on the volumes and for the run's own files.

use indicatif::HumanBytes;

use super::finding::{Checked, Group};
use crate::action::{Context, Result, free_bytes};

const GROUP: &str = "room";
/// A raft store keeps the data in `vault.db`, once more in a snapshot, and in its log.
const RAFT_TIMES: u64 = 4;
/// The run keeps two copies of the tree, two archives of it, and a spool.
const RUN_TIMES: u64 = 6;
/// Whatever the data, a server needs this to start.
const LEAST: u64 = 64 << 20;

pub(super) async fn check(ctx: &Context, bytes: u64, checked: &mut Checked) -> Result<()> {
    let mut group = Group::new(GROUP, ctx, checked);
    let need = bytes * RAFT_TIMES + LEAST;
    for member in ctx.platform.members() {
        let free = ctx.platform.volume(&member).await?.free_bytes;
        if free < need {
            group.fail(
                "room-volume",
                format!(
                    "{member} has {} free, {} are needed",
                    HumanBytes(free),
                    HumanBytes(need)
                ),
                "make room on that volume",
            );
        } else {
            group.pass(
                "room-volume",
                format!(
                    "{member} has {} free, {} are needed",
                    HumanBytes(free),
                    HumanBytes(need)
                ),
            );
        }
    }
    let run = ctx.platform.run_dir();
    let free = free_bytes(run)?;
    let need = bytes * RUN_TIMES + LEAST;
    if free < need {
        group.fail(
            "room-run",
            format!(
                "{} has {} free, {} are needed",
                run.display(),
                HumanBytes(free),
                HumanBytes(need)
            ),
            "make room there, or choose another folder",
        );
    } else {
        group.pass(
            "room-run",
            format!(
                "{} has {} free, {} are needed",
                run.display(),
                HumanBytes(free),
                HumanBytes(need)
            ),
        );
    }
    Ok(())
}
