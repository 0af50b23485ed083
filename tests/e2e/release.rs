//! A release on file storage with data in it, installed by `helm`, and what must be true of it afterwards.

use std::fmt::Write;
use std::path::PathBuf;

use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, runtime};
use crate::cluster::{Cluster, cluster, until};

/// What a release is like.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Overlays on `standalone-file`.
    pub overlays: &'static [&'static str],
    pub name: &'static str,
    /// Of the StatefulSet.
    pub fullname: &'static str,
    pub unseal_secret: &'static str,
    pub unseal_field: &'static str,
    pub shares: u32,
    pub threshold: u32,
    pub entries: usize,
    pub tls: bool,
    /// What changes the release. With `manifests` no helm knows of it: `kubectl apply` made it.
    pub driver: &'static str,
}

pub const PLAIN: Kind = Kind {
    overlays: &[],
    name: "openbao",
    fullname: "openbao",
    unseal_secret: "openbao-unseal",
    unseal_field: "unseal-key",
    shares: 1,
    threshold: 1,
    entries: 300,
    tls: false,
    driver: "helm",
};

pub struct Release {
    pub kind: Kind,
    pub namespace: String,
    pub token: String,
    cluster_id: String,
    /// A ciphertext of transit with the plaintext "hello".
    ciphertext: String,
    /// A token that is not root.
    app_token: String,
    /// The operator's folder: a kubeconfig of the least Role, and the run's files.
    pub folder: tempfile::TempDir,
}

impl Release {
    pub fn install(case: &str, kind: Kind) -> Self {
        let cluster = cluster();
        let namespace = format!("e2e-{case}");
        cluster.try_kubectl(&["delete", "namespace", &namespace, "--ignore-not-found"]);
        cluster.renew_volumes();
        cluster.kubectl(&["create", "namespace", &namespace]);
        let empty = format!("--from-literal={}=", kind.unseal_field);
        cluster.kubectl(&[
            "-n",
            &namespace,
            "create",
            "secret",
            "generic",
            kind.unseal_secret,
            &empty,
        ]);
        if kind.tls {
            certificate(cluster, &namespace, kind.fullname);
        }
        let chart = cluster.chart.display().to_string();
        let no_helm = kind.driver == "manifests";
        let verb = if no_helm { "template" } else { "install" };
        let mut args = vec![verb, kind.name, &chart, "-n", &namespace];
        let files: Vec<String> = std::iter::once("standalone-file")
            .chain(kind.overlays.iter().copied())
            .map(|name| cluster.values(name).display().to_string())
            .collect();
        for file in &files {
            args.extend(["-f", file]);
        }
        let said = cluster.helm(&args);
        if no_helm {
            cluster.apply(&namespace, &without_addresses(&said));
        }

        let first = format!("{}-0", kind.fullname);
        until("the source to run", 90, || running(&namespace, &first));
        // A forwarded port ends with the first connection that nothing listens to.
        let open = || Api::open(&namespace, &first, kind.tls, "");
        let mut api = open();
        until("the source to answer", 60, || {
            api.seal_status()["initialized"] == json!(false) || {
                api = open();
                false
            }
        });
        let init = api.put(
            "sys/init",
            &json!({"secret_shares": kind.shares, "secret_threshold": kind.threshold}),
        );
        let shares: Vec<&str> = init["keys_base64"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_str().unwrap())
            .collect();
        let token = init["root_token"].as_str().unwrap().to_owned();
        let data =
            json!({"stringData": {kind.unseal_field: shares.join("\n"), "root-token": token}});
        cluster.kubectl(&[
            "-n",
            &namespace,
            "patch",
            "secret",
            kind.unseal_secret,
            "-p",
            &data.to_string(),
        ]);
        for share in &shares[..kind.threshold as usize] {
            api.put("sys/unseal", &json!({"key": share}));
        }
        until("the source to be active", 30, || {
            api.get("sys/health").0 == 200
        });
        api.set_token(&token);
        let (ciphertext, app_token) = seed(&api, kind.entries);
        let cluster_id = api.seal_status()["cluster_id"].as_str().unwrap().to_owned();
        let release = Self {
            kind,
            namespace,
            token,
            cluster_id,
            ciphertext,
            app_token,
            folder: tempfile::tempdir().unwrap(),
        };
        release.least_role();
        release
    }

