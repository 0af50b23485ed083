//! What the program says and how it ends where no server is reached.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn baoctl(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_baoctl"));
    command.args(args).stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A kubeconfig with the one context `prod`, of a server at this address.
fn kubeconfig(folder: &Path, server: &str) -> PathBuf {
    let path = folder.join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n\
         users: [{{name: u, user: {{}}}}]\ncontexts: [{{name: prod, context: {{cluster: c, user: u}}}}]\n"
    );
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn a_mistyped_context_is_answered_with_those_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let config = kubeconfig(folder.path(), "http://127.0.0.1:1");
    let config = config.to_str().unwrap();
    let args = [
        "check",
        "--kubeconfig",
        config,
        "--context",
        "pord",
        "-n",
        "vault",
    ];
    let output = baoctl(&args).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("it has: prod"), "{said}");
    assert!(
        said.contains("next:  kubectl config get-contexts"),
        "{said}"
    );
    assert!(!said.contains("--context pord"), "{said}");
}

#[test]
fn a_mistyped_step_is_answered_with_those_there_are_before_anything_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    let work_dir = work.to_str().unwrap();
    let output = baoctl(&["rehearse", "--until", "recordkeys", "--work-dir", work_dir])
        .output()
        .unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains(
            "`migrate-raft` has no step `recordkeys`; its steps are snapshot, record-keys"
        ),
        "{said}"
    );
    assert!(said.contains("baoctl runbook show migrate-raft"), "{said}");
    assert!(!work.exists());
}

/// As `diff` does: trouble is no difference.
#[test]
fn snapshots_that_differ_are_told_from_one_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let here = |name: &str| folder.path().join(name).display().to_string();
    let snapshot = |name: &str, keys: &[&str]| {
        let tree = folder.path().join(format!("{name}.tree"));
        for key in keys {
            let file = tree.join(baoctl::storage::key::path_of_key(key).unwrap());
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, r#"{"Value":"eA=="}"#).unwrap();
        }
        let tree = tree.display().to_string();
        let done = baoctl(&["snapshot", "convert", &tree, "--out", &here(name)]);
        let output = { done }.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    };
    snapshot("a", &["core/x", "core/y"]);
    snapshot("b", &["core/x"]);
    for (one, other, code) in [
        ("a", "a", 0),
        ("a", "b", 1),
        ("a", "none", 2),
        ("none", "a", 2),
    ] {
        let output = baoctl(&["snapshot", "diff", &here(one), &here(other)]).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    }
}

/// It ends by itself, which takes its temporary folders with it.
#[test]
fn a_snapshot_that_cannot_be_restored_is_answered_before_anything_is_reached_or_made() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    let (work_dir, file) = (work.to_str().unwrap(), folder.path().join("a.snap"));
    std::fs::write(&file, "").unwrap();
    let snapshot = ["--from-snapshot", file.to_str().unwrap()];
    let gone = ["--from-snapshot", "gone.snap", "--keys-file", "gone.json"];
    let cluster = ["migrate-raft", "--context", "prod", "-n", "vault"];
    let restore = ["--runbook", "restore-snapshot"];
    let other = ["migrate-raft", "--runbook", "migrate-raft"];
    let cases: [(&[&str], &[&str], &str); 10] = [
        (&["rehearse"], &restore, "name it with --from-snapshot FILE"),
        (&["check"], &restore, "name it with --from-snapshot FILE"),
        (&other, &snapshot, "leave out --from-snapshot"),
        (&cluster, &gone, "--from-snapshot gone.snap: No such file"),
        (&["rehearse"], &snapshot, "--keys-file FILE"),
        (
            &["rehearse"],
            &gone,
            "--from-snapshot gone.snap: No such file",
        ),
        (
            &["rehearse", "--from-tree", "x"],
            &snapshot,
            "cannot be used with",
        ),
        (
            &["rehearse", "--source", "pebbledb"],
            &gone,
            "cannot be used with",
        ),
        (
            &["rehearse", "--from-tree", "gone", "--keys-file", "gone"],
            &[],
            "--from-tree gone: No such file",
        ),
        (&["migrate-raft"], &["--cluster-id", "x"], "--from-snapshot"),
    ];
    for (command, flags, words) in cases {
        let args = [command, flags, &["--work-dir", work_dir]].concat();
        let output = baoctl(&args).output().unwrap();
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(words), "{args:?}: {said}");
        assert!(!work.exists(), "{args:?}");
    }
}

#[test]
fn a_signal_ends_a_command_in_order() {
    let folder = tempfile::tempdir().unwrap();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = kubeconfig(
        folder.path(),
        &format!("http://{}", silent.local_addr().unwrap()),
    );
    let config = config.to_str().unwrap();
    for (name, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let args = [
            "status",
            "--kubeconfig",
            config,
            "--context",
            "prod",
            "-n",
            "vault",
        ];
        let mut child = baoctl(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It has asked, so that it hears signals.
        let _asked = silent.accept().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let kill = Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(code), "{name}");
    }
}
