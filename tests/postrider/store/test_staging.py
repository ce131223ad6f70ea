"""Conformance: a large copy is seen by nobody until it is finished, and then by everybody."""

import pytest
from stored import ALICE, INBOX, append, intake

from postrider.store import transactions as t
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Flag

SENT = 2


async def refusal(awaitable):
    with pytest.raises(StoreError) as caught:
        await awaitable
    return caught.value.reason


@pytest.fixture
async def source(commit):
    await commit(append(INBOX, *[b"x" * n for n in range(1, 9)], flags=Flag.SEEN, keywords=("k",)))
    await commit(append(SENT, b"there"))


async def begin(commit, messages=8, target=SENT, **quotas):
    return (await commit(t.BeginCopy(ALICE, INBOX, target, messages, 36, **quotas))).id


async def picture(reader):
    folder = await reader.mailbox(ALICE, SENT)
    changes = await reader.changes(ALICE, SENT, 0)
    return [
        folder,
        list(await reader.uids(ALICE, SENT)),
        await reader.flags(ALICE, SENT),
        await reader.messages(ALICE, SENT, range(1, 5000)),
        changes,
        await reader.account_changes(ALICE, 0),
        await reader.usage(ALICE),
    ]


async def test_nothing_is_seen_before_it_is_finished(commit, reader, source):
    before = await picture(reader)
    copy = await begin(commit)
    assert (await commit(t.StageCopy(ALICE, copy, (1, 2, 3, 77)))).source == (1, 2, 3)
    assert (await commit(t.StageCopy(ALICE, copy, (4, 5)))).source == (4, 5)
    assert await picture(reader) == before
    (row,) = await reader.messages(ALICE, INBOX, [1])
    assert [place.mailbox_id for place in await reader.locate(ALICE, [row.email_id])] == [INBOX]
    hidden = before[0].uidnext + 1000
    flags = t.SetFlags(ALICE, SENT, (hidden, hidden + 1), FlagChange.ADD, Flag.DELETED)
    assert (await commit(flags)).modseq == before[0].modseq
    assert (await commit(t.Copy(ALICE, SENT, (hidden,), 3))).target == ()
    done = await commit(t.FinishCopy(ALICE, copy))
    folder = await reader.mailbox(ALICE, SENT)
    uids = list(range(done.first, done.first + 5))
    assert (done.messages, done.uidvalidity, done.modseq) == (5, folder.uidvalidity, folder.modseq)
    assert list(await reader.uids(ALICE, SENT)) == [1, *uids]
    assert (folder.messages, folder.bytes, folder.uidnext) == (6, 20, uids[-1] + 1)
    old, new = await reader.messages(ALICE, INBOX, range(1, 6)), await reader.messages(ALICE, SENT, uids)
    assert [(row.email_id, row.flags, row.keywords) for row in new] == [
        (row.email_id, row.flags, row.keywords) for row in old
    ]
    assert await reader.usage(ALICE) == (56, 14)
    since = await reader.changes(ALICE, SENT, before[0].modseq)
    assert [row.uid for row in since.changed] == uids
    told = await reader.account_changes(ALICE, before[5].modseq)
    assert [(change.uid, change.created) for change in told.messages] == [(uid, True) for uid in uids]


async def test_deliveries_meanwhile_come_before_what_is_staged(commit, reader, source):
    copy = await begin(commit)
    await commit(t.StageCopy(ALICE, copy, tuple(range(1, 9))))
    delivered = await commit(append(SENT, b"meanwhile"))
    seen = await reader.mailbox(ALICE, SENT)
    done = await commit(t.FinishCopy(ALICE, copy))
    assert delivered.target == (2,)
    assert done.first >= seen.uidnext
    later = await commit(append(SENT, b"later"))
    assert later.target == (done.first + 8,)
    assert later.modseq > done.modseq > seen.modseq
    assert [row.uid for row in await reader.flags(ALICE, SENT, above=2)] == [
        *range(done.first, done.first + 8),
        *later.target,
    ]


