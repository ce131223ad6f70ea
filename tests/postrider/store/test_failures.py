"""What goes wrong refuses what it must, and nothing else."""

import asyncio
import contextlib
import dataclasses
import errno
import io
import json
import os
import resource
import select
import socket
import struct
import threading
from pathlib import Path

import msgspec
import pytest
from stored import ALICE, EVERY_LANE, INBOX, NOON, append, body_of, enqueue, intake

from postrider.store import transactions as t
from postrider.store import wire
from postrider.store.directory import CannotOpen
from postrider.store.open import connect, open_local, open_writer
from postrider.store.sqlite import database
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.transactions import Outcome, Reason, StoreError
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics


@pytest.fixture
def log():
    return io.StringIO()


@pytest.fixture
def committer(data, options, log):
    made = SqliteCommitter(data, dataclasses.replace(options, events=Events(log), metrics=Metrics()))
    yield made
    made.close()


def told(log, name):
    return [event for event in map(json.loads, log.getvalue().splitlines()) if event["event"] == name]


def reasons(outcome):
    return [result.reason if isinstance(result, StoreError) else None for result in outcome.results]


def test_one_bad_transaction_does_not_fail_its_batch(committer):
    batch = [intake(ALICE), append(77), t.DeleteMailbox(ALICE, INBOX), intake(ALICE), intake(ALICE, data=b"x" * 100)]
    outcome = committer.commit(batch)
    assert reasons(outcome) == [None, Reason.NO_MAILBOX, Reason.INVALID, None, None]
    assert [outcome.results[at].stored[0].uid for at in (0, 3, 4)] == [1, 2, 3]
    assert outcome.accounts == {ALICE}


def test_a_bug_fails_its_own_transaction_and_is_logged(committer, log):
    nonsense = msgspec.structs.replace(append(), account=["not", "text"])
    assert reasons(committer.commit([intake(ALICE), nonsense, intake(ALICE)])) == [None, Reason.WRITE_FAILED, None]
    (event,) = told(log, "server.failure")
    assert event["transaction"] == "Append"
    assert "Traceback" in event["exception"]


