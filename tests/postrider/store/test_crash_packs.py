"""The power goes while packs are compacted, with the database or without: what was acknowledged is there."""

import asyncio
import random
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
import store_process
from powerloss import Disk, Traced
from rows_of import again, dump, lose
from stored import ALICE, INBOX, intake

from postrider.store import transactions as t
from postrider.store import wire
from postrider.store.open import Options, connect, open_local, verify

SMALL = Options(**store_process.SMALL, wait=5)

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@pytest.fixture
def place():
    """A directory on a real disk, with a short name for the socket."""
    path = Path(tempfile.mkdtemp(prefix="postrider-"))
    yield path
    shutil.rmtree(path)


class History:
    """One session that delivers and expunges, an answer after the other."""

    def __init__(self):
        self.random = random.Random(7)
        #: What each answered transaction made of the folder: UIDs and bodies.
        self.states = [{}]

    async def play(self, store, count):
        for n in range(count):
            data = b"%d:" % n + self.random.randbytes(25_000)
            done = await self.commit(store, intake(ALICE, data=data))
            self.states.append(self.states[-1] | {done.stored[0].uid: data})
            if n > 8 and n % 5:
                gone = self.random.choice(sorted(self.states[-1]))
                await self.flag(store, gone)
                await self.commit(store, t.Expunge(ALICE, INBOX, (gone,)))
                self.states.append({uid: body for uid, body in self.states[-1].items() if uid != gone})
            if n % 10 == 9:
                await asyncio.sleep(0.2)

    async def flag(self, store, uid):
        await self.commit(store, t.SetFlags(ALICE, INBOX, (uid,), t.FlagChange.ADD, 8))
        self.states.append(self.states[-1])

    @staticmethod
    async def commit(store, txn):
        return await store.writer.commit(txn)


async def bodies_in(data):
    store = open_local(data, SMALL)
    rows = await store.reader.messages(ALICE, INBOX, await store.reader.uids(ALICE, INBOX))
    found = {row.uid: await store.reader.body(ALICE, row.blob) for row in rows}
    await store.close()
    assert verify(data, lambda *_: None).problems == []
    return found


async def check(image, states, answered):
    """The image has the state that was answered last, or the one after; without its database, all that is needed."""
    without = image.with_name("without")
    shutil.copytree(image, without)
    found = await bodies_in(image)
    assert found in states[answered : answered + 2]
    rows = dump(image)
    lose(image)
    assert again(image).missing_batches == 0
    assert dump(image) == rows  # of a batch that was never committed there is no record any more
    lose(without)
    done = again(without)
    assert done.lost_bodies == 0
    assert set((await bodies_in(without)).values()) >= set(found.values()) & set(states[answered].values())
    shutil.rmtree(without)


@pytest.mark.parametrize(
    ("count", "images"), [pytest.param(30, 3, id="slice"), pytest.param(200, 90, id="all", marks=pytest.mark.crash)]
)
async def test_power_loss_while_packs_are_compacted(place, count, images):
    data = place / "data"
    await open_local(data, SMALL).close()
    shutil.copytree(data, place / "before")
    trace = Traced(place / "trace", sys.executable, store_process.__file__, data, place / "s", "compacting")
    store = await connect(data, place / "s")
    history = History()
    await history.play(store, count)
    async with asyncio.timeout(180):
        while (data / "packs" / "00000001.pack").exists():
            await asyncio.sleep(0.05)
    await history.flag(store, max(history.states[-1]))  # no body comes with it: nobody syncs it before the end
    await store.close()
    trace.end()
    luck = random.Random(3)
    calls = sum(1 for _ in Disk(data, place / "before").replay(trace.output))
    moments = {*luck.sample(range(calls - 1), images - 1), calls - 1}  # the last: the power goes after a good end
    disk, frames, answered = Disk(data, place / "before"), wire.Frames(), 0
    for moment, (_, sent) in enumerate(disk.replay(trace.output)):
        answered += sum(isinstance(wire.told.decode(raw), wire.Answered) for raw in frames.feed(sent))
        if moment in moments:
            image = place / "image"
            disk.image(image, luck if luck.random() < 0.8 and moment < calls - 1 else None)
            await check(image, history.states, answered)
            shutil.rmtree(image)
    assert answered == len(history.states) - 1
