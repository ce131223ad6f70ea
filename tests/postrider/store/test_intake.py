"""Conformance: intake, quota and counters, in every implementation."""

import pytest
from stored import ALICE, BOB, EVERY_LANE, INBOX, NOON, append, balanced, enqueue, intake

from postrider.store import transactions as t
from postrider.store.staged import LAST_UID
from postrider.store.transactions import Outcome, Reason, StoreError
from postrider.store.values import Flag

PREFIX = b"Return-Path: <>\r\n"


async def refusal(awaitable):
    with pytest.raises(StoreError) as caught:
        await awaitable
    return caught.value.reason


async def claimed(commit, now=NOON):
    rows = await commit(t.Claim(EVERY_LANE, now, 60, 100))
    return {row.recipient: row for row in rows}


async def test_one_body_for_all_deliveries_and_queue_rows(commit, reader, apart):
    done = await commit(intake(ALICE, BOB, data=b"body", enqueue=(enqueue(), enqueue("erin@d.test"))))
    assert [(place.account, place.mailbox_id, place.uid) for place in done.stored] == [
        (ALICE, INBOX, 1),
        (BOB, INBOX, 1),
    ]
    (hers,) = await reader.messages(ALICE, INBOX, [1])
    (his,) = await reader.messages(BOB, INBOX, [1])
    rows = await reader.queue()
    assert tuple(row.id for row in rows) == done.queued
    assert len({row.blob for row in rows}) == 1
    assert len({hers.blob, his.blob, rows[0].blob}) == (3 if apart else 1)
    assert hers.prefix == PREFIX
    assert hers.size == len(PREFIX) + 4
    assert await reader.body(ALICE, hers.blob) == b"body"
    assert done.stored[0].modseq == hers.modseq == (await reader.mailbox(ALICE, INBOX)).modseq


async def test_the_same_message_twice_is_two_messages(commit, reader):
    await commit(intake(ALICE, data=b"same"))
    await commit(intake(ALICE, data=b"same"))
    rows = await reader.messages(ALICE, INBOX, [1, 2])
    assert len({row.email_id for row in rows}) == 2


async def test_where_a_delivery_goes(commit, reader):
    made = await commit(t.CreateMailbox(ALICE, "lists/dev"))
    wanted = [
        t.Deliver(ALICE, b"", mailbox="lists/dev", special_use="\\Junk"),
        t.Deliver(ALICE, b"", mailbox="gone", special_use="\\Junk", flags=Flag.SEEN, keywords=("$Junk",)),
        t.Deliver(ALICE, b"", mailbox="gone", special_use="\\Nothing"),
        t.Deliver(ALICE, b"", mailbox="Inbox"),
    ]
    done = await commit(intake(deliver=tuple(wanted)))
    junk = next(row for row in await reader.mailboxes(ALICE) if row.special_use == "\\Junk")
    assert [place.mailbox_id for place in done.stored] == [made.id, junk.id, INBOX, INBOX]
    (row,) = await reader.messages(ALICE, junk.id, [1])
    assert (row.flags, row.keywords) == (1, ("$Junk",))


async def test_over_quota_waits_on_the_local_lane(commit, reader):
    def delivery(account, quota):
        return t.Deliver(account, PREFIX, quota_bytes=quota, recipient=f"{account}!", notify=2, orcpt="rfc822;x")

    txn = intake(data=b"x" * 100, deliver=(delivery(ALICE, 50), delivery(BOB, 500), delivery(BOB, 200)))
    done = await commit(txn)
    assert [place.account for place in done.stored] == [BOB]
    assert done.deferred == (f"{ALICE}!", f"{BOB}!")
    rows = await reader.queue()
    assert [row.destination for row in rows] == [f"local/{ALICE}", f"local/{BOB}"]
    assert (rows[0].recipient, rows[0].prefix, rows[0].notify, rows[0].orcpt) == (
        f"{ALICE}!",
        PREFIX,
        2,
        "rfc822;x",
    )
    assert rows[0].due > NOON
    counters = await reader.counters()
    assert (counters["accepted"], counters["delivered"], counters["queued"]) == (3, 1, 2)


