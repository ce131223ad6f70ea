"""kill -9 in the middle of a large COPY: all of it is there or nothing, and the next start clears up."""

import asyncio
import random
import subprocess
import sys

import pytest
import store_process
from stored import ALICE, INBOX, append

from postrider.mailbox import actions
from postrider.mailbox.actions import Actions
from postrider.model.runs import counted
from postrider.store.open import Options, connect, open_local
from postrider.store.transactions import Reason, StoreError

MANY, SENT = 640, 2


class Counting:
    """A writer that counts what it was asked, and says when it was enough."""

    def __init__(self, writer, enough):
        self._writer = writer
        self._left = enough
        self.enough = asyncio.Event()

    async def commit(self, txn):
        self._left -= 1
        if not self._left:
            self.enough.set()
        return await self._writer.commit(txn)


async def copy_and_kill(data, enough):
    """Begin a copy in a writer of its own and kill that after so many transactions, or once the copy is done."""
    command = [sys.executable, store_process.__file__, str(data), str(data / "s")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        store = await connect(data, data / "s")
        counting = Counting(store.writer, enough)
        copying = asyncio.create_task(Actions(counting, ALICE).copy(INBOX, range(1, MANY + 1), SENT))
        await asyncio.wait([copying, asyncio.create_task(counting.enough.wait())], return_when=asyncio.FIRST_COMPLETED)
        process.kill()
        await asyncio.gather(copying, return_exceptions=True)
        await store.close()


async def copy_when_free(store):
    """A copy, tried until what was left behind is cleared away."""
    async with asyncio.timeout(180):
        while True:
            try:
                return await Actions(store.writer, ALICE).copy(INBOX, range(1, MANY + 1), SENT)
            except StoreError as error:
                if error.reason is not Reason.BUSY:
                    raise
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("rounds", [2, pytest.param(25, marks=pytest.mark.crash)])
async def test_a_killed_copy_leaves_all_or_nothing(data, monkeypatch, rounds):
    monkeypatch.setattr(actions, "SLICE", 40)
    chance = random.Random(rounds)
    options = Options(**store_process.SMALL)
    store = open_local(data, options)
    for first in range(0, MANY, 64):
        await store.writer.commit(append(INBOX, *[b"%d" % n for n in range(first, first + 64)]))
    copies = 0
    for _ in range(rounds):
        await store.close()
        await copy_and_kill(data, chance.randrange(1, MANY // 40 + 4))
        store = open_local(data, options)
        row = await store.reader.mailbox(ALICE, SENT)
        assert row.messages in (copies * MANY, (copies + 1) * MANY)
        copies = row.messages // MANY
        assert len(await store.reader.uids(ALICE, SENT)) == row.messages
        assert await store.reader.usage(ALICE) == (row.bytes + (await store.reader.mailbox(ALICE, INBOX)).bytes,
                                                   (copies + 1) * MANY)  # fmt: skip
        done = await copy_when_free(store)
        copies += 1
        assert list(await store.reader.uids(ALICE, SENT))[-MANY:] == list(counted(done.target))
    await store.close()
