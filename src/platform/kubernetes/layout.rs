//! What a release's StatefulSet says about its servers: container, data, configuration, addresses, TLS.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, PodSpec, PodTemplateSpec, Volume, VolumeMount,
};

use crate::platform::{Error, Result};

/// The variables that name the CA of the server's own certificate.
const CA_FILE: [&str; 2] = ["BAO_CACERT", "VAULT_CACERT"];
/// The variables with the address at which the container's own client finds the server.
const OWN_ADDRESS: [&str; 2] = ["BAO_ADDR", "VAULT_ADDR"];
/// The variables with the address at which a member's API is found.
pub(super) const API_ADDRESS: [&str; 2] = ["BAO_API_ADDR", "VAULT_API_ADDR"];
/// The variables that name the raft node.
pub(super) const NODE_ID: [&str; 2] = ["BAO_RAFT_NODE_ID", "VAULT_RAFT_NODE_ID"];
/// The variables with the address at which members speak raft.
pub(super) const CLUSTER_ADDRESS: [&str; 2] = ["BAO_CLUSTER_ADDR", "VAULT_CLUSTER_ADDR"];

/// Stands for the member's name in a host name.
pub(super) const POD: &str = "{pod}";

/// One object's key, as a volume shows it at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keyed {
    /// The `ConfigMap` or Secret.
    pub(super) object: String,
    /// Whether it is a Secret.
    pub(super) secret: bool,
    /// The key.
    pub(super) key: String,
}

/// A release's servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    /// The StatefulSet's name; members are `<set>-0` and so on.
    pub(super) set: String,
    /// The headless Service that gives members their host names.
    pub(super) service: String,
    /// The container with the server.
    pub(super) container: String,
    /// Its image, as the template names it.
    pub(super) image: String,
    /// `ConfigMap`s that are mounted, with the path of each.
    pub(super) config_maps: Vec<(String, String)>,
    /// Claims of the template, with the path at which each is mounted.
    pub(super) claims: Vec<(String, String)>,
    /// Command and arguments in one text: the configuration's file is named in it.
    pub(super) command: String,
    /// The CA's file inside the container.
    pub(super) ca_file: Option<String>,
    /// Where that file comes from.
    pub(super) ca: Option<Keyed>,
    /// Host name in the container's own address, when it is not the loopback; [`POD`] stands for the member.
    pub(super) host: Option<String>,
    /// How it names the loopback otherwise.
    pub(super) loopback: String,
    /// The raft address that the environment gives.
    pub(super) cluster_addr: Option<String>,
    /// Whether the environment names the raft node.
    pub(super) node_id: bool,
}

impl Layout {
    /// Reads a StatefulSet.
    pub(super) fn of(set: &StatefulSet) -> Result<Self> {
        let name = set.metadata.name.clone().unwrap_or_default();
        let spec = set
            .spec
            .as_ref()
            .ok_or_else(|| Error::Refused(format!("StatefulSet {name} has no spec")))?;
        let pod = spec
            .template
            .spec
            .as_ref()
            .ok_or_else(|| Error::Refused(format!("StatefulSet {name} has no pod template")))?;
        let container = server(pod)
            .ok_or_else(|| Error::Refused(format!("StatefulSet {name} has no container")))?;
        let service = spec.service_name.clone().unwrap_or_default();
        if service.is_empty() {
            return Err(Error::Refused(format!(
                "StatefulSet {name} names no headless Service (serviceName): its members could not find each other"
            )));
        }
        let templates: Vec<&str> = spec
            .volume_claim_templates
            .iter()
            .flatten()
            .filter_map(|claim| claim.metadata.name.as_deref())
            .collect();
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        let ca_file = first_env(container, &CA_FILE);
        let own_address = first_env(container, &OWN_ADDRESS);
        Ok(Self {
            service,
            container: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            config_maps: mounts
                .iter()
                .filter_map(|mount| {
                    let map = volume(pod, &mount.name)?.config_map.as_ref()?;
                    Some((map.name.clone(), mount.mount_path.clone()))
                })
                .collect(),
            claims: mounts
                .iter()
                .filter(|mount| templates.contains(&mount.name.as_str()))
                .map(|mount| (mount.name.clone(), mount.mount_path.clone()))
                .collect(),
            command: [container.command.as_deref(), container.args.as_deref()]
                .into_iter()
                .flatten()
                .flatten()
                .cloned()
                .collect::<Vec<_>>()
                .join(" "),
            ca: ca_file.as_deref().and_then(|file| keyed(pod, mounts, file)),
            ca_file,
            host: own_address
                .as_deref()
                .and_then(|address| named_host(&with_pod(container, address))),
            loopback: match own_address {
                Some(address) if address.contains("//localhost") => "localhost".to_owned(),
                _ => "127.0.0.1".to_owned(),
            },
            cluster_addr: first_env(container, &CLUSTER_ADDRESS),
            node_id: holds(container, &NODE_ID),
            set: name,
        })
    }