async def use_up(commit, reader, account, left):
    """Of an INBOX's UIDs so many are left: a large copy sets UIDs aside, half of what there is at most."""
    await commit(append(INBOX, b"x", account=account))
    while (free := LAST_UID - (await reader.mailbox(account, INBOX)).uidnext) > left:
        if free > 3000:
            copy = await commit(t.BeginCopy(account, INBOX, INBOX, max((free - 1002) // 2, 1)))
            await commit(t.StageCopy(account, copy.id, (1,)))
            await commit(t.FinishCopy(account, copy.id))
        else:
            uids = tuple(await reader.uids(account, INBOX))[: free - left]
            await commit(t.Copy(account, INBOX, uids, INBOX))


async def test_one_recipient_without_uids_holds_nobody_else_up(commit, reader):
    await use_up(commit, reader, ALICE, 1)
    usage, folder = await reader.usage(ALICE), await reader.mailbox(ALICE, INBOX)
    there = t.Deliver(ALICE, PREFIX, recipient="alice@a.test")
    done = await commit(intake(data=b"x" * 10, deliver=(there, t.Deliver(BOB, PREFIX), there)))
    assert [(place.account, place.uid) for place in done.stored] == [(ALICE, LAST_UID - 1), (BOB, 1)]
    assert done.deferred == ("alice@a.test",)
    assert [row.destination for row in await reader.queue()] == [f"local/{ALICE}"]
    assert await reader.usage(ALICE) == (usage[0] + len(PREFIX) + 10, usage[1] + 1)
    assert (await reader.mailbox(ALICE, INBOX)).messages == folder.messages + 1
    assert balanced(await reader.counters())
    row = (await claimed(commit, NOON + t.QUOTA_RETRY))["alice@a.test"]
    settle = (t.Settlement(row.id, row.epoch, Outcome.DELIVERED),)
    assert await refusal(commit(intake(deliver=(there,), settle=settle, count=False))) is Reason.LIMIT
    assert await refusal(commit(intake(BOB, ALICE))) is Reason.LIMIT
    assert await reader.usage(BOB) == (len(PREFIX) + 10, 1)
    assert balanced(await reader.counters())


async def test_a_retry_that_is_still_over_quota_changes_nothing(commit, reader):
    delivery = t.Deliver(ALICE, PREFIX, quota_bytes=50, recipient="alice@a.test")
    await commit(intake(data=b"x" * 100, deliver=(delivery,)))
    row = (await claimed(commit, NOON + t.QUOTA_RETRY))["alice@a.test"]
    settle = (t.Settlement(row.id, row.epoch, Outcome.DELIVERED),)
    again = intake(data=b"x" * 100, deliver=(delivery,), settle=settle, count=False)
    assert await refusal(commit(again)) is Reason.OVER_QUOTA
    assert [left.id for left in await reader.queue()] == [row.id]
    roomy = t.Deliver(ALICE, PREFIX, quota_bytes=500, recipient="alice@a.test")
    await commit(intake(data=b"x" * 100, deliver=(roomy,), settle=settle, count=False))
    assert await reader.queue() == []
    counters = await reader.counters()
    assert (counters["accepted"], counters["delivered"], counters["queued"]) == (1, 1, 0)


async def test_quota_is_decided_without_overshoot(commit, reader):
    deliver = (t.Deliver(ALICE, b"", quota_bytes=100, recipient="alice@a.test"),)
    done = [await commit(intake(data=b"x" * 30, deliver=deliver)) for _ in range(5)]
    assert [len(one.stored) for one in done] == [1, 1, 1, 0, 0]
    assert await reader.usage(ALICE) == (90, 3)


async def test_without_a_recipient_over_quota_refuses(commit, reader):
    txn = intake(data=b"x" * 100, deliver=(t.Deliver(BOB, b""), t.Deliver(ALICE, b"", quota_bytes=50)))
    assert await refusal(commit(txn)) is Reason.OVER_QUOTA
    assert await reader.usage(BOB) == (0, 0)
    assert set((await reader.counters()).values()) == {0}


async def test_a_lost_claim_undoes_the_whole_intake(commit, reader):
    await commit(intake(enqueue=(enqueue(),)))
    row = (await claimed(commit))["dave@c.test"]
    bounce = intake(ALICE, settle=(t.Settlement(row.id, row.epoch + 1, Outcome.BOUNCED),))
    assert await refusal(commit(bounce)) is Reason.FENCED
    assert await reader.usage(ALICE) == (0, 0)
    assert len(await reader.queue()) == 1
    assert balanced(await reader.counters())


async def test_a_bounce_and_its_report_are_one(commit, reader):
    await commit(intake(enqueue=(enqueue(),)))
    row = (await claimed(commit))["dave@c.test"]
    await commit(intake(ALICE, settle=(t.Settlement(row.id, row.epoch, Outcome.BOUNCED),)))
    counters = await reader.counters()
    assert (counters["accepted"], counters["delivered"], counters["bounced"], counters["queued"]) == (2, 1, 1, 0)
    assert balanced(counters)


async def test_discarded_is_counted(commit, reader):
    done = await commit(intake(discarded=2))
    assert done == t.IntakeDone((), ())
    counters = await reader.counters()
    assert (counters["accepted"], counters["discarded"]) == (2, 2)


async def test_a_retry_that_becomes_more_stays_in_balance(commit, reader):
    await commit(intake(enqueue=(enqueue("alice@a.test", destination="local/x"),)))
    row = (await claimed(commit))["alice@a.test"]
    settle = (t.Settlement(row.id, row.epoch, Outcome.DELIVERED),)
    await commit(intake(ALICE, BOB, enqueue=(enqueue(),), settle=settle, count=False))
    counters = await reader.counters()
    assert balanced(counters)
    assert (counters["delivered"], counters["queued"]) == (2, 1)
