//! The `helm` program. Generated values go to its standard input, never into a file or an argument.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::platform::{Error, Result};

/// Names another program than the `helm` of the PATH.
const PROGRAM: &str = "BAOCTL_HELM";
/// A look.
const LOOK: Duration = Duration::from_mins(1);
/// An upgrade with its hooks.
const CHANGE: Duration = Duration::from_mins(5);
/// How long an operation that began earlier is given to end: its program may have been left running.
const PENDING: Duration = Duration::from_secs(10);

/// The program, bound to one release.
#[derive(Debug, Clone)]
pub(super) struct Helm {
    program: PathBuf,
    kubeconfig: Option<PathBuf>,
    context: String,
    namespace: String,
    release: String,
}

/// One revision of the release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Revision {
    /// Its number.
    #[serde(rename = "revision")]
    pub(super) number: u64,
    /// `deployed`, `superseded`, `failed`, `pending-upgrade` and others.
    pub(super) status: String,
    /// Name and version of its chart in one word.
    #[serde(default)]
    pub(super) chart: String,
    /// `Rollback to 1`, for example.
    #[serde(default)]
    pub(super) description: String,
}

/// The revisions, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct History(Vec<Revision>);

impl History {
    /// What is in force.
    pub(super) fn deployed(&self) -> Option<&Revision> {
        self.0.iter().rev().find(|it| it.status == "deployed")
    }

    /// An operation that has not ended.
    pub(super) fn pending(&self) -> Option<&Revision> {
        self.0.last().filter(|it| it.status.starts_with("pending-"))
    }

    /// The last revision is not the one in force: an upgrade failed or has not ended.
    pub(super) fn settled(&self) -> bool {
        self.0.last().is_some_and(|it| it.status == "deployed")
    }

    /// Whether what is in force has the content of an earlier revision.
    pub(super) fn is_of(&self, revision: u64) -> bool {
        let Some(mut at) = self.0.last().filter(|it| it.status == "deployed") else {
            return false;
        };
        loop {
            if at.number == revision {
                return true;
            }
            let to = at.description.strip_prefix("Rollback to ");
            let Some(to) = to.and_then(|it| it.trim().parse::<u64>().ok()) else {
                return false;
            };
            if to == revision {
                return true;
            }
            match self.0.iter().find(|it| it.number == to && to < at.number) {
                Some(earlier) => at = earlier,
                None => return false,
            }
        }
    }
}

/// A chart's name and version.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Chart {
    /// Its name, for example `openbao`.
    #[serde(rename = "chart")]
    pub(super) name: String,
    /// Its version.
    pub(super) version: String,
}

/// What an upgrade would apply.
#[derive(Debug, Clone)]
pub(super) struct Rendered {
    /// The chart it comes from.
    pub(super) chart: Chart,
    /// Its objects.
    pub(super) objects: Vec<Value>,
}

impl Rendered {
    /// The object of this kind and name.
    pub(super) fn object(&self, kind: &str, name: &str) -> Option<&Value> {
        self.objects
            .iter()
            .find(|it| it["kind"] == kind && it["metadata"]["name"] == name)
    }
}

/// The answer to `helm upgrade -o json`, as far as it is read.
#[derive(Deserialize)]
struct Upgraded {
    chart: UpgradedChart,
    #[serde(default)]
    manifest: String,
}

#[derive(Deserialize)]
struct UpgradedChart {
    metadata: ChartMetadata,
}

#[derive(Deserialize)]
struct ChartMetadata {
    name: String,
    version: String,
}

/// The values of an upgrade.
#[derive(Debug)]
pub(super) enum Values {
    /// Generated: they may hold secrets, and go to the standard input.
    Generated(Value),
    /// The user's own file.
    Own(PathBuf),
}

impl Values {
    /// What follows `-f`.
    fn word(&self) -> &OsStr {
        match self {
            Self::Generated(_) => OsStr::new("-"),
            Self::Own(path) => path.as_os_str(),
        }
    }

    /// For the standard input.
    fn text(&self) -> Option<String> {
        match self {
            Self::Generated(values) => Some(values.to_string()),
            Self::Own(_) => None,
        }
    }

    /// As a person would name it.
    fn shown(&self) -> String {
        match self {
            Self::Generated(_) => "<generated values>".to_owned(),
            Self::Own(path) => path.display().to_string(),
        }
    }
}

