"""What runs on each node: containerd, kubelet, kube-proxy."""

import json
import os
import signal
import time
from pathlib import Path

from . import images, pki, processes, settings
from .settings import KUBERNETES_TOOLS, NODES, Node
from .shell import write

CGROUPS = Path("/sys/fs/cgroup")


def cgroups(node: Node) -> list[Path]:
    """The node's control group: one folder per controller, or one alone on a machine with cgroup v2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / node.cgroup]
    return [hierarchy / node.cgroup for hierarchy in CGROUPS.iterdir() if hierarchy.is_dir() and not hierarchy.is_symlink()]


def make_cgroups(node: Node):
    for folder in cgroups(node):
        folder.mkdir(exist_ok=True)
        # A new cpuset is empty, and nothing can be put into an empty one.
        for name in ["cpuset.cpus", "cpuset.mems"]:
            if (folder / name).exists() and not (folder / name).read_text().strip():
                (folder / name).write_text((folder.parent / name).read_text())


def start_containerd(node: Node, store: Path):
    make_cgroups(node)
    images.copy(store, node.folder / "containerd")
    write(node.folder / "cni" / "10-pods.conflist", json.dumps(cni(node)))
    write(node.folder / "containerd.toml", containerd(node))
    processes.start(f"{node.name}-containerd", *node.inside("containerd", "--config", node.folder / "containerd.toml"))


def start_kubelet(node: Node):
    # It ends when there is no containerd yet.
    images.await_containerd(f"{node.name}-containerd", node.containerd)
    write(node.folder / "kubelet.json", json.dumps(kubelet(node)))
    # The host's would be sent names that nothing here can resolve.
    write(node.folder / "resolv.conf", "")
    processes.start(
        f"{node.name}-kubelet",
        *node.inside(
            KUBERNETES_TOOLS / "kubelet",
            f"--config={node.folder / 'kubelet.json'}",
            f"--kubeconfig={pki.kubeconfig(node.name)}",
            f"--root-dir={node.folder / 'kubelet'}",
            f"--cert-dir={node.folder / 'kubelet-pki'}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
        ),
    )


def start_proxy(node: Node):
    write(node.folder / "proxy.json", json.dumps(proxy(node)))
    command = [KUBERNETES_TOOLS / "kube-proxy", f"--config={node.folder / 'proxy.json'}"]
    processes.start(f"{node.name}-kube-proxy", *node.inside(*command))


def cni(node: Node) -> dict:
    # A routed link per pod, not a bridge: all traffic between pods is forwarded by the node, where kube-proxy
    # and the rules of `block` see it, also between two pods of one node.
    addresses = {"type": "host-local", "dataDir": str(node.folder / "cni" / "addresses"), "ranges": [[{"subnet": node.pods}]]}
    addresses["routes"] = [{"dst": "0.0.0.0/0"}]
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": addresses},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def containerd(node: Node) -> str:
    return f"""\
version = 2
root = "{node.folder}/containerd"
state = "{node.sockets}/containerd"
oom_score = 0

[grpc]
address = "{node.containerd}"

[plugins."io.containerd.grpc.v1.cri"]
# Any name that is not under localhost/ would be looked up in a public registry.
sandbox_image = "{images.PAUSE}"
disable_apparmor = true
# Without CAP_SYS_RESOURCE runc may not lower the score, and fails.
restrict_oom_score_adj = true
# Ours are then told from those of another containerd on the machine.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{node.folder}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def kubelet(node: Node) -> dict:
    never = ["memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"]
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {"x509": {"clientCAFile": str(pki.cert("ca"))}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": f"unix://{node.containerd}",
        "podLogsDir": str(node.folder / "pod-logs"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failSwapOn": False,
        "failCgroupV1": False,
        "oomScoreAdj": 0,
        "clusterDNS": [settings.SERVICE_DNS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.folder / "resolv.conf"),
        # The three nodes share one disk, which may well be fuller than a node's should be.
        "evictionHard": {signal_name: "0%" for signal_name in never},
        "imageGCHighThresholdPercent": 100,
        "shutdownGracePeriod": "0s",
    }


def proxy(node: Node) -> dict:
    # The namespace inherits the host's limits of connection tracking and may not change them.
    keep = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node.name,
        "clusterCIDR": settings.POD_NETWORK,
        "clientConnection": {"kubeconfig": str(pki.kubeconfig("kube-proxy"))},
        "conntrack": keep,
        "oomScoreAdj": 0,
    }


def kill_containers():
    """Ends what runs in the nodes' control groups: the containers' own processes, which carry no mark of ours."""
    deadline = time.monotonic() + 10
    while pids := contained():
        for number in pids:
            processes.send(number, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)


def contained() -> set[int]:
    found: set[int] = set()
    for node in NODES:
        for top in cgroups(node):
            for tasks in top.rglob("cgroup.procs") if top.exists() else ():
                try:
                    found.update(map(int, tasks.read_text().split()))
                except OSError:
                    continue
    return found


def remove_cgroups():
    for node in NODES:
        for top in cgroups(node):
            for folder, _, _ in os.walk(top, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError:
                    continue
