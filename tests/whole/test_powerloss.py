"""The power goes while the whole server works: at every moment all that was acknowledged is on the disk, and whole.

The writer of a running group is traced; its system calls say what a disk may hold at any moment (powerloss.py).
"""

import asyncio
import contextlib
import random
import shutil

import apsw
import memory_disk
import msgspec
import pytest
from faults import open_files, processes, traced
from letters import fields
from powerloss import TRACED, Disk
from running import snapshot
from stored import INBOX, balanced, intake
from workers import Workers

from postrider.store import wire
from postrider.store.open import Options, open_local
from postrider.store.values import account_of

ACCOUNT = account_of("default", "bob@one.test")
SENDERS = 6


def sync_failed():
    raise AssertionError("a sync failed while the image was looked at")


async def bodies(data):
    """UID to body of bob's INBOX, after everything that an image must be was looked at."""
    store = open_local(data, Options(allow_tmpfs=True, measure_sync=False, die=sync_failed))
    try:
        uids = await store.reader.uids(ACCOUNT, INBOX)
        rows = await store.reader.messages(ACCOUNT, INBOX, uids)
        found = {row.uid: await store.reader.body(ACCOUNT, row.blob) for row in rows}
        assert (await store.reader.mailbox(ACCOUNT, INBOX)).messages == len(uids)
        assert balanced(await store.reader.counters())
    finally:
        await store.close()
    with contextlib.closing(apsw.Connection(str(data / "mail.db"))) as db:
        assert db.pragma("integrity_check") == "ok"
    return found


class Recording:
    """What the writer of a whole server did while clients sent and changed mail, and what was there before."""

    def __init__(self, server, place, count):
        self.server, self.place, self.data = server, place, server.directory / "data"
        self.acknowledged = []
        pid = processes(server)["writer-0"]
        with traced(pid, "-o", place / "trace", *TRACED):
            # The search index comes and goes as it likes, and can be made again.
            left_out = shutil.ignore_patterns("runtime", "spool", "*-shm", "search*")
            shutil.copytree(self.data, place / "before", ignore=left_out)
            self.held = open_files(pid)
            senders = Workers()
            for number in range(SENDERS):
                senders.run(self._send, number, count)
            senders.join(300)
        server.kill()
        self.after = asyncio.run(bodies(self.data))

    def _send(self, number, count):
        luck = random.Random(number)
        with self.server.submission("alice@one.test") as client:
            for at in range(count):
                name = f"{number}-{at}"
                head = f"From: alice@one.test\r\nTo: bob@one.test\r\nX-Name: {name}\r\n\r\n"
                body = luck.randbytes(luck.choice((20, 800, 9000))).hex() + "\r\n"
                client.sendmail("alice@one.test", ["bob@one.test"], head + body)
                self.acknowledged.append(name)

    def losses(self, images, deaf=None):
        """Crash at so many moments; returns how many images lost or tore something acknowledged by then."""
        luck = random.Random(3)
        calls = sum(1 for _ in self._disk(deaf).replay(self.place / "trace"))
        moments = set(luck.sample(range(calls), images))
        disk, streams = self._disk(deaf), {}
        answered, worse = set(), 0
        for moment, (socket, sent) in enumerate(disk.replay(self.place / "trace")):
            for raw in streams.setdefault(socket, wire.Frames()).feed(sent):
                answered |= uids_of(wire.told.decode(raw))
            if moment in moments:
                worse += self._is_worse(disk, luck if luck.random() < 0.8 else None, answered, strict=not deaf)
        names = {fields(self.after[uid], "X-Name")[0].split()[1].decode() for uid in answered}
        assert names >= set(self.acknowledged), "a client was told what the writer had not said"
        return worse

    def _disk(self, deaf):
        return Disk(self.data, self.place / "before", deaf=deaf, held=self.held)

    def _is_worse(self, disk, luck, answered, *, strict):
        with memory_disk.directory() as image:  # images are large and read once
            disk.image(image, luck)
            try:
                found = asyncio.run(bodies(image))
            except Exception:  # what was never synced may be anything
                if strict:
                    raise
                return True
            return any(found.get(uid) != self.after[uid] for uid in answered)


def uids_of(told):
    """UIDs in bob's INBOX that an answer acknowledges."""
    if isinstance(told, wire.Answered):
        with contextlib.suppress(msgspec.ValidationError):
            done = wire.result_of(intake(), told.result)
            return {one.uid for one in done.stored if one.account == ACCOUNT and one.mailbox_id == INBOX}
    return set()


@pytest.mark.crash
@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_power_loss_loses_nothing_that_a_client_was_told(make_server, ca, tmp_path):
    recording = Recording(make_server(snapshot(ca)), tmp_path, 40)
    assert len(recording.acknowledged) == SENDERS * 40
    assert recording.losses(100) == 0
    # And it would have been found: the same run on a disk that does not sync packs, or the log.
    assert recording.losses(30, deaf=".pack") > 8
    assert recording.losses(30, deaf="-wal") > 8