async def test_one_copy_into_a_folder_at_a_time(commit, reader, source):
    first = await begin(commit)
    assert await refusal(begin(commit)) is Reason.BUSY
    other = await begin(commit, target=3)
    await commit(t.StageCopy(ALICE, first, (1,)))
    await commit(t.StageCopy(ALICE, other, (1,)))
    await commit(t.FinishCopy(ALICE, first))
    await commit(t.FinishCopy(ALICE, other))
    assert [(await reader.mailbox(ALICE, folder)).messages for folder in (SENT, 3)] == [2, 1]


async def test_copies_into_several_folders_are_finished_in_their_order(commit, reader, source):
    """A reader that goes by modseqs misses none of them, and nothing else either."""
    first, second, third = [await begin(commit, target=folder) for folder in (SENT, 3, 4)]
    for copy in (third, first, second):
        await commit(t.StageCopy(ALICE, copy, (1, 2)))
    assert await refusal(commit(t.FinishCopy(ALICE, second))) is Reason.BUSY
    await commit(append(INBOX, b"meanwhile"))
    since = (await reader.account(ALICE)).modseq
    found = []
    for copy in (first, second):
        await commit(t.FinishCopy(ALICE, copy))
        told = await reader.account_changes(ALICE, since)
        found.append([change.mailbox_id for change in told.messages])
        since = told.modseq
        await commit(append(INBOX, b"meanwhile"))
    assert (await commit(t.FinishCopy(ALICE, third))).messages == 2
    assert found == [[SENT] * 2, [INBOX] + [3] * 2]


async def test_a_copy_waits_for_none_that_was_given_up(commit, reader, source):
    first, second = [await begin(commit, target=folder) for folder in (SENT, 3)]
    await commit(t.StageCopy(ALICE, second, (1, 2)))
    assert await refusal(commit(t.FinishCopy(ALICE, second))) is Reason.BUSY
    await commit(t.DropCopy(ALICE, first))
    assert (await commit(t.FinishCopy(ALICE, second))).messages == 2


async def test_a_copy_that_is_given_up_leaves_nothing(commit, reader, source):
    before = await picture(reader)
    copy = await begin(commit)
    await commit(t.StageCopy(ALICE, copy, (1, 2, 3)))
    await commit(t.DropCopy(ALICE, copy))
    await commit(t.DropCopy(ALICE, copy))
    assert await refusal(commit(t.StageCopy(ALICE, copy, (4,)))) is Reason.AGAIN
    assert await refusal(commit(t.FinishCopy(ALICE, copy))) is Reason.AGAIN
    assert await picture(reader) == before
    assert (await commit(append(SENT, b"next"))).target == (2,)


async def test_what_is_staged_outlives_its_source(commit, reader, source):
    copy = await begin(commit)
    await commit(t.StageCopy(ALICE, copy, (8,)))
    (row,) = await reader.messages(ALICE, INBOX, [8])
    await commit(t.SetFlags(ALICE, INBOX, (8,), FlagChange.ADD, Flag.DELETED))
    await commit(t.Expunge(ALICE, INBOX, (8,)))
    assert await reader.body(ALICE, row.blob) == b"x" * 8
    await commit(t.DropCopy(ALICE, copy))
    assert await refusal(reader.body(ALICE, row.blob)) is Reason.UNAVAILABLE
    gone = [change.key for change in (await reader.account_changes(ALICE, 0)).others if change.kind == "email"]
    assert gone == [row.email_id]


async def test_quotas_are_decided_at_the_end(commit, reader, source):
    assert await refusal(begin(commit, quota_bytes=76)) is Reason.OVER_QUOTA
    copy = await begin(commit, quota_bytes=77)
    await commit(t.StageCopy(ALICE, copy, tuple(range(1, 9))))
    await commit(append(INBOX, b"one more"))
    assert await refusal(commit(t.FinishCopy(ALICE, copy, quota_bytes=77))) is Reason.OVER_QUOTA
    assert (await reader.mailbox(ALICE, SENT)).messages == 1
    assert (await commit(t.FinishCopy(ALICE, copy, quota_bytes=85))).messages == 8