    pub fn member(&self, ordinal: u32) -> String {
        format!("{}-{ordinal}", self.kind.fullname)
    }

    pub fn members(&self) -> [String; 3] {
        [0, 1, 2].map(|ordinal| self.member(ordinal))
    }

    pub fn api(&self, member: &str) -> Api {
        Api::open(&self.namespace, member, self.kind.tls, &self.token)
    }

    /// What a member that runs says of its health.
    pub fn api_answers(&self, member: &str) -> Option<u16> {
        running(&self.namespace, member).then(|| self.api(member).get("sys/health").0)
    }

    pub fn kubectl(&self, args: &[&str]) -> String {
        let mut all = vec!["-n", &self.namespace];
        all.extend(args);
        cluster().kubectl(&all)
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The name of the only context in [`Release::kubeconfig`].
    pub fn context(&self) -> String {
        format!("operator-of-{}", self.namespace)
    }

    /// A kubeconfig of a service account with nothing but what `docs/rbac.yaml` gives.
    fn least_role(&self) {
        let role = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rbac.yaml"))
            .unwrap();
        let user =
            "- apiGroup: rbac.authorization.k8s.io\n    kind: User\n    name: openbao-operator";
        let account = format!(
            "- kind: ServiceAccount\n    name: baoctl\n    namespace: {}",
            self.namespace
        );
        let here = format!("namespace: {}", self.namespace);
        self.kubectl(&["create", "serviceaccount", "baoctl"]);
        // What belongs to no namespace needs a name of its own, as another case may run beside this one.
        let role = role
            .replace(
                "name: baoctl\n",
                &format!("name: baoctl-{}\n", self.namespace),
            )
            .replace("namespace: openbao", &here)
            .replace(user, &account);
        cluster().apply(&self.namespace, &role);
        let token = self.kubectl(&["create", "token", "baoctl", "--duration=1h"]);
        let admin: Value =
            serde_json::from_str(&cluster().kubectl(&["config", "view", "--raw", "-o", "json"]))
                .unwrap();
        let context = self.context();
        let own = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": context,
            "clusters": [{"name": "it", "cluster": admin["clusters"][0]["cluster"]}],
            "users": [{"name": "operator", "user": {"token": token.trim()}}],
            "contexts": [{"name": context, "context": {"cluster": "it", "user": "operator"}}],
        });
        std::fs::write(self.kubeconfig(), own.to_string()).unwrap();
    }

    /// Everything that was there is there, on each of three voters, as the same cluster.
    pub fn verify(&self) {
        let mut leaders = 0;
        for member in self.members() {
            let mut api = self.api(&member);
            let status = api.seal_status();
            assert_eq!(status["storage_type"], "raft", "{member}");
            assert_eq!(status["sealed"], false, "{member}");
            assert_eq!(status["cluster_id"], self.cluster_id.as_str(), "{member}");
            leaders += u32::from(api.get("sys/health").0 == 200);
            for entry in [0, self.kind.entries / 2, self.kind.entries - 1] {
                let (code, answer) = api.get(&format!("secret/app/{entry}"));
                assert_eq!((code, &answer["data"]), (200, &value(entry)), "{member}");
            }
            let plain = api.put(
                "transit/decrypt/key",
                &json!({"ciphertext": self.ciphertext}),
            );
            assert_eq!(plain["data"]["plaintext"], "aGVsbG8=", "{member}");
            api.set_token(&self.app_token);
            assert_eq!(api.get("secret/app/1").0, 200, "{member}");
        }
        assert_eq!(leaders, 1);
        let peers = self
            .api(&self.member(0))
            .get("sys/storage/raft/configuration")
            .1;
        let servers = peers["data"]["config"]["servers"].as_array().unwrap();
        assert_eq!(
            servers.iter().filter(|it| it["voter"] == true).count(),
            3,
            "{peers}"
        );
        let secret = self.kubectl(&["get", "secrets", "-o", "name"]);
        assert!(
            !secret.contains("throwaway") && !secret.contains("parked"),
            "{secret}"
        );
        let pods = self.kubectl(&[
            "get",
            "pods",
            "-l",
            "app.kubernetes.io/managed-by=baoctl",
            "-o",
            "name",
        ]);
        assert_eq!(pods.trim(), "", "no pod of the run is left");
    }

    /// What `helm` believes is what runs.
    pub fn helm_agrees(&self) {
        let manifest = cluster().helm(&["get", "manifest", self.kind.name, "-n", &self.namespace]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), manifest).unwrap();
        let path = file.path().to_str().unwrap();
        cluster().kubectl(&["diff", "-n", &self.namespace, "-f", path]);
        let status: Value = serde_json::from_str(&self.kubectl(&[
            "get",
            "statefulset",
            self.kind.fullname,
            "-o",
            "json",
        ]))
        .unwrap();
        assert_eq!(status["status"]["readyReplicas"], 3);
        // With OnDelete the controller calls no revision current by itself: each pod's own label tells.
        let path = "jsonpath={.items[*].metadata.labels.controller-revision-hash}";
        let selector = format!(
            "apps.kubernetes.io/pod-index,app.kubernetes.io/instance={}",
            self.kind.name
        );
        let made_from = self.kubectl(&["get", "pods", "-l", &selector, "-o", path]);
        let wanted = status["status"]["updateRevision"].as_str().unwrap();
        assert_eq!(made_from, [wanted; 3].join(" "));
        let active = self.kubectl(&[
            "get",
            "endpoints",
            &format!("{}-active", self.kind.fullname),
            "-o",
            "jsonpath={.subsets[*].addresses[*].ip}",
        ]);
        assert_eq!(
            active.split_whitespace().count(),
            1,
            "endpoints of the active Service: {active}"
        );
    }

    /// The hook unseals every pod that restarts.
    pub fn hook_unseals(&self) {
        for member in self.members() {
            self.kubectl(&["delete", "pod", &member]);
            until(&format!("the hook to unseal {member}"), 90, || {
                running(&self.namespace, &member)
                    && self.api(&member).seal_status()["sealed"] == json!(false)
            });
        }
    }

    /// What the source keeps its data in.
    fn storage(&self) -> &'static str {
        if self.kind.overlays.contains(&"pebbledb") {
            "pebbledb"
        } else {
            "file"
        }
    }

    /// The source serves from its own storage, as before.
    pub fn serves_as_before(&self) {
        let api = self.api(&self.member(0));
        let status = api.seal_status();
        assert_eq!(
            (&status["storage_type"], &status["sealed"]),
            (&json!(self.storage()), &json!(false))
        );
        assert_eq!(status["cluster_id"], self.cluster_id.as_str());
        for entry in 0..self.kind.entries.min(20) {
            assert_eq!(
                api.get(&format!("secret/app/{entry}")).1["data"],
                value(entry)
            );
        }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let cluster = cluster();
            let mut seen = String::new();
            for args in [
                &["get", "pods", "-o", "wide"][..],
                &["get", "events", "--sort-by=.lastTimestamp"],
            ] {
                let mut all = vec!["-n", &self.namespace];
                all.extend(args);
                let _ = writeln!(seen, "{}", cluster.try_kubectl(&all).unwrap_or_default());
            }
            for member in self.members() {
                let log =
                    cluster.try_kubectl(&["-n", &self.namespace, "logs", &member, "--tail=15"]);
                let _ = writeln!(seen, "{member}:\n{}", log.unwrap_or_default());
            }
            eprintln!("{seen}");
        }
        if std::env::var_os("BAOCTL_E2E_KEEP").is_none() {
            cluster().try_kubectl(&["delete", "namespace", &self.namespace, "--wait=false"]);
            let role = ["delete", "clusterrole,clusterrolebinding", &self.context()];
            cluster().try_kubectl(&role);
        }
    }
}

