"""CoreDNS, as a Deployment behind the address that every pod asks."""

import json

from . import images, settings
from .control_plane import apply, kubectl
from .settings import NODES
from .shell import run, wait

COREFILE = """\
.:53 {
    errors
    health
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        ttl 5
    }
    cache 5
}
"""
LABELS = {"k8s-app": "kube-dns"}


def named(api: str, kind: str, name="coredns", namespace: str | None = "kube-system", **rest) -> dict:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name} | place} | rest


def install():
    rbac = "rbac.authorization.k8s.io"
    watch = ["list", "watch"]
    rules = [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": watch},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": watch},
    ]
    container = {
        "name": "coredns",
        "image": images.COREDNS,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    subject = {"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}
    apply([
        named("v1", "ServiceAccount"),
        named(f"{rbac}/v1", "ClusterRole", namespace=None, rules=rules),
        named(
            f"{rbac}/v1",
            "ClusterRoleBinding",
            namespace=None,
            roleRef={"apiGroup": rbac, "kind": "ClusterRole", "name": "coredns"},
            subjects=[subject],
        ),
        named("v1", "ConfigMap", data={"Corefile": COREFILE}),
        named("v1", "Service", "kube-dns", spec={"clusterIP": settings.SERVICE_DNS, "selector": LABELS, "ports": ports}),
        named(
            "apps/v1",
            "Deployment",
            spec={"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": pod}},
        ),
    ])


def serves() -> bool:
    """A name is answered through the Service, on each node."""
    question = ["busybox", "nslookup", "-type=a", "kubernetes.default.svc.cluster.local", settings.SERVICE_DNS]
    return all(run("timeout", "2", *n.inside(*question), check=False).returncode == 0 for n in NODES)


def nodes_ready() -> bool:
    items = json.loads(kubectl("get", "nodes", "--output=json").stdout)["items"]
    ready = [c for i in items for c in i["status"].get("conditions", []) if c["type"] == "Ready" and c["status"] == "True"]
    return len(ready) == len(NODES)


def await_ready():
    wait("three ready nodes", 90, nodes_ready)
    wait("an answer from CoreDNS on each node", 60, serves)
