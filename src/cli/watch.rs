//! `baoctl watch`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::args::{default_runbook, duration};
use super::check::in_outage;
use super::exit::fail;
use super::recorded::recorded_runbook;
use super::target::{Here, TargetArgs, word};
use super::{Exit, run};
use crate::action::{self, Context, Proof, Timings, copy_live};
use crate::engine::{Program, fact};
use crate::journal::{self, State};
use crate::platform::{Release, StorageKind};
use crate::runbook::Loaded;
use crate::storage::{self, DigestLines};
use crate::ui::{self, Output};

/// Watch the live data before the cutover: what changes, what a copy takes, how long the outage would be; changes nothing
///
/// Each look copies the live tree, converts it and compares it with the copy before. The outage is told once a proof has
/// measured the server's part of it: `baoctl migrate-raft --until record-keys`. Fit for a nightly job: exit code 5 when
/// the outage would be longer than --max-outage.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  baoctl watch --context prod -n vault                       one look, compared with the last one
  baoctl watch --context prod -n vault --every 10m --json    as often as that, until Ctrl-C

Hold the cutover until the outage would be short enough:
  baoctl watch --context prod -n vault --every 1m --max-outage 30s &&
    baoctl resume --context prod -n vault")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Look again after this time, for example 10m; with --max-outage until the outage would be within it
    #[arg(long, value_name = "TIME", value_parser = duration)]
    every: Option<Duration>,
    /// End with exit code 5 when the outage would be longer than this, for example 60s, or when no proof has measured it yet
    #[arg(long, value_name = "TIME", value_parser = duration)]
    max_outage: Option<Duration>,
    /// Runbook whose outage is told: a built-in name or a file [default: that of a run that waits, else migrate-raft]
    #[arg(long, value_name = "NAME|FILE")]
    runbook: Option<String>,
    /// Print one JSON object a look
    #[arg(long)]
    json: bool,
}

/// One look.
#[derive(Debug, Serialize)]
struct Seen {
    at: Timestamp,
    entries: u64,
    bytes: u64,
    /// Against the copy before, where there is one.
    since: Option<Since>,
    /// Seconds.
    manifest: f64,
    copy: f64,
    convert: f64,
    /// Whose outage is told.
    runbook: String,
    /// Seconds, where a proof has measured the server's part.
    outage: Option<f64>,
    /// When that proof was made.
    proof: Option<Timestamp>,
    /// What of the release is not as the run's checks found it.
    drift: Option<String>,
}

#[derive(Debug, Serialize)]
struct Since {
    at: Timestamp,
    written: u64,
    deleted: u64,
    a_minute: f64,
}

pub(super) async fn run(args: Args) -> Exit {
    let here = match args.target.open(true).await {
        Ok(here) => here,
        Err(exit) => return exit,
    };
    if let Some(exit) = in_outage(&here) {
        return exit;
    }
    let loaded = match followed(&here, args.runbook.as_deref()) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let release = here.platform.release().await;
    if release.is_ok_and(|release| release.storage == StorageKind::Raft) {
        return fail(
            "this release is on raft; there is nothing to watch",
            &[&here.place.command("status")],
            Exit::Preflight,
        );
    }
    let output = Output::detect(args.json, true, 0);
    let ctx = run::looking(here.platform.clone(), output.observer(), None, None);
    loop {
        let seen = match look(&here, &ctx, &loaded).await {
            Ok(seen) => seen,
            Err(error) => {
                return fail(error, &[&here.place.command("check")], Exit::Failed);
            }
        };
        if args.json {
            ui::line(&json!({"version": 1, "watch": seen}).to_string());
        } else {
            ui::line(&words(&seen));
        }
        let over = match (args.max_outage, seen.outage) {
            (None, _) => None,
            (Some(budget), Some(outage)) => Some(outage > budget.as_secs_f64()),
            (Some(_), None) => {
                let named = match args.runbook.as_deref() {
                    Some(named) => format!(" --runbook {}", word(named)),
                    None => String::new(),
                };
                let proof = here
                    .place
                    .command(&format!("migrate-raft{named} --until record-keys"));
                return fail(
                    "nothing has measured the server's part of the outage yet",
                    &[&proof],
                    Exit::Preflight,
                );
            }
        };
        match (over, args.every) {
            (Some(false), _) | (None, None) => return Exit::Done,
            (Some(true), None) => {
                return fail(
                    "the outage is expected to be longer than --max-outage",
                    &[&here.place.command("watch --every 1m --max-outage TIME")],
                    Exit::Preflight,
                );
            }
            (_, Some(every)) => tokio::time::sleep(every).await,
        }
    }
}

