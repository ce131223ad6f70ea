"""Breaks things under a server that runs: its processes by role, system calls that fail, a small disk of its own."""

import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path


def processes(server):
    """Role to process id, of the processes that were started last."""
    return {one["role"]: one["pid"] for one in server.events("server.start")}


@contextmanager
def traced(pid, *options):
    """A running process under strace, all its threads; it goes on without when the block ends."""
    command = ["strace", "-f", "-qq", *map(str, options), "-p", str(pid)]
    strace = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not all(_is_traced(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        assert strace.poll() is None, "strace cannot attach here"
        assert time.monotonic() < end
        time.sleep(0.01)
    try:
        yield strace
    finally:
        strace.send_signal(signal.SIGINT)  # it lets go of the process
        strace.wait(60)


def _is_traced(task):
    try:
        return "TracerPid:\t0" not in (task / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return True


def open_files(pid):
    """Descriptor to path, of the files a process holds open."""
    found = {}
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it was closed meanwhile
            found[int(link.name)] = str(link.readlink())
    return found


def rss(pid):
    """Octets of memory that a process has for itself."""
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith(("Private_Dirty", "Private_Clean"))) * 1024
