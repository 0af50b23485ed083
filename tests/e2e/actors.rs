//! What acts on a release by itself: Jobs and reconcilers.

use std::time::Duration;

use serde_json::json;

use crate::cases::{MIGRATE, RESUME, finished};
use crate::cluster::cluster;
use crate::operator::in_step;
use crate::release::{PLAIN, Release};
use crate::table::Figures;

/// A job that initialises whatever server is empty, one that is at work, and a release kept by Flux: none of them acts during
/// the run, the jobs do again afterwards.
pub fn full_actors_suspended() -> Figures {
    let release = Release::install("actors", PLAIN);
    let namespace = &release.namespace;
    cluster().apply(namespace, include_str!("flux.yaml"));
    cluster().kubectl(&[
        "wait",
        "--for=condition=established",
        "crd",
        "-l",
        "baoctl-test=flux",
    ]);
    let keeper = |kind: &str| format!("{kind}.toolkit.fluxcd.io");
    let container = |script: &str| {
        json!({"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "it", "image": "quay.io/openbao/openbao:2.6.2", "command": ["/bin/sh", "-c", script],
            "env": [{"name": "BAO_ADDR", "value": "http://openbao-0.openbao-internal:8200"}],
        }]})
    };
    let initialises =
        "for n in $(seq 50); do bao operator init -key-shares=1 -key-threshold=1; sleep 1; done";
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "apps"}, "spec": {}},
        {"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "openbao", "labels": {
            keeper("kustomize") + "/name": "apps", keeper("kustomize") + "/namespace": namespace}}, "spec": {}},
        {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "set-up"}, "spec": {
            "schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": container(initialises)}}}}},
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "at-work"}, "spec": {
            "template": {"spec": container("sleep 900")}}},
    ]});
    cluster().apply(namespace, &objects.to_string());
    for mark in ["name=openbao", &format!("namespace={namespace}")] {
        release.kubectl(&[
            "label",
            "statefulset",
            "openbao",
            &format!("{}/{mark}", keeper("helm")),
        ]);
    }
    let suspended = |object: &str| {
        release.kubectl(&["get", object, "-o", "jsonpath={.spec.suspend}"]) == "true"
    };
    let actors = [
        "cronjob/set-up",
        "job/at-work",
        "helmrelease/openbao",
        "kustomization/apps",
    ];
    let killed = release.killed(
        &release.agreed(&MIGRATE),
        in_step("join", Duration::from_secs(1)),
    );
    assert_eq!(killed.code, -1, "{}", killed.text);
    for actor in actors {
        assert!(suspended(actor), "{actor} acts in the middle of the run");
    }
    let said = release.run(&release.agreed(&RESUME)).expect(0);
    assert!(said.text.contains("landed, held: "), "{}", said.text);
    assert_eq!(actors.map(suspended), [false, false, true, true]);
    finished(&release, &said)
}
