"""How each kind of thing a run made is taken away again; every act may find it gone already."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kube.processes import stop_group


def _process(value: Any) -> None:
    pid, since = value
    stop_group(pid, since, grace=5.0)


def _quiet(*argv: str) -> str:
    """Runs a program whose failure only means that there is nothing left to take away."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False, timeout=60
        )
    except FileNotFoundError:
        return ""
    return done.stdout


def _tasks(socket: Any) -> None:
    """Containers: their tasks are removed while containerd still runs; shims that stay are ended by their socket."""
    if Path(socket).exists():
        for task in _quiet("ctr", "-a", socket, "-n", "k8s.io", "tasks", "ls", "-q").split():
            _quiet("ctr", "-a", socket, "-n", "k8s.io", "tasks", "rm", "-f", task)
    for entry in Path("/proc").iterdir():
        words = _command(entry) if entry.name.isdigit() else [""]
        if "containerd-shim" in words[0] and socket in words:
            _kill(int(entry.name))


def _command(entry: Path) -> list[str]:
    try:
        return (entry / "cmdline").read_text().split("\0")
    except OSError:
        return [""]


def _cgroup(name: Any) -> None:
    """The kubelet's cgroups in every controller: whoever still lives there is killed, then they are removed."""
    root = Path("/sys/fs/cgroup")
    for top in [root / name, *(controller / name for controller in root.iterdir())]:
        if not top.is_dir():
            continue
        for _ in range(50):
            groups = [top, *(path for path in top.rglob("*") if path.is_dir())]
            pids = [int(pid) for group in groups for pid in (group / "cgroup.procs").read_text().split()]
            for pid in pids:
                _kill(pid)
            if not pids:
                break
            time.sleep(0.1)
        for group in sorted(groups, key=lambda path: len(path.parts), reverse=True):
            group.rmdir()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _mounts(below: Any) -> None:
    """Whatever is mounted below a directory, the deepest first; pods' network namespaces among them."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for point in sorted((point for point in points if point.startswith(f"{below}/")), reverse=True):
        _quiet("umount", "-l", point)
    results = Path("/var/lib/cni/results")
    for result in results.glob("*") if results.exists() else ():
        if str(below) in result.read_text(errors="replace"):
            result.unlink()


def _netns(name: Any) -> None:
    _quiet("ip", "netns", "del", name)


UNDO: dict[str, Callable[[Any], None]] = {
    "process": _process,
    "tasks": _tasks,
    "cgroup": _cgroup,
    "mounts": _mounts,
    "netns": _netns,
}
