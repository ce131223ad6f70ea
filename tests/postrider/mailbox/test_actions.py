"""Long work goes in slices; what must be all or nothing stays so."""

import asyncio

import pytest
from stored import ALICE, INBOX, append, body_of

from postrider.mailbox import actions
from postrider.mailbox.actions import Actions, Allowance, FlagEdit
from postrider.model.runs import counted, size
from postrider.store import transactions as t
from postrider.store.open import memory
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Flag

MANY = 25


@pytest.fixture
async def store(monkeypatch):
    monkeypatch.setattr(actions, "SLICE", 4)
    made = memory()
    await made.writer.commit(append(INBOX, *[b"x" * (n + 1) for n in range(MANY)]))
    yield made
    await made.close()


@pytest.fixture
def alice(store):
    return Actions(store.writer, ALICE)


async def test_a_large_copy_is_shown_at_once(store, alice):
    done = await alice.copy(INBOX, [*range(1, MANY + 1), 99], 2)
    assert done.source == [(1, MANY)]
    copies = list(counted(done.target))
    assert list(await store.reader.uids(ALICE, 2)) == copies
    rows = await store.reader.messages(ALICE, 2, copies)
    assert [row.size for row in rows] == list(range(1, MANY + 1))
    assert (await store.reader.mailbox(ALICE, 2)).modseq == max(row.modseq for row in rows)


async def test_a_large_copy_over_quota_leaves_nothing(store):
    alice = Actions(store.writer, ALICE, Allowance(quota_bytes=400))
    with pytest.raises(StoreError) as caught:
        await alice.copy(INBOX, range(1, MANY + 1), 2)
    assert caught.value.reason is Reason.OVER_QUOTA
    assert (await store.reader.mailbox(ALICE, 2)).messages == 0
    assert (await Actions(store.writer, ALICE).copy(INBOX, range(1, MANY + 1), 2)).target[-1][-1] > MANY


class Slow:
    """A writer that stops before a slice until it is told to go on."""

    def __init__(self, writer):
        self._writer = writer
        self.staged = asyncio.Event()
        self.go = asyncio.Event()

    async def commit(self, txn):
        if isinstance(txn, t.StageCopy) and not self.staged.is_set():
            self.staged.set()
            await self.go.wait()
        return await self._writer.commit(txn)


async def test_a_copy_whose_session_ends_leaves_nothing(store):
    slow = Slow(store.writer)
    copying = asyncio.create_task(Actions(slow, ALICE).copy(INBOX, range(1, MANY + 1), 2))
    await slow.staged.wait()
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert (await store.reader.mailbox(ALICE, 2)).messages == 0
    assert size((await Actions(store.writer, ALICE).copy(INBOX, range(1, MANY + 1), 2)).target) == MANY


async def test_large_copies_into_several_folders_wait_for_each_other(store, alice, monkeypatch):
    monkeypatch.setattr(actions, "_TURN", 0.01)
    slow = Slow(store.writer)
    first = asyncio.create_task(Actions(slow, ALICE).copy(INBOX, range(1, MANY + 1), 2))
    await slow.staged.wait()
    others = [asyncio.create_task(alice.copy(INBOX, range(1, MANY + 1), folder)) for folder in (3, 4)]
    assert not (await asyncio.wait(others, timeout=0.1))[0]
    slow.go.set()
    assert [size(done.target) for done in await asyncio.gather(first, *others)] == [MANY] * 3


async def test_move_store_and_expunge_in_slices(store, alice):
    done = await alice.move(INBOX, range(1, MANY + 1), 3)
    assert (done.source, done.target) == ([(1, MANY)], [(1, MANY)])
    assert (await alice.move(INBOX, (), 3)).target == []
    stored = await alice.set_flags(3, range(1, 11), FlagEdit(FlagChange.ADD, Flag.DELETED))
    assert len(stored.modseqs) == 3
    assert await alice.expunge_deleted(store.reader, 3) == tuple(range(1, 11))
    assert (await store.reader.mailbox(ALICE, 3)).messages == MANY - 10


async def test_a_large_inbox_is_renamed(store, alice):
    inbox = await store.reader.mailbox(ALICE, INBOX)
    await alice.rename(store.reader, inbox, "old/mail")
    (made,) = [row for row in await store.reader.mailboxes(ALICE) if row.name == "old/mail"]
    assert (made.messages, (await store.reader.mailbox(ALICE, INBOX)).messages) == (MANY, 0)
    assert await alice.rename(store.reader, made, "new") is None
    assert (await store.reader.mailbox(ALICE, made.id)).name == "new"


async def test_a_move_that_is_refused_at_once_is_refused_plainly(store, alice):
    """Only one that was refused midway has anything to tell of what it moved."""
    with pytest.raises(StoreError) as caught:
        await alice.move(INBOX, range(1, MANY + 1), 999)
    assert type(caught.value) is StoreError
    assert caught.value.reason is Reason.NO_MAILBOX
    assert (await store.reader.mailbox(ALICE, INBOX)).messages == MANY


async def test_append_obeys_both_quotas(store):
    new = t.NewMessage(body_of(b"x" * 10), 0, b"")
    for allowed in (Allowance(quota_bytes=330), Allowance(domain_quota_bytes=330)):
        with pytest.raises(StoreError) as caught:
            await Actions(store.writer, ALICE, allowed).append(INBOX, [new])
        assert caught.value.reason is Reason.OVER_QUOTA
    await Actions(store.writer, ALICE, Allowance(335, 335)).append(INBOX, [new])