def test_a_failed_write_refuses_bodies_and_nothing_else(committer, log, data):
    committer.commit([intake(ALICE, enqueue=(enqueue(),))])
    (row,) = committer.commit([t.Claim(EVERY_LANE, NOON, 60, 1)]).results[0]
    settle = t.Settle((t.Settlement(row.id, row.epoch, Outcome.DELIVERED),))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (800 * 1024, hard))
    try:
        outcome = committer.commit([intake(ALICE, data=os.urandom(1_000_000)), settle, intake(ALICE)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert reasons(outcome) == [Reason.WRITE_FAILED, None, Reason.WRITE_FAILED]
    assert told(log, "store.write_failed")
    outcome = committer.commit([intake(ALICE, data=os.urandom(1_000_000)), intake(ALICE)])
    assert [result.stored[0].uid for result in outcome.results] == [2, 3]


def test_what_a_full_database_undid_is_not_in_the_journal(committer, data, options):
    """SQLite may end the transaction by itself: what it had changed is in no rebuilt database either."""
    committer.commit([intake(ALICE)])
    (pages,) = committer._db.execute("PRAGMA page_count").fetchone()
    committer._db.execute(f"PRAGMA max_page_count = {pages}")
    large = [intake(ALICE, data=b"lost", cached=b"x" * 100_000) for _ in range(20)]
    assert set(reasons(committer.commit([t.CreateMailbox(ALICE, "Lost"), *large]))) == {Reason.NO_SPACE}
    committer._db.execute("PRAGMA max_page_count = 1000000")
    assert reasons(committer.commit([t.CreateMailbox(ALICE, "Kept")])) == [None]
    payloads = b"".join(changes for (changes,) in committer._db.execute("SELECT changes FROM outbox"))
    assert b"Kept" in payloads
    assert b"Lost" not in payloads


def test_below_the_floor_intake_waits_and_the_rest_goes_on(data, options, log, clock):
    strict = dataclasses.replace(options, floor_bytes=1 << 62, floor_part=1.0, events=Events(log))
    committer = SqliteCommitter(data, options)
    committer.commit([intake(ALICE, enqueue=(enqueue(),)), append(INBOX, b"x", flags=8)])
    committer.close()
    committer = SqliteCommitter(data, strict)
    (row,) = committer.commit([t.Claim(EVERY_LANE, NOON, 60, 1)]).results[0]
    outcome = committer.commit(
        [
            intake(ALICE),
            append(),
            t.Expunge(ALICE, INBOX, (2,)),
            t.SetFlags(ALICE, INBOX, (1,), t.FlagChange.ADD, 1),
            t.Settle((t.Settlement(row.id, row.epoch, Outcome.DELIVERED),)),
            t.Remember("k", b"v", NOON + 1),
        ]
    )
    assert reasons(outcome) == [Reason.NO_SPACE, Reason.NO_SPACE, None, None, None, None]
    assert outcome.results[2].uids == (2,)
    assert len(told(log, "store.no_space")) == 1
    committer.close()


def test_a_disk_that_cannot_sync_is_told_at_the_start(data, options, monkeypatch):
    def fail(_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    SqliteCommitter(data, options).close()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CannotOpen, match="fsync of pack 1"):
        open_writer(data, options)


def test_a_damaged_database_is_told_and_nothing_stays_open(data, options):
    SqliteCommitter(data, options).close()
    with (data / "mail.db").open("r+b") as file:
        file.seek(database.PAGE_SIZE)
        file.write(b"\xee" * database.PAGE_SIZE * 100)
    with pytest.raises(CannotOpen, match=f"malformed: `postrider-server store rebuild --data {data}` makes it again"):
        open_writer(data, options)
    with (data / "mail.db").open("rb"):
        assert [path for path in opened() if path.is_relative_to(data)] == [data / "mail.db"]


def opened():
    """What this process has open."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield entry.readlink()


async def test_a_writer_that_dies_leaves_nobody_waiting(data, options):
    server = open_writer(data, options)
    server.listen(data / "s")
    thread = threading.Thread(target=server.run)
    thread.start()
    store = await connect(data, data / "s")
    await store.writer.commit(intake(ALICE))
    server.stop()
    thread.join()
    async with asyncio.timeout(30):
        await store.lost.wait()
        with pytest.raises(StoreError) as caught:
            await store.writer.commit(intake(ALICE))
    assert caught.value.reason is Reason.UNAVAILABLE
    await store.close()


async def test_a_front_that_talks_nonsense_is_dropped_and_the_others_served(data, options, log):
    server = open_writer(data, dataclasses.replace(options, events=Events(log)))
    server.listen(data / "s")
    thread = threading.Thread(target=server.run)
    thread.start()
    store = await connect(data, data / "s")
    for nonsense in (b"\xff" * 64, struct.pack("<I", 3) + b"abc"):
        with socket.socket(socket.AF_UNIX) as rude:
            rude.connect(str(data / "s"))
            rude.sendall(nonsense)
            rude.settimeout(30)
            assert await asyncio.to_thread(rude.recv, 1) == b""
    assert (await store.writer.commit(intake(ALICE))).stored
    assert len(told(log, "server.failure")) == 2
    await store.close()
    server.stop()
    thread.join()


async def test_a_front_that_never_listens_is_dropped(data, options, monkeypatch):
    monkeypatch.setattr("postrider.store.server._SOCKET_BUFFER", 4096)
    monkeypatch.setattr("postrider.store.server._MAX_UNSENT", 4096)
    server = open_writer(data, options)
    server.listen(data / "s")
    thread = threading.Thread(target=server.run)
    thread.start()
    store = await connect(data, data / "s")
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(str(data / "s"))
        deaf.sendall(wire.frame(wire.Watched(ALICE, on=True)))
        for _ in range(600):  # a hint each
            await store.writer.commit(intake(ALICE))
        gone = select.poll()
        gone.register(deaf, 0)
        assert await asyncio.to_thread(gone.poll, 30_000) == [(deaf.fileno(), select.POLLHUP)]
    await store.close()
    server.stop()
    thread.join()


async def test_only_its_owner_may_connect(data, options):
    server = open_writer(data, options)
    server.listen(data / "s")
    assert (data / "s").stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o077 == 0
    assert not any(path.stat().st_mode & 0o077 for path in data.rglob("*"))
    server.stop()
    server.run()
    assert not (data / "s").exists()


async def test_nobody_to_connect_to(data):
    with pytest.raises(OSError, match="No such file"):
        await connect(data, data / "s", seconds=0)


async def test_cancelled_callers_do_not_disturb_the_others(data, options):
    store = open_local(data, options)
    tasks = [asyncio.create_task(store.writer.commit(intake(ALICE))) for _ in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, t.IntakeDone) for result in done[1::2])
    await store.close()


async def test_a_frame_that_is_too_large_is_not_sent(data, options, monkeypatch):
    server = open_writer(data, options)
    server.listen(data / "s")
    thread = threading.Thread(target=server.run)
    thread.start()
    store = await connect(data, data / "s")
    monkeypatch.setattr(wire, "MAX_FRAME", 1000)
    with pytest.raises(StoreError) as caught:
        await store.writer.commit(intake(ALICE, data=b"x" * 2000))
    assert caught.value.reason is Reason.INVALID
    await store.close()
    server.stop()
    thread.join()


def test_frames_do_not_care_how_they_are_cut():
    values = [wire.Asked(n, append(INBOX, os.urandom(n * 7))) for n in range(20)]
    stream = b"".join(map(wire.frame, values))
    for step in (1, 3, 4, 5, 64, 1000, len(stream)):
        frames = wire.Frames()
        got = [
            wire.asked.decode(raw)
            for start in range(0, len(stream), step)
            for raw in frames.feed(stream[start : start + step])
        ]
        assert got == values


def test_every_transaction_goes_over_the_wire():
    assert set(t.Txn.__subclasses__()) == set(t.AnyTxn.__args__)
    for kind in wire.RESULTS:
        assert kind in t.Txn.__subclasses__()
    body = body_of()
    assert wire.asked.decode(wire.frame(wire.Asked(1, intake(ALICE)))[4:]).txn.body == body
