//! The closing table: what each case took, and for how long clients were not served.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::time::Instant;

/// What a case found out, in seconds.
#[derive(Default, Clone, Copy)]
pub struct Figures {
    /// By the run's own marks: from the seal to the first active node.
    pub outage: Option<f64>,
    /// The longest time between two writes through the Service that were acknowledged.
    pub client: Option<f64>,
}

struct Row {
    name: &'static str,
    result: &'static str,
    took: f64,
    figures: Figures,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Runs a case and notes what came of it.
pub fn record(name: &'static str, case: fn() -> Figures) {
    let began = Instant::now();
    let end = catch_unwind(AssertUnwindSafe(case));
    ROWS.lock().unwrap().push(Row {
        name,
        result: if end.is_ok() { "ok" } else { "FAILED" },
        took: began.elapsed().as_secs_f64(),
        figures: end.as_ref().copied().unwrap_or_default(),
    });
    if let Err(panic) = end {
        resume_unwind(panic);
    }
}

/// Prints the table.
pub fn print() {
    let rows = ROWS.lock().unwrap();
    if rows.is_empty() {
        return;
    }
    let seconds = |figure: Option<f64>| figure.map_or("-".to_owned(), |it| format!("{it:.1} s"));
    println!(
        "{:<42} {:<7} {:>9} {:>9} {:>9}",
        "case", "result", "took", "outage", "client's"
    );
    for row in rows.iter() {
        println!(
            "{:<42} {:<7} {:>9} {:>9} {:>9}",
            row.name,
            row.result,
            seconds(Some(row.took)),
            seconds(row.figures.outage),
            seconds(row.figures.client),
        );
    }
}
