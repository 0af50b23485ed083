"""Certificates and the kubeconfigs made of them, new for each cluster."""

import base64
import json
from pathlib import Path

from . import settings
from .shell import run, write

SERVER_NAMES = ",".join(
    [
        "DNS:kubernetes",
        "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc",
        "DNS:localhost",
        f"IP:{settings.SERVICE_API}",
        f"IP:{settings.BRIDGE_ADDRESS}",
        "IP:127.0.0.1",
    ]
)


def make():
    """The authority, one certificate per user of the API, and a kubeconfig for each."""
    settings.PKI.mkdir(parents=True, exist_ok=True)
    make_key("ca")
    run("openssl", "req", "-x509", "-new", "-key", key("ca"), "-subj", "/CN=baoctl-cluster", "-days", "30", "-out", cert("ca"))
    # Signs the tokens of service accounts.
    make_key("service-accounts")
    sign("apiserver", "/CN=kube-apiserver", SERVER_NAMES)
    sign("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet-client")

    local = f"https://127.0.0.1:{settings.API_PORT}"
    bridge = f"https://{settings.BRIDGE_ADDRESS}:{settings.API_PORT}"
    users = {
        "admin": ("/O=system:masters/CN=admin", local),
        "kube-controller-manager": ("/CN=system:kube-controller-manager", local),
        "kube-scheduler": ("/CN=system:kube-scheduler", local),
        "kube-proxy": ("/CN=system:kube-proxy", bridge),
    }
    for node in settings.NODES:
        users[node.name] = (f"/O=system:nodes/CN=system:node:{node.name}", bridge)
    for name, (subject, server) in users.items():
        sign(name, subject)
        write(kubeconfig(name), json.dumps(config(name, server), indent=2), mode=0o600)


def key(name: str) -> Path:
    return settings.PKI / f"{name}.key"


def cert(name: str) -> Path:
    return settings.PKI / f"{name}.crt"


def kubeconfig(name: str) -> Path:
    return settings.RUN / f"{name}.kubeconfig"


def make_key(name: str):
    # Not `genpkey`: Kubernetes reads the keys of service accounts in the older format alone.
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key(name))


def sign(name: str, subject: str, alternative_names: str | None = None):
    make_key(name)
    request = run("openssl", "req", "-new", "-key", key(name), "-subj", subject).stdout
    extensions = settings.PKI / f"{name}.ext"
    extensions.write_text(
        "extendedKeyUsage=clientAuth,serverAuth\n"
        + (f"subjectAltName={alternative_names}\n" if alternative_names else "")
    )
    signer = ["-CA", cert("ca"), "-CAkey", key("ca"), "-CAcreateserial", "-days", "30", "-extfile", extensions]
    run("openssl", "x509", "-req", *signer, "-out", cert(name), stdin=request)


def config(name: str, server: str) -> dict:
    def data(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": data(cert("ca"))}
    user = {"client-certificate-data": data(cert(name)), "client-key-data": data(key(name))}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "baoctl", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "baoctl", "context": {"cluster": "baoctl", "user": name}}],
        "current-context": "baoctl",
    }