impl Helm {
    /// Nothing is called yet.
    pub(super) fn new(
        kubeconfig: Option<&Path>,
        context: &str,
        namespace: &str,
        release: &str,
    ) -> Self {
        Self {
            program: std::env::var_os(PROGRAM).map_or_else(|| "helm".into(), PathBuf::from),
            kubeconfig: kubeconfig.map(Path::to_owned),
            context: context.to_owned(),
            namespace: namespace.to_owned(),
            release: release.to_owned(),
        }
    }

    /// The revisions of the release.
    pub(super) async fn history(&self) -> Result<History> {
        let words = ["history", &self.release, "--max", "256", "-o", "json"];
        let mut revisions: Vec<Revision> = self.json("history", &words, LOOK).await?;
        revisions.sort_by_key(|it| it.number);
        Ok(History(revisions))
    }

    /// The history once no operation is pending any more. One that stays pending was left by a program that died.
    pub(super) async fn settled_history(&self) -> Result<History> {
        let end = Instant::now() + PENDING;
        loop {
            let history = self.history().await?;
            if history.pending().is_none() || Instant::now() >= end {
                return Ok(history);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// The chart that is installed.
    pub(super) async fn chart(&self) -> Result<Chart> {
        let words = ["get", "metadata", &self.release, "-o", "json"];
        self.json("get metadata", &words, LOOK).await
    }

    /// The values in force, the chart's own defaults among them.
    pub(super) async fn values(&self) -> Result<Value> {
        let words = ["get", "values", &self.release, "--all", "-o", "json"];
        self.json("get values", &words, LOOK).await
    }

    /// The exact upgrade, tried on the server.
    pub(super) async fn try_upgrade(
        &self,
        chart: &str,
        version: &str,
        values: &Values,
    ) -> Result<Rendered> {
        let mut words = self.upgrade_words(chart, version, values);
        words.extend(["--dry-run=server", "-o", "json"].map(OsString::from));
        let output = self
            .fed("upgrade --dry-run=server", &words, values.text(), CHANGE)
            .await?;
        let answer: Upgraded = read("upgrade --dry-run=server", &output)?;
        Ok(Rendered {
            chart: Chart {
                name: answer.chart.metadata.name,
                version: answer.chart.metadata.version,
            },
            objects: objects(&answer.manifest)?,
        })
    }

    /// The exact upgrade.
    pub(super) async fn upgrade(&self, chart: &str, version: &str, values: &Values) -> Result<()> {
        let words = self.upgrade_words(chart, version, values);
        self.fed("upgrade", &words, values.text(), CHANGE)
            .await
            .map(drop)
    }

    /// Back to an earlier revision's content.
    pub(super) async fn rollback(&self, revision: u64) -> Result<()> {
        let revision = revision.to_string();
        let words = ["rollback", &self.release, &revision];
        self.call("rollback", &words, CHANGE).await.map(drop)
    }

    fn upgrade_words(&self, chart: &str, version: &str, values: &Values) -> Vec<OsString> {
        let mut words: Vec<OsString> = [
            "upgrade",
            &self.release,
            chart,
            "--version",
            version,
            "--reset-then-reuse-values",
            "-f",
        ]
        .map(OsString::from)
        .to_vec();
        words.push(values.word().into());
        words
    }

    /// The upgrade as a person would type it.
    pub(super) fn shown_upgrade(&self, chart: &str, version: &str, values: &Values) -> String {
        format!(
            "helm upgrade {} {chart} --version {version} --reset-then-reuse-values -f {} --kube-context {} -n {}",
            self.release,
            values.shown(),
            self.context,
            self.namespace
        )
    }

    async fn json<T: DeserializeOwned>(
        &self,
        name: &str,
        words: &[impl AsRef<OsStr>],
        deadline: Duration,
    ) -> Result<T> {
        read(name, &self.call(name, words, deadline).await?)
    }

    async fn call(
        &self,
        name: &str,
        words: &[impl AsRef<OsStr>],
        deadline: Duration,
    ) -> Result<Vec<u8>> {
        self.fed(name, words, None, deadline).await
    }

    /// The same with something on its standard input.
    async fn fed(
        &self,
        name: &str,
        words: &[impl AsRef<OsStr>],
        stdin: Option<String>,
        deadline: Duration,
    ) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.program);
        command
            .args(words)
            .args(["--kube-context", &self.context, "-n", &self.namespace])
            .stdin(if stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(path) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(path);
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::MissingProgram {
                program: self.program.display().to_string(),
                why: format!("install helm 3.14 or later, or name it with {PROGRAM}"),
            },
            _ => Error::Io {
                doing: "starting",
                path: self.program.clone(),
                source: error,
            },
        })?;
        let fed = child.stdin.take().zip(stdin);
        let run = async {
            if let Some((mut pipe, text)) = fed {
                // One that ends without reading it says why itself.
                let _ = pipe.write_all(text.as_bytes()).await;
            }
            child.wait_with_output().await
        };
        let output = timeout(deadline, run)
            .await
            .map_err(|_| {
                Error::Refused(format!(
                    "`helm {name}` did not end within {}s",
                    deadline.as_secs()
                ))
            })?
            .map_err(|source| Error::Io {
                doing: "running",
                path: self.program.clone(),
                source,
            })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let why = last_words(&String::from_utf8_lossy(&output.stderr));
        let hint = if why.contains("release: not found") {
            "; for a release that no helm manages there is --driver manifests"
        } else {
            ""
        };
        Err(Error::Refused(format!("`helm {name}` failed: {why}{hint}")))
    }
}

