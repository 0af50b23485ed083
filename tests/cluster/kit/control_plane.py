"""etcd, the API server, the controller manager and the scheduler, on the host's loopback."""

import json

from . import pki, processes, settings
from .settings import KUBERNETES_TOOLS
from .shell import run, wait, write

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


def start_etcd():
    client = f"http://127.0.0.1:{settings.ETCD_PORT}"
    peer = f"http://127.0.0.1:{settings.ETCD_PEER_PORT}"
    processes.start(
        "etcd",
        "etcd",
        # A cluster that is made anew each time survives no power cut, and need not.
        "--unsafe-no-fsync",
        f"--data-dir={settings.RUN / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    )


def start_api_server():
    write(settings.RUN / "audit-policy.json", json.dumps(AUDIT_POLICY))
    service_keys = pki.key("service-accounts")
    processes.start(
        "kube-apiserver",
        KUBERNETES_TOOLS / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{settings.ETCD_PORT}",
        f"--secure-port={settings.API_PORT}",
        f"--advertise-address={settings.BRIDGE_ADDRESS}",
        f"--service-cluster-ip-range={settings.SERVICE_NETWORK}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={service_keys}",
        f"--service-account-signing-key-file={service_keys}",
        f"--client-ca-file={pki.cert('ca')}",
        f"--tls-cert-file={pki.cert('apiserver')}",
        f"--tls-private-key-file={pki.key('apiserver')}",
        f"--kubelet-client-certificate={pki.cert('apiserver-kubelet')}",
        f"--kubelet-client-key={pki.key('apiserver-kubelet')}",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-policy-file={settings.RUN / 'audit-policy.json'}",
        f"--audit-log-path={settings.AUDIT_LOG}",
        # So that the log holds a request by the time its answer is out, and is never cut in two.
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=4000",
    )


def api_ready() -> bool:
    processes.require("kube-apiserver")
    return kubectl("get", "--raw=/readyz", check=False).returncode == 0


def await_api_server():
    wait("the API server", 60, api_ready)


def start_controllers():
    processes.start(
        "kube-controller-manager",
        KUBERNETES_TOOLS / "kube-controller-manager",
        f"--kubeconfig={pki.kubeconfig('kube-controller-manager')}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--root-ca-file={pki.cert('ca')}",
        f"--service-account-private-key-file={pki.key('service-accounts')}",
    )
    processes.start(
        "kube-scheduler",
        KUBERNETES_TOOLS / "kube-scheduler",
        f"--kubeconfig={pki.kubeconfig('kube-scheduler')}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )


def restart_api_server():
    """As an upgrade or a crash of it looks to its clients: every watch and stream is cut."""
    processes.stop("kube-apiserver")
    start_api_server()
    await_api_server()


def kubectl(*arguments, **options):
    return run(settings.KUBECTL, f"--kubeconfig={settings.KUBECONFIG}", *arguments, **options)


def apply(objects: list[dict]):
    """Makes or changes objects."""
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    kubectl("apply", "--server-side", "--validate=false", "-f", "-", stdin=content)
