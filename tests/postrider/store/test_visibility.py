"""An incremental client never misses a message, however many deliver at once."""

import asyncio

from stored import ALICE, INBOX, append, intake

from postrider.store import transactions as t

WRITERS = 8
EACH = 40


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


async def test_an_incremental_reader_sees_every_message(fronts):
    await fronts[0].writer.commit(t.OpenAccount(ALICE))
    done = asyncio.Event()
    following = asyncio.create_task(follow(fronts[1].reader, done))
    uids = []

    async def deliver(front, turn):
        for n in range(EACH):
            if (n + turn) % 2:
                uids.append((await front.writer.commit(intake(ALICE))).stored[0].uid)
            else:
                uids.extend((await front.writer.commit(append())).target)

    await asyncio.gather(*(deliver(fronts[n % 2], n) for n in range(WRITERS)))
    done.set()
    by_uid, by_modseq = await following
    assert sorted(uids) == list(range(1, WRITERS * EACH + 1))
    assert by_uid == by_modseq == set(uids)