    /// Names that a member's certificate may bear, the one in the container's own address first.
    pub(super) fn hosts_of(&self, member: &str, namespace: &str) -> Vec<String> {
        let own = self
            .host
            .as_ref()
            .map_or_else(|| self.loopback.clone(), |host| host.replace(POD, member));
        let mut hosts = vec![own, "127.0.0.1".to_owned(), "localhost".to_owned()];
        for name in [
            format!("{member}.{}", self.service),
            self.service.clone(),
            self.set.clone(),
        ] {
            for end in ["", ".svc", ".svc.cluster.local"] {
                hosts.push(if end.is_empty() {
                    name.clone()
                } else {
                    format!("{name}.{namespace}{end}")
                });
            }
            hosts.push(format!("{name}.{namespace}"));
        }
        hosts
    }

    /// That name, when all members bear the same.
    pub(super) fn common_host(&self) -> Option<String> {
        self.host.clone().filter(|host| !host.contains(POD))
    }

    /// A member's name.
    pub(super) fn member(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.set)
    }

    /// A member's ordinal.
    pub(super) fn ordinal(&self, member: &str) -> Result<u32> {
        member
            .strip_prefix(&self.set)
            .and_then(|rest| rest.strip_prefix('-'))
            .and_then(|ordinal| ordinal.parse().ok())
            .ok_or_else(|| {
                Error::Refused(format!("{member} is no member of StatefulSet {}", self.set))
            })
    }

    /// The claim that holds `path`, and where in the container it is mounted: the closest mount above the path.
    pub(super) fn claim_of(&self, path: &str) -> Result<(&str, &str)> {
        self.claims
            .iter()
            .filter(|(_, mount)| below(path, mount).is_some())
            .max_by_key(|(_, mount)| mount.len())
            .map(|(claim, mount)| (claim.as_str(), mount.as_str()))
            .ok_or_else(|| {
                let known: Vec<String> = self
                    .claims
                    .iter()
                    .map(|(claim, mount)| format!("{claim} at {mount}"))
                    .collect();
                Error::Refused(format!(
                    "the data folder {path} lies on no volume claim of StatefulSet {} (it has: {}); \
                     what is on no claim does not outlive its pod",
                    self.set,
                    known.join(", ")
                ))
            })
    }
}

/// The object behind a file of the server's container.
pub(super) fn source_of(set: &StatefulSet, file: &str) -> Option<Keyed> {
    let pod = set.spec.as_ref()?.template.spec.as_ref()?;
    let mounts = server(pod)?.volume_mounts.as_deref().unwrap_or_default();
    keyed(pod, mounts, file)
}

/// The container with the server: by the names that charts give it, else the first.
pub(super) fn server(pod: &PodSpec) -> Option<&Container> {
    ["openbao", "bao", "vault"]
        .iter()
        .find_map(|name| pod.containers.iter().find(|it| it.name == *name))
        .or_else(|| pod.containers.first())
}

/// The server's container in a template.
pub(super) fn server_of(template: &PodTemplateSpec) -> Option<&Container> {
    server(template.spec.as_ref()?)
}

/// A variable's literal value; `valueFrom` gives an empty one.
pub(super) fn env(container: &Container, name: &str) -> Option<String> {
    let found: &EnvVar = container.env.iter().flatten().find(|it| it.name == name)?;
    Some(found.value.clone().unwrap_or_default())
}

/// An address with [`POD`] for each variable that holds the pod's name.
pub(super) fn with_pod(container: &Container, address: &str) -> String {
    let of_pod = |variable: &&EnvVar| {
        let field = variable
            .value_from
            .as_ref()
            .and_then(|it| it.field_ref.as_ref());
        field.is_some_and(|field| field.field_path == "metadata.name")
    };
    container
        .env
        .iter()
        .flatten()
        .filter(of_pod)
        .fold(address.to_owned(), |address, variable| {
            address.replace(&format!("$({})", variable.name), POD)
        })
}

/// Whether any of the variables is there, wherever its value comes from.
pub(super) fn holds(container: &Container, names: &[&str]) -> bool {
    names.iter().any(|name| env(container, name).is_some())
}

/// The literal value of the first of these variables that has one.
pub(super) fn first_env(container: &Container, names: &[&str]) -> Option<String> {
    names
        .iter()
        .find_map(|name| env(container, name))
        .filter(|value| !value.is_empty())
}

fn volume<'pod>(pod: &'pod PodSpec, name: &str) -> Option<&'pod Volume> {
    pod.volumes.iter().flatten().find(|it| it.name == name)
}

/// What is left of a path below a folder; `None` when it is not below.
fn below<'path>(path: &'path str, folder: &str) -> Option<&'path str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    if rest.is_empty() {
        Some(rest)
    } else {
        rest.strip_prefix('/')
    }
}

