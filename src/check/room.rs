//! Room on the volumes and for the run's own files, and on the way there.

use std::time::Duration;

use indicatif::{HumanBytes, HumanDuration};

use super::finding::{Checked, Group};
use crate::action::{Context, Keys, Result, free_bytes};

const GROUP: &str = "room";
/// A raft store keeps the data in `vault.db`, once more in a snapshot, and in its log. One that `bao operator migrate` writes has
/// five times as many bytes.
const RAFT_TIMES: u64 = 6;
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

/// What is sent to measure the way to the server.
const PROBE: u64 = 4 << 20;
/// A listener gives up on an upload after its `http_read_timeout`, which is this unless it is set; half of it is for the
/// way to be slower in the outage. The upload of the proof is the real test.
const ENOUGH: Duration = Duration::from_secs(15);

/// Whether the snapshot will reach the server before its listener gives up.
pub(super) async fn upload(ctx: &Context, bytes: u64, checked: &mut Checked) -> Result<()> {
    let mut group = Group::new(GROUP, ctx, checked);
    let node = ctx.node(&ctx.first()?)?;
    let token = Keys::old(ctx).await?.token;
    let hint = "run it nearer to the cluster, or set `http_read_timeout` of the listener higher: it is 30 s by default";
    ctx.meter.waiting("4 MiB to reach the server");
    let measured = async {
        let answer = node.upload_time(&token, 0).await?;
        Ok::<_, crate::bao::Error>(
            node.upload_time(&token, PROBE)
                .await?
                .saturating_sub(answer),
        )
    };
    let took = match measured.await {
        Ok(took) => took.max(Duration::from_micros(1)),
        Err(error) => {
            group.warn("room-upload", error.to_string(), hint);
            return Ok(());
        }
    };
    // The tree holds its values as base64, the snapshot as they are.
    let snapshot = bytes / 4 * 3;
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let expected = Duration::from_micros(snapshot.saturating_mul(micros) / PROBE);
    let found = format!(
        "the server takes {}/s from here: {} for the snapshot of about {}",
        HumanBytes(PROBE * 1_000_000 / micros),
        HumanDuration(expected),
        HumanBytes(snapshot)
    );
    if expected > ENOUGH {
        group.warn("room-upload", found, hint);
    } else {
        group.pass("room-upload", found);
    }
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
