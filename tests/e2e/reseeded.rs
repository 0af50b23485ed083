//! A fresh cluster in place of the source, seeded by the platform's own Jobs.

use std::time::Duration;

use serde_json::json;

use crate::back::is_back;
use crate::cases::RESUME;
use crate::cluster::cluster;
use crate::operator::in_action;
use crate::release::{PLAIN, Release};
use crate::table::Figures;

/// A fresh cluster that the platform's Jobs seed again, with the data of the source left behind; and the source once more.
pub fn full_reseeded_and_rolled_back() -> Figures {
    let release = Release::install("reseeded", PLAIN);
    let job = |name: &str, script: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {
        "backoffLimit": 2, "template": {"spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "it", "image": "quay.io/openbao/openbao:2.6.2", "command": ["/bin/sh", "-ec", script],
            "env": [
                {"name": "BAO_ADDR", "value": "http://openbao:8200"},
                {"name": "BAO_TOKEN", "valueFrom": {"secretKeyRef": {"name": "openbao-unseal", "key": "root-token"}}},
            ],
        }]}}}})
    };
    let config = "bao secrets enable -path=platform -version=2 kv; echo 'path \"platform/*\" { capabilities = [\"read\"] }' | bao policy write platform -";
    let seed = "bao kv put platform/database password=seeded";
    let jobs = [job("vault-config", config), job("vault-seed", seed)];
    for job in jobs {
        let name = job["metadata"]["name"].as_str().unwrap().to_owned();
        cluster().apply(&release.namespace, &job.to_string());
        let done = format!("job/{name}");
        release.kubectl(&["wait", "--for=condition=complete", "--timeout=90s", &done]);
    }
    let reseed = ["migrate-raft", "--runbook", "reseed"];
    let said = release.run(&release.agreed(&reseed)).expect(5);
    assert!(said.text.contains("--lose-data"), "{}", said.text);
    release.serves_as_before();

    // Killed while the first Job is at work; the next process finds its copy.
    let leave = [&reseed[..], &["--lose-data"]].concat();
    let in_it = in_action("run-jobs", Duration::from_secs(1));
    let killed = release.killed(&release.agreed(&leave), in_it);
    assert_eq!(killed.code, -1, "{}", killed.text);
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    assert_eq!(copies(&release).lines().count(), 2);

    let path = "jsonpath={.data.root-token}";
    let coded = release.kubectl(&["get", "secret", "openbao-unseal", "-o", path]);
    let token = String::from_utf8(base64_simd::STANDARD.decode_to_vec(coded).unwrap()).unwrap();
    assert_ne!(token, release.token);
    for member in release.members() {
        let mut api = release.api(&member);
        assert_eq!(api.get("sys/mounts").0, 403, "{member} knows the old token");
        api.set_token(&token);
        let (code, answer) = api.get("platform/data/database");
        assert_eq!(
            (code, &answer["data"]["data"]["password"]),
            (200, &json!("seeded")),
            "{member}"
        );
    }
    let lost = std::fs::read_to_string(release.work().join("lost.txt")).unwrap();
    for line in [
        "mount secret/",
        "mount transit/",
        "policy app",
        "secret/app/0",
    ] {
        assert!(lost.lines().any(|it| it == line), "{line}: {lost}");
    }
    assert!(!lost.contains("platform"), "{lost}");
    assert!(said.text.contains("lost.txt"), "{}", said.text);
    release.helm_agrees();
    // The hook has the new key.
    release.hook_unseals();

    let back = release.agreed(&["rollback", "--lose-writes"]);
    release.run(&back).expect(0);
    is_back(&release);
    assert_eq!(copies(&release).trim(), "");
    Figures {
        outage: said.summary()["outage_seconds"].as_f64(),
        client: None,
    }
}

/// The run's copies of Jobs.
fn copies(release: &Release) -> String {
    let ours = "app.kubernetes.io/managed-by=baoctl";
    release.kubectl(&["get", "jobs", "-l", ours, "-o", "name"])
}