/// The object behind a file of the container.
fn keyed(pod: &PodSpec, mounts: &[VolumeMount], file: &str) -> Option<Keyed> {
    let (mount, rest) = mounts
        .iter()
        .filter_map(|mount| Some((mount, below(file, &mount.mount_path)?)))
        .max_by_key(|(mount, _)| mount.mount_path.len())?;
    let inside = match (mount.sub_path.as_deref(), rest) {
        (Some(path), "") => path.to_owned(),
        (Some(path), rest) => format!("{path}/{rest}"),
        (None, rest) => rest.to_owned(),
    };
    let volume = volume(pod, &mount.name)?;
    let key = |items: Option<&Vec<k8s_openapi::api::core::v1::KeyToPath>>| {
        items
            .into_iter()
            .flatten()
            .find(|item| item.path == inside)
            .map_or_else(|| inside.clone(), |item| item.key.clone())
    };
    if let Some(secret) = &volume.secret {
        return Some(Keyed {
            object: secret.secret_name.clone()?,
            secret: true,
            key: key(secret.items.as_ref()),
        });
    }
    let map = volume.config_map.as_ref()?;
    Some(Keyed {
        object: map.name.clone(),
        secret: false,
        key: key(map.items.as_ref()),
    })
}

/// The host of an address, unless it is an address of the pod itself.
fn named_host(address: &str) -> Option<String> {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split(['/', ':']).next()?;
    let named = !host.is_empty()
        && host != "localhost"
        && !host.contains(['[', '$'])
        && host.parse::<std::net::IpAddr>().is_err();
    named.then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn set() -> StatefulSet {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "bao"},
            "spec": {
                "serviceName": "bao-internal",
                "selector": {},
                "volumeClaimTemplates": [{"metadata": {"name": "store"}, "spec": {}}],
                "template": {"spec": {
                    "volumes": [
                        {"name": "config", "configMap": {"name": "bao-config"}},
                        {"name": "tls", "secret": {"secretName": "bao-tls",
                            "items": [{"key": "root.pem", "path": "ca.crt"}]}}],
                    "containers": [
                        {"name": "sidecar", "image": "x"},
                        {"name": "openbao", "image": "openbao:2.6.2",
                            "command": ["bao", "server", "-config=/cfg/server.hcl"],
                            "env": [
                                {"name": "BAO_ADDR", "value": "https://bao.example:8200"},
                                {"name": "BAO_CACERT", "value": "/tls/ca.crt"},
                                {"name": "BAO_CLUSTER_ADDR", "value": "https://$(HOSTNAME).bao-internal:8201"}],
                            "volumeMounts": [
                                {"name": "config", "mountPath": "/cfg"},
                                {"name": "tls", "mountPath": "/tls"},
                                {"name": "store", "mountPath": "/srv/bao"}]}]}}
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_set_with_other_names_is_understood() {
        let layout = Layout::of(&set()).unwrap();
        assert_eq!(layout.container, "openbao");
        assert_eq!(layout.image, "openbao:2.6.2");
        assert_eq!(
            layout.claim_of("/srv/bao/data").unwrap(),
            ("store", "/srv/bao")
        );
        assert_eq!(
            layout.config_maps,
            [("bao-config".to_owned(), "/cfg".to_owned())]
        );
        assert_eq!(layout.hosts_of("bao-1", "ns")[0], "bao.example");
        assert_eq!(layout.common_host().as_deref(), Some("bao.example"));
        let ca = layout.ca.as_ref().unwrap();
        assert_eq!(
            (ca.object.as_str(), ca.key.as_str(), ca.secret),
            ("bao-tls", "root.pem", true)
        );
        assert_eq!(layout.member(2), "bao-2");
        assert_eq!(layout.ordinal("bao-2").unwrap(), 2);
        assert!(layout.ordinal("bao-x").is_err());
        assert!(!layout.node_id);
    }

    #[test]
    fn an_address_by_the_pods_name_is_each_members_own() {
        let mut set = set();
        let template = &mut set.spec.as_mut().unwrap().template;
        let server = &mut template.spec.as_mut().unwrap().containers[1];
        server.env = serde_json::from_value(serde_json::json!([
            {"name": "HOSTNAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "BAO_ADDR", "value": "https://$(HOSTNAME).bao-internal:8200"}]))
        .unwrap();
        let layout = Layout::of(&set).unwrap();
        let hosts = layout.hosts_of("bao-1", "ns");
        assert_eq!(hosts[0], "bao-1.bao-internal");
        assert!(hosts.contains(&"bao-1.bao-internal.ns.svc".to_owned()));
        assert_eq!(layout.common_host(), None);
    }

    #[test]
    fn data_on_no_claim_is_refused() {
        let layout = Layout::of(&set()).unwrap();
        let error = layout.claim_of("/srv/baobab").unwrap_err().to_string();
        assert!(error.contains("store at /srv/bao"), "{error}");
    }

    #[test]
    fn only_a_name_counts_as_one() {
        for address in [
            "http://127.0.0.1:8200",
            "https://localhost:8200",
            "https://$(POD_IP):8200",
            "http://[::1]:1",
        ] {
            assert_eq!(named_host(address), None, "{address}");
        }
        assert_eq!(named_host("https://a.b:8200/x").as_deref(), Some("a.b"));
    }
}
