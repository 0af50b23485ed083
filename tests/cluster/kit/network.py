"""The nodes' network: namespaces on one bridge, with no way out of the machine."""

from pathlib import Path

from . import settings
from .settings import NODES, Node
from .shell import run


def make():
    run("ip", "-batch", "-", stdin="\n".join([
        f"link add {settings.BRIDGE} type bridge",
        f"addr add {settings.BRIDGE_ADDRESS}/24 dev {settings.BRIDGE}",
        f"link set {settings.BRIDGE} up",
    ]))
    for node in NODES:
        make_node(node)
    # The API server's answers to pods; the host itself forwards nothing.
    run("ip", "-batch", "-", stdin="\n".join(f"route add {n.pods} via {n.address}" for n in NODES))


def make_node(node: Node):
    run("ip", "netns", "add", node.netns)
    run("ip", "-batch", "-", stdin="\n".join([
        f"link add {node.link} type veth peer name eth0 netns {node.netns}",
        f"link set {node.link} master {settings.BRIDGE} up",
    ]))
    run("ip", "-n", node.netns, "-batch", "-", stdin="\n".join([
        "link set lo up",
        f"addr add {node.address}/24 dev eth0",
        "link set eth0 up",
        # Services have no interface; without a route their packets would be refused before kube-proxy's rules.
        f"route add {settings.SERVICE_NETWORK} dev eth0",
        *(f"route add {other.pods} via {other.address}" for other in NODES if other is not node),
    ]))
    run(*node.inside("sysctl", "-qw", "net.ipv4.ip_forward=1"))


def remove():
    for node in NODES:
        # The link on the host's side goes with its other end, but not at once.
        run("ip", "link", "del", node.link, check=False)
        if Path(f"/run/netns/{node.netns}").exists():
            run("ip", "netns", "del", node.netns)
    run("ip", "link", "del", settings.BRIDGE, check=False)


TABLE = "inet baoctl_faults"


def block(port: int, nodes: list[Node]):
    """Drops a TCP port between pods.

    Each pod hangs on a link of its own (CNI plugin `ptp`), so that all its
    traffic is forwarded by the node. Port-forward and probes are not: they
    start on the node itself or inside the pod's own network.
    """
    for node in nodes:
        run(*node.inside("nft", "-f", "-"), stdin=f"""
            table {TABLE} {{
                chain forward {{ type filter hook forward priority -10; }}
            }}
            add rule {TABLE} forward tcp dport {port} drop comment "port {port}"
            add rule {TABLE} forward tcp sport {port} drop comment "port {port}"
        """)


def unblock(nodes: list[Node]):
    for node in nodes:
        run(*node.inside("nft", "delete", "table", *TABLE.split()), check=False)
