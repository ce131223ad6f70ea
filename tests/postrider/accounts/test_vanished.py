"""A just-vanished address is remembered for an hour."""

import asyncio
import time

import msgspec
import pytest

from postrider.accounts.vanished import GRACE, Vanished
from postrider.contract.model import Alias, Domain, Mailbox, Server, Snapshot
from postrider.store import open as stores

BEFORE = Snapshot(
    server=Server(hostname="mx.one.test"),
    domains=(Domain(name="one.test"), Domain(name="two.test")),
    mailboxes=(Mailbox(address="a@one.test"), Mailbox(address="b@one.test")),
    aliases=(Alias(address="*@two.test", targets=("a@one.test",)),),
)


class Clock:
    time = 1000.0

    def now(self):
        return self.time

    def monotonic(self):
        return self.time


@pytest.fixture
async def store():
    store = stores.memory()
    yield store
    await store.close()


async def test_what_left_is_known_for_an_hour(store):
    clock = Clock()
    vanished = Vanished(store, clock)
    await vanished.note(BEFORE, msgspec.structs.replace(BEFORE, mailboxes=BEFORE.mailboxes[:1]))
    assert await vanished.recently("b@one.test")
    assert not await vanished.recently("a@one.test")
    assert not await vanished.recently("never@one.test")
    clock.time += GRACE + 1
    assert not await vanished.recently("b@one.test")


async def test_catch_all_covers_its_domain(store):
    vanished = Vanished(store, Clock())
    await vanished.note(BEFORE, msgspec.structs.replace(BEFORE, aliases=()))
    assert await vanished.recently("anybody@two.test")
    assert not await vanished.recently("anybody@one.test")


async def test_many_that_leave_at_once_share_the_writers_batches(store, monkeypatch):
    commit, under_way = store.writer.commit, []

    async def slow(txn):
        under_way.append(txn)
        await asyncio.sleep(0)
        assert len(under_way) == 2
        return await commit(txn)

    monkeypatch.setattr(store.writer, "commit", slow)
    clock = Clock()
    clock.time = time.time()  # the store's own, which forgets what has expired
    vanished = Vanished(store, clock)
    await vanished.note(BEFORE, msgspec.structs.replace(BEFORE, mailboxes=BEFORE.mailboxes[:1], aliases=()))
    assert await vanished.recently("b@one.test")
    assert await vanished.recently("anybody@two.test")
