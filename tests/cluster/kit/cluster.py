"""The cluster as a whole: up, down, and what it is at the moment."""

import contextlib
import fcntl
import shutil
import sys
import time
from pathlib import Path

from . import control_plane, dns, images, network, nodes, pki, processes, settings, tools, volumes
from .settings import HOLDER, NODES, RUN, SOCKETS
from .shell import Failed, run

# The order of the end. Clients end before what they talk to, or they hold up its end.
CONTROL_PLANE = ["kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"]


def parts() -> list[str]:
    kinds = ["kubelet", "kube-proxy", "containerd"]
    return [f"{node.name}-{kind}" for kind in kinds for node in NODES] + CONTROL_PLANE


@contextlib.contextmanager
def alone():
    """One `up` or `down` at a time on the machine."""
    with open(settings.LOCK, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("cluster: another command is at work on this machine; waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def up():
    with alone():
        refuse_stranger()
        if is_up():
            return
        if not all(binary.exists() for binary in settings.BAO_BINARIES.values()):
            raise Failed("cluster: no server to make an image of; `make bao` gets it")
        tools.build()
        started = time.monotonic()
        clean()
        processes.save(state=str(RUN), up=False, pids={})
        store = images.store()
        print("starting the cluster", file=sys.stderr)
        start(store)
        print(f"cluster up in {time.monotonic() - started:.1f} s", file=sys.stderr)


def start(store: Path):
    control_plane.start_etcd()
    pki.make()
    control_plane.start_api_server()
    network.make()
    for node in NODES:
        nodes.start_containerd(node, store)
    control_plane.await_api_server()
    control_plane.start_controllers()
    for node in NODES:
        nodes.start_proxy(node)
        nodes.start_kubelet(node)
    control_plane.apply([volumes.CLASS])
    dns.install()
    volumes.renew()
    dns.await_ready()
    processes.save(up=True)


def refuse_stranger():
    """A cluster that another checkout holds is not ours to end."""
    holder = processes.record()
    if holder and holder["state"] != str(RUN) and any(map(processes.pid, holder.get("pids", {}))):
        raise Failed(
            f"cluster: this machine's cluster is held by {holder['state']} (see {HOLDER}); "
            f"`{Path(holder['state']).parents[2] / 'tests/cluster/cluster'} down` ends it"
        )


def missing() -> list[str]:
    return [name for name in parts() if not processes.pid(name)]


def is_held() -> bool:
    """This checkout's cluster came up, whatever became of its parts since."""
    holder = processes.record()
    return holder.get("state") == str(RUN) and holder["up"]


def is_up() -> bool:
    return is_held() and not missing() and control_plane.api_ready()


def require():
    if not is_held():
        raise Failed("cluster: no cluster of this checkout is up")


def down():
    with alone():
        refuse_stranger()
        clean()


def clean():
    """Takes down whatever there is of a cluster, also of one that was killed half-way."""
    for name in parts():
        # Containers end while containerd runs, so that it takes its shims and mounts away.
        if name.endswith("containerd"):
            nodes.kill_containers()
        processes.stop(name)
    nodes.kill_containers()
    processes.end(processes.all_marked(), 1)
    unmount()
    network.remove()
    nodes.remove_cgroups()
    # A record's folder may be another checkout's, whose cluster died.
    for folder in {RUN, SOCKETS, Path(processes.record().get("state", RUN))}:
        shutil.rmtree(folder, ignore_errors=True)
    HOLDER.unlink(missing_ok=True)


def unmount():
    """Unmounts what pods and sandboxes left, the innermost first."""
    folders = (f"{RUN}/", f"{SOCKETS}/", f"{processes.record().get('state', RUN)}/")
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((p for p in points if p.startswith(folders)), reverse=True):
        run("umount", "--lazy", point, check=False)


def environment() -> dict[str, str]:
    """What a test needs to use the cluster."""
    return {
        "kubeconfig": str(settings.KUBECONFIG),
        "audit_log": str(settings.AUDIT_LOG),
        "kubectl": str(settings.KUBECTL),
        "helm": str(settings.HELM_TOOL),
        "chart": str(settings.HERE / "chart" / "openbao"),
        "values": str(settings.HERE / "values"),
        "image": f"{images.OPENBAO}:{settings.BAO}",
        "minimal_image": images.MINIMAL,
    }


def status() -> int:
    holder = processes.record()
    if not holder:
        print("down")
        return 1
    print(f"held by {holder['state']}")
    for name in parts():
        print(f"{name:<24} {processes.pid(name) or 'gone'}")
    print("up" if is_up() else "broken, or another checkout's: `up` starts it anew, or says whose it is")
    return 0 if is_up() else 1
