//! The cluster as its administrator reaches it: `kubectl` and `helm`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// What the tests need to use a cluster.
pub struct Cluster {
    pub kubeconfig: PathBuf,
    pub kubectl: PathBuf,
    pub helm: PathBuf,
    /// The chart that releases are installed from.
    pub chart: PathBuf,
    values: PathBuf,
    /// The API server's audit log, where the cluster is the one of `tests/cluster`.
    pub audit_log: Option<PathBuf>,
}

/// The one of `tests/cluster`, or any other by `BAOCTL_E2E_KUBECONFIG`.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster");
        let mut cluster = match std::env::var_os("BAOCTL_E2E_KUBECONFIG") {
            Some(kubeconfig) => Cluster {
                kubeconfig: kubeconfig.into(),
                kubectl: "kubectl".into(),
                helm: "helm".into(),
                chart: here.join("chart/openbao"),
                values: here.join("values"),
                audit_log: None,
            },
            None => own(&here),
        };
        if let Some(chart) = std::env::var_os("BAOCTL_E2E_CHART") {
            cluster.chart = std::path::absolute(chart).unwrap();
        }
        cluster
    })
}

fn own(here: &Path) -> Cluster {
    let output = Command::new(here.join("cluster"))
        .arg("env")
        .output()
        .unwrap();
    let environment: Value = serde_json::from_str(&said(&output, "cluster env")).unwrap();
    let path = |name: &str| PathBuf::from(environment[name].as_str().unwrap());
    Cluster {
        kubeconfig: path("kubeconfig"),
        kubectl: path("kubectl"),
        helm: path("helm"),
        chart: path("chart"),
        values: path("values"),
        audit_log: Some(path("audit_log")),
    }
}

#[track_caller]
pub fn said(output: &Output, what: &str) -> String {
    assert!(
        output.status.success(),
        "{what}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Looks until it has come about.
#[track_caller]
pub fn until(what: &str, seconds: u64, mut look: impl FnMut() -> bool) {
    let began = Instant::now();
    while !look() {
        assert!(
            began.elapsed() < Duration::from_secs(seconds),
            "waited {seconds} s for {what}"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
}

impl Cluster {
    pub fn values(&self, name: &str) -> PathBuf {
        self.values.join(format!("{name}.yaml"))
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null());
        command
    }

    /// A script for an administrator's shell, in which `kubectl` and `helm` are found.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = self.command(Path::new("sh"), &["-euc", script]);
        let programs = [&self.kubectl, &self.helm];
        let folders: Vec<PathBuf> = programs
            .into_iter()
            .filter_map(|program| program.parent().map(Path::to_owned))
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap()))
            .collect();
        command.env("PATH", std::env::join_paths(folders).unwrap());
        command
    }

    pub fn kubectl_command(&self, args: &[&str]) -> Command {
        self.command(&self.kubectl, args)
    }

    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        let output = self.kubectl_command(args).output().unwrap();
        said(&output, &format!("kubectl {}", args.join(" ")))
    }

    /// What it printed, `None` when it failed.
    pub fn try_kubectl(&self, args: &[&str]) -> Option<String> {
        let output = self.kubectl_command(args).output().unwrap();
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    #[track_caller]
    pub fn helm(&self, args: &[&str]) -> String {
        let output = self.command(&self.helm, args).output().unwrap();
        said(&output, &format!("helm {}", args.join(" ")))
    }

    /// Applies a manifest given as text.
    #[track_caller]
    pub fn apply(&self, namespace: &str, manifest: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), manifest).unwrap();
        self.kubectl(&[
            "apply",
            "-n",
            namespace,
            "-f",
            file.path().to_str().unwrap(),
        ]);
    }

    /// A fault of the own cluster, for example `kubelet stop node-1`.
    #[track_caller]
    pub fn fault(&self, args: &[&str]) {
        assert!(
            self.audit_log.is_some(),
            "this fault needs the cluster of tests/cluster"
        );
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/cluster");
        let output = Command::new(program).args(args).output().unwrap();
        said(&output, &format!("cluster {}", args.join(" ")));
    }

    /// Unused volumes for the next case.
    pub fn renew_volumes(&self) {
        if self.audit_log.is_some() {
            self.fault(&["volumes", "renew"]);
        }
    }
}
