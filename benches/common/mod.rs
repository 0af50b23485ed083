//! What the benches share: the server's program, and a table with our figure, another one, their ratio and the target.
#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used
)]

use std::path::PathBuf;

use tempfile::TempDir;

/// The `bao` program, or the end of the bench with how to get it.
pub fn bao() -> PathBuf {
    baoctl::platform::local::find_bao(None, baoctl::platform::StorageKind::File).unwrap_or_else(
        |error| {
            eprintln!("no `bao` to measure beside: {error}");
            std::process::exit(2)
        },
    )
}

/// A folder that goes with the bench, in `BENCH_DIR` or the place for temporary files.
pub fn folder() -> TempDir {
    let place = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::tempdir_in(place).expect("a folder for the bench")
}

/// The middle one of an odd number of figures, the upper middle one of an even number.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// What a figure is to be, and whether it is that.
pub struct Target {
    text: String,
    met: bool,
}

impl Target {
    pub fn below(figure: f64, limit: f64, unit: &str) -> Self {
        Self {
            text: format!("< {limit} {unit}"),
            met: figure < limit,
        }
    }

    pub fn at_least(figure: f64, limit: f64, unit: &str) -> Self {
        Self {
            text: format!(">= {limit} {unit}"),
            met: figure >= limit,
        }
    }
}

/// Lines of two figures and their ratio.
pub struct Table(Vec<[String; 6]>);

impl Table {
    pub fn new(title: &str, ours: &str, other: &str) -> Self {
        Self(vec![
            [title, ours, other, "ratio", "target", ""].map(str::to_owned),
        ])
    }

    pub fn row(&mut self, what: &str, ours: f64, other: f64, target: Option<Target>) {
        let (target, verdict) = target.map_or_else(Default::default, |target| {
            let verdict = if target.met { "ok" } else { "MISSED" };
            (target.text, verdict.to_owned())
        });
        self.0.push([
            what.to_owned(),
            figure(ours),
            figure(other),
            format!("{} x", figure(ours / other)),
            target,
            verdict,
        ]);
    }

    pub fn print(&self) {
        let width = |column: usize| {
            let cells = self.0.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..6).map(width).collect();
        println!();
        for row in &self.0 {
            let cells: Vec<_> = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            println!("{}", cells.join("  ").trim_end());
        }
    }
}

/// A figure with as many digits as tell something.
fn figure(value: f64) -> String {
    match value.abs() {
        ..10.0 => format!("{value:.2}"),
        ..1000.0 => format!("{value:.1}"),
        _ => grouped(value),
    }
}

/// A whole number with its digits in groups of three.
pub fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
