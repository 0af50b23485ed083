"""Names, addresses, versions and places, each in one place."""

from pathlib import Path

KUBERNETES = "1.34.4"
COREDNS = "1.14.4"
HELM = "3.19.5"
# At least this one builds them.
GO = "1.25.8"
BAO = "2.6.2"
# Serves from `pebbledb`.
NEWER_BAO = "2.7.2"

HERE = Path(__file__).resolve().parents[1]
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "cluster"
TOOLS = CACHE / "tools"
IMAGES = CACHE / "images"
BAO_BINARIES = {version: ROOT / ".cache" / "bao" / version / "bao" for version in [BAO, NEWER_BAO]}

# The state of the running cluster, gone with `down`.
RUN = CACHE / "run"
LOGS = RUN / "logs"
PKI = RUN / "pki"
VOLUMES = RUN / "volumes"
KUBECONFIG = RUN / "admin.kubeconfig"
AUDIT_LOG = RUN / "audit.log"

# Sockets need short paths, and a checkout may lie deep.
SOCKETS = Path("/run/baoctl-cluster")
# One cluster per machine: addresses and namespaces have no room for a second.
HOLDER = Path("/run/baoctl-cluster.json")
LOCK = Path("/run/baoctl-cluster.lock")

KUBERNETES_TOOLS = TOOLS / f"kubernetes-{KUBERNETES}"
KUBECTL = KUBERNETES_TOOLS / "kubectl"
HELM_TOOL = TOOLS / f"helm-{HELM}" / "helm"
COREDNS_TOOL = TOOLS / f"coredns-{COREDNS}" / "coredns"

BRIDGE = "baoctl0"
BRIDGE_ADDRESS = "10.77.0.1"
NODE_NETWORK = "10.77.0.0/24"
POD_NETWORK = "10.78.0.0/16"
SERVICE_NETWORK = "10.79.0.0/16"
SERVICE_API = "10.79.0.1"
SERVICE_DNS = "10.79.0.10"
API_PORT = 16443
ETCD_PORT = 12379
ETCD_PEER_PORT = 12380


class Node:
    """One node: its names and places."""

    def __init__(self, number: int):
        self.number = number
        self.name = f"node-{number}"
        self.address = f"10.77.0.{10 + number}"
        self.pods = f"10.78.{number}.0/24"
        self.netns = f"baoctl-{self.name}"
        self.link = f"baoctl-n{number}"
        self.cgroup = f"baoctl-{self.name}"
        self.folder = RUN / self.name
        self.sockets = SOCKETS / self.name
        self.containerd = self.sockets / "containerd.sock"

    def inside(self, *command) -> list[str]:
        """The command, in this node's network.

        `ip netns exec` would mount another /sys and so hide the cgroups.
        """
        return ["nsenter", f"--net=/run/netns/{self.netns}", *map(str, command)]


NODES = [Node(number) for number in range(3)]


def node(name: str) -> Node:
    for candidate in NODES:
        if candidate.name == name:
            return candidate
    raise SystemExit(f"{name}: no such node, there are {', '.join(n.name for n in NODES)}")
