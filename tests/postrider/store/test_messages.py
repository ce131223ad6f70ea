"""Conformance: messages in folders, in every implementation."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stored import ALICE, BOB, INBOX, NOON, append, body_of, intake

from postrider.store import transactions as t
from postrider.store.conditions import AllOf, AnyOf, Between, HasFlags, HasKeyword, Opposite, holds
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Blob, Changes, Flag, FlagRow


async def refusal(awaitable):
    with pytest.raises(StoreError) as caught:
        await awaitable
    return caught.value.reason


async def test_append_keeps_what_it_was_given(commit, reader, clock):
    clock.seconds += 5
    message = t.NewMessage(body_of(b"bytes"), NOON - 99, b"c", Flag.SEEN | Flag.DRAFT, ("b", "a", "b"), (b"k",))
    done = await commit(t.Append(ALICE, INBOX, (message,)))
    (row,) = await reader.messages(ALICE, INBOX, [1])
    folder = await reader.mailbox(ALICE, INBOX)
    assert done == t.Uids(folder.uidvalidity, (1,), modseq=row.modseq)
    assert (row.flags, row.keywords, row.size, row.received, row.saved) == (17, ("a", "b"), 5, NOON - 99, NOON + 5)
    assert (row.prefix, row.cached) == (b"", b"c")
    assert await reader.body(ALICE, row.blob) == b"bytes"
    assert (folder.messages, folder.unseen, folder.deleted, folder.bytes, folder.uidnext) == (1, 0, 0, 5, 2)


async def test_append_of_many_is_all_or_nothing(commit, reader):
    done = await commit(append(INBOX, b"one", b"two", b"three"))
    assert done.target == (1, 2, 3)
    assert await reader.usage(ALICE) == (11, 3)
    over = t.Append(ALICE, INBOX, append(INBOX, b"x", b"y" * 90).messages, quota_bytes=100)
    assert await refusal(commit(over)) is Reason.OVER_QUOTA
    assert await reader.usage(ALICE) == (11, 3)
    assert list(await reader.uids(ALICE, INBOX)) == [1, 2, 3]


async def test_a_body_that_is_not_what_it_says_is_refused(commit, reader, tmp_path):
    short = t.NewMessage(t.Body(b"h" * 32, 10, b"short"), NOON, b"")
    assert await refusal(commit(t.Append(ALICE, INBOX, (short,)))) is Reason.INVALID
    spool = tmp_path / "spool"
    spool.write_bytes(b"short")
    assert await refusal(
        commit(t.Append(ALICE, INBOX, (t.NewMessage(t.Body(b"h" * 32, 10, path=str(spool)), NOON, b""),)))
    ) in (Reason.INVALID, Reason.UNAVAILABLE)
    assert await reader.usage(ALICE) == (0, 0)


async def test_large_bodies_come_by_their_spool_file(commit, reader, tmp_path):
    data = b"0123456789abcdef" * 40_000
    spool = tmp_path / "spool"
    spool.write_bytes(data)
    body = t.Body(body_of(data).hash, len(data), path=str(spool))
    message = t.NewMessage(body, NOON, b"")
    await commit(t.Append(ALICE, INBOX, (append(INBOX, b"before").messages[0], message, message)))
    await commit(append(INBOX, b"after"))
    rows = await reader.messages(ALICE, INBOX, [1, 2, 3, 4])
    assert [await reader.body(ALICE, row.blob) for row in rows] == [b"before", data, data, b"after"]
    assert await reader.body(ALICE, rows[2].blob, 16 * 39_999) == b"0123456789abcdef"
    assert await reader.body(ALICE, rows[2].blob, 5, 300_000) == data[5:300_005]
    assert await reader.body(ALICE, rows[1].blob, 3, 4) == b"3456"
    assert await reader.body(ALICE, rows[1].blob, len(data), 4) == b""


async def test_a_body_that_is_not_there_is_unavailable(reader):
    assert await refusal(reader.body(ALICE, Blob(12345, 3))) is Reason.UNAVAILABLE


async def test_flags_change_only_what_they_change(commit, reader):
    await commit(append(INBOX, b"1", b"2", b"3"))
    before = await reader.mailbox(ALICE, INBOX)
    assert (before.unseen, before.deleted) == (3, 0)
    done = await commit(t.SetFlags(ALICE, INBOX, (1, 2, 9), FlagChange.ADD, Flag.SEEN | Flag.DELETED, ("kw",)))
    assert done == t.FlagsSet(before.modseq + 1)
    assert await reader.flags(ALICE, INBOX) == [
        FlagRow(1, done.modseq, 9, ("kw",)),
        FlagRow(2, done.modseq, 9, ("kw",)),
        FlagRow(3, before.modseq, 0, ()),
    ]
    after = await reader.mailbox(ALICE, INBOX)
    assert (after.unseen, after.deleted, after.modseq) == (1, 2, done.modseq)
    same = await commit(t.SetFlags(ALICE, INBOX, (1, 2), FlagChange.ADD, Flag.SEEN))
    assert same.modseq == done.modseq
    await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.REMOVE, Flag.DELETED, ("kw", "other")))
    await commit(t.SetFlags(ALICE, INBOX, (2,), FlagChange.REPLACE, Flag.FLAGGED, ("x", "y")))
    assert [(row.flags, row.keywords) for row in await reader.flags(ALICE, INBOX, limit=2)] == [
        (1, ()),
        (4, ("x", "y")),
    ]
    last = await reader.mailbox(ALICE, INBOX)
    assert (last.unseen, last.deleted) == (2, 0)


@pytest.mark.parametrize("keyword", ["", "two words"])
async def test_what_is_no_keyword_is_refused(commit, keyword):
    await commit(append())
    change = t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, 0, (keyword,))
    assert await refusal(commit(change)) is Reason.INVALID


async def test_unchanged_since_leaves_newer_messages_alone(commit, reader):
    done = await commit(append(INBOX, b"1", b"2"))
    await commit(t.SetFlags(ALICE, INBOX, (2,), FlagChange.ADD, Flag.SEEN))
    result = await commit(t.SetFlags(ALICE, INBOX, (1, 2), FlagChange.ADD, Flag.FLAGGED, unchanged_since=done.modseq))
    assert result.modified == (2,)
    assert [row.flags for row in await reader.flags(ALICE, INBOX)] == [4, 1]


async def test_expunge_takes_what_is_deleted_and_leaves_tombstones(commit, reader):
    await commit(append(INBOX, *[b"xx"] * 6))
    await commit(t.SetFlags(ALICE, INBOX, (1, 2, 4, 6), FlagChange.ADD, Flag.DELETED))
    since = (await reader.mailbox(ALICE, INBOX)).modseq
    done = await commit(t.Expunge(ALICE, INBOX, (1, 2, 3, 4, 5)))
    assert done.uids == (1, 2, 4)
    assert done.modseq > since
    changes = await reader.changes(ALICE, INBOX, since)
    assert changes.modseq == done.modseq
    assert [(gone.modseq, gone.runs) for gone in changes.vanished] == [(done.modseq, ((1, 2), (4, 4)))]
    assert changes.changed == ()
    row = await reader.mailbox(ALICE, INBOX)
    assert (row.messages, row.deleted, row.bytes, row.uidnext) == (3, 1, 6, 7)
    assert await reader.usage(ALICE) == (6, 3)
    assert await commit(t.Expunge(ALICE, INBOX, (3, 5))) == t.Expunged(done.modseq, ())
    assert (await reader.changes(ALICE, INBOX, done.modseq)).vanished == ()


async def test_copy_keeps_flags_dates_and_emailid(commit, reader, clock):
    await commit(append(INBOX, b"1", b"22", b"333", flags=Flag.SEEN, keywords=("k",)))
    clock.seconds += 60
    done = await commit(t.Copy(ALICE, INBOX, (3, 1, 7), 2))
    old = await reader.messages(ALICE, INBOX, [1, 3])
    new = await reader.messages(ALICE, 2, done.target)
    assert (done.source, done.target) == ((1, 3), (1, 2))
    assert [row.email_id for row in new] == [row.email_id for row in old]
    assert [row.thread_id for row in new] == [row.thread_id for row in old]
    assert [(row.flags, row.keywords, row.received, row.saved) for row in new] == [(1, ("k",), NOON, NOON + 60)] * 2
    assert await reader.usage(ALICE) == (10, 5)
    sent = await reader.mailbox(ALICE, 2)
    assert (sent.messages, sent.bytes, sent.uidnext, sent.uidvalidity) == (2, 4, 3, done.uidvalidity)


async def test_a_copy_outlives_its_source(commit, reader):
    await commit(append(INBOX, b"bytes", flags=Flag.DELETED))
    await commit(t.Copy(ALICE, INBOX, (1,), 2))
    await commit(t.Expunge(ALICE, INBOX, (1,)))
    (row,) = await reader.messages(ALICE, 2, [1])
    assert await reader.body(ALICE, row.blob) == b"bytes"
    await commit(t.Expunge(ALICE, 2, (1,)))
    assert await refusal(reader.body(ALICE, row.blob)) is Reason.UNAVAILABLE


async def test_move_leaves_tombstones_and_usage_as_it_is(commit, reader):
    await commit(append(INBOX, b"1", b"2", b"3"))
    since = (await reader.mailbox(ALICE, INBOX)).modseq
    done = await commit(t.Copy(ALICE, INBOX, (1, 3), 3, move=True, quota_bytes=1))
    assert (done.source, done.target) == ((1, 3), (1, 2))
    (gone,) = (await reader.changes(ALICE, INBOX, since)).vanished
    assert gone.runs == ((1, 1), (3, 3))
    assert list(await reader.uids(ALICE, INBOX)) == [2]
    assert list(await reader.uids(ALICE, 3)) == [1, 2]
    assert await reader.usage(ALICE) == (3, 3)


async def test_copy_within_one_folder(commit, reader):
    await commit(append(INBOX, b"1", b"2"))
    assert (await commit(t.Copy(ALICE, INBOX, (1, 2), INBOX))).target == (3, 4)
    assert (await commit(t.Copy(ALICE, INBOX, (1,), INBOX, move=True))).target == (5,)
    assert list(await reader.uids(ALICE, INBOX)) == [2, 3, 4, 5]
    assert (await reader.mailbox(ALICE, INBOX)).messages == 4


async def test_copy_refuses_what_it_cannot_do_and_does_nothing(commit, reader):
    await commit(append(INBOX, b"1" * 60))
    assert await refusal(commit(t.Copy(ALICE, INBOX, (1,), 2, quota_bytes=100))) is Reason.OVER_QUOTA
    assert await refusal(commit(t.Copy(ALICE, INBOX, (1,), 99))) is Reason.NO_MAILBOX
    assert await refusal(commit(t.Copy(ALICE, 99, (1,), 2))) is Reason.NO_MAILBOX
    assert (await commit(t.Copy(ALICE, INBOX, (7,), 2))).target == ()
    assert await reader.usage(ALICE) == (60, 1)


async def test_changes_since_a_modseq(commit, reader):
    await commit(append(INBOX, b"1", b"2"))
    since = (await reader.mailbox(ALICE, INBOX)).modseq
    assert await reader.changes(ALICE, INBOX, since) == Changes(since, (), ())
    await commit(append(INBOX, b"3"))
    await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, Flag.SEEN))
    changes = await reader.changes(ALICE, INBOX, since)
    assert [(row.uid, row.flags) for row in changes.changed] == [(1, 1), (3, 0)]
    assert changes.modseq == max(row.modseq for row in changes.changed)
    assert (await reader.changes(ALICE, 77, 5)).changed == ()


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
async def test_changes_in_slices(commit, reader, limit):
    since = (await commit(append(INBOX, b"1"))).modseq
    for count in (1, 3, 2):
        await commit(append(INBOX, *[b"x"] * count, flags=Flag.DELETED))
        await commit(append(INBOX, b"y"))
    await commit(t.Expunge(ALICE, INBOX, (2, 5)))
    await commit(t.SetFlags(ALICE, INBOX, (1, 3, 8), FlagChange.ADD, Flag.SEEN))
    await commit(t.Expunge(ALICE, INBOX, (6, 8)))
    whole = await reader.changes(ALICE, INBOX, since)
    assert not whole.more
    changed, vanished, at = [], [], since
    while True:
        some = await reader.changes(ALICE, INBOX, at, limit=limit)
        assert all(at < one.modseq <= some.modseq for one in (*some.changed, *some.vanished))
        changed += some.changed
        vanished += some.vanished
        at = some.modseq
        if not some.more:
            break
    assert at == whole.modseq
    assert sorted(changed, key=lambda row: row.uid) == list(whole.changed)
    assert vanished == list(whole.vanished)


async def test_flags_in_slices(commit, reader):
    await commit(append(INBOX, *[b"x"] * 5))
    assert [row.uid for row in await reader.flags(ALICE, INBOX, above=2, limit=2)] == [3, 4]
    assert [row.uid for row in await reader.flags(ALICE, INBOX, above=4)] == [5]


async def test_uids_with_and_without_gaps(commit, reader):
    assert list(await reader.uids(ALICE, INBOX)) == []
    await commit(append(INBOX, *[b"x"] * 9))
    assert list(await reader.uids(ALICE, INBOX)) == list(range(1, 10))
    assert list(await reader.uids(ALICE, INBOX, above=6)) == [7, 8, 9]
    await commit(t.SetFlags(ALICE, INBOX, (1, 4, 9), FlagChange.ADD, Flag.DELETED))
    await commit(t.Expunge(ALICE, INBOX, (1, 4, 9)))
    assert list(await reader.uids(ALICE, INBOX)) == [2, 3, 5, 6, 7, 8]
    assert list(await reader.uids(ALICE, INBOX, above=4)) == [5, 6, 7, 8]
    assert list(await reader.uids(ALICE, INBOX, above=8)) == []
    assert list(await reader.uids(ALICE, 99)) == []


async def test_uids_of_many(commit, reader):
    await commit(append(INBOX, *[b"x"] * 100))
    for count in (100, 200, 400, 800):
        await commit(t.Copy(ALICE, INBOX, tuple(range(1, count + 1)), INBOX))
    gone = (1, 2, *range(300, 600), 700, *range(900, 1500, 2), 1600)
    await commit(t.SetFlags(ALICE, INBOX, gone, FlagChange.ADD, Flag.DELETED))
    await commit(t.Expunge(ALICE, INBOX, gone))
    left = [uid for uid in range(1, 1601) if uid not in gone]
    assert list(await reader.uids(ALICE, INBOX)) == left
    assert [row.uid for row in await reader.flags(ALICE, INBOX)] == left
    assert list(await reader.uids(ALICE, INBOX, above=650)) == [uid for uid in left if uid > 650]


async def test_threads_follow_the_keys(commit, reader):
    for keys in ((b"a",), (b"b",), (b"c", b"a"), (b"d", b"c"), (), (b"e", b"b", b"a")):
        await commit(intake(ALICE, thread_keys=keys))
    rows = await reader.messages(ALICE, INBOX, range(1, 7))
    threads = [row.thread_id for row in rows]
    assert threads[0] == threads[2] == threads[3]
    assert threads[1] == threads[5] != threads[0]
    assert threads[4] not in threads[:4]
    assert len({row.email_id for row in rows}) == 6


async def test_a_thread_ends_with_its_last_message(commit, reader):
    await commit(append(INBOX, b"1", thread_keys=(b"k",), flags=Flag.DELETED))
    (old,) = await reader.messages(ALICE, INBOX, [1])
    await commit(t.Expunge(ALICE, INBOX, (1,)))
    await commit(append(INBOX, b"2", thread_keys=(b"k",)))
    (new,) = await reader.messages(ALICE, INBOX, [2])
    assert new.thread_id != old.thread_id


async def test_the_feed_tells_every_front(fronts, commit):
    watches = [front.feed.watch(ALICE) for front in fronts]
    others = [front.feed.watch(BOB) for front in fronts]
    await commit(append())
    async with asyncio.timeout(30):
        for watch in watches:
            await anext(watch)
    await commit(intake(BOB))
    async with asyncio.timeout(30):
        for watch in others:
            await anext(watch)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await anext(watches[0])


async def test_many_transactions_at_once_keep_their_order_and_answers(commit, reader):
    results = await asyncio.gather(*(commit(append(INBOX, b"%d" % n)) for n in range(300)))
    rows = await reader.messages(ALICE, INBOX, [uid for result in results for uid in result.target])
    assert [await reader.body(ALICE, row.blob) for row in rows] == [b"%d" % n for n in range(300)]
    assert [result.target for result in results] == [(n + 1,) for n in range(300)]


KEYWORDS = ("$Junk", "work", "a")
numbers = st.none() | st.integers(0, 60)
conditions = st.recursive(
    st.one_of(
        st.builds(HasFlags, st.integers(0, 31)),
        st.builds(HasKeyword, st.sampled_from(["$junk", "WORK", "a", "or"])),
        st.builds(Between, st.just("size"), numbers, numbers),
        st.builds(
            Between, st.sampled_from(["received", "saved"]), st.none() | st.integers(NOON - 9, NOON + 9), numbers
        ),
    ),
    lambda inner: st.one_of(
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Opposite, inner),
    ),
    max_leaves=6,
)


async def test_conditions_are_tested_as_they_are_defined(commit, reader, clock):
    chance = random.Random(4)
    for _ in range(40):
        clock.seconds = NOON + chance.randint(-9, 9)
        words = tuple(chance.sample(KEYWORDS, chance.randint(0, 3)))
        body = body_of(b"x" * chance.randint(0, 60))
        message = t.NewMessage(body, NOON + chance.randint(-9, 9), b"", chance.randint(0, 31), words)
        await commit(t.Append(ALICE, INBOX, (message,)))
    await commit(t.SetFlags(ALICE, INBOX, (7, 8), FlagChange.ADD, Flag.DELETED, ()))
    await commit(t.Expunge(ALICE, INBOX, (7, 8)))
    rows = await reader.messages(ALICE, INBOX, range(1, 41))

    @settings(max_examples=40, deadline=None)
    @given(conditions, st.integers(0, 45), st.integers(0, 45))
    def check(condition, first, last):
        asking = reader.select(ALICE, INBOX, condition, first, last)
        with pytest.raises(StopIteration) as done:  # an embedded reader answers without waiting
            asking.send(None)
        right = [row.uid for row in rows if first <= row.uid <= last and holds(condition, row)]
        assert list(done.value.value) == right

    check()


async def test_keywords_are_told_apart_in_no_case(commit, reader):
    await commit(append(INBOX, b"1", keywords=("Work", "work")))

    async def stored(change, *words):
        await commit(t.SetFlags(ALICE, INBOX, (1,), change, 0, words))
        (row,) = await reader.flags(ALICE, INBOX)
        return row.keywords

    assert await stored(FlagChange.ADD, "wORK", "$Junk", "$JUNK") == ("$Junk", "Work")
    assert await stored(FlagChange.REPLACE, "$junk", "new") == ("$Junk", "new")
    assert await stored(FlagChange.REMOVE, "NEW") == ("$Junk",)


async def test_keywords_of_a_message_are_not_without_end(commit, reader):
    await commit(append())
    words = tuple(f"k{number:04}" for number in range(t.MAX_KEYWORDS))
    await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, 0, words))
    for change, more in ((FlagChange.ADD, ("one", words[0])), (FlagChange.REPLACE, (*words, "one"))):
        with pytest.raises(StoreError) as refused:
            await commit(t.SetFlags(ALICE, INBOX, (1,), change, 0, more))
        assert refused.value.reason is Reason.LIMIT
    await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, Flag.SEEN, words[:3]))
    (row,) = await reader.flags(ALICE, INBOX)
    assert (row.flags, row.keywords) == (Flag.SEEN, words)
