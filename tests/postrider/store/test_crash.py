"""Nothing acknowledged is lost: by kill -9, by power loss, by disks that fail. Slices here, full counts on demand."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import apsw
import pytest
import store_process
from powerloss import Disk, Traced
from rows_of import again, dump, lose
from stored import INBOX, balanced, enqueue, intake

from postrider.store import transactions as t
from postrider.store import wire
from postrider.store.open import Options, connect, open_local
from postrider.store.transactions import StoreError
from postrider.store.values import account_of

ACCOUNTS = [account_of("mail", f"user{n}@a.test") for n in range(7)]

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def writer(data, *before, how=()):
    return [*before, sys.executable, store_process.__file__, data, data.parent / "s", *how]


def sync_failed():
    raise AssertionError("a sync failed while the image was looked at")


class Load:
    """Fronts' work: messages of many sizes to a few accounts, and what became of them."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.acknowledged = {}
        self.offered = 0

    def message(self):
        self.offered += 1
        size = self.random.choice([10, 300, 5_000, 5_000, 40_000])
        return b"%d:" % self.offered + self.random.randbytes(size)

    async def deliver(self, store, count):
        """One session: it delivers and waits for its answer, until it has or the store is gone."""
        with contextlib.suppress(StoreError):
            for _ in range(count):
                account, data = self.random.choice(ACCOUNTS), self.message()
                done = await store.writer.commit(intake(account, data=data, enqueue=(enqueue(),)))
                self.acknowledged[account, done.stored[0].uid] = data

    async def reach(self, count):
        """Until so many are acknowledged."""
        async with asyncio.timeout(180):
            while len(self.acknowledged) < count:
                await asyncio.sleep(0.005)

    async def verify(self, data, acknowledged=None):
        """Everything acknowledged is there, once and whole; returns what is not."""
        keys = store_process.keys_of(data) if (data / "keys").exists() else None
        store = open_local(data, Options(**store_process.SMALL, die=sync_failed, keys=keys))
        try:
            lost = await self._look(store, acknowledged)
        finally:
            await store.close()
        db = apsw.Connection(str(data / "mail.db"))
        assert db.pragma("integrity_check") == "ok"
        db.close()
        return lost

    async def _look(self, store, acknowledged):
        lost = []
        seen = set()
        for account in ACCOUNTS:
            uids = await store.reader.uids(account, INBOX)
            for row in await store.reader.messages(account, INBOX, uids):
                body = await store.reader.body(account, row.blob)
                seen.add((account, row.uid))
                if self.acknowledged.get((account, row.uid), body) != body:
                    lost.append((account, row.uid))
            folder = await store.reader.mailbox(account, INBOX)
            assert (folder.messages if folder else 0) == len(uids)
        lost += [key for key in (self.acknowledged if acknowledged is None else acknowledged) if key not in seen]
        assert balanced(await store.reader.counters())
        assert len(await store.reader.queue(limit=1_000_000)) == (await store.reader.counters())["queued"]
        return lost


