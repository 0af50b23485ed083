"""Local volumes: a fixed number free on each node, none of them ever used before."""

import json
import secrets
import shutil

from . import settings
from .control_plane import apply, kubectl
from .settings import NODES, Node

# Data and audit of one server take two, and a test may run beside one that is being cleaned up.
FREE_PER_NODE = 8

CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "local", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/no-provisioner",
    "volumeBindingMode": "WaitForFirstConsumer",
    "reclaimPolicy": "Delete",
}


def volume(node: Node) -> dict:
    """A new volume. Its name is never used again, so that no test can meet another's data."""
    name = f"{node.name}-{secrets.token_hex(4)}"
    path = settings.VOLUMES / name
    path.mkdir(parents=True)
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local",
            # As with volumes that a provisioner makes. Nothing deletes these but `renew`; till then they are `Failed`.
            "persistentVolumeReclaimPolicy": "Delete",
            "local": {"path": str(path)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    }


def renew():
    """Removes volumes whose claim is gone, with their data, and makes new ones until enough are free on each node."""
    existing = json.loads(kubectl("get", "persistentvolumes", "--output=json").stdout)["items"]
    free = {node.name: 0 for node in NODES}
    used = []
    for item in existing:
        name, phase = item["metadata"]["name"], item["status"].get("phase", "Pending")
        if phase in ("Released", "Failed"):
            used.append(name)
        elif phase in ("Available", "Pending") and "claimRef" not in item["spec"]:
            free[name.rpartition("-")[0]] += 1
    if used:
        kubectl("delete", "persistentvolumes", "--wait=false", "--ignore-not-found", *used)
        for name in used:
            shutil.rmtree(settings.VOLUMES / name, ignore_errors=True)
    new = [volume(node) for node in NODES for _ in range(FREE_PER_NODE - free[node.name])]
    if new:
        apply(new)
