//! The program on a real Kubernetes cluster, on releases that the real `helm` installs, under the least Role.
//!
//! `make e2e` runs the core, `make e2e-full` every case; one alone by its name: `make e2e ARGS=card_order_path_probe`.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod actors;
mod api;
mod back;
mod budget;
mod cases;
mod client;
mod cluster;
mod drivers;
mod faults;
mod namespaces;
mod operator;
mod release;
mod reseeded;
mod restored;
mod table;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut arguments = Arguments::from_args();
    // One cluster, one case at a time: a fault of one must not be another's.
    arguments.test_threads = Some(1);
    let full = std::env::var_os("BAOCTL_E2E_FULL").is_some();
    let core = cases::CORE.iter().map(|case| (*case, false));
    let more = cases::FULL.iter().map(|case| (*case, !full));
    let trials = core
        .chain(more)
        .map(|((name, case), ignored)| {
            Trial::test(name, move || {
                table::record(name, case);
                Ok(())
            })
            .with_ignored_flag(ignored)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    table::print();
    conclusion.exit();
}