/// A server on file storage needs neither address, so that a release of one's own may have none.
fn without_addresses(manifest: &str) -> String {
    let mut lines = manifest.lines();
    let mut kept = String::new();
    while let Some(line) = lines.next() {
        if line.contains("name: BAO_API_ADDR") || line.contains("name: BAO_CLUSTER_ADDR") {
            // Its value.
            lines.next();
        } else {
            kept = kept + line + "\n";
        }
    }
    kept
}

pub fn running(namespace: &str, pod: &str) -> bool {
    let path = "jsonpath={.status.containerStatuses[0].state.running.startedAt}{.metadata.deletionTimestamp}";
    let state = cluster().try_kubectl(&["-n", namespace, "get", "pod", pod, "-o", path]);
    // One time stamp: it started, and is not on its way down.
    state.is_some_and(|state| state.len() == "2006-01-02T15:04:05Z".len())
}

fn value(entry: usize) -> Value {
    json!({"of": entry.to_string(), "text": "x".repeat(40 + entry % 200)})
}

/// Entries, a transit key with a ciphertext, a policy and a token that is bound to it.
fn seed(api: &Api, entries: usize) -> (String, String) {
    api.put("sys/mounts/secret", &json!({"type": "kv"}));
    api.put("sys/mounts/transit", &json!({"type": "transit"}));
    api.put("transit/keys/key", &json!({}));
    api.put("sys/policies/acl/app", &json!({"policy": "path \"secret/*\" { capabilities = [\"read\", \"update\", \"create\"] }"}));
    let token = api.put(
        "auth/token/create",
        &json!({"policies": ["app"], "ttl": "12h"}),
    );
    let cipher = api.put("transit/encrypt/key", &json!({"plaintext": "aGVsbG8="}));
    runtime().block_on(async {
        stream::iter(0..entries)
            .for_each_concurrent(16, |entry| async move {
                let (status, answer) = api
                    .send(
                        Method::POST,
                        &format!("secret/app/{entry}"),
                        Some(&value(entry)),
                    )
                    .await;
                assert_eq!(status, 204, "{answer}");
            })
            .await;
    });
    let text = |it: &Value| it.as_str().unwrap().to_owned();
    (
        text(&cipher["data"]["ciphertext"]),
        text(&token["auth"]["client_token"]),
    )
}

