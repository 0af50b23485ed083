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

/// It ends by itself, which takes its temporary folders with it.
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
