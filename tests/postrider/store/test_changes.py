"""Conformance: one change log for an account, and where its emails and threads are."""

import pytest
from stored import ALICE, BOB, INBOX, append, intake

from postrider.store import transactions as t
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Flag, OtherChange, Place


async def others(reader, since):
    return {(one.kind, one.key, one.gone, one.created) for one in (await reader.account_changes(ALICE, since)).others}


async def modseq(reader):
    return (await reader.account(ALICE)).modseq


@pytest.fixture
async def opened(commit, reader):
    await commit(t.OpenAccount(ALICE))
    return await modseq(reader)


async def test_a_new_account_begins_with_its_folders(reader):
    told = await reader.account_changes(ALICE, 0)
    assert [(one.kind, one.key, one.created) for one in told.others] == [("mailbox", str(n), True) for n in range(1, 7)]
    assert await reader.account_changes(ALICE, told.modseq) == type(told)(told.modseq)


async def test_messages_are_told_as_created_updated_and_gone(commit, reader, opened):
    await commit(append(INBOX, b"1", b"2"))
    middle = await modseq(reader)
    await commit(t.SetFlags(ALICE, INBOX, (1,), FlagChange.ADD, Flag.DELETED))
    await commit(append(2, b"3"))
    told = await reader.account_changes(ALICE, middle)
    assert [(one.mailbox_id, one.uid, one.created) for one in told.messages] == [(INBOX, 1, False), (2, 1, True)]
    (row,) = await reader.messages(ALICE, INBOX, [1])
    assert told.messages[0].email_id == row.email_id
    before = await modseq(reader)
    await commit(t.Expunge(ALICE, INBOX, (1,)))
    told = await reader.account_changes(ALICE, before)
    assert [(one.mailbox_id, one.first, one.last) for one in told.vanished] == [(INBOX, 1, 1)]
    assert told.others == (OtherChange("email", row.email_id, told.modseq, True),)
    assert told.modseq == await modseq(reader)


async def test_an_email_is_gone_when_no_folder_has_it(commit, reader, opened):
    await commit(append(INBOX, b"1", flags=Flag.DELETED))
    await commit(t.Copy(ALICE, INBOX, (1,), 2))
    since = await modseq(reader)
    await commit(t.Expunge(ALICE, INBOX, (1,)))
    assert await others(reader, since) == set()
    await commit(t.Expunge(ALICE, 2, (1,), keep=True))
    ((kind, key, gone, _),) = await others(reader, since)
    assert (kind, gone) == ("email", True)
    (kept,) = await reader.expunged(ALICE)
    assert kept.email_id == key
    await commit(t.Undelete(ALICE, (kept.id,), 3))
    told = await reader.account_changes(ALICE, since)
    assert told.others == ()
    assert [(one.mailbox_id, one.email_id, one.created) for one in told.messages] == [(3, key, True)]


async def test_what_changes_nothing_is_no_change(commit, reader, opened):
    await commit(t.Subscribe(ALICE, "never", False))
    await commit(t.Subscribe(ALICE, "Sent", True))
    await commit(t.SetRights(ALICE, INBOX, BOB, ""))
    await commit(t.Annotate(ALICE, INBOX, "", (("/shared/comment", None),)))
    assert (await commit(t.PutThing(ALICE, "sieve", "main", None))).modseq == opened
    assert await modseq(reader) == opened


async def test_everything_else_is_in_it(commit, reader, opened):
    made = await commit(t.CreateMailbox(ALICE, "a/b"))
    since = await modseq(reader)
    await commit(t.RenameMailbox(ALICE, made.id, "c"))
    await commit(t.Subscribe(ALICE, "c", True))
    await commit(t.Subscribe(ALICE, "Sent", False))
    await commit(t.SetRole(ALICE, made.id, "\\Sent"))
    await commit(t.SetRights(ALICE, made.id, BOB, "lr"))
    await commit(t.Annotate(ALICE, made.id, BOB, (("/private/comment", b"c"),)))
    await commit(t.PutThing(ALICE, "sieve", "s", b""))
    number = str(made.id)
    assert await others(reader, since) == {
        ("mailbox", number, False, False),
        ("mailbox", "2", False, False),
        ("subscription", "c", False, False),
        ("subscription", "Sent", True, False),
        ("rights", f"{number}/{BOB}", False, False),
        ("annotation", f"{number}/{BOB}/private/comment", False, False),
        ("thing", "sieve/s", False, False),
    }
    assert ("mailbox", number, False, True) in await others(reader, opened)
    assert (await reader.mailbox(ALICE, 2)).special_use == ""
    folder = await reader.mailbox(ALICE, made.id)
    assert (folder.special_use, folder.created > opened, folder.changed > since) == ("\\Sent", True, True)
    since = await modseq(reader)
    await commit(t.SetRights(ALICE, made.id, BOB, ""))
    await commit(t.DeleteMailbox(ALICE, made.id))
    assert await others(reader, since) == {
        ("rights", f"{number}/{BOB}", True, False),
        ("mailbox", number, True, False),
    }


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_it_can_be_read_in_slices(commit, reader, opened, limit):
    for n in range(4):
        await commit(append(1 + n % 2, *[b"x"] * n, b"y", flags=Flag.DELETED))
        await commit(t.Subscribe(ALICE, f"name {n}", True))
    await commit(t.Copy(ALICE, INBOX, (1, 2, 3, 4), 3))
    await commit(t.Expunge(ALICE, 3, (1, 2, 3, 4)))
    whole = await reader.account_changes(ALICE, opened)
    assert not whole.more
    found, at = [], opened
    for _ in range(50):
        told = await reader.account_changes(ALICE, at, limit)
        assert told.modseq > at
        for one in (*told.messages, *told.vanished, *told.others):
            assert at < one.modseq <= told.modseq
            found.append(one)
        at = told.modseq
        if not told.more:
            break
    assert at == whole.modseq
    key = repr
    created = [one for one in found if not getattr(one, "created", False)]
    assert sorted(map(key, created)) == sorted(
        key(one) for one in (*whole.messages, *whole.vanished, *whole.others) if not getattr(one, "created", False)
    )
    assert {(one.mailbox_id, one.uid) for one in found if hasattr(one, "uid")} == {
        (one.mailbox_id, one.uid) for one in whole.messages
    }