/// A certificate of an authority of its own for the servers of a release.
fn certificate(cluster: &Cluster, namespace: &str, fullname: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"
        openssl ecparam -genkey -name prime256v1 -noout -out ca.key
        openssl req -x509 -new -key ca.key -subj /CN=ca -days 2 -out ca.crt
        openssl ecparam -genkey -name prime256v1 -noout -out tls.key
        openssl req -new -key tls.key -subj /CN=openbao -out tls.csr
        printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$1" > ext
        openssl x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out tls.crt
    "#;
    // The wildcard that charts tell users to make has two labels behind the star, which not every client accepts.
    let mut names = format!("DNS:*.{fullname}-internal,DNS:localhost,IP:127.0.0.1");
    for ordinal in 0..3 {
        let _ = write!(names, ",DNS:{fullname}-{ordinal}.{fullname}-internal");
    }
    let output = std::process::Command::new("sh")
        .args(["-ec", script, "sh", &names])
        .current_dir(folder.path())
        .output()
        .unwrap();
    crate::cluster::said(&output, "openssl");
    let file = |name: &str| format!("--from-file={}", folder.path().join(name).display());
    cluster.kubectl(&[
        "-n",
        namespace,
        "create",
        "secret",
        "generic",
        "openbao-tls",
        &file("ca.crt"),
        &file("tls.crt"),
        &file("tls.key"),
    ]);
}
