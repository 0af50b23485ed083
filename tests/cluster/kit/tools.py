"""What must be on the machine: Debian's packages, and tools built from their Go modules."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from . import settings
from .shell import Failed, run

# A program that shows that a package is there, and the package.
PACKAGES = {
    "/usr/bin/etcd": "etcd-server",
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/nft": "nftables",
    "/usr/sbin/conntrack": "conntrack",
    "/usr/sbin/ipset": "ipset",
    "/usr/bin/socat": "socat",
    "/usr/bin/openssl": "openssl",
    "/bin/ip": "iproute2",
}

VERSION_FLAG = "k8s.io/component-base/version"

# Name and version of a tool, what to build of its module, linker flags, and the names it is called by.
TOOLS = [
    (
        settings.KUBERNETES_TOOLS,
        "kubernetes",
        ".",
        # Without them the kubelet reports v0.0.0, which controllers take for a very old node.
        f"-X {VERSION_FLAG}.gitVersion=v{settings.KUBERNETES} -X {VERSION_FLAG}.gitMajor=1 -X {VERSION_FLAG}.gitMinor=34",
        ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"],
    ),
    (settings.COREDNS_TOOL.parent, "coredns", ".", "", ["coredns"]),
    (
        settings.HELM_TOOL.parent,
        "helm",
        "helm.sh/helm/v3/cmd/helm",
        f"-X helm.sh/helm/v3/internal/version.version=v{settings.HELM}",
        ["helm"],
    ),
]


def build():
    """Makes everything that `up` needs; quick when it is all there."""
    install_packages()
    for folder, module, package, flags, names in TOOLS:
        if not folder.exists():
            build_tool(folder, settings.HERE / "go" / module, package, flags, names)


def install_packages():
    missing = [package for path, package in PACKAGES.items() if not Path(path).exists()]
    if not busybox_is_static():
        missing.append("busybox-static")
    if not shutil.which("go"):
        missing.append("golang-go")
    if not missing:
        return
    print(f"installing {' '.join(missing)}", file=sys.stderr)
    with no_services():
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        run("apt-get", "update", "-qq", env=quiet)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, env=quiet)


def busybox_is_static() -> bool:
    """Debian's other busybox has the same path, but would not run in an image with no libraries."""
    return run("ldd", "/bin/busybox", check=False).returncode != 0 and Path("/bin/busybox").exists()


@contextlib.contextmanager
def no_services():
    """Keeps packages from starting their services: etcd and containerd run only as parts of the cluster."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def go() -> Path:
    """A Go that is new enough for the modules; when the machine's is not, it fetches one as a module."""
    own = settings.TOOLS / f"go-{settings.GO}"
    if not own.exists():
        found = shutil.which("go")
        version = re.search(r"go1\.(\d+)", run(found, "version").stdout)
        if int(version[1]) >= int(settings.GO.split(".")[1]):
            return Path(found)
        print(f"fetching go {settings.GO}", file=sys.stderr)
        module = f"golang.org/toolchain@v0.0.1-go{settings.GO}.linux-amd64"
        fetched = json.loads(run(found, "mod", "download", "-json", module, cwd="/").stdout)["Dir"]
        part = own.with_name(own.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(fetched, part)
        # Files of a module have no run bits.
        for folder in [part / "bin", part / "pkg" / "tool"]:
            for program in filter(Path.is_file, folder.rglob("*")):
                program.chmod(0o755)
        part.rename(own)
    return own / "bin" / "go"


def build_tool(folder: Path, module: Path, package: str, flags: str, names: list[str]):
    print(f"building {folder.name}: some minutes, once", file=sys.stderr)
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    command = [go(), "build", "-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {flags}"]
    done = subprocess.run([*command, "-o", part / names[0], package], cwd=module, env=environment)
    if done.returncode:
        raise Failed(f"cluster: {folder.name} does not build")
    for name in names[1:]:
        os.link(part / names[0], part / name)
    part.rename(folder)