@pytest.mark.parametrize("limit", [1, 5, 11, 12])
async def test_a_transaction_with_more_changes_than_are_asked_for_is_told_whole(commit, reader, opened, limit):
    """Its changes have one modseq: who goes on from there is not told the rest."""
    await commit(append(INBOX, *[b"%d" % n for n in range(12)]))
    before = await modseq(reader)
    await commit(t.SetFlags(ALICE, INBOX, tuple(range(1, 13)), FlagChange.ADD, Flag.SEEN))
    after = await modseq(reader)
    await commit(append(INBOX, b"one more"))
    told = await reader.account_changes(ALICE, before, limit)
    assert [one.uid for one in told.messages][:12] == list(range(1, 13))
    assert told.modseq >= after
    assert told.more == (told.modseq == after)


async def test_emails_and_threads_are_found(commit, reader):
    await commit(append(INBOX, b"1", b"2", thread_keys=(b"k",)))
    await commit(append(2, b"3", thread_keys=(b"other",)))
    await commit(t.Copy(ALICE, INBOX, (1,), 3))
    one, two = await reader.messages(ALICE, INBOX, [1, 2])
    (three,) = await reader.messages(ALICE, 2, [1])
    assert await reader.locate(ALICE, [two.email_id, one.email_id, "Mffff", "nonsense"]) == [
        Place(one.email_id, INBOX, 1),
        Place(one.email_id, 3, 1),
        Place(two.email_id, INBOX, 2),
    ]
    assert await reader.locate(BOB, [one.email_id]) == []
    assert await reader.thread(ALICE, one.thread_id) == [one.email_id, two.email_id]
    assert await reader.thread(ALICE, three.thread_id) == [three.email_id]
    assert await reader.thread(BOB, one.thread_id) == []
    await commit(t.SetFlags(ALICE, INBOX, (2,), FlagChange.ADD, Flag.DELETED))
    await commit(t.Expunge(ALICE, INBOX, (2,), keep=True))
    assert await reader.thread(ALICE, one.thread_id) == [one.email_id]


async def test_replace_is_one_change(commit, reader):
    await commit(append(INBOX, b"1" * 60))
    since = await modseq(reader)
    (new,) = append(INBOX, b"2" * 80, keywords=("k",)).messages
    small = t.Replace(ALICE, INBOX, 1, new, 3, quota_bytes=70)
    with pytest.raises(StoreError) as caught:
        await commit(small)
    assert caught.value.reason is Reason.OVER_QUOTA
    assert list(await reader.uids(ALICE, INBOX)) == [1]
    done = await commit(t.Replace(ALICE, INBOX, 1, new, 3, quota_bytes=80))
    assert (done.target, done.source) == ((1,), (1,))
    assert await reader.usage(ALICE) == (80, 1)
    (row,) = await reader.messages(ALICE, 3, [1])
    assert await reader.body(ALICE, row.blob) == b"2" * 80
    assert [gone.runs for gone in (await reader.changes(ALICE, INBOX, since)).vanished] == [((1, 1),)]
    with pytest.raises(StoreError) as caught:
        await commit(small)
    assert caught.value.reason is Reason.NO_MESSAGE


async def test_what_is_cached_can_be_made_anew(commit, reader):
    await commit(intake(ALICE))
    (row,) = await reader.messages(ALICE, INBOX, [1])
    await commit(t.Recache(ALICE, ((row.email_id, b"newer"), ("Mffff", b""), ("x", b""))))
    await commit(t.Recache(BOB, ((row.email_id, b"of somebody else"),)))
    (again,) = await reader.messages(ALICE, INBOX, [1])
    assert (again.cached, again.modseq) == (b"newer", row.modseq)
