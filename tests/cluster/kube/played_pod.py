"""One pod that is played: its volumes, its containers as processes, its status in the API, its end."""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kube.api import Api, ApiError, Object
from kube.container import Container, Setting
from kube.processes import Started
from kube.projection import MissingSourceError, Volumes, base_environment, environment, rewrite
from kube.runs import Run

TICK = 0.1
RENEW = 60.0
"""Seconds after which volumes are renewed without being asked: the kubelet's sync period. Annotations ask at once."""


@dataclass(frozen=True)
class Image:
    """What stands for a container image: the directory of its programs, and its ENTRYPOINT."""

    programs: Path
    entrypoint: list[str]


class PlayedPod:
    """A pod's life on this machine, in a thread of its own."""

    def __init__(self, api: Api, run: Run, pod: Object, address: str, image: Image) -> None:
        self.api, self.run, self.pod, self.address = api, run, pod, address
        self.image = image
        self.namespace, self.name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        directory = run.path / "pods" / pod["metadata"]["uid"][:8]  # short: sockets lie below it
        self.volumes = Volumes(api, self.namespace, directory, run.path / "claims")
        self.containers: list[Container] = []
        self.changed, self.abandoned = threading.Event(), threading.Event()
        self.reported: Object = {}
        self.since: dict[str, tuple[str, str]] = {}
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._live, name=f"pod-{self.name}", daemon=True)

    @property
    def path(self) -> str:
        """The pod's path in the API."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def log(self) -> str:
        """What its processes wrote."""
        return self.run.log(self._log_name)

    @property
    def _log_name(self) -> str:
        return f"pod-{self.namespace}-{self.name}"

    def start(self) -> None:
        """Begins to play."""
        self.thread.start()

    def update(self, pod: Object) -> None:
        """The API shows the pod anew; changed annotations ask for its volumes, a deletion for its end."""
        asked = pod["metadata"].get("annotations") != self.pod["metadata"].get("annotations")
        ending = bool(pod["metadata"].get("deletionTimestamp"))
        self.pod = pod
        if asked or ending:
            self.changed.set()

    def abandon(self) -> None:
        """The object is gone, or the run ends: kill the processes, report nothing."""
        self.abandoned.set()
        self.changed.set()
        self.thread.join(10)

    def kill(self) -> None:
        """`kill -9` for every process of the pod, as a power cut would; the containers come back by themselves."""
        for container in self.containers:
            if container.started is not None:
                container.started.kill()

    def _live(self) -> None:
        try:
            self._mount()
            self._settle()
            while not self.abandoned.is_set() and not self.pod["metadata"].get("deletionTimestamp"):
                self._tick()
            self._end()
        except (OSError, ApiError) as error:  # told to whoever reads the pod's log; the thread has no caller
            if not self.abandoned.is_set():
                self.failure = error
                with (self.run.path / f"{self._log_name}.log").open("a") as log:
                    log.write(f"player: {error!r}\n")
        finally:
            for container in self.containers:
                container.stop(0)
            self.volumes.remove()

    def _mount(self) -> None:
        """Volumes first: a pod waits for what is not optional."""
        while not self.abandoned.is_set() and not self.pod["metadata"].get("deletionTimestamp"):
            try:
                self.volumes.mount(self.pod)
            except MissingSourceError:
                self._report("Pending")
                self.changed.wait(1.0)
                self.changed.clear()
                continue
            return

    def _settle(self) -> None:
        """Makes the containers, with variables and paths of this machine."""
        pod = {**self.pod, "status": {**self.pod.get("status", {}), "podIP": self.address}}
        for spec in self.pod["spec"]["containers"]:
            paths = self.volumes.paths(self.pod, spec)
            variables = environment(spec, pod, self._referenced)
            variables = {
                **base_environment(self.image.programs),
                **{name: rewrite(value, paths) for name, value in variables.items()},
                "POSTRIDER_LISTEN_ADDRESS": self.address,
            }
            self.containers.append(
                Container(spec, Setting(variables, paths, self.address, self.image.entrypoint, self._spawn))
            )
        self.renewed = time.monotonic()

    def _referenced(self, kind: str, name: str) -> dict[str, bytes]:
        source = {"secretKeyRef": "secret", "configMapKeyRef": "configMap"}[kind]
        return self.volumes.read({source: {"name": name}})

    def _spawn(self, argv: list[str], variables: dict[str, str]) -> Started:
        return self.run.spawn(self._log_name, argv, variables)

    def _tick(self) -> None:
        if self.changed.is_set() or time.monotonic() - self.renewed > RENEW:
            self.changed.clear()
            self.renewed = time.monotonic()
            self.volumes.mount(self.pod)
        for container in self.containers:
            container.tick()
        self._report("Running")
        self.changed.wait(TICK)

    def _end(self) -> None:
        """preStop, SIGTERM, the grace period, SIGKILL; then the object may go."""
        if self.abandoned.is_set():
            return
        grace = self.pod["metadata"].get("deletionGracePeriodSeconds", 30)
        for container in self.containers:
            container.ready = False
        self._report("Running")
        for container in self.containers:
            container.stop(grace)
        self._report("Succeeded")
        preconditions = {"uid": self.pod["metadata"]["uid"]}
        try:
            self.api.delete(self.path, {"gracePeriodSeconds": 0, "preconditions": preconditions})
        except ApiError as error:
            if error.code not in {404, 409}:
                raise

    def _report(self, phase: str) -> None:
        """Writes the status when it changed."""
        ready = bool(self.containers) and all(container.ready for container in self.containers)
        states = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
        status = {
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "conditions": [self._condition(type_, "True" if good else "False") for type_, good in states.items()],
            "containerStatuses": [container.status() for container in self.containers],
        }
        if status == self.reported:
            return
        self.reported = status
        begun = {"startTime": self.since["PodScheduled"][1]}
        try:
            self.api.patch(f"{self.path}/status", {"status": {**status, **begun}}, "strategic")
        except ApiError as error:
            if error.code != 404:
                raise

    def _condition(self, type_: str, status: str) -> Object:
        if self.since.get(type_, ("", ""))[0] != status:
            self.since[type_] = (status, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        return {"type": type_, "status": status, "lastTransitionTime": self.since[type_][1]}
