"""Mails of 5 kB into a local mailbox, durable: Postrider against Postfix's Maildir delivery, sent by smtp-source."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import postfix, postrider
from bench.processes import usage

SIZE = 5 * 1024
#: Connections at once, and whether each carries all its mails or one.
LOADS = ((10, True), (50, True), (10, False), (50, False))


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: messages a second until the last is in the mailbox, and CPU milliseconds a message of all processes.

    What runs at a lower priority meanwhile (our search index is made so) is `aside`, not in `cpu`.
    """

    rate: float
    cpu: float
    aside: float


@dataclass(frozen=True, slots=True)
class Contender:
    """A server under load: where it listens, its first process, and how many mails lie in the mailbox."""

    port: int
    pid: int
    recipient: str
    #: None where 250 means that the mail lies there already.
    stored: Callable[[], int] | None = None


def measure(server: Contender, connections: int, count: int, *, kept: bool) -> Figure:
    """Send `count` mails over `connections`; returns when they are all in the mailbox."""
    before, wanted = usage(server.pid), server.stored() + count if server.stored else 0
    start = time.perf_counter()
    source = ["smtp-source", "-s", str(connections), "-l", str(SIZE), "-m", str(count), *(["-d"] if kept else [])]
    subprocess.run([*source, "-f", "a@sender.test", "-t", server.recipient, f"127.0.0.1:{server.port}"], check=True)
    while server.stored and server.stored() < wanted:
        time.sleep(0.005)
    seconds = time.perf_counter() - start
    used = usage(server.pid)
    return Figure(count / seconds, (used.cpu - before.cpu) * 1000 / count, (used.aside - before.aside) * 1000 / count)


def run(count: int, rounds: int) -> None:
    """Print a row per load: both servers' medians and their ratio."""
    if reason := postfix.missing():
        raise SystemExit(f"smtp_in: {reason}")
    root = Path(tempfile.mkdtemp(prefix="postrider-bench-"))
    root.chmod(0o755)
    for name in ("peer", "ours"):
        (root / name).mkdir(mode=0o755)
    peer, ours = postfix.Postfix(root / "peer").start(), postrider.Postrider(root / "ours").start()
    contenders = (
        Contender(peer.port, peer.pid, f"box@{postfix.DOMAIN}", lambda: _files(peer.maildir)),
        Contender(ours.port, ours.pid, f"box@{postrider.DOMAIN}"),
    )
    try:
        print(f"{count} mails of {SIZE} octets a run, {rounds} runs, medians, {os.cpu_count()} cores")
        print(f"{'connections':14} {'Postfix':>16} {'Postrider':>16} {'rate':>7} {'CPU':>7} {'aside':>7}")
        for connections, kept in LOADS:
            figures: tuple[list[Figure], list[Figure]] = ([], [])
            for _ in range(rounds):  # in turn, so that a drifting machine hits both
                for contender, measured in zip(contenders, figures, strict=True):
                    measured.append(measure(contender, connections, count, kept=kept))
            print(row(f"{connections} {'kept' if kept else 'new'}", *figures), flush=True)
    finally:
        ours.stop()
        peer.stop()
        shutil.rmtree(root, ignore_errors=True)


def row(name: str, theirs: list[Figure], own: list[Figure]) -> str:
    """One line: rate in messages a second, CPU in ms a message; the ratios are ours to theirs."""
    rates = [statistics.median(figure.rate for figure in figures) for figures in (theirs, own)]
    cpus = [statistics.median(figure.cpu for figure in figures) for figures in (theirs, own)]
    aside = statistics.median(figure.aside for figure in own)
    shown = [f"{rate:8.0f}/s {cpu:4.2f}ms" for rate, cpu in zip(rates, cpus, strict=True)]
    ratios = f"{rates[1] / rates[0]:6.2f}x {cpus[1] / cpus[0]:6.2f}x"
    return f"{name:14} {shown[0]:>16} {shown[1]:>16} {ratios} {aside:5.2f}ms"


def _files(maildir: Path) -> int:
    return sum(len(list((maildir / name).iterdir())) for name in ("new", "cur") if (maildir / name).exists())
