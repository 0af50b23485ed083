"""Container images, made by hand as OCI archives: nothing is fetched from a registry of images."""

import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path

from . import processes, settings
from .shell import run, wait, write

PAUSE = "localhost/pause:3.10"
COREDNS = f"localhost/coredns:{settings.COREDNS}"
# The name that manifests ask for, with the version. It must be loaded already, for the nodes reach no registry.
OPENBAO = "quay.io/openbao/openbao"
# The server alone: no shell, no tar.
MINIMAL = f"localhost/openbao-minimal:{settings.BAO}"

BUSYBOX = Path("/bin/busybox")
OPENBAO_USER = (100, 1000)

ENTRYPOINT = """#!/bin/sh
# Takes the place of the upstream image's script: the user and its rights are set by the pod already.
exec "$@"
"""


class Layer:
    """A tar file being filled, always the same for the same content."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.bytes, mode="w", format=tarfile.USTAR_FORMAT)

    def folder(self, name: str, owner=(0, 0), mode=0o755):
        self.add(name, tarfile.DIRTYPE, mode, owner)

    def file(self, name: str, content: bytes, mode=0o644):
        self.add(name, tarfile.REGTYPE, mode, content=content)

    def link(self, name: str, target: str):
        self.add(name, tarfile.SYMTYPE, 0o777, target=target)

    def add(self, name, kind, mode, owner=(0, 0), content=b"", target=""):
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode, entry.linkname, entry.size = kind, mode, target, len(content)
        entry.uid, entry.gid = owner
        self.tar.addfile(entry, io.BytesIO(content))

    def content(self) -> bytes:
        self.tar.close()
        return self.bytes.getvalue()


def base() -> Layer:
    layer = Layer()
    layer.folder("etc")
    layer.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nopenbao:x:100:1000::/home/openbao:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:\nopenbao:x:1000:\n")
    layer.folder("tmp", mode=0o1777)
    return layer


def busybox() -> bytes:
    layer = Layer()
    layer.folder("bin")
    layer.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for name in run(BUSYBOX, "--list").stdout.split():
        if name != "busybox":
            layer.link(f"bin/{name}", "busybox")
    return layer.content()


def openbao(version: str) -> bytes:
    layer = base()
    layer.folder("bin")
    layer.file("bin/bao", settings.BAO_BINARIES[version].read_bytes(), 0o755)
    for name in ["home", "home/openbao", "openbao", "openbao/data", "openbao/audit", "openbao/config"]:
        layer.folder(name, OPENBAO_USER)
    return layer.content()


def entrypoint() -> bytes:
    layer = Layer()
    for name in ["usr", "usr/local", "usr/local/bin"]:
        layer.folder(name)
    layer.file("usr/local/bin/docker-entrypoint.sh", ENTRYPOINT.encode(), 0o755)
    return layer.content()


def coredns() -> bytes:
    layer = base()
    layer.file("coredns", settings.COREDNS_TOOL.read_bytes(), 0o755)
    return layer.content()


def stamp() -> str:
    """Changes with whatever goes into the images."""
    made_of = [Path(__file__), Path(settings.__file__), BUSYBOX, *settings.BAO_BINARIES.values(), settings.COREDNS_TOOL]
    lines = "".join(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}\n" for path in made_of)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def archive() -> bytes:
    shell = busybox()
    servers = {version: openbao(version) for version in settings.BAO_BINARIES}
    user = f"{OPENBAO_USER[0]}:{OPENBAO_USER[1]}"
    upstream = {
        "User": user,
        "Entrypoint": ["/usr/local/bin/docker-entrypoint.sh"],
        "Cmd": ["bao", "server", "-config=/openbao/config"],
    }
    return pack({
        PAUSE: ([shell], {"Entrypoint": ["/bin/sleep", "2147483647"]}),
        COREDNS: ([coredns()], {"Entrypoint": ["/coredns"]}),
        MINIMAL: ([servers[settings.BAO]], {"User": user, "Entrypoint": ["/bin/bao"]}),
    } | {f"{OPENBAO}:{version}": ([server, shell, entrypoint()], upstream) for version, server in servers.items()})


def pack(images: dict[str, tuple[list[bytes], dict]]) -> bytes:
    """One OCI archive of all images; a layer that two share is in it once."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes | dict, kind: str) -> dict:
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(content)}

    manifests = []
    for name, (layers, config) in images.items():
        layer_blobs = [blob(layer, "layer.v1.tar") for layer in layers]
        environment = ["PATH=/usr/local/bin:/bin", "HOME=/home/openbao"]
        image = {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": environment, "WorkingDir": "/"} | config,
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layer_blobs]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": blob(image, "config.v1+json"),
            "layers": layer_blobs,
        }
        entry = blob(manifest, "manifest.v1+json")
        manifests.append(entry | {"annotations": {"io.containerd.image.name": name}})

    archive = Layer()
    archive.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    archive.file("index.json", json.dumps({"schemaVersion": 2, "manifests": manifests}).encode())
    for digest, content in blobs.items():
        archive.file(f"blobs/sha256/{digest}", content)
    return archive.content()


def store() -> Path:
    """A containerd root that holds all images, made when what goes into them changed.

    Importing them takes seconds of writing and hashing for each node; a copy
    of the result takes none.
    """
    done = settings.IMAGES / stamp()
    if done.exists():
        return done
    print("making the images", file=sys.stderr)
    shutil.rmtree(settings.IMAGES, ignore_errors=True)
    part, sockets = done.with_name(done.name + ".part"), settings.SOCKETS / "images"
    address = sockets / "containerd.sock"
    write(settings.RUN / "images.tar", archive())
    write(
        settings.RUN / "images.toml",
        f'version = 2\nroot = "{part}"\nstate = "{sockets}/state"\n[grpc]\naddress = "{address}"\n',
    )
    processes.start("images", "containerd", "--config", settings.RUN / "images.toml")
    await_containerd("images", address)
    run("ctr", "--address", address, "--namespace", "k8s.io", "images", "import", settings.RUN / "images.tar")
    processes.stop("images", seconds=10)
    (settings.RUN / "images.tar").unlink()
    part.rename(done)
    return done


def copy(store: Path, root: Path):
    """Gives a node the images: links to what never changes, copies of the databases of it."""
    root.parent.mkdir(parents=True, exist_ok=True)
    run("cp", "--archive", "--link", store, root)
    for database in store.rglob("*.db"):
        own = root / database.relative_to(store)
        own.unlink()
        shutil.copy2(database, own)


def await_containerd(name: str, address: Path):
    def answers():
        processes.require(name)
        return run("ctr", "--address", address, "version", check=False).returncode == 0

    wait(f"the containerd of {name}", 30, answers)
