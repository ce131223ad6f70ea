"""Conformance: the undelete window, retention, legal hold, released accounts, forgotten tombstones."""

import pytest
from stored import ALICE, BOB, INBOX, NOON, append, body_of

from postrider.store import names
from postrider.store import transactions as t
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Flag, account_of

DAY = 86400


async def refusal(awaitable):
    with pytest.raises(StoreError) as caught:
        await awaitable
    return caught.value.reason


async def expunge(commit, *uids, mailbox_id=INBOX, keep=True):
    await commit(t.SetFlags(ALICE, mailbox_id, uids, FlagChange.ADD, Flag.DELETED))
    return await commit(t.Expunge(ALICE, mailbox_id, uids, keep=keep))


async def test_what_was_expunged_can_come_back(commit, reader, clock):
    await commit(append(INBOX, b"1", b"22", b"333", flags=Flag.SEEN, keywords=("k",)))
    old = await reader.messages(ALICE, INBOX, [2, 3])
    clock.seconds += 10
    await expunge(commit, 2, 3)
    assert await reader.usage(ALICE) == (1, 1)
    rows = await reader.expunged(ALICE)
    assert [(row.mailbox, row.uid, row.email_id, row.size, row.at) for row in rows] == [
        ("INBOX", 2, old[0].email_id, 2, NOON + 10),
        ("INBOX", 3, old[1].email_id, 3, NOON + 10),
    ]
    assert (await reader.account(ALICE)).oldest_expunged == NOON + 10
    assert await reader.body(ALICE, old[0].blob) == b"22"
    assert await refusal(commit(t.Undelete(ALICE, (rows[0].id,), 2, quota_bytes=2))) is Reason.OVER_QUOTA
    done = await commit(t.Undelete(ALICE, (rows[1].id, rows[0].id, 999), 2))
    assert (done.target, done.source) == ((1, 2), (rows[0].id, rows[1].id))
    new = await reader.messages(ALICE, 2, [1, 2])
    assert [(row.email_id, row.flags, row.keywords, row.saved) for row in new] == [
        (one.email_id, Flag.SEEN, ("k",), NOON + 10) for one in old
    ]
    assert await reader.expunged(ALICE) == []
    assert await reader.usage(ALICE) == (6, 3)


async def test_a_removed_folder_is_kept_with_its_name(commit, reader):
    made = await commit(t.CreateMailbox(ALICE, "Projects/One"))
    await commit(append(made.id, *[b"%d" % n for n in range(5)]))
    await commit(t.DeleteMailbox(ALICE, made.id, keep=True))
    rows = await reader.expunged(ALICE)
    assert [(row.mailbox, row.uid) for row in rows] == [("Projects/One", uid) for uid in range(1, 6)]
    assert [row.uid for row in await reader.expunged(ALICE, after=rows[1].id, limit=2)] == [3, 4]
    back = await commit(t.CreateMailbox(ALICE, "Projects/One"))
    assert back.id != made.id
    assert back.object_id != made.object_id
    await commit(t.Undelete(ALICE, tuple(row.id for row in rows), back.id))
    assert list(await reader.uids(ALICE, back.id)) == [1, 2, 3, 4, 5]


async def test_collect_takes_what_was_expunged_before(commit, reader, clock):
    await commit(append(INBOX, b"1", b"22", b"333", b"4444"))
    rows = await reader.messages(ALICE, INBOX, [1, 2, 3, 4])
    await expunge(commit, 1, 2)
    clock.seconds += DAY
    await expunge(commit, 3)
    assert await commit(t.Collect(ALICE, NOON, 10)) == t.Collected(0, 0, more=False)
    assert await commit(t.Collect(ALICE, NOON + DAY, 1)) == t.Collected(1, 1, more=True)
    assert await commit(t.Collect(ALICE, NOON + DAY, 10)) == t.Collected(1, 2, more=False)
    assert await refusal(reader.body(ALICE, rows[1].blob)) is Reason.UNAVAILABLE
    assert await reader.body(ALICE, rows[2].blob) == b"333"
    assert [row.uid for row in await reader.expunged(ALICE)] == [3]
    assert await commit(t.Collect(BOB, NOON + DAY, 10)) == t.Collected(0, 0, more=False)


