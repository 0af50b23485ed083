//! `baoctl snapshot convert` beside `bao operator migrate` on the same made tree: speed and peak memory.
//!
//! `BIG=1` adds a tree of 1,000,000 entries; `BENCH_DIR` names a folder for the trees and what is made of them. Both
//! read the tree from the page cache, which a first conversion, not shown, has warmed.
#![allow(clippy::cast_precision_loss, clippy::print_stdout)]
#![allow(clippy::expect_used, missing_docs)]

mod common;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use baoctl::storage::tree::encode;
use common::{Table, Target, grouped};
use nix::sys::resource::{UsageWho, getrusage};

const VALUE_BYTES: usize = 600;
/// Entries per directory, about what KV v2 has below each of its 4,096 version prefixes on a large server.
const PER_DIRECTORY: usize = 250;
const MEASURE: &str = "--measure";

/// What a run took.
struct Used {
    seconds: f64,
    peak_mib: f64,
}

fn main() {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let [flag, log, program, arguments @ ..] = arguments.as_slice()
        && flag == MEASURE
    {
        measure(log, program, arguments);
        return;
    }
    let bao = common::bao();
    let folder = common::folder();
    compare(&bao, folder.path(), 20_000, 3);
    compare(&bao, folder.path(), 100_000, 3);
    if std::env::var_os("BIG").is_some() {
        compare(&bao, folder.path(), 1_000_000, 1);
    }
}

fn compare(bao: &Path, folder: &Path, entries: usize, runs: usize) {
    let tree = folder.join("tree");
    make_tree(&tree, entries);
    ours(&tree, folder);
    let own = best((0..runs).map(|_| ours(&tree, folder)));
    let theirs = best((0..runs).map(|_| theirs(bao, &tree, folder)));
    fs::remove_dir_all(&tree).expect("the tree goes");

    let (speed, their_speed) = (
        entries as f64 / own.seconds,
        entries as f64 / theirs.seconds,
    );
    let (fast, small) = match entries {
        100_000 => (
            Some(Target::at_least(speed / their_speed, 40.0, "x")),
            Some(Target::below(own.peak_mib, 64.0, "MiB")),
        ),
        1_000_000 => (None, Some(Target::below(own.peak_mib, 256.0, "MiB"))),
        _ => (None, None),
    };
    let mut table = Table::new(
        &format!(
            "{} entries of {VALUE_BYTES} B, best of {runs}",
            grouped(entries as f64)
        ),
        "baoctl",
        "bao operator migrate",
    );
    table.row("entries per second", speed, their_speed, fast);
    table.row("peak memory, MiB", own.peak_mib, theirs.peak_mib, small);
    table.print();
}

fn best(runs: impl Iterator<Item = Used>) -> Used {
    runs.min_by(|a, b| a.seconds.total_cmp(&b.seconds))
        .expect("a run")
}

/// Values that do not compress, under keys of the length that KV v2 gives them.
fn make_tree(root: &Path, entries: usize) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut directory = PathBuf::new();
    for number in 0..entries {
        if number.is_multiple_of(PER_DIRECTORY) {
            let bucket = number / PER_DIRECTORY;
            directory = root.join(format!(
                "logical/5b1f9d0c-5f0e-4c8e-9c55-8c4c3f4f6a10/2d0a7c1e-93b4-4d53-8f0c-6a3b1d2e4f50/versions/{bucket:04x}"
            ));
            fs::create_dir_all(&directory).expect("a directory of the tree");
        }
        let value: Vec<u8> = (0..VALUE_BYTES / 8)
            .flat_map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            })
            .collect();
        let name = format!("_{:064x}", u128::from(state) << 32 | number as u128);
        fs::write(directory.join(name), encode(&value)).expect("a file of the tree");
    }
}

fn ours(tree: &Path, folder: &Path) -> Used {
    let out = folder.join("bench.snap");
    let arguments = [
        "snapshot".as_ref(),
        "convert".as_ref(),
        tree.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ];
    let used = run(env!("CARGO_BIN_EXE_baoctl").as_ref(), &arguments, folder);
    fs::remove_file(&out).expect("the archive goes");
    used
}

fn theirs(bao: &Path, tree: &Path, folder: &Path) -> Used {
    let destination = folder.join("raft");
    fs::create_dir(&destination).expect("a folder for raft");
    let config = folder.join("migrate.hcl");
    let text = format!(
        "storage_source \"file\" {{\n  path = \"{}\"\n}}\nstorage_destination \"raft\" {{\n  path = \"{}\"\n  node_id = \"bench\"\n}}\ncluster_addr = \"http://127.0.0.1:42901\"\n",
        tree.display(),
        destination.display()
    );
    fs::write(&config, text).expect("the configuration is written");
    let arguments = [
        "operator".as_ref(),
        "migrate".as_ref(),
        "-config".as_ref(),
        config.as_os_str(),
    ];
    let used = run(bao.as_os_str(), &arguments, folder);
    fs::remove_dir_all(&destination).expect("the raft data goes");
    used
}

/// Runs a program below a process of its own, as the kernel only tells the largest peak of all that a process has run.
fn run(program: &OsStr, arguments: &[&OsStr], folder: &Path) -> Used {
    let log = folder.join("log");
    let output = Command::new(std::env::current_exe().expect("own path"))
        .args([MEASURE.as_ref(), log.as_os_str(), program])
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("the bench runs itself");
    let said = String::from_utf8_lossy(&output.stdout);
    let mut figures = said.split_whitespace().map(str::parse::<f64>);
    match (output.status.success(), figures.next(), figures.next()) {
        (true, Some(Ok(seconds)), Some(Ok(peak_mib))) => Used { seconds, peak_mib },
        _ => panic!(
            "{} failed: {}",
            program.display(),
            fs::read_to_string(&log).unwrap_or_default()
        ),
    }
}

/// Runs a program, and prints seconds and MiB.
fn measure(log: &OsStr, program: &OsStr, arguments: &[std::ffi::OsString]) {
    let log = File::create(log).expect("a log");
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdout(log.try_clone().expect("a log"))
        .stderr(log);
    let begin = Instant::now();
    let status = command.status().expect("the program runs");
    let seconds = begin.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel tells");
    // Linux counts KiB, macOS bytes.
    let unit = if cfg!(target_os = "macos") {
        1.0
    } else {
        1024.0
    };
    println!(
        "{seconds} {}",
        usage.max_rss() as f64 * unit / 1024.0 / 1024.0
    );
    std::process::exit(status.code().unwrap_or(1));
}
