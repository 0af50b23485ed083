//! `baoctl status`.

use std::time::Duration;

use serde_json::json;

use super::drive::limit;
use super::members::{self, Row, STOPPED};
use super::run::keys_again;
use super::target::{Here, TargetArgs};
use super::{Exit, claim, failure};
use crate::engine::Program;
use crate::journal::{self, State};
use crate::platform::kubernetes::Holder;
use crate::runbook::Loaded;
use crate::ui;

/// Tell where a migration stands and what each server says; changes nothing and needs no journal
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What nobody wonders about.
const MOMENT: Duration = Duration::from_secs(1);

pub(super) async fn run(args: Args) -> Exit {
    let here = match args.target.open(true).await {
        Ok(here) => here,
        Err(exit) => return exit,
    };
    let (platform, path) = (here.platform.as_ref(), &here.journal);
    let (state, unread) = match journal::read(path) {
        Ok(state) => (Some(state), None),
        Err(error) => {
            // Another machine's run, or this one's copy, where there is one.
            let copied = match &here.kubernetes {
                Some(platform) => claim::copied(platform.cluster(), platform.release_name()).await,
                None => None,
            };
            let none = matches!(
                error,
                journal::Error::Missing { .. } | journal::Error::Empty { .. }
            );
            (copied, (!none).then(|| error.to_string()))
        }
    };
    if let Some(why) = &unread {
        ui::aside(&format!("warning: {why}"));
    }
    let looks = async { (members::all(platform).await, claim::holder(&here).await) };
    let (rows, holder) = patient("ask each member", looks).await;
    let running = journal::is_locked(path).unwrap_or(false);
    let running = running || holder.as_ref().is_some_and(Holder::may_be_there);
    if args.json {
        let standing = (state.as_ref(), unread.as_deref());
        print_json(&here, standing, running, holder.as_ref(), &rows);
    } else {
        print_text(&here, state.as_ref(), unread.is_none(), running, &rows);
        if let Some(holder) = holder {
            ui::line("");
            ui::line(&format!(
                "claimed by {}, last seen {}",
                holder.identity,
                holder
                    .seen
                    .map_or_else(|| "never".to_owned(), |seen| format!("{seen:.0}"))
            ));
        }
    }
    Exit::Done
}

/// Shows that it is at work where that takes more than a moment.
async fn patient<T>(title: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done,
        () = tokio::time::sleep(MOMENT) => {}
    }
    let _shown = ui::Progress::new(title);
    work.await
}

/// Seconds of the outage; while it lasts, up to now. The least that it was as well, where nobody saw its end.
fn outage(state: &State, rows: &[Row]) -> Option<(f64, Option<f64>)> {
    let least = state.outage_at_least();
    Some(match state.outage_lasts() {
        Some(lasted) => (
            lasted.as_secs_f64(),
            least.filter(|_| members::leader(state, rows).is_some()),
        ),
        None => (state.outage_seconds()?, least),
    })
}

/// The run in words: how far, what was left in the middle, and where that leaves the clients.
fn standing(state: &State, rows: &[Row]) -> Vec<String> {
    let Some(loaded) = state.runbook().and_then(|text| Loaded::recorded(text).ok()) else {
        return Vec::new();
    };
    let program = Program::new(&loaded.runbook);
    let done = program
        .steps
        .iter()
        .take_while(|step| (0..step.units.len()).all(|index| state.done(&step.id, index).is_some()))
        .count();
    let stands = [failure::changed(&program, Some(state))].into_iter();
    let stands = stands.chain(members::but(&program, state, rows));
    if state.rolling_back() && state.finished().is_some() {
        return stands.collect();
    }
    let mut lines = vec![format!("{} of {} steps done", done, program.steps.len())];
    if let Some(step) = program.steps.get(done).filter(|_| !state.rolling_back()) {
        lines.push(format!("next step: {} ({})", step.id, step.title));
    }
    lines.extend(state.open_intents().map(|((step, _), action)| {
        format!("begun and not known to be done: {} in {step}", action.kind)
    }));
    lines.extend(stands);
    lines
}

