"""Plays the kubelet where there are no nodes: StatefulSets' pods become processes, and their true state is reported."""

import contextlib
import itertools
import json
import random
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from kube.api import Api, ApiError, Object
from kube.claims import Claims
from kube.played_pod import Image, PlayedPod
from kube.runs import Run
from kube.watching import Watch

NODE = "played"
HEARTBEAT = 10.0


def loopback_addresses() -> Iterator[str]:
    """Loopback addresses of this run: a network of its own out of 127.64.0.0/10, so that runs do not meet."""
    net = f"127.{random.randrange(64, 128)}.{random.randrange(256)}"
    return (f"{net}.{1 + number % 254}" for number in itertools.count())


@dataclass
class Player:
    """A node that exists only in the API, whose pods are real processes on loopback addresses of their own."""

    api: Api
    run: Run
    checkout: Path
    pods: dict[str, PlayedPod] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    watches: list[Watch] = field(default_factory=list)
    addresses: Iterator[str] = field(default_factory=loopback_addresses)

    @property
    def image(self) -> Image:
        """What stands for the server's image: our console scripts, and the ENTRYPOINT of its Dockerfile."""
        text = (self.checkout / "Dockerfile.server").read_text()
        found = re.search(r"^ENTRYPOINT (\[.*\])", text, re.MULTILINE)
        if found is None:
            raise ValueError("Dockerfile.server has no ENTRYPOINT in its list form")
        return Image(Path(sys.executable).parent, json.loads(found[1]))

    def start(self) -> None:
        """Registers the node and begins to play."""
        self._register()
        self.watches = [
            Watch(self.api, "/api/v1/pods", self._see),
            Claims(self.api, self.run.path / "claims", NODE).watch,
        ]
        for watch in self.watches:
            watch.start()
        threading.Thread(target=self._heartbeat, name="player-heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Ends every played process at once; the objects stay as they are."""
        self.stopping.set()
        for watch in self.watches:
            watch.stop()
        for pod in list(self.pods.values()):
            pod.abandon()

    def pod(self, namespace: str, name: str) -> PlayedPod:
        """A pod that is being played; KeyError when there is none of that name."""
        return next(pod for pod in self.pods.values() if (pod.namespace, pod.name) == (namespace, name))

    def _register(self) -> None:
        labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
        if self.api.find(f"/api/v1/nodes/{NODE}") is None:
            self.api.create("/api/v1/nodes", {"metadata": {"name": NODE, "labels": labels}})
        room = {"cpu": "64", "memory": "256Gi", "pods": "1000"}
        ready = {"type": "Ready", "status": "True", "reason": "Played", "message": "pods are processes"}
        status = {"capacity": room, "allocatable": room, "conditions": [ready]}
        self.api.patch(f"/api/v1/nodes/{NODE}/status", {"status": status}, "strategic")

    def _heartbeat(self) -> None:
        """Without a renewed Lease the node's pods would be called not ready by the node controller."""
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        while not self.stopping.is_set():
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": NODE}}
            spec = {"holderIdentity": NODE, "leaseDurationSeconds": 40, "renewTime": now(micro=True)}
            self.api.patch(f"{path}/{NODE}", {**lease, "spec": spec}, "apply")
            self.stopping.wait(HEARTBEAT)

    def _see(self, event: str, pod: Object) -> None:
        owners = pod["metadata"].get("ownerReferences", ())
        if not any(owner["kind"] == "StatefulSet" for owner in owners):
            return
        uid = pod["metadata"]["uid"]
        if event == "DELETED":
            if uid in self.pods:
                self.pods.pop(uid).abandon()
        elif uid in self.pods:
            self.pods[uid].update(pod)
        elif pod.get("status", {}).get("phase") not in {"Succeeded", "Failed"}:
            self._take(pod)

    def _take(self, pod: Object) -> None:
        """Binds the pod to our node, as a scheduler would, and starts to play it."""
        if not pod["spec"].get("nodeName"):
            if pod["metadata"].get("deletionTimestamp") or pod["spec"].get("schedulingGates"):
                return
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}/binding"
            body = {"metadata": {"name": pod["metadata"]["name"]}, "target": target}
            with contextlib.suppress(ApiError):  # 404, 409: it is gone, or bound already; the next event tells
                self.api.create(path, body)
            return
        if pod["spec"]["nodeName"] == NODE:
            played = PlayedPod(self.api, self.run, pod, next(self.addresses), self.image)
            self.pods[pod["metadata"]["uid"]] = played
            played.start()


def now(micro: bool = False) -> str:
    """The present time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S" + (".%fZ" if micro else "Z"))
