//! Finding a release in a cluster, and what is known of it for a whole run.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::ListParams;
use tokio::sync::OnceCell;

use super::certificate::name_of;
use super::client::{Cluster, absent_ok, call};
use super::config::ServerConfig;
use super::driver::{Driver, DriverKind, driver};
use super::forward::Forwards;
use super::helper::{Options as SiteOptions, Site};
use super::layout::{Keyed, Layout, source_of};
use super::pebbledb::kept_in_store;
use super::secrets::{Secrets, wipe};
use super::volume;
use crate::bao::{HttpNode, Transport};
use crate::platform::{Error, Result};

/// How to find a release and what to use on it.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kubeconfig, for `helm`; `None` as that finds it.
    pub kubeconfig: Option<PathBuf>,
    /// The release's namespace.
    pub namespace: String,
    /// The release, as its labels or `helm` name it.
    pub release: String,
    /// What changes the release.
    pub driver: DriverKind,
    /// Whether the driver `manifests` takes fields from their managers.
    pub force_conflicts: bool,
    /// The release's chart: a folder, `repo/name` or `oci://...`. Only the change of the release needs it.
    pub chart: Option<String>,
    /// The user's own values for the raft release instead of generated ones.
    pub values: Option<PathBuf>,
    /// The Secret that the auto-unseal hook reads.
    pub unseal_secret: String,
    /// The image of helper pods; `None` for the server's own.
    pub helper_image: Option<String>,
    /// The folder for the run's own files.
    pub run_dir: PathBuf,
    /// The later voters.
    pub members: u32,
    /// A dry run: nothing is made in the cluster, not even a helper pod.
    pub look_only: bool,
}

/// A release of the chart in a cluster, reached through the API server alone.
#[derive(Debug)]
pub struct KubernetesPlatform {
    pub(super) cluster: Cluster,
    pub(super) options: Options,
    pub(super) uid: String,
    pub(super) layout: Layout,
    /// Where the server's configuration stands.
    pub(super) config_source: Keyed,
    /// The API's port and whether it speaks TLS: a flip changes neither.
    pub(super) port: u16,
    pub(super) tls: bool,
    ca: Option<Vec<u8>>,
    /// The members' certificate, public as it is.
    certificate: Option<Vec<u8>>,
    forwards: Forwards,
    pub(super) site: Site,
    pub(super) driver: Box<dyn Driver>,
    pub(super) secrets: Secrets,
    /// Members whose pod was taken away by this process: the next one is new.
    renewed: Mutex<HashSet<String>>,
    /// Whether the source keeps its data in a store of `pebbledb`, when that is known.
    pub(super) source_on_pebbledb: OnceCell<bool>,
}

