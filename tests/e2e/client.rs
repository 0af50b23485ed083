//! A client that writes and reads through the Service all the time, in a pod of its own.

use std::collections::BTreeMap;

use crate::cluster::{cluster, until};
use crate::release::Release;

const IMAGE: &str = "quay.io/openbao/openbao:2.6.2";

pub struct Client<'a> {
    release: &'a Release,
}

impl<'a> Client<'a> {
    pub fn start(release: &'a Release) -> Self {
        // A limit of its own, as busybox's own option for it crashes. A line for each write that was acknowledged and read back: its number and the machine's uptime.
        let script = r#"
            i=0
            while :; do
                i=$((i + 1))
                url="http://$SERVICE:8200/v1/secret/client/$i"
                if timeout 1 wget -q -O /dev/null --header "X-Vault-Token: $TOKEN" --post-data "{\"n\":\"$i\"}" "$url" 2>/dev/null
                then
                    read -r up _ < /proc/uptime
                    echo "$i $up"
                fi
                timeout 1 wget -q -O /dev/null --header "X-Vault-Token: $TOKEN" "$url" 2>/dev/null
                sleep 0.1
            done
        "#;
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client"},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "client", "image": IMAGE, "command": ["/bin/sh", "-c", script],
                "env": [
                    {"name": "SERVICE", "value": release.kind.fullname},
                    {"name": "TOKEN", "value": release.token},
                ],
            }]},
        });
        cluster().apply(&release.namespace, &pod.to_string());
        let client = Self { release };
        until("the client's first writes", 60, || {
            client.acknowledged().len() > 3
        });
        client
    }

    /// The machine's uptime at each acknowledgement, by number.
    fn acknowledged(&self) -> BTreeMap<u64, f64> {
        let log = cluster().try_kubectl(&["-n", &self.release.namespace, "logs", "client"]);
        log.unwrap_or_default()
            .lines()
            .filter_map(|line| {
                let (number, up) = line.split_once(' ')?;
                Some((number.parse().ok()?, up.parse().ok()?))
            })
            .collect()
    }

    /// Its longest time without an acknowledged write, in seconds. Every write it got acknowledged is there.
    pub fn end(self) -> f64 {
        let before = self.acknowledged().len();
        until("the client to write again", 30, || {
            self.acknowledged().len() > before + 3
        });
        let acknowledged = self.acknowledged();
        self.release.kubectl(&["delete", "pod", "client"]);
        let leader = self
            .release
            .members()
            .into_iter()
            .find(|member| self.release.api_answers(member) == Some(200))
            .map(|member| self.release.api(&member))
            .unwrap();
        for number in acknowledged.keys() {
            let (code, answer) = leader.get(&format!("secret/client/{number}"));
            assert_eq!(
                (code, &answer["data"]["n"]),
                (200, &number.to_string().into())
            );
        }
        let times: Vec<f64> = acknowledged.values().copied().collect();
        let gap = times
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .fold(0.0, f64::max);
        println!(
            "    {} acknowledged writes, all there; the longest time without one {gap:.1} s",
            times.len()
        );
        gap
    }
}
