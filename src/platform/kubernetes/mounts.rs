//! Where the release's pods see the unseal Secret: a running pod goes on seeing the old key for a while.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use tokio::time::{Instant, sleep};

use super::exec::Shell;
use super::layout::server_of;
use super::platform::KubernetesPlatform;
use crate::platform::{Error, Platform, Result};

/// A kubelet looks at what it mounts about once a minute, and at once when the pod was touched.
const SEEN: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(500);

impl KubernetesPlatform {
    /// Waits until no running member sees a key in its mounted file any more: a restarted container would unseal itself with it.
    /// What cannot be looked at, for want of a shell or because the mount never changes, is left to the tombstone.
    pub(super) async fn until_key_is_gone(&self) -> Result<()> {
        let set = self.stateful_set().await?;
        let files = mounted(&set, &self.secrets.unseal, &self.secrets.field);
        if files.is_empty() {
            return Ok(());
        }
        for member in self.members() {
            if self.running(&member).await?.is_none() {
                continue;
            }
            let shell = Shell::new(&self.cluster, &member, &self.layout.container);
            if !shell.present().await? {
                continue;
            }
            let files: Vec<&str> = files.iter().map(String::as_str).collect();
            let end = Instant::now() + SEEN;
            // Prints a word for each file that holds anything.
            let script = r#"for file; do [ ! -s "$file" ] || echo key; done"#;
            while !shell.run(script, &files).await?.is_empty() {
                if Instant::now() >= end {
                    return Err(Error::Refused(format!(
                        "{member} still sees the unseal key in {} after {}s, although Secret {} is empty: a restart would unseal \
                         it behind the run. Is its kubelet running? Then resume",
                        files.join(", "),
                        SEEN.as_secs(),
                        self.secrets.unseal
                    )));
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}

/// The files in the server's container that hold a field of a Secret, and change with it.
fn mounted(set: &StatefulSet, secret: &str, field: &str) -> Vec<String> {
    let Some(template) = set.spec.as_ref().map(|spec| &spec.template) else {
        return Vec::new();
    };
    let volumes = template
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let mounts = server_of(template)
        .into_iter()
        .flat_map(|container| container.volume_mounts.iter().flatten());
    let mounts: Vec<_> = mounts.filter(|mount| mount.sub_path.is_none()).collect();
    let mut files = Vec::new();
    for volume in volumes {
        let Some(source) = volume.secret.as_ref() else {
            continue;
        };
        if source.secret_name.as_deref() != Some(secret) {
            continue;
        }
        let file = match &source.items {
            None => field,
            Some(items) => match items.iter().find(|item| item.key == field) {
                Some(item) => &item.path,
                None => continue,
            },
        };
        let of = mounts.iter().filter(|mount| mount.name == volume.name);
        files.extend(of.map(|mount| format!("{}/{file}", mount.mount_path.trim_end_matches('/'))));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_secret_are_found() {
        let set: StatefulSet = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "bao"},
            "spec": {"serviceName": "x", "selector": {}, "template": {"spec": {
                "volumes": [
                    {"name": "keys", "secret": {"secretName": "unseal"}},
                    {"name": "one", "secret": {"secretName": "unseal", "items": [{"key": "unseal-key", "path": "a/b"}]}},
                    {"name": "other", "secret": {"secretName": "tls"}}],
                "containers": [{"name": "openbao", "volumeMounts": [
                    {"name": "keys", "mountPath": "/keys/"},
                    {"name": "keys", "mountPath": "/fixed", "subPath": "unseal-key"},
                    {"name": "one", "mountPath": "/one"},
                    {"name": "other", "mountPath": "/tls"}]}]
            }}}
        }))
        .unwrap();
        let found = mounted(&set, "unseal", "unseal-key");
        assert_eq!(found, ["/keys/unseal-key", "/one/a/b"]);
        assert!(mounted(&set, "none", "unseal-key").is_empty());
    }
}
