//! Which server a command is about: the flags, the place they name, and how the next command names it again.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::Exit;
use super::claim;
use super::exit::{fail, of_status};
use crate::journal::{self, State};
use crate::platform::kubernetes::{self, Cluster, DriverKind, KubernetesPlatform};
use crate::platform::local::LocalPlatform;
use crate::platform::{self, Platform};

/// Where the server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlatformKind {
    /// A release on a Kubernetes cluster.
    Kubernetes,
    /// Real `bao` processes on this machine.
    Local,
}

/// Which server, and which run of it: the journal of a target is found by itself.
#[derive(Debug, Clone, Args)]
pub struct TargetArgs {
    /// Where the server lives; default: kubernetes when a context or a namespace is named, else local
    #[arg(long, value_enum, help_heading = "Target")]
    pub platform: Option<PlatformKind>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", help_heading = "Target")]
    pub context: Option<String>,
    /// Namespace of the release
    #[arg(short, long, value_name = "NAME", help_heading = "Target")]
    pub namespace: Option<String>,
    /// Release: as `helm list` names it, else its objects' label app.kubernetes.io/instance or the StatefulSet's name
    /// [default: openbao]
    #[arg(long, value_name = "NAME", help_heading = "Target")]
    pub release: Option<String>,
    /// Kubeconfig to use; default: $KUBECONFIG, then ~/.kube/config
    #[arg(long, value_name = "FILE", help_heading = "Target")]
    pub kubeconfig: Option<PathBuf>,
    /// What changes the release: helm, manifests (server-side apply, for releases that no helm manages), or manual (you do,
    /// and the run waits) [default: helm]
    #[arg(
        long,
        value_enum,
        value_name = "DRIVER",
        help_heading = "Target",
        hide_possible_values = true
    )]
    pub driver: Option<DriverKind>,
    /// With --driver manifests: take fields of the release's objects from the managers that own them
    #[arg(long, help_heading = "Target")]
    pub force_conflicts: bool,
    /// With --driver helm: chart of the release, as `helm upgrade` takes it: REPO/NAME or oci://… in the version that is installed, or
    /// a folder of that version. `helm` is the one on the PATH, or `$BAOCTL_HELM`
    #[arg(long, value_name = "CHART", help_heading = "Target")]
    pub chart: Option<String>,
    /// With --driver helm: values of your own for raft, in place of the generated ones
    #[arg(long, value_name = "FILE", help_heading = "Target")]
    pub values: Option<PathBuf>,
    /// Secret that the auto-unseal hook reads [default: openbao-unseal]
    #[arg(long, value_name = "NAME[:FIELD]", help_heading = "Target")]
    pub unseal_secret: Option<String>,
    /// Image with sh, tar and sha256sum, where the server's own has none
    #[arg(long, value_name = "IMAGE", help_heading = "Target")]
    pub helper_image: Option<String>,
    /// Folder of the run's files, for local also of the servers; default: baoctl-local, for kubernetes
    /// `$XDG_STATE_HOME/baoctl/CONTEXT/NAMESPACE/RELEASE`
    #[arg(long, value_name = "DIR", help_heading = "Target")]
    pub work_dir: Option<PathBuf>,
    /// Journal to use instead of the target's own
    #[arg(long, value_name = "FILE", help_heading = "Target")]
    pub journal: Option<PathBuf>,
}

impl ValueEnum for DriverKind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}

/// How the next command names the same target.
#[derive(Debug, Clone)]
pub(super) struct Place {
    flags: String,
    /// What only commands need that work the change of the release out, flag and all.
    chart: String,
}

impl Place {
    /// The local servers in a folder.
    pub(super) fn local(work_dir: &Path) -> Self {
        Self {
            flags: format!("--work-dir {}", word(&work_dir.display().to_string())),
            chart: String::new(),
        }
    }

    /// The same, of a run whose journal was named.
    fn of(mut self, journal: Option<&PathBuf>) -> Self {
        if let Some(journal) = journal {
            let _ = write!(
                self.flags,
                " --journal {}",
                word(&journal.display().to_string())
            );
        }
        self
    }

