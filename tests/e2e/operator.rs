//! The operator at the terminal: commands about a release, what they said, and kills.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::cluster;
use crate::release::Release;

/// No command takes longer; one that does hangs.
const LIMIT: Duration = Duration::from_mins(5);

/// What a command said.
pub struct Said {
    pub code: i32,
    pub events: Vec<Value>,
    pub text: String,
}

impl Said {
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "it said:\n{}", self.text);
        self
    }

    pub fn summary(&self) -> &Value {
        let is = |event: &&Value| event["event"] == "summary";
        self.events
            .iter()
            .find(is)
            .unwrap_or_else(|| panic!("no summary:\n{}", self.text))
    }

    /// What came of an action, as its last end tells.
    #[track_caller]
    pub fn finished(&self, action: &str) -> &str {
        let is = |event: &&Value| event["event"] == "action-finished" && event["action"] == action;
        let last = self.events.iter().rfind(is);
        last.and_then(|event| event["summary"].as_str())
            .unwrap_or_else(|| panic!("no end of {action}:\n{}", self.text))
    }

    /// Every entry is there, whoever leads; the outage in seconds.
    #[track_caller]
    pub fn expect_parity(&self) -> f64 {
        let summary = self.summary();
        let parity = &summary["parity"];
        assert_eq!(
            (&parity["missing"], &parity["unexplained"]),
            (&0.into(), &0.into()),
            "{summary}"
        );
        assert_eq!(
            summary["compared"].as_array().unwrap().len(),
            3,
            "{summary}"
        );
        println!("    outage by part:");
        for part in summary["outage_parts"].as_array().unwrap() {
            println!(
                "      {:<22} {:>5.1} s",
                part[0].as_str().unwrap(),
                part[1].as_f64().unwrap()
            );
        }
        let outage = summary["outage_seconds"].as_f64().unwrap();
        println!(
            "      {:<22} {outage:>5.1} s, seal to first active node",
            "in all"
        );
        let expected = summary["expected"]["seconds"].as_f64().unwrap();
        println!("      {:<22} {expected:>5.1} s", "expected");
        outage
    }
}

impl Release {
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    fn command(&self, args: &[&str], work: &Path) -> Command {
        let secret = format!("{}:{}", self.kind.unseal_secret, self.kind.unseal_field);
        let mut command = Command::new(env!("CARGO_BIN_EXE_baoctl"));
        command
            .args(args)
            .args(["--context", &self.context(), "--namespace", &self.namespace])
            .args(["--release", self.kind.name, "--unseal-secret", &secret])
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .arg("--work-dir")
            .arg(work)
            .env("BAOCTL_HELM", &cluster().helm)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if self.kind.driver == "helm" {
            command.arg("--chart").arg(&cluster().chart);
        } else {
            // No other driver needs one. Later commands know from the journal which it is.
            command.env("BAOCTL_HELM", "/nonexistent/helm");
            if args[0] == "migrate-raft" {
                command.args(["--driver", self.kind.driver]);
            }
        }
        if self.kind.overlays.contains(&"minimal") {
            command.args(["--helper-image", "quay.io/openbao/openbao:2.6.2"]);
        }
        command
    }

    /// `migrate-raft` or `resume` with everything agreed to.
    pub fn agreed<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        let mut all = args.to_vec();
        all.extend(["--json", "--yes", "--confirm-outage", &self.namespace]);
        all
    }

    pub fn run(&self, args: &[&str]) -> Said {
        self.run_in(args, &self.work())
    }

    pub fn run_in(&self, args: &[&str], work: &Path) -> Said {
        self.watched(args, work, |_| None)
    }

    /// Hears each event while it runs.
    pub fn heard(&self, args: &[&str], hear: impl Fn(&Value)) -> Said {
        self.watched(args, &self.work(), |event| {
            hear(event);
            None
        })
    }

    /// Kills it so long after the first event that `at` gives a time for.
    pub fn killed(&self, args: &[&str], at: impl Fn(&Value) -> Option<Duration>) -> Said {
        self.watched(args, &self.work(), at)
    }

    fn watched(&self, args: &[&str], work: &Path, at: impl Fn(&Value) -> Option<Duration>) -> Said {
        let began = Instant::now();
        let mut child = self.command(args, work).spawn().unwrap();
        let errors = child.stderr.take().unwrap();
        let errors =
            std::thread::spawn(move || std::io::read_to_string(errors).unwrap_or_default());
        let (sender, lines) = std::sync::mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let (mut events, mut text, mut kill_at) = (Vec::new(), String::new(), None::<Instant>);
        loop {
            let end = kill_at.unwrap_or(began + LIMIT);
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let event: Value = serde_json::from_str(&line).unwrap_or_default();
                    kill_at = kill_at.or_else(|| at(&event).map(|after| Instant::now() + after));
                    // Progress and plans are long and say nothing about a failure.
                    if !matches!(event["event"].as_str(), Some("progress" | "plan")) {
                        text = text + &line + "\n";
                    }
                    events.push(event);
                }
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    child.kill().unwrap();
                    assert!(kill_at.is_some(), "{args:?} hangs; it said:\n{text}");
                    break;
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait().unwrap();
        text += &errors.join().unwrap();
        Said {
            code: status.code().unwrap_or(-1),
            events,
            text,
        }
    }
}

/// So long after the beginning of a step.
pub fn in_step(step: &str, after: Duration) -> impl Fn(&Value) -> Option<Duration> {
    move |event| (event["event"] == "step-started" && event["step"] == step).then_some(after)
}

/// So long after the beginning of an action.
pub fn in_action(action: &str, after: Duration) -> impl Fn(&Value) -> Option<Duration> {
    move |event| (event["event"] == "action-started" && event["action"] == action).then_some(after)
}
