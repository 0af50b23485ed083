//! A cluster is lost with its volumes, and its snapshot restored into the release that the chart makes anew.

use std::time::Duration;

use serde_json::json;

use crate::cases::{FAST, RESUME};
use crate::cluster::{cluster, until};
use crate::operator::{Said, in_action};
use crate::release::{PLAIN, Release};
use crate::table::Figures;

/// Restored on raft as it was, with a kill and a way back, and once more where the release is on file storage again.
pub fn full_restored_after_a_loss() -> Figures {
    let release = Release::install("lost", PLAIN);
    release.run(&release.agreed(&FAST)).expect(0);
    let nightly = release.folder.path().join("nightly.snap");
    let saved = release
        .api(&release.member(0))
        .download("sys/storage/raft/snapshot");
    std::fs::write(&nightly, saved).unwrap();
    let nightly = nightly.to_str().unwrap();
    let restore = ["migrate-raft", "--from-snapshot", nightly];
    let refused = release.run(&release.agreed(&restore)).expect(5);
    let serves = "serves the cluster that the snapshot is of";
    assert!(refused.text.contains(serves), "{}", refused.text);
    release.verify();

    lose(&release);
    release.kubectl(&[
        "scale",
        "statefulset",
        release.kind.fullname,
        "--replicas=3",
    ]);
    empty(&release, "raft", &release.members());
    release
        .run(&["check", "--from-snapshot", nightly, "--json"])
        .expect(0);
    let in_it = in_action("join", Duration::ZERO);
    let killed = release.killed(&release.agreed(&restore), in_it);
    assert_eq!(killed.code, -1, "{}", killed.text);
    release.run(&release.agreed(&["rollback"])).expect(0);
    empty(&release, "raft", &release.members());
    let in_it = in_action("restore", Duration::from_secs(1));
    let killed = release.killed(&release.agreed(&restore), in_it);
    assert_eq!(killed.code, -1, "{}", killed.text);
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    restored(&release, &said);
    release.hook_unseals();
    release.verify();

    lose(&release);
    cluster().helm(&["rollback", release.kind.name, "1", "-n", &release.namespace]);
    empty(&release, "file", &[release.member(0)]);
    let said = release.run(&release.agreed(&restore)).expect(0);
    restored(&release, &said);
    Figures::default()
}

/// The pods go, and every volume with them.
fn lose(release: &Release) {
    let set = release.kind.fullname;
    release.kubectl(&["scale", "statefulset", set, "--replicas=0"]);
    release.kubectl(&["delete", "pvc", "--all"]);
    cluster().renew_volumes();
}

/// These members run, and nobody has initialised them.
fn empty(release: &Release, storage: &str, members: &[String]) {
    until("empty members", 120, || {
        members.iter().all(|member| {
            release.api_answers(member) == Some(501)
                && release.api(member).seal_status()["storage_type"] == json!(storage)
        })
    });
}

fn restored(release: &Release, said: &Said) {
    let summary = said.summary();
    let none = (&json!(0), &json!(0));
    let parity = &summary["parity"];
    assert_eq!((&parity["missing"], &parity["unexplained"]), none);
    assert_eq!(summary["compared"].as_array().unwrap().len(), 3);
    release.verify();
    release.helm_agrees();
}