    /// A command about this target, for example `resume`.
    pub(super) fn command(&self, verb: &str) -> String {
        let chart = match verb.split(' ').next() {
            Some("check" | "migrate-raft") => self.chart.as_str(),
            _ => "",
        };
        format!("baoctl {verb} {}{chart}", self.flags)
    }
}

/// An opened target.
pub(super) struct Here {
    pub(super) platform: Arc<dyn Platform>,
    /// The same, where it is servers on this machine: rehearsals need more of it.
    pub(super) local: Option<Arc<LocalPlatform>>,
    /// The same, where it is a release on a cluster: runs of it are claimed and mirrored there.
    pub(super) kubernetes: Option<Arc<KubernetesPlatform>>,
    pub(super) place: Place,
    pub(super) journal: PathBuf,
    /// What a later command needs to open it the same way: see [`driver_of`].
    pub(super) inputs: BTreeMap<String, String>,
}

impl Here {
    pub(super) fn of_local(platform: Arc<LocalPlatform>, journal: Option<&PathBuf>) -> Self {
        let default = platform.run_dir().join(JOURNAL);
        Self {
            place: Place::local(platform.work_dir()).of(journal),
            journal: journal.cloned().unwrap_or(default),
            inputs: BTreeMap::new(),
            platform: platform.clone(),
            local: Some(platform),
            kubernetes: None,
        }
    }
}

const JOURNAL: &str = "journal.jsonl";
const DRIVER: &str = "driver";
const DEFAULT_RELEASE: &str = "openbao";
const DEFAULT_UNSEAL_SECRET: &str = "openbao-unseal";
const DEFAULT_LOCAL: &str = "baoctl-local";

impl TargetArgs {
    fn kind(&self) -> PlatformKind {
        self.platform.unwrap_or(
            if self.context.is_some() || self.namespace.is_some() || self.kubeconfig.is_some() {
                PlatformKind::Kubernetes
            } else {
                PlatformKind::Local
            },
        )
    }

