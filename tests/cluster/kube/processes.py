"""Processes we started: told apart from strangers that got the same pid, and ended with their children."""

import os
import signal
import subprocess
import time
from pathlib import Path


class Started:
    """A program we started: its pid, when it started, and how to look at it."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.pid = process.pid
        self.since = started_at(process.pid)

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """Ends the program and its children at once, as a power cut would."""
        stop_group(self.pid, self.since, 0)
        self.process.wait()

    def resident(self) -> int:
        """Memory of the program and its children, in bytes."""
        return sum(_resident(pid) for pid in members(self.pid, self.since))


def started_at(pid: int) -> int:
    """When the process started, in ticks since the machine started; 0 when there is none."""
    found = _stat(pid)
    return int(found[19]) if found and found[0] != "Z" else 0


def members(group: int, since: int) -> list[int]:
    """Living processes of the session that `group` opened at `since`; a later namesake's are not ours."""
    leader = _stat(group)
    if leader and int(leader[19]) != since:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat and stat[0] != "Z" and int(stat[3]) == group and int(stat[19]) >= since:
                found.append(int(entry.name))
    return found


def stop_group(group: int, since: int, grace: float = 10.0) -> None:
    """SIGTERM for the session's leader group, SIGKILL for whoever is left after `grace` seconds."""
    deadline = time.monotonic() + grace
    if grace > 0 and members(group, since):
        _signal(group, signal.SIGTERM)
    while members(group, since) and time.monotonic() < deadline:
        time.sleep(0.05)
    while left := members(group, since):
        for pid in left:
            _signal_one(pid, signal.SIGKILL)
        time.sleep(0.02)


def _signal(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _signal_one(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat from the third on (state, parent, group, session, ...); empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _resident(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