async def test_a_copy_over_quota_is_refused_along_the_way(commit, reader, source):
    copy = await begin(commit, quota_bytes=77)
    await commit(append(INBOX, b"x" * 25))
    await commit(t.StageCopy(ALICE, copy, (1, 2), quota_bytes=77))
    assert await refusal(commit(t.StageCopy(ALICE, copy, (3, 4, 5), quota_bytes=77))) is Reason.OVER_QUOTA
    assert await refusal(commit(t.StageCopy(ALICE, copy, (3, 4, 5), domain_quota_bytes=77))) is Reason.OVER_QUOTA
    await commit(t.DropCopy(ALICE, copy))
    assert (await reader.mailbox(ALICE, SENT)).messages == 1


async def test_a_folder_is_removed_under_a_copy(commit, reader, source):
    made = await commit(t.CreateMailbox(ALICE, "x"))
    copy = await begin(commit, target=made.id)
    await commit(t.StageCopy(ALICE, copy, (1, 2)))
    await commit(t.DeleteMailbox(ALICE, made.id, keep=True))
    assert await refusal(commit(t.FinishCopy(ALICE, copy))) is Reason.AGAIN
    assert await reader.expunged(ALICE) == []
    assert await reader.usage(ALICE) == (41, 9)


async def test_a_copy_has_at_most_the_messages_it_was_begun_for(commit, source):
    copy = await begin(commit, messages=2)
    assert await refusal(commit(t.StageCopy(ALICE, copy, (1, 2, 3)))) is Reason.INVALID
    assert await refusal(begin(commit, messages=0, target=3)) is Reason.INVALID
    assert await refusal(begin(commit, messages=1 << 31, target=3)) is Reason.LIMIT


@pytest.mark.parametrize("left", [0, 2])
async def test_deliveries_that_use_up_the_gap_overtake_the_copy(commit, reader, source, left):
    copy = await begin(commit, messages=2)
    await commit(t.StageCopy(ALICE, copy, (1, 2)))
    await commit(append(SENT, *[b"x"] * 99))
    hidden, uidnext = 1002, 101
    while uidnext < hidden - left:
        done = await commit(t.Copy(ALICE, SENT, tuple(range(1, min(uidnext, hidden - left - uidnext + 1))), SENT))
        uidnext = done.target[-1] + 1
    if left:  # the two do not fit before what is hidden
        assert (await commit(append(SENT, b"n"))).target == (hidden - 2,)
        assert (await commit(t.Copy(ALICE, SENT, (1, 2), SENT))).target == (hidden + 2, hidden + 3)
    else:
        assert (await commit(append(SENT, b"n", b"n"))).target == (hidden + 2, hidden + 3)
    assert list(await reader.uids(ALICE, SENT))[-2:] == [hidden + 2, hidden + 3]
    assert len(await reader.uids(ALICE, SENT)) == (await reader.mailbox(ALICE, SENT)).messages
    assert await refusal(commit(t.FinishCopy(ALICE, copy))) is Reason.AGAIN
    await commit(t.DropCopy(ALICE, copy))
    assert (await commit(append(SENT, b"n"))).target == (hidden + 4,)


async def test_inbox_is_renamed_under_a_copy(commit, reader, source):
    copy = (await commit(t.BeginCopy(ALICE, SENT, INBOX, 1))).id
    await commit(t.StageCopy(ALICE, copy, (1,)))
    await commit(t.RenameMailbox(ALICE, INBOX, "old"))
    assert (await reader.mailbox(ALICE, INBOX)).messages == 0
    done = await commit(t.FinishCopy(ALICE, copy))
    assert list(await reader.uids(ALICE, INBOX)) == [done.first]
    await commit(intake(ALICE))
    assert list(await reader.uids(ALICE, INBOX)) == [done.first, done.first + 1]