impl KubernetesPlatform {
    /// Finds the release and reads what stays the same during a run. Nothing is changed.
    pub async fn find(cluster: Cluster, options: Options) -> Result<Self> {
        let driver = driver(&options, cluster.context())?;
        let set = find_set(&cluster, &options.release).await?;
        let layout = Layout::of(&set)?;
        let (config_source, text) = find_config(&cluster, &layout).await?;
        let config = ServerConfig::parse(&text)?;
        let (claim, _) = layout.claim_of(&config.path)?;
        let ca = match &layout.ca {
            Some(source) if config.tls => Some(read_keyed(&cluster, source).await?),
            _ => None,
        };
        let certificate = match config.certificate.as_deref() {
            Some(file) if config.tls => match source_of(&set, file) {
                Some(source) => Some(read_keyed(&cluster, &source).await?),
                None => None,
            },
            _ => None,
        };
        let site = Site::new(
            &cluster,
            &layout.set,
            SiteOptions {
                helper_image: options.helper_image.clone(),
                look_only: options.look_only,
                release: options.release.clone(),
                claim: Some(claim.to_owned()),
                data: Some(config.path.clone()),
            },
        );
        Ok(Self {
            uid: cluster.uid().await?,
            forwards: Forwards::new(&cluster)?,
            driver,
            secrets: Secrets::new(&cluster, &options.release, &options.unseal_secret),
            renewed: Mutex::default(),
            source_on_pebbledb: OnceCell::new_with(config.kind().ok().and_then(kept_in_store)),
            port: config.port,
            tls: config.tls,
            site,
            ca,
            certificate,
            config_source,
            layout,
            options,
            cluster,
        })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The release, as `helm` names it.
    pub fn release_name(&self) -> &str {
        &self.options.release
    }

    /// The name of the StatefulSet.
    pub fn stateful_set_name(&self) -> &str {
        &self.layout.set
    }

    /// The member's API, through a port-forward of its own.
    pub fn http_node(&self, member: &str) -> Result<HttpNode> {
        self.layout.ordinal(member)?;
        let transport = Transport {
            socket: Some(self.forwards.socket(member, self.port)?),
            ca_pem: self.ca.clone(),
        };
        Ok(HttpNode::over(member, &self.api_of(member), &transport)?)
    }

    /// A plain API on a port of any pod.
    pub(super) fn plain_node(&self, pod: &str, port: u16) -> Result<HttpNode> {
        let transport = Transport {
            socket: Some(self.forwards.socket(pod, port)?),
            ca_pem: None,
        };
        Ok(HttpNode::over(
            pod,
            &format!("http://{pod}:{port}"),
            &transport,
        )?)
    }

    /// The address that requests to a member bear. With TLS it has to be a name of the certificate.
    fn api_of(&self, member: &str) -> String {
        let port = self.port;
        if self.tls {
            let hosts = self.layout.hosts_of(member, &self.options.namespace);
            let named = self
                .certificate
                .as_deref()
                .and_then(|pem| name_of(pem, &hosts));
            // Without one the handshake fails, and says which names the certificate has.
            let host = named.or(hosts.first().map(String::as_str));
            return format!("https://{}:{port}", host.unwrap_or_default());
        }
        format!("http://{member}.{}:{port}", self.layout.service)
    }

    /// The text of the server's configuration, as the release has it now.
    pub(super) async fn config_text(&self) -> Result<String> {
        let source = &self.config_source;
        String::from_utf8(read_keyed(&self.cluster, source).await?)
            .map_err(|_| Error::Refused(format!("{} of {} is no text", source.key, source.object)))
    }

    /// What it says.
    pub(super) async fn server_config(&self) -> Result<ServerConfig> {
        ServerConfig::parse(&self.config_text().await?)
    }

    /// Notes that the next pod of a member is a new one.
    pub(super) fn mark_renewed(&self, member: &str) {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.insert(member.to_owned());
    }

    /// Takes that note back.
    pub(super) fn take_renewed(&self, member: &str) -> bool {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        renewed.remove(member)
    }

    /// Moves a member's raft files aside.
    pub(super) async fn raft_aside(&self, member: &str, label: &str) -> Result<()> {
        volume::set_aside(&self.site, member, label).await
    }

    /// Removes the helper pod beside a member's volume.
    pub(super) async fn helper_done(&self, member: &str) -> Result<()> {
        self.site.done(member).await
    }
}

/// The release's StatefulSet: by its labels, else by the names that the chart gives it.
async fn find_set(cluster: &Cluster, release: &str) -> Result<StatefulSet> {
    let sets = cluster.api::<StatefulSet>();
    let all = call("listing StatefulSets", sets.list(&ListParams::default())).await?;
    choose_set(all.items, release, cluster.namespace())
}

fn choose_set(all: Vec<StatefulSet>, release: &str, namespace: &str) -> Result<StatefulSet> {
    let name = |set: &StatefulSet| set.metadata.name.clone().unwrap_or_default();
    let names: Vec<String> = all.iter().map(&name).collect();
    let (labelled, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|set| is_servers(set, release));
    match <[StatefulSet; 1]>::try_from(labelled) {
        Ok([one]) => return Ok(one),
        Err(many) if many.len() > 1 => {
            let names: Vec<String> = many.iter().map(name).collect();
            return Err(Error::Refused(format!(
                "release {release} has more than one StatefulSet of servers in namespace {namespace}: {}",
                names.join(", ")
            )));
        }
        Err(_) => {}
    }
    let usual = [release.to_owned(), format!("{release}-openbao")];
    others
        .into_iter()
        .find(|set| usual.contains(&name(set)))
        .ok_or_else(|| {
            let found = if names.is_empty() {
                "it has none".to_owned()
            } else {
                format!("it has: {}", names.join(", "))
            };
            Error::NoRelease(format!(
                "no StatefulSet of release {release} in namespace {namespace} ({found}); name them with --namespace and --release"
            ))
        })
}

fn is_servers(set: &StatefulSet, release: &str) -> bool {
    let spec = set.spec.as_ref();
    let labels = spec
        .and_then(|spec| spec.selector.match_labels.as_ref())
        .into_iter()
        .chain(spec.and_then(|spec| spec.template.metadata.as_ref()?.labels.as_ref()))
        .chain(set.metadata.labels.as_ref());
    let (mut of_release, mut server) = (false, false);
    for (key, value) in labels.flatten() {
        of_release |= key == "app.kubernetes.io/instance" && value == release;
        server |= (key == "component" || key == "app.kubernetes.io/component") && value == "server";
    }
    of_release && server
}

/// The configuration: the one whose path the command names, else the only one that looks like it.
async fn find_config(cluster: &Cluster, layout: &Layout) -> Result<(Keyed, String)> {
    let mut found = Vec::new();
    for (map, mount) in &layout.config_maps {
        let maps = cluster.api::<ConfigMap>();
        let answer = call(format!("reading ConfigMap {map}"), maps.get(map)).await;
        let Some(read) = absent_ok(answer)? else {
            continue;
        };
        for (key, text) in read.data.into_iter().flatten() {
            let path = format!("{}/{key}", mount.trim_end_matches('/'));
            let named = layout.command.contains(&path);
            if named || [".hcl", ".json"].iter().any(|end| key.ends_with(end)) {
                let source = Keyed {
                    object: map.clone(),
                    secret: false,
                    key,
                };
                found.push((named, source, text));
            }
        }
    }
    found.sort_by_key(|(named, ..)| !named);
    let certain = found.len() == 1 || found.iter().filter(|(named, ..)| *named).count() == 1;
    match found.into_iter().next() {
        Some((_, source, text)) if certain => Ok((source, text)),
        _ => Err(Error::Refused(format!(
            "the server's configuration cannot be found: StatefulSet {} should mount one ConfigMap with it (mounted: {})",
            layout.set,
            layout
                .config_maps
                .iter()
                .map(|(map, _)| map.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        ))),
    }
}

/// One key of a `ConfigMap` or Secret.
async fn read_keyed(cluster: &Cluster, source: &Keyed) -> Result<Vec<u8>> {
    let name = &source.object;
    let value = if source.secret {
        let secrets = cluster.api::<Secret>();
        let mut secret = call(format!("reading Secret {name}"), secrets.get(name)).await?;
        let value = secret
            .data
            .as_mut()
            .and_then(|data| data.remove(&source.key))
            .map(|bytes| bytes.0);
        // A private key may stand beside a certificate.
        wipe(&mut secret);
        value
    } else {
        let maps = cluster.api::<ConfigMap>();
        let map = call(format!("reading ConfigMap {name}"), maps.get(name)).await?;
        map.data
            .and_then(|mut data| data.remove(&source.key))
            .map(String::into_bytes)
    };
    value.ok_or_else(|| Error::Refused(format!("{name} has no key {}", source.key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, instance: &str) -> StatefulSet {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": name},
            "spec": {"serviceName": "x", "template": {}, "selector": {"matchLabels": {
                "app.kubernetes.io/instance": instance, "component": "server"}}}
        }))
        .unwrap()
    }

    #[test]
    fn a_release_is_found_by_its_labels_or_its_name() {
        let chosen = choose_set(vec![set("a", "one"), set("b", "two")], "two", "ns").unwrap();
        assert_eq!(chosen.metadata.name.as_deref(), Some("b"));
        let chosen = choose_set(vec![set("x-openbao", "")], "x", "ns").unwrap();
        assert_eq!(chosen.metadata.name.as_deref(), Some("x-openbao"));
        let error = choose_set(vec![set("a", "one")], "two", "ns")
            .unwrap_err()
            .to_string();
        assert!(error.contains("it has: a"), "{error}");
        assert!(choose_set(vec![set("a", "one"), set("b", "one")], "one", "ns").is_err());
    }
}