    fn local_dir(&self) -> PathBuf {
        self.work_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from(DEFAULT_LOCAL))
    }

    /// The journal and how the target is named, without reaching for it.
    pub(super) fn standing(&self) -> Result<(PathBuf, Place), Exit> {
        match self.kind() {
            PlatformKind::Local => {
                let here = Here::of_local(Arc::new(self.open_local()?), self.journal.as_ref());
                Ok((here.journal, here.place))
            }
            PlatformKind::Kubernetes => {
                let default = self.run_dir()?.join(JOURNAL);
                let place = self.cluster_place()?;
                Ok((self.journal.clone().unwrap_or(default), place))
            }
        }
    }

    /// Opens the target. One that is only looked at is never given anything that a run would make there.
    pub(super) async fn open(&self, look_only: bool) -> Result<Here, Exit> {
        self.opened(look_only, |state| state.finished().is_none())
            .await
    }

    /// The same for what goes on with a run that has ended as well.
    pub(super) async fn open_ended(&self, look_only: bool) -> Result<Here, Exit> {
        self.opened(look_only, |_| true).await
    }

    async fn opened(&self, look_only: bool, goes_on: fn(&State) -> bool) -> Result<Here, Exit> {
        match self.kind() {
            PlatformKind::Local => {
                let platform = Arc::new(self.open_local()?);
                Ok(Here::of_local(platform, self.journal.as_ref()))
            }
            PlatformKind::Kubernetes => self.open_cluster(look_only, goes_on).await,
        }
    }

    fn open_local(&self) -> Result<LocalPlatform, Exit> {
        let work_dir = self.local_dir();
        LocalPlatform::open(&work_dir).map_err(|error| {
            if let Some(owner) = kept_from(&error) {
                let why = format!("{error}: the work folder is another user's (uid {owner})");
                let next =
                    format!("the same command as that user, for example by sudo -u '#{owner}'");
                return fail(why, &[&next], Exit::Usage);
            }
            let next = Place::local(&work_dir).command("rehearse --source-only");
            let cluster =
                "baoctl check --context NAME --namespace NAME    for a release on Kubernetes";
            fail(error, &[&next, cluster], Exit::Usage)
        })
    }

    /// `goes_on` tells of which recorded run what the flags leave out is taken.
    async fn open_cluster(
        &self,
        look_only: bool,
        goes_on: fn(&State) -> bool,
    ) -> Result<Here, Exit> {
        let (journal, place) = self.standing()?;
        let run_dir = self.run_dir()?;
        let (kubeconfig, context, namespace) = (&self.kubeconfig, &self.context, &self.namespace);
        let namespace = namespace.clone().unwrap_or_default();
        let cluster = Cluster::connect(kubeconfig.as_deref(), context.as_deref(), &namespace).await;
        let cluster = cluster.map_err(|error| {
            // What the flags name is not there: to type it again is no way on.
            let next = match error {
                platform::Error::Refused(_) => "kubectl config get-contexts".to_owned(),
                _ => place.command("check"),
            };
            let exit = exit_of(&error);
            fail(error, &[&next], exit)
        })?;
        let release = self.release_name();
        let recorded = match journal::read(&journal).ok().filter(goes_on) {
            Some(state) => Some(state),
            // Another machine's run, where there is one: whoever takes it over need not know how it was begun.
            None => claim::copied(&cluster, &release).await.filter(goes_on),
        };
        let mut inputs = recorded
            .and_then(|state| state.header().map(|header| header.inputs.clone()))
            .unwrap_or_default();
        // What the flags say now counts; what they leave out is as it was when the run began.
        let mut keep = |name: &str, given: Option<String>| {
            if let Some(given) = given {
                inputs.insert(name.to_owned(), given);
            }
            inputs.get(name).cloned()
        };
        let path = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| {
                std::path::absolute(path)
                    .unwrap_or_else(|_| path.clone())
                    .display()
                    .to_string()
            })
        };
        // A chart that is a folder is named by its place, whatever folder a later command is typed in.
        let chart = self.chart.as_ref().map(|chart| match Path::new(chart) {
            folder if folder.is_dir() => path(&Some(folder.to_owned())).unwrap_or_default(),
            _ => chart.clone(),
        });
        let driver = keep(DRIVER, self.driver.map(|it| it.name().to_owned()));
        let driver = driver.map_or(Some(DriverKind::default()), |it| DriverKind::named(&it));
        let Some(driver) = driver else {
            let why = "the journal names a driver that this version does not have";
            return Err(fail(why, &[], Exit::Usage));
        };
        self.fits(driver)?;
        let forced = self.force_conflicts.then(|| "true".to_owned());
        let options = kubernetes::Options {
            kubeconfig: kubeconfig.clone(),
            namespace,
            release,
            driver,
            force_conflicts: keep("force-conflicts", forced).is_some(),
            chart: keep("chart", chart),
            values: keep("values", path(&self.values)).map(PathBuf::from),
            unseal_secret: keep("unseal-secret", self.unseal_secret.clone())
                .unwrap_or_else(|| DEFAULT_UNSEAL_SECRET.to_owned()),
            helper_image: keep("helper-image", self.helper_image.clone()),
            run_dir,
            members: 3,
            look_only,
        };
        let platform = KubernetesPlatform::find(cluster, options).await;
        let platform = Arc::new(platform.map_err(|error| {
            let context = word(self.context.as_deref().unwrap_or_default());
            let next = match error {
                platform::Error::NoRelease(_) => [
                    format!("kubectl --context {context} get statefulsets --all-namespaces"),
                    format!(
                        "baoctl check --context {context} --namespace NAMESPACE --release NAME"
                    ),
                ],
                _ => [place.command("check"), place.command("status")],
            };
            let exit = exit_of(&error);
            fail(error, &[&next[0], &next[1]], exit)
        })?);
        Ok(Here {
            platform: platform.clone(),
            local: None,
            kubernetes: Some(platform),
            place,
            journal,
            inputs,
        })
    }

    /// What is for one driver is a mistake with another.
    fn fits(&self, driver: DriverKind) -> Result<(), Exit> {
        for (flag, given, of) in [
            ("--chart", self.chart.is_some(), DriverKind::Helm),
            ("--values", self.values.is_some(), DriverKind::Helm),
            (
                "--force-conflicts",
                self.force_conflicts,
                DriverKind::Manifests,
            ),
        ] {
            if given && driver != of {
                return Err(fail(
                    format!(
                        "{flag} is for the driver {}; this is the driver {}",
                        of.name(),
                        driver.name()
                    ),
                    &[&format!("the same command without {flag}")],
                    Exit::Usage,
                ));
            }
        }
        Ok(())
    }

    fn release_name(&self) -> String {
        self.release
            .clone()
            .unwrap_or_else(|| DEFAULT_RELEASE.to_owned())
    }

    /// Context and namespace, which are never guessed: a wrong one is another company's server.
    fn named(&self) -> Result<(&str, &str), Exit> {
        match (&self.context, &self.namespace) {
            (Some(context), Some(namespace)) => Ok((context, namespace)),
            _ => Err(fail(
                "a release on Kubernetes is named by its context and its namespace; neither is guessed",
                &["the same command with --context NAME --namespace NAME"],
                Exit::Usage,
            )),
        }
    }

    fn cluster_place(&self) -> Result<Place, Exit> {
        let (context, namespace) = self.named()?;
        let mut flags = format!(
            "--context {} --namespace {}",
            word(context),
            word(namespace)
        );
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        for (flag, value) in [
            ("release", self.release.clone()),
            ("kubeconfig", path(&self.kubeconfig)),
            ("work-dir", path(&self.work_dir)),
            ("journal", path(&self.journal)),
        ] {
            if let Some(value) = value {
                flags = format!("{flags} --{flag} {}", word(&value));
            }
        }
        let chart = self.chart.as_deref();
        Ok(Place {
            flags,
            chart: chart.map_or_else(String::new, |chart| format!(" --chart {}", word(chart))),
        })
    }

    fn run_dir(&self) -> Result<PathBuf, Exit> {
        if let Some(folder) = &self.work_dir {
            return Ok(std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
        }
        let (context, namespace) = self.named()?;
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")));
        let Some(state) = state else {
            return Err(fail(
                "there is no home folder for the run's files",
                &["the same command with --work-dir DIR"],
                Exit::Usage,
            ));
        };
        Ok(state
            .join("baoctl")
            .join(plain(context))
            .join(plain(namespace))
            .join(plain(&self.release_name())))
    }
}