async def test_collect_forgets_old_keys(commit, reader, clock):
    await commit(t.Append(ALICE, INBOX, (t.NewMessage(body_of(b"1"), 0, b"", key=b"old"),)))
    clock.seconds += DAY
    await commit(t.Append(ALICE, INBOX, (t.NewMessage(body_of(b"2"), 0, b"", key=b"new"),)))
    assert not (await commit(t.Collect(ALICE, 0, 10, keys_before=NOON + DAY))).more
    assert await reader.appended(ALICE, [b"old", b"new"]) == {b"new"}


async def test_nothing_goes_under_legal_hold(commit, reader, clock):
    made = await commit(t.CreateMailbox(ALICE, "x"))
    await commit(append(INBOX, b"1", b"2"))
    await commit(append(made.id, b"3"))
    await commit(t.SetHold(ALICE, True))
    assert (await reader.account(ALICE)).held
    await expunge(commit, 1, keep=False)
    await commit(t.DeleteMailbox(ALICE, made.id))
    await commit(t.Replace(ALICE, INBOX, 2, append(INBOX, b"new").messages[0], INBOX))
    clock.seconds += DAY
    for txn in (
        t.Collect(ALICE, NOON + DAY, 9),
        t.Expire(ALICE, INBOX, NOON + DAY, 9),
        t.Release(ALICE),
        t.Release(ALICE, keep=True),
    ):
        assert await refusal(commit(txn)) is Reason.HELD
    assert [(row.mailbox, row.uid) for row in await reader.expunged(ALICE)] == [("INBOX", 1), ("x", 1), ("INBOX", 2)]
    await commit(t.SetHold(ALICE, False))
    assert (await commit(t.Collect(ALICE, NOON + DAY, 9))).messages == 3


async def test_what_was_saved_long_ago_expires(commit, reader, clock):
    await commit(append(INBOX, b"1", b"22"))
    clock.seconds += DAY
    await commit(append(INBOX, b"333"))
    since = (await reader.mailbox(ALICE, INBOX)).modseq
    assert await commit(t.Expire(ALICE, INBOX, NOON + DAY, 1)) == t.Collected(1, 1, more=True)
    assert await commit(t.Expire(ALICE, INBOX, NOON + DAY, 9, keep=True)) == t.Collected(1, 2, more=False)
    assert [row.uid for row in await reader.expunged(ALICE)] == [2]
    assert list(await reader.uids(ALICE, INBOX)) == [3]
    changes = await reader.changes(ALICE, INBOX, since)
    assert [gone.runs for gone in changes.vanished] == [((1, 1),), ((2, 2),)]


async def test_a_released_account_can_be_reinstated(commit, reader, clock):
    await commit(append(INBOX, b"1"))
    clock.seconds += 5
    await commit(t.Release(ALICE, keep=True))
    (row,) = await reader.accounts()
    assert (row.released, row.messages) == (NOON + 5, 1)
    assert row.name.startswith("mail/#")
    assert row.name.endswith(" alice@a.test")
    await commit(t.Release(row.name, keep=True))
    await commit(append(INBOX, b"of the next one"))
    assert await refusal(commit(t.Reinstate(row.name, ALICE))) is Reason.EXISTS
    await commit(t.Release(ALICE))
    await commit(t.Reinstate(row.name, ALICE))
    assert await reader.usage(ALICE) == (1, 1)
    assert (await reader.account(ALICE)).released == 0
    assert await refusal(commit(t.Reinstate(ALICE, BOB))) is Reason.INVALID
    await commit(t.Release(ALICE, keep=True))
    (row,) = await reader.accounts()
    await commit(t.Release(row.name))
    assert await reader.accounts() == []
    assert await reader.domain_usage("mail/a.test") == (0, 0)