fn print_text(here: &Here, state: Option<&State>, readable: bool, running: bool, rows: &[Row]) {
    let target = here.platform.target();
    ui::line(&format!(
        "{} in {} ({})",
        target.release, target.context, target.platform
    ));
    match state.and_then(|state| state.header().map(|header| (state, header))) {
        None if readable => ui::line("no run has a journal here"),
        None => ui::line("how far the run is stands in its journal, which cannot be read"),
        Some((state, header)) => {
            let back = state.rolling_back();
            let keys = keys_again(&header.inputs);
            let again = |verb: &str| here.place.command(&format!("{verb}{keys}"));
            let word = match (state.finished().is_some(), running) {
                (true, _) if state.cleaning() => "ended, and what was left of it is removed",
                (false, false) if state.cleaning() => &format!(
                    "ended, and stopped while what is left of it is removed; `{}` goes on",
                    again("cleanup")
                ),
                (true, _) if back => "rolled back",
                (true, _) => "finished",
                (false, true) => "running",
                (false, false) if back => {
                    &format!("stopped on its way back; `{}` goes on", again("rollback"))
                }
                (false, false) => &format!("stopped; `{}` goes on", again("resume")),
            };
            ui::line(&format!(
                "run {} of {}: {word}",
                header.run, header.runbook.name
            ));
            for line in standing(state, rows).into_iter().chain(limit(state)) {
                ui::line(&format!("  {line}"));
            }
            if let Some((most, least)) = outage(state, rows) {
                let goes_on = state.in_outage() && least.is_none();
                let so_far = if goes_on { " so far" } else { "" };
                ui::line(&format!("  outage {}{so_far}", ui::outage(most, least)));
            }
        }
    }
    ui::line("");
    ui::line(&format!(
        "{:<12} {:<9} {:<8} {:<14} {}",
        "MEMBER", "STORAGE", "SEALED", "ROLE", "CLUSTER"
    ));
    for row in rows {
        let (storage, sealed, cluster) = row.says.as_ref().map_or(("-", "-", "-"), |says| {
            (
                says.storage_type.as_str(),
                if says.sealed { "sealed" } else { "no" },
                says.cluster_id.as_deref().unwrap_or("-"),
            )
        });
        let role = if row.process == STOPPED {
            STOPPED
        } else {
            row.role.as_str()
        };
        ui::line(&format!(
            "{:<12} {storage:<9} {sealed:<8} {role:<14} {cluster}",
            row.member
        ));
    }
}

fn print_json(
    here: &Here,
    (state, unread): (Option<&State>, Option<&str>),
    running: bool,
    holder: Option<&Holder>,
    rows: &[Row],
) {
    let run = state.and_then(|state| {
        let header = state.header()?;
        let outage = outage(state, rows);
        Some(json!({
            "run": header.run,
            "runbook": header.runbook.name,
            "finished": state.finished().is_some(),
            "rolling_back": state.rolling_back(),
            "running": running,
            "standing": standing(state, rows),
            "in_outage": state.in_outage(),
            "outage_seconds": outage.map(|(most, _)| most),
            "outage_at_least": outage.and_then(|(_, least)| least),
            "max_outage_seconds": state.max_outage().map(|most| most.as_secs_f64()),
        }))
    });
    let members: Vec<_> = rows
        .iter()
        .map(|row| json!({"member": row.member, "process": row.process, "role": row.role, "seal_status": row.says}))
        .collect();
    ui::line(
        &json!({
            "version": 1,
            "target": here.platform.target(),
            "run": run,
            "journal_error": unread,
            "claimed_by": holder.map(|holder| &holder.identity),
            "members": members,
        })
        .to_string(),
    );
}