/// Who owns what may not be read, where that is it.
fn kept_from(error: &platform::Error) -> Option<u32> {
    let platform::Error::Io { path, source, .. } = error else {
        return None;
    };
    let seen = |path: &Path| path.metadata().ok();
    (source.kind() == std::io::ErrorKind::PermissionDenied)
        .then(|| path.ancestors().find_map(seen).map(|found| found.uid()))?
}

/// The driver that a run's inputs name. One that is changed in the middle would not know how to go back.
pub(super) fn driver_of(inputs: &BTreeMap<String, String>) -> &str {
    inputs
        .get(DRIVER)
        .map_or(DriverKind::default().name(), String::as_str)
}

fn exit_of(error: &platform::Error) -> Exit {
    match error {
        platform::Error::Cluster { status, .. } => of_status(*status),
        _ => Exit::Usage,
    }
}

/// A name as one part of a path: contexts of some clouds have slashes and colons.
fn plain(name: &str) -> String {
    name.chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() || "._-".contains(character) {
                character
            } else {
                '_'
            }
        })
        .collect()
}

/// A value as a shell takes it as one word.
pub(super) fn word(value: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "._-/:@%+=,~".contains(character);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_one_word_for_a_shell() {
        assert_eq!(word("prod-1"), "prod-1");
        assert_eq!(
            word("arn:aws:eks:eu:1:cluster/x"),
            "arn:aws:eks:eu:1:cluster/x"
        );
        assert_eq!(word("my dir"), "'my dir'");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(plain("arn:aws/x"), "arn_aws_x");
    }
}
