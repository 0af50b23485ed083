//! The change of the release by `helm`, which keeps the history of it as well.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::access::{self, Right};
use super::client::call;
use super::driver::{Driver, Proposal};
use super::form::Form;
use super::helm::{Chart, Helm, History, Rendered, Values};
use super::platform::{KubernetesPlatform, Options};
use super::tried::try_objects;
use crate::meter::Meter;
use crate::platform::{Before, Error, Flip, Result};

/// See [`super::driver::DriverKind::Helm`].
#[derive(Debug)]
pub(super) struct HelmDriver {
    helm: Helm,
    release: String,
    chart: Option<String>,
    values: Option<PathBuf>,
    rehearsal: Mutex<Option<Rehearsal>>,
}

/// A flip that was tried in this process and found good: it need not be tried again while clients wait.
#[derive(Debug)]
struct Rehearsal {
    flip: Flip,
    /// The revision in force at that time.
    revision: u64,
    installed: Chart,
    values: Values,
}

impl HelmDriver {
    /// Nothing is called yet.
    pub(super) fn new(options: &Options, context: &str) -> Result<Self> {
        check_values(options.values.as_deref())?;
        Ok(Self {
            helm: Helm::new(
                options.kubeconfig.as_deref(),
                context,
                &options.namespace,
                &options.release,
            ),
            release: options.release.clone(),
            chart: options.chart.clone(),
            values: options.values.clone(),
            rehearsal: Mutex::default(),
        })
    }

    /// The values of the raft release: the user's own file, else generated from what is in force.
    async fn flip_values(
        &self,
        at: &KubernetesPlatform,
        flip: &Flip,
        register: bool,
    ) -> Result<Values> {
        if let Some(path) = &self.values {
            return Ok(Values::Own(path.clone()));
        }
        let values = self.helm.values().await?;
        let config = at.raft_text(configured(&values)?, flip, register).await?;
        Ok(Values::Generated(overlay(&config, flip.replicas)))
    }

    fn chart_reference(&self, installed: &Chart) -> Result<&str> {
        self.chart.as_deref().ok_or_else(|| {
            Error::Refused(format!(
                "name the release's chart with --chart (a folder, repo/name or oci://...): {} {} is installed, and exactly \
                 that version is needed",
                installed.name, installed.version
            ))
        })
    }

    fn never_deployed(&self) -> Error {
        Error::Refused(format!(
            "the release {} has no deployed revision; see `helm history {}`",
            self.release, self.release
        ))
    }

    /// The number of the revision in force from the labels of the Secrets that `helm` keeps by default: faster than the
    /// program, and asked for often.
    async fn noted_revision(&self, at: &KubernetesPlatform) -> Result<Option<u64>> {
        let release = &self.release;
        let params =
            ListParams::default().labels(&format!("owner=helm,name={release},status=deployed"));
        let secrets = at.cluster.api::<Secret>();
        let found = call(
            "listing the release's revisions",
            secrets.list_metadata(&params),
        )
        .await?;
        Ok(found
            .items
            .iter()
            .filter_map(|it| it.metadata.labels.as_ref()?.get("version")?.parse().ok())
            .max())
    }

    async fn no_pending(&self) -> Result<History> {
        let history = self.helm.history().await?;
        if let Some(pending) = history.pending() {
            return Err(Error::Refused(format!(
                "revision {} of the release is {}: another helm is at work, or one died; see `helm history {}`",
                pending.number, pending.status, self.release
            )));
        }
        Ok(history)
    }
}

