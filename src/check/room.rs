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
        let volume = ctx.platform.volume(&member).await?;
        if !volume.exists && volume.free_bytes == 0 {
            group.pass(
                "room-volume",
                format!("{member} has no volume yet; it gets one of its own"),
            );
            continue;
        }
        let free = volume.free_bytes;
        room(&mut group, "room-volume", &member, (free, need));
    }
    let run = ctx.platform.run_dir();
    let need = bytes * RUN_TIMES + LEAST;
    let place = run.display().to_string();
    room(&mut group, "room-run", &place, (free_bytes(run)?, need));
    Ok(())
}

fn room(group: &mut Group<'_>, id: &'static str, place: &str, (free, need): (u64, u64)) {
    let found = format!(
        "{place} has {} free, {} are needed",
        HumanBytes(free),
        HumanBytes(need)
    );
    if free < need {
        group.fail(id, found, "make room there, or choose another place");
    } else {
        group.pass(id, found);
    }
}