async def test_accounts_are_listed_in_slices(commit, reader):
    for account in (BOB, ALICE):
        await commit(t.OpenAccount(account))
    assert [row.name for row in await reader.accounts()] == [ALICE, BOB]
    assert [row.name for row in await reader.accounts(limit=1)] == [ALICE]
    assert [row.name for row in await reader.accounts(after=ALICE)] == [BOB]
    assert await reader.account(names.released(ALICE, 7)) is None


async def test_a_reinstated_account_counts_for_the_domain_of_its_new_name(commit, reader):
    await commit(append(INBOX, b"x" * 10))
    await commit(t.Release(ALICE, keep=True))
    (row,) = [row for row in await reader.accounts() if row.released]
    elsewhere = account_of("mail", "alice@elsewhere.test")
    await commit(t.Reinstate(row.name, elsewhere))
    assert await reader.domain_usage("mail/a.test") == (0, 0)
    assert await reader.domain_usage("mail/elsewhere.test") == (10, 1)


async def test_a_change_log_has_a_limit(commit, reader, monkeypatch):
    monkeypatch.setattr(t, "MAX_LOG", 20)
    await commit(append(INBOX, *[b"x"] * 60))
    since = (await reader.mailbox(ALICE, INBOX)).modseq
    floors = []
    for uid in range(1, 60, 2):
        await expunge(commit, uid, keep=False)
        row = await reader.account(ALICE)
        floors.append(row.floor)
        told = await reader.account_changes(ALICE, row.floor, limit=1000)
        known = [*told.vanished, *(other for other in told.others if other.gone)]
        assert len(known) <= 20
        assert len(known) > 15 or not row.floor
    assert floors == sorted(floors)
    assert since < floors[-1] < row.modseq
    # Readers go on as they do when two months have passed.
    assert (await reader.account_changes(ALICE, since)).floor > since
    changes = await reader.changes(ALICE, INBOX, since)
    assert [run for gone in changes.vanished for run in gone.runs] == [(uid, uid) for uid in range(1, 60, 2)]
    changes = await reader.changes(ALICE, INBOX, row.modseq - 6)
    assert [run for gone in changes.vanished for run in gone.runs] == [(uid, uid) for uid in (55, 57, 59)]


async def test_names_that_come_and_go_do_not_let_the_log_grow(commit, reader, monkeypatch):
    monkeypatch.setattr(t, "MAX_LOG", 10)
    for number in range(40):
        await commit(t.Subscribe(ALICE, f"List {number}", subscribed=True))
        await commit(t.Subscribe(ALICE, f"List {number}", subscribed=False))
        await commit(t.Subscribe(ALICE, "INBOX", subscribed=bool(number % 2)))
    row = await reader.account(ALICE)
    gone = [other for other in (await reader.account_changes(ALICE, row.floor, limit=1000)).others if other.gone]
    assert 5 < len(gone) <= 10
    assert f"List {number}" in [other.key for other in gone]


async def test_below_the_floor_nothing_wrong_is_told(commit, reader):
    await commit(append(INBOX, *[b"x"] * 5))
    since = (await reader.mailbox(ALICE, INBOX)).modseq
    await expunge(commit, 2, keep=False)
    await expunge(commit, 4, keep=False)
    now = (await reader.account(ALICE)).modseq
    while (await commit(t.PruneTombstones(ALICE, now, 1))).more:
        pass
    assert (await reader.account(ALICE)).floor == now
    changes = await reader.changes(ALICE, INBOX, since)
    assert [gone.runs for gone in changes.vanished] == [((2, 2), (4, 4))]
    told = await reader.account_changes(ALICE, since)
    assert told.floor > since
    assert (told.messages, told.vanished, told.others) == ((), (), ())
    await expunge(commit, 5, keep=False)
    told = await reader.account_changes(ALICE, now)
    assert [(gone.first, gone.last) for gone in told.vanished] == [(5, 5)]
