"""The operator as a process: the chart's own command line, under the chart's own service account and its rights."""

import http.client
import json
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kube.api import Object
from kube.cluster import Cluster, documents, wait
from kube.control_plane import write_kubeconfig
from kube.given import server_and_ca
from kube.processes import Started
from kube.projection import base_environment, environment, expand
from kube.runs import Run
from kube.versions import KUBERNETES

RELEASE = "postrider"
RIGHTS = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


@dataclass
class Chart:
    """The chart as real Helm renders it for this cluster."""

    helm: Path
    path: Path
    namespace: str
    values: dict[str, Any] = field(default_factory=dict)

    def render(self) -> list[Object]:
        """Every object of the release, without the CRDs."""
        values = [f"--set-json={name}={json.dumps(value)}" for name, value in self.values.items()]
        argv = [str(self.helm), "template", RELEASE, str(self.path), f"--namespace={self.namespace}"]
        argv += [f"--kube-version={KUBERNETES}", *values]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"helm template: {done.stderr.strip()}")
        return documents(done.stdout)


@dataclass
class Replica:
    """One running operator."""

    identity: str
    port: int
    process: Started

    def get(self, path: str) -> tuple[int, str]:
        """Answer of its probes and metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ready(self) -> bool:
        """Whether /readyz says so."""
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False


@dataclass
class Operator:
    """The operator of one release; `start` makes a replica, as the Deployment would."""

    cluster: Cluster
    run: Run
    chart: Chart
    deployment: Object = field(default_factory=dict)
    replicas: dict[str, Replica] = field(default_factory=dict)

    @property
    def account(self) -> str:
        """The name of its service account."""
        return str(self.deployment["spec"]["template"]["spec"]["serviceAccountName"])

    @property
    def user(self) -> str:
        """Who it is in the audit log."""
        return f"system:serviceaccount:{self.chart.namespace}:{self.account}"

    def install(self) -> None:
        """Gives the cluster the service account and the rights of the chart, and nothing else of it."""
        rendered = self.chart.render()
        self.deployment = next(part for part in rendered if part["kind"] == "Deployment")
        if self.cluster.api.find(f"/api/v1/namespaces/{self.chart.namespace}") is None:
            self.cluster.api.create("/api/v1/namespaces", {"metadata": {"name": self.chart.namespace}})
        self.cluster.apply(self.chart.namespace, *(part for part in rendered if part["kind"] in RIGHTS))

    def start(self, identity: str) -> Replica:
        """Starts a replica and waits until it is ready."""
        with socket.create_server(("127.0.0.1", 0)) as holder:
            port = holder.getsockname()[1]
        template = self.deployment["spec"]["template"]
        (container,) = template["spec"]["containers"]
        pod = {
            "metadata": {"name": identity, "namespace": self.chart.namespace, "uid": identity},
            "status": {},
            "spec": {},
        }
        variables = environment(container, pod, _no_reference)
        words = [expand(word, variables) for word in container.get("args", ())]
        words += [f"--identity={identity}", f"--http=127.0.0.1:{port}", "--nameservers=127.0.0.1:9"]
        programs = Path(sys.executable).parent
        here = {**base_environment(programs), **variables, "KUBECONFIG": str(self._kubeconfig())}
        log = self._log(identity)
        process = self.run.spawn(log, [str(programs / "postrider-operator"), *words], here)
        replica = self.replicas[identity] = Replica(identity, port, process)

        def ready() -> bool:
            if not process.alive:
                raise RuntimeError(f"the operator ended with {process.process.returncode}\n{self.run.log(log)[-4000:]}")
            return replica.ready()

        wait(f"operator {identity}", ready, 30, lambda: self.run.log(log)[-4000:])
        return replica

    def stop(self, identity: str, *, kill: bool = False) -> None:
        """Ends a replica: SIGTERM as Kubernetes would, or at once, as a power cut would."""
        replica = self.replicas.pop(identity)
        if kill:
            replica.process.kill()
            return
        replica.process.process.terminate()
        replica.process.process.wait(30)

    def log(self, identity: str) -> str:
        """What a replica wrote."""
        return self.run.log(self._log(identity))

    def _log(self, identity: str) -> str:
        return f"operator-{identity}"

    def _kubeconfig(self) -> Path:
        path = self.run.path / "operator.kubeconfig"
        server, authority = server_and_ca(self.cluster)
        write_kubeconfig(path, server, authority, self.cluster.token(self.chart.namespace, self.account))
        return path


def _no_reference(kind: str, name: str) -> dict[str, bytes]:
    raise ValueError(f"the operator's Deployment takes a variable from {kind} {name}: not played")
