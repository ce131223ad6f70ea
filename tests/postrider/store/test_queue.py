"""Conformance: the queue, its claims and their fences, and small values that expire; in every implementation."""

import asyncio

import memory_disk
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stored import ALICE, EVERY_LANE, NOON, StillClock, balanced, enqueue, intake

from postrider.store import transactions as t
from postrider.store.open import Options, open_local
from postrider.store.transactions import Outcome, QueueAdmin, Reason, StoreError
from postrider.store.values import lane_of


async def refusal(awaitable):
    with pytest.raises(StoreError) as caught:
        await awaitable
    return caught.value.reason


def claim(now=NOON, seconds=60, limit=100, lanes=EVERY_LANE, busy=()):
    return t.Claim(lanes, now, seconds, limit, busy)


def settle(row, outcome=Outcome.DELIVERED, **fields):
    return t.Settle((t.Settlement(row.id, row.epoch, outcome, **fields),))


async def test_a_row_says_all_that_came_with_it(commit, reader):
    txn = intake(
        enqueue=(enqueue(notify=4, orcpt="rfc822;dave@c.test"),),
        sender="carol@b.test",
        ret="HDRS",
        envid="id-1",
        body_type="8BITMIME",
        smtputf8=True,
        account=ALICE,
    )
    (row_id,) = (await commit(txn)).queued
    (row,) = await reader.queue()
    assert (row.id, row.lane, row.destination) == (row_id, lane_of("c.test"), "c.test")
    assert (row.sender, row.recipient, row.prefix) == ("carol@b.test", "dave@c.test", b"Received: here\r\n")
    assert (row.notify, row.orcpt, row.ret, row.envid) == (4, "rfc822;dave@c.test", "HDRS", "id-1")
    assert (row.body, row.smtputf8, row.account) == ("8BITMIME", True, ALICE)
    assert (row.created, row.due, row.attempts, row.epoch, row.state) == (NOON, NOON, 0, 0, "ready")
    assert await reader.body(ALICE, row.blob) == txn.body.data
    (mine,) = await commit(claim())
    assert (mine.state, mine.id) == ("claimed", row_id)
    assert mine.epoch > 0


async def test_claims_take_due_rows_of_their_lanes_oldest_first(commit):
    rows = [enqueue(f"x@d{n}.test", due=NOON - n) for n in range(6)] + [enqueue("x@later.test", due=NOON + 1)]
    await commit(intake(enqueue=tuple(rows)))
    assert await commit(claim(lanes=())) == ()
    first = await commit(claim(limit=2))
    assert [row.destination for row in first] == ["d5.test", "d4.test"]
    busy = await commit(claim(limit=2, busy=("d3.test",)))
    assert [row.destination for row in busy] == ["d2.test", "d1.test"]
    mine = await commit(claim(lanes=(lane_of("d3.test"),)))
    assert [row.destination for row in mine] == ["d3.test"]
    assert [row.destination for row in await commit(claim())] == ["d0.test"]
    assert await commit(claim()) == ()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_claims_are_those_of_all_due_rows_by_time(data):
    """Whatever happened to the rows before: the first of all that are ready, due, of our lanes, and not busy."""
    with memory_disk.directory() as path:
        asyncio.run(_claims_against_all_rows(path, data.draw))


async def _claims_against_all_rows(path, draw):
    options = Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False, wait=0, pack_size=256 * 1024)
    store = open_local(path, options)
    names = [f"d{n}.test" for n in range(5)]
    some, moment = st.lists(st.sampled_from(names), max_size=3, unique=True), st.integers(NOON - 5, NOON + 5)
    claimed = []
    for _ in range(draw(st.integers(1, 12))):
        for name in draw(st.lists(st.sampled_from(names), max_size=4)):
            await store.writer.commit(intake(enqueue=(enqueue(f"x@{name}", due=draw(moment)),)))
        rows = await store.reader.queue(limit=1000)
        match draw(st.sampled_from(["claim", "settle", "retry", "hold", "release", "now", "remove"])):
            case "settle" if claimed:
                await store.writer.commit(settle(claimed.pop()))
            case "retry" if claimed:
                await store.writer.commit(settle(claimed.pop(), Outcome.RETRY, due=draw(moment)))
            case ("hold" | "release" | "now" | "remove") as action if rows:
                way = {"hold": QueueAdmin.HOLD, "release": QueueAdmin.RELEASE, "now": QueueAdmin.RETRY}
                ids = tuple(row.id for row in draw(st.lists(st.sampled_from(rows), max_size=2)))
                free = tuple(id_ for id_ in ids if id_ not in {row.id for row in claimed})
                await store.writer.commit(t.Administer(free, way.get(action, QueueAdmin.REMOVE), NOON - 3))
        now, limit, busy = draw(moment), draw(st.integers(1, 6)), tuple(draw(some))
        lanes = tuple(lane_of(name) for name in names if name not in draw(some))
        ready = [row for row in await store.reader.queue(limit=1000) if row.state == "ready" and row.lane in lanes]
        due = sorted((row.due, row.id) for row in ready if row.due <= now and row.destination not in busy)
        soon = min((row.due for row in ready), default=None)
        if not any(row.lane in lanes for row in claimed):
            assert await store.reader.next_due(lanes) == soon
        taken = await store.writer.commit(claim(now, 10_000, limit, lanes, busy))
        assert [row.id for row in taken] == [id_ for _, id_ in due[:limit]]
        claimed += taken
    await store.close()


