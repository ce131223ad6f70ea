"""Whom the writer hints at: the fronts that watch what changed, as its socket tells."""

import asyncio
import threading

import pytest
from stored import ALICE, BOB, intake

from postrider.store import transactions as t
from postrider.store import wire
from postrider.store.open import connect, open_writer


class Front:
    """A front to the byte: says what it is told to, and hears one thing after the other."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.frames, self.heard = wire.Frames(), []

    def say(self, value):
        self.writer.write(wire.frame(value))

    async def hear(self):
        while not self.heard:
            self.heard += [wire.told.decode(raw) for raw in self.frames.feed(await self.reader.read(65536))]
        return self.heard.pop(0)


@pytest.fixture
async def fronts(data, options):
    """One whose bytes the test sees, and one that delivers."""
    server = open_writer(data, options)
    server.listen(data / "s")
    thread = threading.Thread(target=server.run)
    thread.start()
    store = await connect(data, data / "s")
    reader, writer = await asyncio.open_unix_connection(data / "s")
    try:
        async with asyncio.timeout(20):
            yield Front(reader, writer), store
    finally:
        writer.close()
        await store.close()
        server.stop()
        thread.join()


async def test_hints_begin_at_once_and_tell_of_what_is_watched(fronts):
    front, store = fronts
    await store.writer.commit(intake(ALICE))
    front.say(wire.Watched(ALICE, on=True))
    # It may have changed while the word was on its way.
    assert await front.hear() == wire.Hinted((ALICE,), queue=False)
    await store.writer.commit(intake(BOB))
    await store.writer.commit(intake(ALICE, BOB))
    assert await front.hear() == wire.Hinted((ALICE,), queue=False)


async def test_hints_end_when_nobody_watches(fronts):
    front, store = fronts
    front.say(wire.Watched(ALICE, on=True))
    assert await front.hear() == wire.Hinted((ALICE,), queue=False)
    front.say(wire.Watched(ALICE, on=False))
    front.say(wire.Asked(7, t.OpenAccount(BOB)))
    assert (await front.hear()).id == 7
    await store.writer.commit(intake(ALICE))
    front.say(wire.Asked(8, t.OpenAccount(BOB)))
    assert (await front.hear()).id == 8


async def test_a_front_says_when_its_last_watcher_is_gone(fronts):
    _, store = fronts
    said = []
    tell, store.feed.told = store.feed.told, lambda *word: (said.append(word), tell(*word))
    first, second = store.feed.watch(ALICE), store.feed.watch(ALICE)
    assert said == [(ALICE, True)]
    await anext(first)
    del first, second
    await store.writer.commit(intake(ALICE))
    while len(said) < 2:
        await asyncio.sleep(0.001)
    assert said == [(ALICE, True), (ALICE, False)]