@pytest.fixture
def place():
    """A directory on a real disk, with a short name for the socket."""
    path = Path(tempfile.mkdtemp(prefix="postrider-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize(
    ("rounds", "messages"),
    [pytest.param(3, 0, id="slice"), pytest.param(25, 10_000, id="all", marks=pytest.mark.crash)],
)
@pytest.mark.parametrize("blobs", ["packs", "maildir", "encrypted"])
async def test_kill_loses_nothing_that_was_acknowledged(place, rounds, messages, blobs):
    load = Load(1)
    data = place / "data"
    done = 0
    while done < rounds or len(load.acknowledged) < messages:
        process = subprocess.Popen(list(map(str, writer(data, how=[blobs]))), stderr=subprocess.DEVNULL)
        fronts = [await connect(data, place / "s") for _ in range(2)]
        sessions = [asyncio.create_task(load.deliver(fronts[n % 2], 10_000)) for n in range(16)]
        await load.reach(len(load.acknowledged) + load.random.randint(20, 100))
        await asyncio.sleep(load.random.uniform(0.0, 0.05 if rounds == 3 else 1.4))
        process.kill()
        process.wait()
        await asyncio.gather(*sessions)
        for front in fronts:
            await front.close()
        assert await load.verify(data) == []
        done += 1
    assert (data / "maildir").exists() == (blobs == "maildir")
    assert (data / "keys").exists() == (blobs == "encrypted")


async def traced_load(place, count, blobs="packs"):
    """Run a writer under strace with sessions on it; returns the load and the trace."""
    data = place / "data"
    kind = "maildir" if blobs == "maildir" else ""
    await open_local(data, Options(**store_process.SMALL, blobs=kind)).close()
    shutil.copytree(data, place / "before")
    trace = Traced(place / "trace", *writer(data, how=[blobs]))
    store = await connect(data, place / "s")
    load = Load(2)
    await asyncio.gather(*(load.deliver(store, count) for _ in range(6)))
    await store.close()
    trace.end()
    return load, trace.output


async def losses(place, load, trace, images, deaf=None):
    """Crash at `images` moments; returns how many images lost something acknowledged by then."""
    luck = random.Random(3)
    calls = sum(1 for _ in Disk(place / "data", place / "before").replay(trace))
    moments = sorted(luck.sample(range(calls), images))
    disk, frames = Disk(place / "data", place / "before", deaf=deaf), wire.Frames()
    acknowledged, worse = set(), 0
    for moment, (_, sent) in enumerate(disk.replay(trace)):
        for raw in frames.feed(sent):
            told = wire.told.decode(raw)
            if isinstance(told, wire.Answered):
                stored = wire.result_of(intake(), told.result).stored
                acknowledged.add((stored[0].account, stored[0].uid))
        while moments and moments[0] == moment:
            moments.pop(0)
            image = place / f"image{moment}"
            disk.image(image, luck if luck.random() < 0.8 else None)
            try:
                worse += bool(await load.verify(image, acknowledged))
            except Exception:  # what was never synced may be anything
                if not deaf:
                    raise
                worse += 1
            shutil.rmtree(image, ignore_errors=True)  # a writer that found no way on may still be at work in it
    assert len(acknowledged) == len(load.acknowledged)
    return worse


@needs_strace
@pytest.mark.parametrize(
    ("count", "images"), [pytest.param(12, 10, id="slice"), pytest.param(60, 100, id="all", marks=pytest.mark.crash)]
)
@pytest.mark.parametrize("blobs", ["packs", "maildir", "encrypted"])
async def test_power_loss_loses_nothing_that_was_acknowledged(place, count, images, blobs):
    load, trace = await traced_load(place, count, blobs)
    assert await losses(place, load, trace, images) == 0


@needs_strace
@pytest.mark.crash
@pytest.mark.parametrize(
    ("deaf", "blobs"),
    [
        (".pack", "packs"),
        ("-wal", "packs"),
        (tuple("0123456789"), "maildir"),
        (tuple("0123456789acdef"), "encrypted"),  # but for mail.db
    ],
)
# What such an image lacks may come to light anywhere, in the store's threads too.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_the_simulator_finds_a_sync_that_is_missing(place, deaf, blobs):
    load, trace = await traced_load(place, 20, blobs)
    assert await losses(place, load, trace, 40, deaf) > 8


@needs_strace
@pytest.mark.parametrize(
    ("call", "blobs", "first"),
    [
        ("fdatasync", "packs", 8),
        ("fsync", "packs", 8),
        pytest.param("fdatasync", "maildir", 30, marks=pytest.mark.crash),
    ],
)
async def test_a_failed_sync_ends_the_process(place, call, blobs, first):
    """EIO at a sync: nothing is acknowledged after it, the exit code is not zero, and the next start serves."""
    data = place / "data"
    await open_local(data, Options(**store_process.SMALL, blobs=blobs)).close()
    inject = ["strace", "-f", "-o", "/dev/null", "-e", f"inject={call}:error=EIO:when={first}+"]
    process = subprocess.Popen(list(map(str, writer(data, *inject))), stderr=subprocess.PIPE)
    load = Load(4)
    try:
        store = await connect(data, place / "s")
    except OSError:
        process.kill()
        raise
    await asyncio.gather(*(load.deliver(store, 500) for _ in range(3)))
    assert await asyncio.to_thread(process.wait, 180) == 74
    log = [json.loads(line) for line in process.stderr.read().decode().splitlines()]
    process.stderr.close()
    assert log[-1]["event"] == "store.fatal"
    await store.close()
    assert load.acknowledged
    assert await load.verify(data) == []


@needs_strace
async def test_a_failed_write_refuses_its_batch_alone(place):
    data = place / "data"
    await open_local(data, Options(**store_process.SMALL)).close()
    # The start writes a record of the journal, each message its body and another: the sixth is the third body.
    inject = [
        "strace",
        "-f",
        "-o",
        "/dev/null",
        "-P",
        data / "packs/00000001.pack",
        "-e",
        "inject=pwritev,pwritev2:error=EIO:when=6",
    ]
    process = subprocess.Popen(list(map(str, writer(data, *inject))), stderr=subprocess.DEVNULL)
    store = await connect(data, place / "s")
    answers = []
    for n in range(6):
        try:
            await store.writer.commit(intake(ACCOUNTS[0], data=b"%d" % n))
        except StoreError as error:
            answers.append(error.reason)
        else:
            answers.append(None)
    assert answers == [None, None, t.Reason.WRITE_FAILED, None, None, None]
    rows = await store.reader.messages(ACCOUNTS[0], INBOX, range(1, 10))
    assert [await store.reader.body(ACCOUNTS[0], row.blob) for row in rows] == [b"0", b"1", b"3", b"4", b"5"]
    await store.close()
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGTERM)
    assert process.wait(180) == 0


@needs_strace
async def test_a_failed_commit_refuses_its_batch_and_leaves_no_record(place):
    data = place / "data"
    await open_local(data, Options(**store_process.SMALL)).close()
    failing = "inject=pwrite64:error=ENOSPC:when=300..302"
    inject = ["strace", "-f", "-o", "/dev/null", "-P", data / "mail.db-wal", "-e", failing]
    process = subprocess.Popen(list(map(str, writer(data, *inject))), stderr=subprocess.DEVNULL)
    store = await connect(data, place / "s")
    refused = []
    for n in range(12):
        try:
            await store.writer.commit(intake(ACCOUNTS[n % 7], data=b"%d" % n))
        except StoreError as error:
            refused.append(error.reason)
    assert set(refused) == {t.Reason.NO_SPACE}
    assert len(refused) < 5
    await store.close()
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        os.kill(int(child), signal.SIGTERM)
    assert process.wait(180) == 0
    rows = dump(data)
    lose(data)
    done = again(data)
    assert (done.missing_batches, done.delivered_again) == (0, 0)
    assert dump(data) == rows
