//! `baoctl watch`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use super::args::{BudgetArgs, duration};
use super::check::in_outage;
use super::exit::fail;
use super::target::{Here, TargetArgs};
use super::{Exit, run};
use crate::action::{self, Context, Timings, copy_live};
use crate::engine::{Program, fact};
use crate::journal;
use crate::platform::Release;
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
  baoctl watch --context prod -n vault                                     one look, compared with the last one
  baoctl watch --context prod -n vault --every 10m --json                  as often as that, until Ctrl-C
  baoctl watch --context prod -n vault --every 1m --max-outage 30s && baoctl resume --context prod -n vault    hold the cutover")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Look again after this time, for example 10m; with --max-outage until the outage would be within it
    #[arg(long, value_name = "TIME", value_parser = duration)]
    every: Option<Duration>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Runbook whose outage is told, where no run has begun: a built-in name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "migrate-raft")]
    runbook: String,
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
    /// Seconds, where a proof has measured the server's part.
    outage: Option<f64>,
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
    let loaded = match Loaded::resolve(&args.runbook) {
        Ok(loaded) => loaded,
        Err(error) => return fail(error, &["baoctl runbook list"], Exit::Usage),
    };
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
        let over = match (args.budget.max_outage, seen.outage) {
            (None, _) => None,
            (Some(budget), Some(outage)) => Some(outage > budget.as_secs_f64()),
            (Some(_), None) => {
                let proof = here.place.command("migrate-raft --until record-keys");
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

async fn look(here: &Here, ctx: &Context, loaded: &Loaded) -> action::Result<Seen> {
    let backup = copy_live(ctx, "watch", true).await?;
    let tree = backup.tree.clone();
    let since = action::blocking(move || compared(&tree)).await?;
    let state = journal::read(&here.journal).ok();
    let recorded = state
        .as_ref()
        .and_then(|state| Loaded::recorded(state.runbook()?).ok());
    let proved: Option<Timings> = state.as_ref().and_then(fact);
    let then: Option<Release> = state.as_ref().and_then(fact);
    let program = Program::new(&recorded.as_ref().unwrap_or(loaded).runbook).here(ctx);
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
        outage: forecast.map(|forecast| forecast.seconds()),
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
        Some(outage) => format!("outage about {outage:.1} s"),
    });
    words.extend(
        seen.drift
            .iter()
            .map(|drift| format!("the release has changed since the checks: {drift}")),
    );
    words.join("; ")
}
