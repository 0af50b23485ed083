//! Converts made trees with the library and with `bao operator migrate`, and prints speed and peak memory of both.
//!
//! `cargo bench --bench convert`; `BAO_BIN` names the server binary (without it only the library is measured), `BIG=1`
//! adds a tree of 1,000,000 entries, `BENCH_DIR` names a directory for the trees. Both read the same tree warm from the page cache
//! (a first conversion, not shown, warms it), each in a child process whose peak resident memory the kernel tells.
#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use baoctl::meter::Silent;
use baoctl::storage::tree::encode;
use baoctl::storage::{ConvertOptions, Phase, Source, TreeOptions, convert};

const VALUE_BYTES: usize = 600;
/// Entries per directory, about what KV v2 has below each of its 4,096 version prefixes on a large server.
const PER_DIRECTORY: usize = 250;

struct Measured {
    time: Duration,
    /// In KiB, as `/proc/PID/status` has it.
    peak: u64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, tree, out] = arguments.as_slice()
        && mode == "--child"
    {
        child(Path::new(tree), Path::new(out));
        return;
    }
    let place = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let place = tempfile::tempdir_in(place).expect("a directory for the trees");
    let bao = std::env::var_os("BAO_BIN").map(PathBuf::from);
    let mut sizes = vec![20_000, 100_000];
    if std::env::var_os("BIG").is_some() {
        sizes.push(1_000_000);
    }
    println!("trees of {VALUE_BYTES}-byte values, read warm; each run a process of its own");
    println!(
        "{:>9}  {:<22} {:>9} {:>11} {:>9} {:>7}",
        "entries", "", "seconds", "entries/s", "peak MB", "ratio"
    );
    for entries in sizes {
        let tree = place.path().join(format!("tree-{entries}"));
        make_tree(&tree, entries);
        let ours = ours(&tree, place.path());
        row(entries, "baoctl", &ours, None);
        if let Some(bao) = &bao {
            let theirs = theirs(bao, &tree, place.path());
            row(entries, "bao operator migrate", &theirs, Some(&ours));
        }
        fs::remove_dir_all(&tree).expect("the tree goes");
    }
}

fn row(entries: usize, who: &str, measured: &Measured, ours: Option<&Measured>) {
    let seconds = measured.time.as_secs_f64();
    let ratio = ours.map(|ours| format!("{:.1}", seconds / ours.time.as_secs_f64()));
    println!(
        "{entries:>9}  {who:<22} {seconds:>9.2} {:>11.0} {:>9.1} {:>7}",
        f64::from(u32::try_from(entries).unwrap_or(u32::MAX)) / seconds,
        f64::from(u32::try_from(measured.peak).unwrap_or(u32::MAX)) / 1024.0,
        ratio.unwrap_or_default()
    );
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

fn child(tree: &Path, out: &Path) {
    let scratch = out.parent().expect("a directory beside the archive");
    let options = ConvertOptions::new(TreeOptions::new(Phase::Sealed), scratch);
    let done = convert(Source::Directory(tree), out, &options, &Silent).expect("the tree converts");
    println!("{}", done.entries);
    print!(
        "{}",
        fs::read_to_string("/proc/self/status").expect("own status")
    );
}

/// The best of three runs.
fn ours(tree: &Path, place: &Path) -> Measured {
    let out = place.join("bench.snap");
    let own = std::env::current_exe().expect("own path");
    let once = || {
        let begin = Instant::now();
        let output = Command::new(&own)
            .arg("--child")
            .args([tree, &out])
            .stderr(Stdio::inherit())
            .output()
            .expect("the child runs");
        let time = begin.elapsed();
        assert!(output.status.success(), "the conversion failed");
        let peak =
            peak_of(&String::from_utf8_lossy(&output.stdout)).expect("the child tells its peak");
        Measured { time, peak }
    };
    once();
    let runs = [once(), once(), once()];
    fs::remove_file(&out).expect("the archive goes");
    runs.into_iter()
        .min_by_key(|run| run.time)
        .expect("three runs")
}

fn theirs(bao: &Path, tree: &Path, place: &Path) -> Measured {
    let destination = place.join("raft");
    fs::create_dir_all(&destination).expect("a directory for raft");
    let config = place.join("migrate.hcl");
    let text = format!(
        "storage_source \"file\" {{\n  path = {tree:?}\n}}\nstorage_destination \"raft\" {{\n  path = {destination:?}\n  node_id = \"bench\"\n}}\ncluster_addr = \"http://127.0.0.1:42901\"\n"
    );
    fs::write(&config, text).expect("the configuration is written");
    let mut log = fs::File::create(place.join("migrate.log")).expect("a log");
    log.flush().expect("a log");
    let begin = Instant::now();
    let mut migrating = Command::new(bao)
        .args(["operator", "migrate", "-config"])
        .arg(&config)
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .expect("the server binary runs");
    let mut peak = 0;
    let status = loop {
        if let Some(status) = migrating.try_wait().expect("the child is ours") {
            break status;
        }
        let text =
            fs::read_to_string(format!("/proc/{}/status", migrating.id())).unwrap_or_default();
        peak = peak_of(&text).unwrap_or(peak);
        std::thread::sleep(Duration::from_millis(20));
    };
    let time = begin.elapsed();
    let log = fs::read_to_string(place.join("migrate.log")).unwrap_or_default();
    assert!(status.success(), "bao operator migrate failed: {log}");
    fs::remove_dir_all(&destination).expect("the raft data goes");
    Measured { time, peak }
}

fn peak_of(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
