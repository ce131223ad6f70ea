"""etcd, kube-apiserver and kube-controller-manager as processes of this user; ready in seconds, no privileges."""

import base64
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from kube.api import Api, Connect, plain
from kube.build import Programs
from kube.runs import Run

SERVICE_NET = "198.18.64.0/20"
POD_NET = "198.18.16.0/20"

GROUPS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:node:node1": "system:nodes",
    "system:kube-proxy": "",
}
"""The users the cluster starts with, each with its group; all others are service accounts."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived", "ResponseStarted"],
    "rules": [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}],
}


@dataclass
class Place:
    """Where the control plane runs: the address it binds, and how a program or a connection gets there."""

    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()
    connect: Connect = plain
    fixed_port: int = 0


@dataclass
class ControlPlane:
    """A running control plane and its users' credentials."""

    run: Run
    programs: Programs
    place: Place = field(default_factory=Place)
    tokens: dict[str, str] = field(default_factory=dict)
    server: str = ""

    @property
    def ca(self) -> Path:
        """PEM of the certificate that the API server shows."""
        return self.run.path / "pki/apiserver.crt"

    @property
    def audit_log(self) -> Path:
        """One JSON line for each write request."""
        return self.run.path / "audit.log"

    def start(self) -> None:
        """Starts the three programs and waits until the default service account exists."""
        (self.run.path / "pki").mkdir()
        self.tokens = {user: secrets.token_hex(16) for user in GROUPS}
        rows = [f'{token},{user},{user},"{GROUPS[user]}"\n' for user, token in self.tokens.items()]
        self._write("tokens.csv", "".join(rows))
        self._write("audit-policy.json", json.dumps(AUDIT_POLICY))
        self._service_account_key()
        etcd, peer, api, controllers = self._ports(4)
        api = self.place.fixed_port or api
        self.server = f"https://{self.place.address}:{api}"
        self._etcd(etcd, peer)
        self._api_server(etcd, api)
        self.wait("the API server", self._ready)
        self._controller_manager(controllers)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self.wait("the controller manager", lambda: self.admin().find(account) is not None)

    def admin(self) -> Api:
        """The administrator's client; only the harness itself uses it, never the operator."""
        return Api(self.server, self.tokens["admin"], str(self.ca), self.place.connect)

    def kubeconfig(self, user: str, token: str = "") -> Path:
        """A kubeconfig of one of the users above, or of a service account whose token is given."""
        path = self.run.path / f"{user.rsplit(':', 1)[-1]}.kubeconfig"
        write_kubeconfig(path, self.server, self.ca.read_text(), token or self.tokens[user])
        return path

    def launch(self, name: str, *args: str) -> None:
        """Starts one of the cluster's own programs at its place."""
        binary = str(self.programs[name]) if name in self.programs else name
        self.run.start(name, [*self.place.prefix, binary, *args])

    def wait(self, what: str, probe: Callable[[], bool], seconds: float = 60.0) -> None:
        """Waits until `probe` holds; says which log to read when it does not, or when a program ended."""
        deadline = time.monotonic() + seconds
        while not probe():
            dead = [name for name, started in self.run.processes.items() if not started.alive]
            if dead or time.monotonic() > deadline:
                logs = "\n".join(f"--- {name}\n{self.run.log(name)[-3000:]}" for name in dead or self.run.processes)
                raise TimeoutError(
                    f"{what} did not become ready ({'ended: ' + ', '.join(dead) if dead else seconds})\n{logs}"
                )
            time.sleep(0.1)

    def _ready(self) -> bool:
        if not self.ca.exists():
            return False
        try:
            return self.admin().find("/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node") is not None
        except (OSError, ValueError, RuntimeError):
            return False

    def _write(self, name: str, text: str) -> Path:
        path = self.run.path / name
        path.write_text(text)
        path.chmod(0o600)
        return path

    def _service_account_key(self) -> None:
        argv = ["openssl", "genrsa", "-out", str(self.run.path / "sa.key"), "2048"]
        subprocess.run(argv, check=True, stderr=subprocess.DEVNULL)

    def _ports(self, count: int) -> list[int]:
        """Ports that are free now; all are held until the last is known, so no two are the same."""
        holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        ports = [holder.getsockname()[1] for holder in holders]
        for holder in holders:
            holder.close()
        return ports

    def _etcd(self, port: int, peer: int) -> None:
        client, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
        self.launch(
            "etcd",
            f"--data-dir={self.run.path}/etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={other}",
            f"--initial-advertise-peer-urls={other}",
            f"--initial-cluster=default={other}",
            "--log-level=warn",
        )

    def _api_server(self, etcd: int, port: int) -> None:
        self.launch(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            f"--cert-dir={self.run.path}/pki",
            f"--secure-port={port}",
            f"--bind-address={self.place.address}",
            f"--advertise-address={'198.18.0.1' if self.place.address.startswith('127.') else self.place.address}",
            f"--token-auth-file={self.run.path}/tokens.csv",
            "--authorization-mode=Node,RBAC",
            f"--service-cluster-ip-range={SERVICE_NET}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.run.path}/sa.key",
            f"--service-account-signing-key-file={self.run.path}/sa.key",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            "--anonymous-auth=false",
            "--kubelet-preferred-address-types=InternalIP",  # else exec and logs look the node's name up
            f"--audit-policy-file={self.run.path}/audit-policy.json",
            f"--audit-log-path={self.audit_log}",
        )

    def _controller_manager(self, port: int) -> None:
        self.launch(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig('system:kube-controller-manager')}",
            "--use-service-account-credentials=true",
            f"--service-account-private-key-file={self.run.path}/sa.key",
            f"--root-ca-file={self.ca}",
            "--leader-elect=false",
            "--allocate-node-cidrs=true",
            f"--cluster-cidr={POD_NET}",
            "--node-cidr-mask-size=24",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
        )


def write_kubeconfig(path: Path, server: str, ca: str, token: str) -> None:
    """A kubeconfig of one user with a token; the certificate stands in it, so it can be moved."""
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(ca.encode()).decode()}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": {"token": token}}],
            }
        )
    )
    path.chmod(0o600)
