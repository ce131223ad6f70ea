"""One run's directory: what it started, so that the run itself, or the next one, can undo it."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kube.locks import exclusive
from kube.processes import Started, started_at, stop_group
from kube.undo import UNDO

Prefix = tuple[str, ...]


@dataclass
class Run:
    """A directory below the temporary one; every line of its ledger names something to undo, latest first."""

    path: Path
    processes: dict[str, Started] = field(default_factory=dict)

    @classmethod
    def new(cls) -> "Run":
        """A fresh run, after everything that dead runs left behind has been removed."""
        with exclusive(runs().with_suffix(".lock")):
            reap()
            path = runs() / uuid.uuid4().hex[:8]
            path.mkdir(parents=True, mode=0o700)
            (path / "owner").write_text(json.dumps([os.getpid(), started_at(os.getpid())]))
        return cls(path)

    @property
    def id(self) -> str:
        """Eight characters that name this run in kernel objects (network namespace, cgroup)."""
        return self.path.name

    def register(self, kind: str, value: object) -> None:
        """Notes one thing to undo before it is made; `kind` is a row of `kube.undo.UNDO`."""
        with (self.path / "ledger").open("a") as ledger:
            ledger.write(json.dumps([kind, value]) + "\n")
            ledger.flush()

    def spawn(self, name: str, argv: list[str], env: Mapping[str, str] | None = None) -> Started:
        """Starts a program in a session of its own, its output in `<name>.log`, and notes it in the ledger."""
        with (self.path / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ} if env is None else {**env},
            )
        started = Started(process)
        self.register("process", [process.pid, started.since])
        return started

    def start(self, name: str, argv: list[str], env: Mapping[str, str] | None = None) -> Started:
        """Spawns a program of the cluster itself, known by its name until `stop`."""
        self.processes[name] = self.spawn(name, argv, env)
        return self.processes[name]

    def stop(self, name: str, grace: float = 10.0) -> None:
        """Ends a program and its children; SIGKILL after `grace` seconds."""
        started = self.processes.pop(name)
        stop_group(started.pid, started.since, grace)
        started.process.wait()

    def log(self, name: str) -> str:
        """What the program said so far."""
        path = self.path / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def close(self) -> None:
        """Undoes everything, the latest first, and removes the directory (kept with POSTRIDER_CLUSTER_KEEP)."""
        undo(self.path)
        for started in self.processes.values():
            started.process.wait()
        self.processes.clear()


def interruptible() -> None:
    """Makes SIGTERM an interrupt, so that a run that is told to end takes its cluster away first."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def runs() -> Path:
    """Where runs live: short, because Unix sockets lie below it."""
    return Path(tempfile.gettempdir()) / f"postrider-cluster-{os.getuid()}"


def reap() -> None:
    """Undoes the runs whose owner is dead; the caller holds the lock, or is alone."""
    if not runs().exists():
        return
    for path in runs().iterdir():
        if not _owned(path):
            undo(path)


def _owned(path: Path) -> bool:
    try:
        pid, since = json.loads((path / "owner").read_text())
    except (OSError, ValueError):
        return False
    return bool(started_at(pid) == since)


def undo(path: Path) -> None:
    """Undoes one run's ledger backwards, then removes its directory; what could not be undone is raised at the end."""
    ledger = path / "ledger"
    lines = ledger.read_text().splitlines() if ledger.exists() else []
    failed: list[Exception] = []
    for line in reversed(lines):
        kind, value = json.loads(line)
        try:
            UNDO[kind](value)
        except (OSError, subprocess.SubprocessError) as error:
            failed.append(error)
    if failed:
        raise ExceptionGroup(f"{path} could not be undone", failed)
    if os.environ.get("POSTRIDER_CLUSTER_KEEP"):
        ledger.unlink(missing_ok=True)
        return
    shutil.rmtree(path)
