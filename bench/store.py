"""The store alone: messages made durable a second and CPU a message, in batches, through the socket, and as files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.processes import usage
from postrider.store import transactions as t
from postrider.store.open import Options, connect, open_writer
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.values import Body, account_of

SIZE = 24 * 1024
ACCOUNTS = [account_of("bench", f"user{n}@a.test") for n in range(50)]
#: What ingest adds to a message: trace fields, and the cached structure.
PREFIX, CACHED = b"R" * 420, b"C" * 820
_DATA = os.urandom(SIZE)
_BODY = Body(hashlib.sha256(_DATA).digest(), SIZE, _DATA)


def message(number: int) -> t.Intake:
    """One delivery to one of the accounts, a thread of its own."""
    deliver = (t.Deliver(ACCOUNTS[number % len(ACCOUNTS)], PREFIX),)
    return t.Intake(_BODY, "a@sender.test", 1_800_000_000, CACHED, (b"key %d" % number,), deliver)


def run(count: int, rounds: int) -> None:
    """Print a row for each way; the best of the rounds, for what disturbs only slows down."""
    print(f"{count} messages of {SIZE} octets a run, best of {rounds}, {os.cpu_count()} cores")
    ways: list[tuple[str, Callable[[Path], tuple[float, float]]]] = [
        (f"batches of {size}", partial(_batches, size=size, count=max(200, count * size // 64))) for size in (1, 16, 64)
    ]
    ways += [
        (f"2 fronts, {sessions} sessions", partial(_run_fronts, sessions=sessions, count=count))
        for sessions in (10, 50, 200)
    ]
    ways.append(("a file a message", partial(_files, count=count // 4)))
    for name, way in ways:
        figures = []
        for _ in range(rounds):
            place = Path(tempfile.mkdtemp(prefix="postrider-bench-"))
            figures.append(way(place))
            shutil.rmtree(place)
        print(
            f"{name:24} {max(rate for rate, _ in figures):8.0f}/s {min(cpu for _, cpu in figures):6.3f} ms", flush=True
        )


def _batches(place: Path, size: int, count: int) -> tuple[float, float]:
    committer = SqliteCommitter(place, Options(measure_sync=False))
    committer.commit([message(number) for number in range(len(ACCOUNTS))])
    start, before = time.perf_counter(), _cpu()
    for first in range(0, count, size):
        committer.commit([message(number) for number in range(first, first + size)])
        committer.between()
    figures = count / (time.perf_counter() - start), (_cpu() - before) * 1000 / count
    committer.close()
    return figures


def _run_fronts(place: Path, sessions: int, count: int) -> tuple[float, float]:
    return asyncio.run(_fronts(place, sessions, count))


async def _fronts(place: Path, sessions: int, count: int) -> tuple[float, float]:
    """The writer in its own process, two fronts in this one: their CPU is counted too."""
    writer = subprocess.Popen([sys.executable, "-m", "bench.store", place])  # noqa: ASYNC220 -- nothing else runs yet
    try:
        fronts = [await connect(place, place / "s") for _ in range(2)]
        numbers = iter(range(count))

        async def session(at: int) -> None:
            for number in numbers:
                await fronts[at % 2].writer.commit(message(number))

        await asyncio.gather(*(fronts[0].writer.commit(t.OpenAccount(account)) for account in ACCOUNTS))
        start, before = time.perf_counter(), usage(os.getpid()).cpu
        await asyncio.gather(*map(session, range(sessions)))
        figures = count / (time.perf_counter() - start), (usage(os.getpid()).cpu - before) * 1000 / count
        for front in fronts:
            await front.close()
    finally:
        writer.send_signal(signal.SIGTERM)
        writer.wait()
    return figures


def _files(place: Path, count: int) -> tuple[float, float]:
    """What a Maildir does at least: write, sync, rename, sync the directory."""
    start, before = time.perf_counter(), _cpu()
    directory = os.open(place, os.O_RDONLY)
    for number in range(count):
        path = place / f"{number}.tmp"
        with path.open("wb") as file:
            file.write(PREFIX + _DATA)
            file.flush()
            os.fsync(file.fileno())
        path.rename(place / str(number))
        os.fsync(directory)
    os.close(directory)
    return count / (time.perf_counter() - start), (_cpu() - before) * 1000 / count


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _serve(place: Path) -> None:
    server = open_writer(place, Options(measure_sync=False))
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    server.listen(place / "s")
    server.run()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
