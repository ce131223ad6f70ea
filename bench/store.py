"""The store alone: messages made durable a second and CPU a message, in batches, through the socket, and as files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import slow_sync
from bench.processes import usage
from postrider.ingest.content import content
from postrider.store import transactions as t
from postrider.store.maildir import ROOT, MaildirWriter
from postrider.store.open import Masters, Options, connect, keyring, open_writer
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.values import Body, account_of

SIZE = 24 * 1024
SLOW_MS = 2
ACCOUNTS = [account_of("bench", f"user{n}@a.test") for n in range(50)]
#: The trace fields that ingest adds to a message.
PREFIX = b"R" * 420


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: messages a second, and CPU milliseconds a message."""

    rate: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Way:
    """One row: what is run, with how many messages or sessions at once, and for how many of `count` messages."""

    name: str
    run: str
    at_once: int
    part: float = 1.0


WAYS = (
    *(Way(f"batches of {size}", "batches", size, size / 64) for size in (1, 16, 64)),
    *(Way(f"batches of {size}, scanned", "scanned", size, size / 64) for size in (1, 16, 64)),
    *(Way(f"batches of {size}, encrypted", "encrypted", size, size / 64) for size in (1, 16, 64)),
    *(Way(f"2 fronts, {sessions} sessions", "fronts", sessions) for sessions in (10, 50, 200)),
    *(Way(f"Maildirs, batches of {size}", "maildirs", size, 1 / 16) for size in (1, 16, 64)),
    Way("a file a message", "files", 1, 1 / 16),
)
#: Messages of a run at least.
_FEWEST = 200


def run(count: int, rounds: int) -> None:
    """Print a row for each way, on this disk and on one whose syncs are slow.

    The best of the rounds counts, for what disturbs only slows down; each run is a process of its own.
    """
    print(f"{count} messages of {SIZE} octets a run, best of {rounds}, {os.cpu_count()} cores; indexing: bench search")
    lacks = slow_sync.missing()
    print(f"{'':28} {'this disk':>20} {lacks or f'{SLOW_MS} ms added to a sync':>28}")
    with _place() as tools:
        disks = [dict(os.environ)] + ([] if lacks else [slow_sync.environment(tools, SLOW_MS)])
        for way in WAYS:
            number = max(_FEWEST, int(count * way.part))
            figures = [_best([_measured(way, number, disk) for _ in range(rounds)]) for disk in disks]
            shown = "".join(f" {figure.rate:11.0f}/s {figure.cpu:6.3f} ms" for figure in figures)
            print(f"{way.name:28}{shown}", flush=True)


def _best(figures: list[Figure]) -> Figure:
    return Figure(max(figure.rate for figure in figures), min(figure.cpu for figure in figures))


def _measured(way: Way, count: int, environment: Mapping[str, str]) -> Figure:
    """One run in a process of its own, in a fresh directory."""
    with _place() as place:
        command = [sys.executable, "-m", "bench.store", way.run, str(place), str(way.at_once), str(count)]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    rate, cpu = done.stdout.split()
    return Figure(float(rate), float(cpu))


@contextmanager
def _place() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="postrider-bench-"))
    try:
        yield place
    finally:
        shutil.rmtree(place)


# -- what is stored ------------------------------------------------------------------------------------------------


