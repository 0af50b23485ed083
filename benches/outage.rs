//! How long clients are without a server, by runbook, beside `bao operator migrate`: each a rehearsal on real servers.
//!
//! The floor is the fast order on a server with next to no data, in the same run: what OpenBao itself takes to start, to init, to
//! restore and to elect. `BIG=1` measures 100,000 entries too, `RUNS=20` repeats each and tells how often the forecast was
//! within 20 %.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss
)]

mod common;

use std::collections::BTreeMap;
use std::process::Command;

use common::{Table, Target, median};
use serde_json::Value;

const BOOKS: [&str; 2] = ["migrate-raft-fast", "migrate-raft"];
/// The entries of a server with next to no data.
const FLOOR: u64 = 1;
/// What a user would do instead.
const INSTEAD: &str = "operator-migrate";

/// One outage, in seconds.
struct Outage {
    was: f64,
    expected: f64,
    /// By action.
    parts: BTreeMap<String, f64>,
}

fn main() {
    let bao = common::bao();
    let runs = std::env::var("RUNS").map_or(3, |runs| runs.parse().expect("RUNS is a number"));
    let mut sizes = vec![5_000];
    if std::env::var_os("BIG").is_some() {
        sizes.push(100_000);
    }
    for entries in sizes {
        let mut floor = Vec::new();
        let mut of: Vec<(&str, Vec<Outage>)> = BOOKS
            .iter()
            .chain(&[INSTEAD])
            .map(|book| (*book, Vec::new()))
            .collect();
        // In turns, so that a busy moment of the machine meets each.
        for _ in 0..runs {
            floor.push(rehearse(&bao, BOOKS[0], FLOOR).was);
            for (book, outages) in &mut of {
                outages.push(rehearse(&bao, book, entries));
            }
        }
        let floor = median(floor);
        let middle = |book: &str| {
            let (_, outages) = of.iter().find(|(of, _)| *of == book).expect("it ran");
            median(outages.iter().map(|it| it.was))
        };
        let title = format!("outage, {entries} entries, s (floor {floor:.2})");
        let mut table = Table::new(&title, "baoctl", INSTEAD);
        let instead = middle(INSTEAD);
        for book in BOOKS {
            let was = middle(book);
            let target = (book == BOOKS[0] && entries >= 100_000)
                .then(|| Target::below(was / instead, 0.5, "x"));
            table.row(book, was, instead, target);
        }
        let above = middle(BOOKS[0]) - floor;
        let target = (entries == 5_000).then(|| Target::below(above, 2.0, "s"));
        table.row("fast, above the floor", above, instead - floor, target);
        table.print();
        for (book, outages) in &of {
            tell(book, outages);
        }
    }
}

/// How good the forecasts were, and where the time went.
fn tell(book: &str, outages: &[Outage]) {
    let near = outages
        .iter()
        .filter(|it| (it.expected - it.was).abs() <= 0.2 * it.was)
        .count();
    println!(
        "{book}: forecast within 20 % in {near} of {}",
        outages.len()
    );
    for it in outages {
        println!("  was {:.2} s, expected {:.2} s", it.was, it.expected);
    }
    let mut parts = BTreeMap::<&str, Vec<f64>>::new();
    for (part, took) in outages.iter().flat_map(|it| &it.parts) {
        parts.entry(part).or_default().push(*took);
    }
    for (part, took) in parts {
        println!("  {part:<20} {:>6.2} s", median(took));
    }
}

fn rehearse(bao: &std::path::Path, book: &str, entries: u64) -> Outage {
    let folder = common::folder();
    let said = Command::new(env!("CARGO_BIN_EXE_baoctl"))
        .args(["rehearse", "--json", "--runbook", book])
        .args(["--entries", &entries.to_string()])
        .arg("--work-dir")
        .arg(folder.path().join("work"))
        .env("BAOCTL_BAO", bao)
        .output()
        .expect("baoctl runs");
    let out = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{book}: {out}");
    let summary = out
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find(|event| event["event"] == "summary")
        .expect("a summary");
    let figure = |value: &Value| value.as_f64().expect("a figure");
    let parts = summary["outage_parts"].as_array().expect("its parts");
    let part = |it: &Value| {
        (
            it[0].as_str().unwrap_or_default().to_owned(),
            figure(&it[1]),
        )
    };
    Outage {
        was: figure(&summary["outage_seconds"]),
        expected: figure(&summary["expected"]["seconds"]),
        parts: parts.iter().map(part).collect(),
    }
}