/// The runbook whose outage is told: no other than that of a run that waits, which is what `resume` goes on with.
fn followed(here: &Here, named: Option<&str>) -> Result<Loaded, Exit> {
    let usage = |error: &dyn std::fmt::Display, next: &str| fail(error, &[next], Exit::Usage);
    let named = named.map(Loaded::resolve).transpose();
    let named = named.map_err(|error| usage(&error, "baoctl runbook list"))?;
    let state = journal::read(&here.journal).ok();
    let waits = state.filter(|state| state.finished().is_none());
    let Some(recorded) = waits.as_ref().and_then(|state| state.runbook()) else {
        return named
            .map_or_else(|| Loaded::resolve(default_runbook(false)), Ok)
            .map_err(|error| usage(&error, "baoctl runbook list"));
    };
    if named.is_some_and(|named| named.runbook.name != recorded.name) {
        let why = format!(
            "a run of `{}` waits here, and another runbook's outage is not the one that it will have",
            recorded.name
        );
        return Err(usage(&why, "the same command without --runbook"));
    }
    recorded_runbook(recorded)
}

async fn look(here: &Here, ctx: &Context, loaded: &Loaded) -> action::Result<Seen> {
    let backup = copy_live(ctx, "watch", true).await?;
    let tree = backup.tree.clone();
    let since = action::blocking(move || compared(&tree)).await?;
    let state = journal::read(&here.journal).ok();
    // What the server took holds for any runbook; what a run found that is over, or goes back, is nobody's any more.
    let proved: Option<Timings> = state.as_ref().and_then(fact);
    let proof: Option<Proof> = state.as_ref().and_then(fact);
    let goes_on = |state: &&State| state.finished().is_none() && !state.rolling_back();
    let then: Option<Release> = state.as_ref().filter(goes_on).and_then(fact);
    let program = Program::new(&loaded.runbook).here(ctx);
    let copied = backup.timings;
    let forecast = proved.and_then(|proved| {
        program.forecast(Timings {
            entries: copied.entries,
            look: copied.look,
            manifest: copied.manifest,
            copy: copied.copy,
            convert: copied.convert,
            ..proved
        })
    });
    let now = here.platform.release().await?;
    let drift = then.map_or_else(Vec::new, |then| then.drift(&now));
    Ok(Seen {
        at: Timestamp::now(),
        entries: backup.entries,
        bytes: backup.bytes,
        since,
        manifest: copied.manifest,
        copy: copied.copy,
        convert: copied.convert,
        runbook: program.name,
        outage: forecast.map(|forecast| forecast.seconds()),
        proof: proof.filter(|_| forecast.is_some()).map(|proof| proof.at),
        drift: (!drift.is_empty()).then(|| drift.join(", ")),
    })
}

/// Compares a copy with the one before and keeps of it only the digests of its values, for the next one.
fn compared(tree: &Path) -> action::Result<Option<Since>> {
    let snapshot = tree.with_extension("snap");
    let now = storage::convert::values_path(&snapshot);
    let kept = tree.with_extension("values");
    let io = |path: &PathBuf| {
        let path = path.display().to_string();
        move |error: std::io::Error| action::Error::refused(format!("{path}: {error}"))
    };
    let before = match File::open(&kept) {
        Ok(file) => {
            let at = file.metadata().and_then(|it| it.modified());
            Some((file, at.map_err(io(&kept))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(io(&kept)(error)),
    };
    let since = match before {
        None => None,
        Some((before, at)) => {
            let new = File::open(&now).map_err(io(&now))?;
            let found = storage::diff(
                &mut DigestLines::new(BufReader::new(before)),
                &mut DigestLines::new(BufReader::new(new)),
            )?;
            let written = found.changed.total + found.only_right.total;
            let deleted = found.only_left.total;
            let minutes = at.elapsed().unwrap_or_default().as_secs_f64() / 60.0;
            // Entries are far fewer than 2^52.
            #[allow(clippy::cast_precision_loss)]
            let a_minute = (written + deleted) as f64 / minutes.max(1.0 / 60.0);
            Some(Since {
                at: Timestamp::try_from(at).unwrap_or_default(),
                written,
                deleted,
                a_minute,
            })
        }
    };
    std::fs::rename(&now, &kept).map_err(io(&kept))?;
    for path in [&snapshot, &tree.to_owned()] {
        std::fs::remove_file(path).map_err(io(path))?;
    }
    Ok(since)
}

fn words(seen: &Seen) -> String {
    let mut words = vec![
        format!("{:.0}", seen.at),
        format!("{} entries, {} bytes", seen.entries, seen.bytes),
    ];
    words.push(match &seen.since {
        None => "nothing to compare with yet".to_owned(),
        Some(since) => format!(
            "{} written and {} deleted since {:.0}, {:.1} a minute",
            since.written, since.deleted, since.at, since.a_minute
        ),
    });
    words.push(format!(
        "manifest {:.1} s, copy {:.1} s, conversion {:.1} s",
        seen.manifest, seen.copy, seen.convert
    ));
    words.push(match seen.outage {
        None => "outage unknown before a proof".to_owned(),
        Some(outage) => {
            let by = seen.proof.map(|at| format!(", by the proof of {at:.0}"));
            format!(
                "outage about {outage:.1} s with `{}`{}",
                seen.runbook,
                by.unwrap_or_default()
            )
        }
    });
    words.extend(
        seen.drift
            .iter()
            .map(|drift| format!("the release has changed since the checks: {drift}")),
    );
    words.join("; ")
}
