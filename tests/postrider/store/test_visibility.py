"""An incremental client never misses a message, however many deliver, and whatever is copied in large pieces."""

import asyncio

import pytest
from stored import ALICE, INBOX, append, intake

from postrider.store import transactions as t

WRITERS = 8
SENT = 2


async def follow(reader, done):
    """What a client sees that asks for UIDs above the last, and one that asks for changes since the last modseq."""
    by_uid, by_modseq, last, since = set(), set(), 0, 0
    while True:
        finished = done.is_set()
        for row in await reader.flags(ALICE, INBOX, above=last):
            by_uid.add(row.uid)
            last = row.uid
        changes = await reader.changes(ALICE, INBOX, since)
        by_modseq |= {row.uid for row in changes.changed}
        assert all(row.modseq <= changes.modseq for row in changes.changed)
        since = changes.modseq
        if finished:
            return by_uid, by_modseq
        await asyncio.sleep(0)


async def follow_account(reader, done):
    """The same over the change log of the whole account, a little at a time."""
    seen, since = set(), 0
    while True:
        finished = done.is_set()
        told = await reader.account_changes(ALICE, since, 50)
        seen |= {change.uid for change in told.messages if change.mailbox_id == INBOX and change.created}
        assert told.modseq >= since
        since = told.modseq
        if finished and not told.more:
            return seen
        await asyncio.sleep(0)


async def copy_in_pieces(commit, done):
    """Copies of ten messages, staged three at a time; returns the UIDs they got."""
    uids = []
    while not done.is_set():
        copy = (await commit(t.BeginCopy(ALICE, SENT, INBOX, 10))).id
        for first in range(1, 11, 3):
            await commit(t.StageCopy(ALICE, copy, tuple(range(first, min(first + 3, 11)))))
            await asyncio.sleep(0)
        made = await commit(t.FinishCopy(ALICE, copy))
        uids += range(made.first, made.first + made.messages)
        await asyncio.sleep(0.01)
    return uids


async def test_an_incremental_reader_sees_every_message(fronts):
    await check(fronts, 40)


@pytest.mark.crash
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fronts", ["socket"], indirect=True)
async def test_an_incremental_reader_sees_every_message_of_100_000(fronts):
    await check(fronts, 12_500)


async def check(fronts, each):
    """Eight sessions deliver so many each; readers by UID, by modseq and of the change log see all of them."""
    await fronts[0].writer.commit(append(SENT, *[b"%d" % n for n in range(10)]))
    done = asyncio.Event()
    following = asyncio.create_task(follow(fronts[1].reader, done))
    following_all = asyncio.create_task(follow_account(fronts[1].reader, done))
    copied = asyncio.Event()
    copying = asyncio.create_task(copy_in_pieces(fronts[0].writer.commit, copied))
    uids = []

    async def deliver(front, turn):
        for n in range(each):
            if (n + turn) % 2:
                uids.append((await front.writer.commit(intake(ALICE))).stored[0].uid)
            else:
                uids.extend((await front.writer.commit(append())).target)

    await asyncio.gather(*(deliver(fronts[n % 2], n) for n in range(WRITERS)))
    copied.set()
    staged = await copying
    done.set()
    by_uid, by_modseq = await following
    assert staged
    assert len(set(uids)) == WRITERS * each
    assert by_uid == by_modseq == await following_all == {*uids, *staged}