def _mail() -> bytes:
    """A message as they come: some trace, a text, the same as HTML, and a picture."""
    dice = random.Random(1)  # the same message in each run
    words = [bytes(dice.choices(b"abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 10))) for _ in range(1000)]
    text = [b" ".join(dice.choices(words, k=10)) for _ in range(60)]
    trace = [b"Received: from mx%d.sender.test by relay with ESMTPS id %d; Sat, 21 Nov 2026" % (n, n) for n in range(4)]
    head = [
        *trace, b"From: Ada <a@sender.test>", b"To: Bob <user1@a.test>, Carol <user2@a.test>", b"Subject: The figures",
        b"Date: Sat, 21 Nov 2026 12:00:00 +0000", b"Message-ID: <1@sender.test>", b"MIME-Version: 1.0",
        b"Content-Type: multipart/mixed; boundary=one", b"", b"--one", b"Content-Type: text/plain; charset=utf-8", b"",
        *text, b"--one", b"Content-Type: text/html; charset=utf-8", b"", *(b"<p>%b</p>" % line for line in text),
        b"--one", b"Content-Type: image/png", b"Content-Transfer-Encoding: base64", b"",
    ]  # fmt: skip
    message = b"\r\n".join(head) + b"\r\n"
    base64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    while len(message) < SIZE - 100:
        message += bytes(dice.choices(base64, k=76)) + b"\r\n"
    return message + b"--one--\r\n"


_DATA = _mail()
_BODY = Body(hashlib.sha256(_DATA).digest(), len(_DATA), _DATA)
_CACHED, _ = content(_DATA)


def message(number: int, *, scan: bool = False) -> t.Intake:
    """One delivery to one of the accounts, a thread of its own."""
    cached = content(_DATA)[0] if scan else _CACHED
    deliver = (t.Deliver(ACCOUNTS[number % len(ACCOUNTS)], PREFIX),)
    return t.Intake(_BODY, "a@sender.test", 1_800_000_000, cached, (b"key %d" % number,), deliver)


# -- the ways, each in a process of its own ------------------------------------------------------------------------


def batches(place: Path, size: int, count: int, *, scan: bool = False) -> Figure:
    """The committer alone, `size` messages at once."""
    return _commits(SqliteCommitter(place, Options(measure_sync=False)), size, count, scan=scan)


def maildirs(place: Path, size: int, count: int) -> Figure:
    """The same with bodies in files."""
    writer = MaildirWriter(place / ROOT, lambda: secrets.token_hex(10))
    return _commits(SqliteCommitter(place, Options(measure_sync=False), writer), size, count)


def _commits(committer: SqliteCommitter, size: int, count: int, *, scan: bool = False) -> Figure:
    committer.commit([message(number) for number in range(len(ACCOUNTS))])
    start, before = time.perf_counter(), _cpu()
    for first in range(0, count, size):
        committer.commit([message(number, scan=scan) for number in range(first, first + size)])
        committer.between()
    figure = _figure(count, start, _cpu() - before)
    committer.close()
    return figure


def scanned(place: Path, size: int, count: int) -> Figure:
    """The same with the MIME scan of each message."""
    return batches(place, size, count, scan=True)


def encrypted(place: Path, size: int, count: int) -> Figure:
    """The same with all of it encrypted."""
    keys = keyring(place, Masters("key", {"key": bytes(range(32))}))
    return _commits(SqliteCommitter(place, Options(measure_sync=False, keys=keys)), size, count)


def fronts(place: Path, sessions: int, count: int) -> Figure:
    """The writer in its own process, two fronts in this one: their CPU is counted too."""
    return asyncio.run(_fronts(place, sessions, count))


async def _fronts(place: Path, sessions: int, count: int) -> Figure:
    command = [sys.executable, "-m", "bench.store", "serve", str(place), "0", "0"]
    writer = subprocess.Popen(command)  # noqa: ASYNC220 -- nothing else runs yet
    try:
        stores = [await connect(place, place / "s") for _ in range(2)]
        numbers = iter(range(count))

        async def session(at: int) -> None:
            for number in numbers:
                await stores[at % 2].writer.commit(message(number))

        await asyncio.gather(*(stores[0].writer.commit(t.OpenAccount(account)) for account in ACCOUNTS))
        start, before = time.perf_counter(), usage(os.getpid()).cpu
        await asyncio.gather(*map(session, range(sessions)))
        figure = _figure(count, start, usage(os.getpid()).cpu - before)
        for store in stores:
            await store.close()
    finally:
        writer.kill()
        writer.wait()
    return figure


def files(place: Path, _: int, count: int) -> Figure:
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
    return _figure(count, start, _cpu() - before)


def serve(place: Path, *_: int) -> None:
    """The writer that `fronts` talk to."""
    server = open_writer(place, Options(measure_sync=False))
    server.listen(place / "s")
    server.run()


def _figure(count: int, start: float, cpu: float) -> Figure:
    return Figure(count / (time.perf_counter() - start), cpu * 1000 / count)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


_RUNS: Mapping[str, Callable[[Path, int, int], Figure | None]] = {
    way.__name__: way for way in (batches, scanned, encrypted, fronts, maildirs, files, serve)
}

if __name__ == "__main__":
    _name, _where, *_numbers = sys.argv[1:]
    _found = _RUNS[_name](Path(_where), int(_numbers[0]), int(_numbers[1]))
    if _found is not None:
        print(_found.rate, _found.cpu)