#[async_trait]
impl Driver for HelmDriver {
    fn rights(&self) -> &'static [Right] {
        &access::HELM
    }

    async fn before(&self, at: &KubernetesPlatform, _: &Form) -> Result<Before> {
        let number = if let Some(number) = self.noted_revision(at).await? {
            number
        } else {
            let history = self.helm.history().await?;
            let deployed = history.deployed().ok_or_else(|| self.never_deployed())?;
            deployed.number
        };
        Ok(Before {
            revision: number.to_string(),
            content: None,
        })
    }

    /// Renders the exact upgrade.
    async fn propose(&self, at: &KubernetesPlatform, flip: &Flip) -> Result<Proposal> {
        let history = self.no_pending().await?;
        let installed = self.helm.chart().await?;
        let reference = self.chart_reference(&installed)?;
        let version = &installed.version;
        let register = at.leader_selected().await?;
        let mut values = self.flip_values(at, flip, register).await?;
        let mut rendered = self.helm.try_upgrade(reference, version, &values).await?;
        // Some charts have the Service of the leader with several replicas only: the upgrade itself says whether.
        let services = rendered.objects.iter().filter(|it| it["kind"] == "Service");
        let mut services = services.filter_map(|it| serde_json::from_value(it.clone()).ok());
        let selected = services.any(|it| at.selects_leader(&it));
        if self.values.is_none() && selected != register {
            values = self.flip_values(at, flip, selected).await?;
            rendered = self.helm.try_upgrade(reference, version, &values).await?;
        }
        if rendered.chart != installed {
            return Err(Error::Refused(format!(
                "the chart at {reference} is {} {}, but {} {} is installed: a cutover must not change the version as well; \
                 name the installed one with --chart",
                rendered.chart.name, rendered.chart.version, installed.name, installed.version
            )));
        }
        try_objects(&at.cluster, &rendered.objects).await?;
        let form = rendered_form(at, &rendered)?;
        let calls = vec![
            self.helm
                .shown_upgrade(reference, &installed.version, &values),
        ];
        *self.rehearsal.lock().await = Some(Rehearsal {
            flip: flip.clone(),
            revision: history.deployed().map_or(0, |it| it.number),
            installed,
            values,
        });
        Ok(Proposal { form, calls })
    }

    fn not_apart(&self) -> Option<&'static str> {
        self.values.is_some().then_some(
            "the values of --values stay as they are: leave it out, and they are generated",
        )
    }

    async fn flip(
        &self,
        at: &KubernetesPlatform,
        flip: &Flip,
        before: &Before,
        _: &dyn Meter,
    ) -> Result<()> {
        let mut history = self.helm.settled_history().await?;
        if history.settled() && at.is_flipped(flip, before).await? {
            return Ok(());
        }
        if history.pending().is_some() {
            // Its helm is dead. Only a rollback is allowed then; the upgrade comes after it, as if it were the first.
            let last = history.deployed().ok_or_else(|| self.never_deployed())?;
            self.helm.rollback(last.number).await?;
            history = self.helm.history().await?;
        }
        if !history.settled() && history.deployed().is_none() {
            return Err(self.never_deployed());
        }
        let revision = history.deployed().map_or(0, |it| it.number);
        let mut tried = self.rehearsal.lock().await.take();
        if !tried
            .as_ref()
            .is_some_and(|tried| tried.flip == *flip && tried.revision == revision)
        {
            at.try_flip(flip).await?;
            tried = self.rehearsal.lock().await.take();
        }
        let rehearsal = tried.ok_or_else(|| {
            Error::Refused("the upgrade was not tried; run the command again".to_owned())
        })?;
        let reference = self.chart_reference(&rehearsal.installed)?;
        self.helm
            .upgrade(reference, &rehearsal.installed.version, &rehearsal.values)
            .await?;
        at.forget_replicas().await
    }

    /// Goes back to the earlier revision.
    async fn revert(&self, _: &KubernetesPlatform, before: &Before, _: &dyn Meter) -> Result<()> {
        let revision = &before.revision;
        let number: u64 = revision.trim().parse().map_err(|_| {
            Error::Refused(format!("{revision:?} is no revision of a helm release"))
        })?;
        let history = self.helm.settled_history().await?;
        if history.is_of(number) {
            return Ok(());
        }
        self.helm.rollback(number).await
    }
}

/// The release as the rendered objects make it.
fn rendered_form(at: &KubernetesPlatform, rendered: &Rendered) -> Result<Form> {
    let name = &at.layout.set;
    let set = rendered
        .object("StatefulSet", name)
        .ok_or_else(|| Error::Refused(format!("the upgrade would render no StatefulSet {name}")))?;
    let set: StatefulSet = serde_json::from_value(set.clone()).map_err(|error| {
        Error::Refused(format!("the rendered StatefulSet cannot be read: {error}"))
    })?;
    let source = &at.config_source;
    let config = rendered
        .object("ConfigMap", &source.object)
        .and_then(|map| map["data"][&source.key].as_str())
        .ok_or_else(|| {
            Error::Refused(format!(
                "the upgrade would render no ConfigMap {} with {}",
                source.object, source.key
            ))
        })?;
    Ok(Form::of(&set, config.to_owned()))
}

/// The configuration that the values hold, templates and all: rendering it again must not render what was rendered.
fn configured(values: &Value) -> Result<&str> {
    let server = &values["server"];
    let on = |value: &Value| value == true || value == "true";
    let text = if on(&server["ha"]["enabled"]) && on(&server["ha"]["raft"]["enabled"]) {
        &server["ha"]["raft"]["config"]
    } else {
        &server["standalone"]["config"]
    };
    text.as_str().ok_or_else(|| {
        Error::Refused(
            "the release's values hold no server configuration as text (server.standalone.config); give the values of \
             the raft release with --values"
                .to_owned(),
        )
    })
}

fn overlay(config: &str, replicas: u32) -> Value {
    json!({"server": {
        "standalone": {"enabled": false},
        "ha": {
            "enabled": true,
            "replicas": replicas,
            "raft": {"enabled": true, "setNodeId": true, "config": config}
        }
    }})
}

/// Whether a file of the user's can be read at all, before anything else happens.
fn check_values(path: Option<&Path>) -> Result<()> {
    match path {
        Some(path) => std::fs::File::open(path)
            .map(drop)
            .map_err(|source| Error::Io {
                doing: "reading the values of",
                path: path.to_owned(),
                source,
            }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replicas_are_a_number() {
        let values = overlay("x", 3);
        assert!(values["server"]["ha"]["replicas"].is_u64());
        assert_eq!(configured(&values).unwrap(), "x");
        assert!(configured(&json!({})).is_err());
    }
}