fn read<T: DeserializeOwned>(name: &str, output: &[u8]) -> Result<T> {
    serde_json::from_slice(output).map_err(|error| {
        // The parser's own words may quote a value.
        Error::Refused(format!(
            "the answer of `helm {name}` cannot be read (line {} column {})",
            error.line(),
            error.column()
        ))
    })
}

/// The last lines of an error output.
fn last_words(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    if lines.is_empty() {
        return "it printed no reason".to_owned();
    }
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// The objects of a manifest.
fn objects(manifest: &str) -> Result<Vec<Value>> {
    let all: Vec<Value> = serde_saphyr::from_multiple(manifest).map_err(|_| {
        Error::Refused("what `helm` renders from the chart is no readable YAML".to_owned())
    })?;
    Ok(all.into_iter().filter(|it| !it.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(entries: &[(u64, &str, &str)]) -> History {
        History(
            entries
                .iter()
                .map(|(revision, status, description)| Revision {
                    number: *revision,
                    status: (*status).to_owned(),
                    chart: "openbao-0.29.2".to_owned(),
                    description: (*description).to_owned(),
                })
                .collect(),
        )
    }

    #[test]
    fn a_dead_upgrade_shows_as_pending() {
        let dead = history(&[(1, "deployed", ""), (2, "pending-upgrade", "")]);
        assert_eq!(dead.pending().unwrap().number, 2);
        assert_eq!(dead.deployed().unwrap().number, 1);
        assert!(!dead.settled());
        assert!(!dead.is_of(1));
    }

    #[test]
    fn a_rollback_has_the_content_of_its_aim() {
        let back = history(&[
            (1, "superseded", "Install complete"),
            (2, "superseded", "Upgrade complete"),
            (3, "superseded", "Rollback to 1"),
            (4, "deployed", "Rollback to 3"),
        ]);
        assert!(back.is_of(4) && back.is_of(3) && back.is_of(1));
        assert!(!back.is_of(2));
    }

    #[test]
    fn a_manifest_gives_its_objects() {
        let rendered = Rendered {
            chart: Chart {
                name: "openbao".to_owned(),
                version: "0.29.2".to_owned(),
            },
            objects: objects(
                "---\n# Source: a\nkind: Service\nmetadata: {name: a}\n---\nkind: StatefulSet\nmetadata:\n  name: b\n",
            )
            .unwrap(),
        };
        assert!(rendered.object("StatefulSet", "b").is_some());
        assert!(rendered.object("StatefulSet", "a").is_none());
    }

    #[test]
    fn generated_values_are_in_no_file_and_no_word() {
        let values = Values::Generated(serde_json::json!({"a": "secret"}));
        assert_eq!(values.word(), "-");
        assert_eq!(values.shown(), "<generated values>");
        assert_eq!(values.text().as_deref(), Some(r#"{"a":"secret"}"#));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let mut helm = Helm::new(None, "c", "n", "r");
        helm.program = "/nonexistent/helm".into();
        let error = helm.history().await.unwrap_err();
        assert!(matches!(error, Error::MissingProgram { .. }), "{error}");
    }
}