async def test_nobody_gets_a_row_twice(fronts):
    await fronts[0].writer.commit(intake(enqueue=tuple(enqueue(f"x@d{n}.test") for n in range(60))))
    taken = await asyncio.gather(*(fronts[n % 2].writer.commit(claim(limit=7)) for n in range(20)))
    ids = [row.id for rows in taken for row in rows]
    assert len(ids) == len(set(ids)) == 60


async def test_settled_rows_are_gone_and_counted(commit, reader):
    outcomes = [Outcome.DELIVERED, Outcome.BOUNCED, Outcome.EXPIRED, Outcome.REMOVED]
    await commit(intake(enqueue=tuple(enqueue(f"x@d{n}.test") for n in range(4))))
    rows = await commit(claim())
    for row, outcome in zip(rows, outcomes, strict=True):
        await commit(settle(row, outcome))
    assert await reader.queue() == []
    counters = await reader.counters()
    assert counters == {
        "accepted": 4,
        "delivered": 1,
        "queued": 0,
        "bounced": 1,
        "expired": 1,
        "removed": 1,
        "discarded": 0,
    }
    assert await refusal(reader.body(ALICE, rows[0].blob)) is Reason.UNAVAILABLE


async def test_a_retry_goes_back_and_remembers(commit, reader):
    await commit(intake(enqueue=(enqueue(),)))
    (row,) = await commit(claim())
    await commit(settle(row, Outcome.RETRY, due=NOON + 300, reply="451 4.7.1 later", delay_told=True))
    (left,) = await reader.queue()
    assert (left.attempts, left.due, left.last_reply, left.delay_told) == (1, NOON + 300, "451 4.7.1 later", True)
    assert await commit(claim(NOON + 299)) == ()
    assert await refusal(commit(settle(row))) is Reason.FENCED
    (again,) = await commit(claim(NOON + 300))
    assert again.epoch > row.epoch


async def test_a_claim_that_ran_out_is_free_and_its_holder_fenced(commit):
    await commit(intake(enqueue=(enqueue(),)))
    (frozen,) = await commit(claim(NOON, 60))
    assert await commit(claim(NOON + 59)) == ()
    (other,) = await commit(claim(NOON + 60))
    assert other.epoch > frozen.epoch
    assert await refusal(commit(t.Renew(frozen.id, frozen.epoch, NOON + 60, 60))) is Reason.FENCED
    assert await refusal(commit(settle(frozen))) is Reason.FENCED
    assert await refusal(commit(settle(frozen, Outcome.RETRY))) is Reason.FENCED
    await commit(settle(other))


async def test_claims_of_a_dead_front_are_free_on_its_lanes_alone(commit, reader):
    destinations = ("d0.test", "d1.test", "d2.test")
    await commit(intake(enqueue=tuple(enqueue(f"x@{name}", destination=name) for name in destinations)))
    dead, other, held = sorted(await commit(claim()), key=lambda row: row.destination)
    assert len({dead.lane, other.lane, held.lane}) == 3
    await commit(t.Administer((held.id,), QueueAdmin.HOLD, NOON))
    await commit(t.FreeClaims((dead.lane, held.lane)))
    assert {row.id: row.state for row in await reader.queue()} == {
        dead.id: "ready",
        other.id: "claimed",
        held.id: "held",
    }
    (again,) = await commit(claim())
    assert again.id == dead.id
    assert await refusal(commit(settle(dead))) is Reason.FENCED
    await commit(settle(other))
    await commit(settle(again))


async def test_a_settlement_that_a_dead_front_left_behind_counts(commit, reader):
    await commit(intake(enqueue=(enqueue(),)))
    (row,) = await commit(claim())
    await commit(t.FreeClaims(EVERY_LANE))
    await commit(settle(row))
    assert await reader.queue() == []


