"""What the other tests rely on: a played pod is a real process, earns its readiness and keeps its claim."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
from kube.claims import claim_directory
from kube.cluster import Cluster, condition, wait
from kube.player import Player

SERVER = """
import functools, http.server, os, pathlib, signal, sys
count = pathlib.Path("/data/starts"); count.write_text(count.read_text() + "x" if count.exists() else "x")
class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass
address = (os.environ["POSTRIDER_LISTEN_ADDRESS"], 8099)
http.server.ThreadingHTTPServer(address, functools.partial(Handler, directory=sys.argv[1])).serve_forever()
"""

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def stateful_set() -> dict[str, Any]:
    """A small server whose readiness is the presence of a file that its ConfigMap may or may not bring."""
    container = {
        "name": "server",
        "image": "none",
        "command": ["python3", "-c", SERVER.replace("/data/starts", "$(STARTS)"), "/etc/parts"],
        "env": [{"name": "STARTS", "value": "/data/starts"}],
        "ports": [{"name": "health", "containerPort": 8099}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "health"}, "periodSeconds": 1, "failureThreshold": 1},
        "volumeMounts": [{"name": "parts", "mountPath": "/etc/parts"}, {"name": "data", "mountPath": "/data"}],
        "securityContext": RESTRICTED,
    }
    sources = [{"configMap": {"name": name, "optional": True}} for name in ("one", "two")]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "s"},
        "spec": {
            "serviceName": "s",
            "selector": {"matchLabels": {"app": "s"}},
            "template": {
                "metadata": {"labels": {"app": "s"}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 5,
                    "containers": [container],
                    "volumes": [{"name": "parts", "projected": {"sources": sources}}],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def annotate(cluster: Cluster, namespace: str, value: str) -> None:
    cluster.api.patch(cluster.path("Pod", namespace, "s-0"), {"metadata": {"annotations": {"test/renew": value}}})


def ready(cluster: Cluster, namespace: str, uid_not: str = "") -> dict[str, Any] | None:
    pod = cluster.find("Pod", namespace, "s-0")
    fresh = pod and pod["metadata"]["uid"] != uid_not and not pod["metadata"].get("deletionTimestamp")
    return pod if fresh and condition(pod or {}).get("status") == "True" else None


@pytest.fixture
def bare(stage: Any, request: pytest.FixtureRequest) -> Iterator[str]:
    with stage.cluster.namespace(request.node.originalname) as name:
        yield name


def test_pod_earns_ready_sees_changes_and_keeps_its_claim(stage: Any, player: Player, bare: str) -> None:
    cluster: Cluster = stage.cluster
    cluster.apply(bare, config_map("one", word="first"), stateful_set())

    def running() -> dict[str, Any] | None:
        pod = cluster.find("Pod", bare, "s-0")
        return pod if pod and pod["status"].get("phase") == "Running" else None

    pod = wait("the pod runs", running)
    assert condition(pod)["status"] == "False"  # nothing but its own probe may make it ready

    cluster.apply(bare, config_map("two", ready="yes"))
    annotate(cluster, bare, "1")
    pod = wait("the pod is ready", lambda: ready(cluster, bare), 60)
    connection = http.client.HTTPConnection(pod["status"]["podIP"], 8099, timeout=60)
    connection.request("GET", "/word")
    assert connection.getresponse().read() == b"first"

    cluster.delete("Pod", bare, "s-0")
    again = wait("the pod is back", lambda: ready(cluster, bare, pod["metadata"]["uid"]), 60)
    assert again["status"]["podIP"] != pod["status"]["podIP"]
    claim = cluster.get("PersistentVolumeClaim", bare, "data-s-0")
    assert claim["status"]["phase"] == "Bound"
    kept = claim_directory(stage.run.path / "claims", claim["metadata"]["uid"])
    assert (kept / "starts").read_text() == "xx"

    player.pod(bare, "s-0").kill()

    def restarted() -> bool:
        (row,) = cluster.get("Pod", bare, "s-0")["status"]["containerStatuses"]
        return bool(row["restartCount"] == 1 and row["ready"])

    wait("the container was restarted", restarted, 60, lambda: json.dumps(cluster.get("Pod", bare, "s-0")["status"]))
