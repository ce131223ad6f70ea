"""One container of a played pod: a real process of this machine with the container's command, variables and probes."""

import contextlib
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kube.api import Object
from kube.probes import Probe
from kube.processes import Started, stop_group
from kube.projection import expand, rewrite


@dataclass
class Setting:
    """What a container's process needs from its pod: variables, directories, address, and how to spawn."""

    environment: dict[str, str]
    paths: dict[str, str]
    address: str
    entrypoint: list[str]
    spawn: Callable[[list[str], dict[str, str]], Started]


@dataclass
class Container:
    """A container; `tick` keeps its process running and its probes asked."""

    spec: Object
    setting: Setting
    restarts: int = 0
    ready: bool = False
    started: Started | None = None
    again: float = 0.0
    last_exit: int | None = None
    probes: dict[str, Probe] = field(default_factory=dict)

    @property
    def argv(self) -> list[str]:
        """Command and arguments, with variables expanded and mount paths turned into directories."""
        words = [*(self.spec.get("command") or self.setting.entrypoint), *self.spec.get("args", ())]
        return [self._here(word) for word in words]

    def start(self) -> None:
        """Starts the process and its probes."""
        variables = dict(self.setting.environment)
        if "/tmp" in self.setting.paths:
            variables["TMPDIR"] = self.setting.paths["/tmp"]
        self.started = self.setting.spawn(self.argv, variables)
        names = [name for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in self.spec]
        self.probes = {name: Probe(self.spec[name], self.spec, self.setting.address, self.exec) for name in names}
        for name, probe in self.probes.items():
            probe.begin(state=name == "livenessProbe")

    def tick(self) -> None:
        """Restarts an ended process after a pause that doubles to 10 s, asks the probes that are due."""
        now = time.monotonic()
        if self.started is None or not self.started.alive:
            if self.started is not None:
                self.last_exit = self.started.process.returncode
                self.again = now + min(10.0, 0.5 * 2**self.restarts)
                self.restarts += 1
                stop_group(self.started.pid, self.started.since, 0)
                self.started, self.ready = None, False
            elif now >= self.again:
                self.start()
            return
        if not self._passes("startupProbe"):
            self.ready = False
            return
        if not self._passes("livenessProbe"):
            self.stop(self.spec["livenessProbe"].get("terminationGracePeriodSeconds", 30))
            return
        self.ready = self._passes("readinessProbe")

    def stop(self, grace: float) -> None:
        """preStop, then SIGTERM to the process, SIGKILL to whoever is left after `grace` seconds in all."""
        if self.started is None:
            return
        begun = time.monotonic()
        hook = self.spec.get("lifecycle", {}).get("preStop", {})
        if "exec" in hook and grace > 0:
            self.exec(hook["exec"]["command"], grace)
        if "sleep" in hook:
            time.sleep(min(hook["sleep"]["seconds"], grace))
        left = max(0.0, grace - (time.monotonic() - begun))
        if grace > 0 and self.started.alive:  # the kubelet signals the container's first process only
            self.started.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.started.process.wait(left)
        self.started.kill()
        self.last_exit, self.ready = self.started.process.returncode, False

    def exec(self, command: list[str], timeout: float) -> int:
        """Runs a command as if in the container; its exit code, -1 when it took too long."""
        argv = [self._here(word) for word in command]
        try:
            return subprocess.run(
                argv, env=self.setting.environment, timeout=timeout, check=False, capture_output=True
            ).returncode
        except subprocess.TimeoutExpired:
            return -1

    def status(self) -> Object:
        """The row of `status.containerStatuses`."""
        running = self.started is not None and self.started.alive
        state: Object = (
            {"running": {}}
            if running
            else {"waiting": {"reason": "CrashLoopBackOff" if self.restarts else "ContainerCreating"}}
        )
        row = {
            "name": self.spec["name"],
            "image": self.spec["image"],
            "imageID": f"played:{self.spec['image']}",
            "ready": self.ready,
            "started": running and self._state("startupProbe"),
            "restartCount": self.restarts,
            "state": state,
        }
        if self.last_exit is not None:
            row["lastState"] = {
                "terminated": {"exitCode": self.last_exit, "reason": "Error" if self.last_exit else "Completed"}
            }
        return row

    def _here(self, word: str) -> str:
        return rewrite(expand(word, self.setting.environment), self.setting.paths)

    def _passes(self, name: str) -> bool:
        if name == "startupProbe" and self._state(name):
            return True
        return self.probes[name].poll() if name in self.probes else True

    def _state(self, name: str) -> bool:
        return self.probes[name].state if name in self.probes else True