async def test_renewing_keeps_a_claim(commit, reader):
    await commit(intake(enqueue=(enqueue(),)))
    (row,) = await commit(claim(NOON, 60))
    await commit(t.Renew(row.id, row.epoch, NOON + 50, 600))
    assert await commit(claim(NOON + 100)) == ()
    assert await reader.next_due(EVERY_LANE) == NOON + 650
    await commit(settle(row))


async def test_settling_is_all_or_nothing(commit, reader):
    await commit(intake(enqueue=(enqueue("a@d.test"), enqueue("b@d.test"))))
    one, two = await commit(claim())
    both = (t.Settlement(one.id, one.epoch, Outcome.DELIVERED), t.Settlement(two.id, two.epoch + 1, Outcome.DELIVERED))
    assert await refusal(commit(t.Settle(both))) is Reason.FENCED
    assert len(await reader.queue()) == 2
    twice = (t.Settlement(one.id, one.epoch, Outcome.DELIVERED),) * 2
    assert await refusal(commit(t.Settle(twice))) is Reason.FENCED
    assert balanced(await reader.counters())


async def test_a_row_never_claimed_cannot_be_settled(commit, reader):
    await commit(intake(enqueue=(enqueue(),)))
    (row,) = await reader.queue()
    assert await refusal(commit(settle(row))) is Reason.FENCED
    assert await refusal(commit(t.Renew(row.id, 0, NOON, 60))) is Reason.FENCED


async def test_when_the_next_row_is_due(commit, reader):
    assert await reader.next_due(EVERY_LANE) is None
    await commit(intake(enqueue=(enqueue("x@c.test", due=NOON + 9), enqueue("x@d.test", due=NOON + 5))))
    assert await reader.next_due(EVERY_LANE) == NOON + 5
    assert await reader.next_due((lane_of("c.test"),)) == NOON + 9
    assert await reader.next_due(()) is None


async def test_administration(commit, reader):
    await commit(intake(enqueue=tuple(enqueue(f"x@d{n}.test", due=NOON + 99) for n in range(3))))
    held, soon, gone = [row.id for row in await reader.queue()]
    await commit(t.Administer((held,), QueueAdmin.HOLD, NOON))
    await commit(t.Administer((soon, held), QueueAdmin.RETRY, NOON))
    await commit(t.Administer((gone, 12345), QueueAdmin.REMOVE, NOON))
    assert [row.id for row in await commit(claim(seconds=600))] == [soon]
    await commit(t.Administer((held,), QueueAdmin.RELEASE, NOON))
    assert [row.id for row in await commit(claim(NOON + 99))] == [held]
    counters = await reader.counters()
    assert (counters["queued"], counters["removed"]) == (2, 1)


@pytest.mark.parametrize("action", [QueueAdmin.RELEASE, QueueAdmin.RETRY])
async def test_what_an_administrator_does_takes_no_row_from_who_sends_it(commit, action):
    await commit(intake(enqueue=(enqueue(),)))
    (row,) = await commit(claim())
    await commit(t.Administer((row.id,), action, NOON))
    assert await commit(claim()) == ()
    await commit(settle(row))


async def test_a_row_held_while_it_is_sent_is_not_sent_again(commit, reader):
    await commit(intake(enqueue=(enqueue(),)))
    (row,) = await commit(claim())
    await commit(t.Administer((row.id,), QueueAdmin.HOLD, NOON))
    assert await refusal(commit(t.Renew(row.id, row.epoch, NOON, 60))) is Reason.FENCED
    await commit(settle(row, Outcome.RETRY, due=NOON))
    assert await commit(claim(NOON + 1000)) == ()
    assert [left.state for left in await reader.queue()] == ["held"]


async def test_queue_pages(commit, reader):
    done = await commit(intake(enqueue=tuple(enqueue(f"x@d{n}.test") for n in range(5))))
    page = await reader.queue(limit=2)
    assert tuple(row.id for row in [*page, *await reader.queue(after=page[-1].id)]) == done.queued


async def test_the_feed_tells_of_the_queue(fronts, commit):
    watches = [front.feed.watch_queue() for front in fronts]
    await commit(intake(enqueue=(enqueue(),)))
    async with asyncio.timeout(30):
        for watch in watches:
            await anext(watch)


async def test_small_values_expire(commit, reader, clock):
    await commit(t.Remember("vanished/x@a.test", b"1", NOON + 60))
    await commit(t.Remember("vanished/x@a.test", b"2", NOON + 120))
    assert await reader.recall("vanished/x@a.test", NOON + 119) == b"2"
    assert await reader.recall("vanished/x@a.test", NOON + 120) is None
    assert await reader.recall("other", NOON) is None
    clock.seconds += 1000
    await commit(t.Remember("other", b"", NOON + 2000))
    assert await reader.recall("vanished/x@a.test", NOON) is None
