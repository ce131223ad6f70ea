"""Conformance: accounts and folders, in every implementation."""

import pytest
from stored import ALICE, BOB, INBOX, append, intake

from postrider.store import names
from postrider.store import transactions as t
from postrider.store.transactions import Reason, StoreError


def by_name(rows):
    return {row.name: row for row in rows}


async def refusal(awaitable):
    with pytest.raises(StoreError) as caught:
        await awaitable
    return caught.value.reason


async def test_an_account_has_its_folders_before_anything_came(reader):
    rows = await reader.mailboxes(ALICE)
    assert [(row.name, row.special_use) for row in rows] == [
        ("Archive", "\\Archive"),
        ("Drafts", "\\Drafts"),
        ("INBOX", ""),
        ("Junk", "\\Junk"),
        ("Sent", "\\Sent"),
        ("Trash", "\\Trash"),
    ]
    assert all(row.subscribed and row.uidnext == 1 for row in rows)
    assert len({row.uidvalidity for row in rows}) == len({row.object_id for row in rows}) == 6
    assert rows == await reader.mailboxes(ALICE)
    assert by_name(rows)["INBOX"].id == INBOX


async def test_create_makes_the_parents(commit, reader):
    made = await commit(t.CreateMailbox(ALICE, "a/b/c"))
    rows = by_name(await reader.mailboxes(ALICE))
    assert {"a", "a/b", "a/b/c"} <= rows.keys()
    assert (rows["a/b/c"].id, rows["a/b/c"].object_id) == (made.id, made.object_id)
    assert not rows["a/b/c"].subscribed
    assert await refusal(commit(t.CreateMailbox(ALICE, "a/b"))) is Reason.EXISTS
    assert await refusal(commit(t.CreateMailbox(ALICE, "inbox"))) is Reason.EXISTS


@pytest.mark.parametrize("name", ["", "/", "/a", "a//b", "a\nb", "a\x7f", "x" * 1001, "\ud800"])
async def test_names_no_folder_can_have(commit, reader, name):
    before = await reader.mailboxes(ALICE)
    try:
        assert await refusal(commit(t.CreateMailbox(ALICE, name))) is Reason.INVALID
    except UnicodeEncodeError:  # it cannot even be said to the writer
        assert name == "\ud800"
    assert await reader.mailboxes(ALICE) == before


async def test_inbox_has_one_spelling(commit, reader):
    await commit(t.CreateMailbox(ALICE, "iNbOx/lists"))
    assert "INBOX/lists" in by_name(await reader.mailboxes(ALICE))


async def test_a_name_made_again_has_another_uidvalidity_and_id(commit, reader):
    seen = set()
    for _ in range(3):
        made = await commit(t.CreateMailbox(ALICE, "again"))
        row = await reader.mailbox(ALICE, made.id)
        seen.add((row.uidvalidity, row.object_id, row.id))
        await commit(t.DeleteMailbox(ALICE, made.id))
        assert await reader.mailbox(ALICE, made.id) is None
    assert all(len(set(column)) == 3 for column in zip(*seen, strict=True))


async def test_delete_takes_the_messages_along(commit, reader):
    made = await commit(t.CreateMailbox(ALICE, "old"))
    await commit(append(made.id, *[b"x"] * 3))
    assert await reader.usage(ALICE) == (3, 3)
    await commit(t.DeleteMailbox(ALICE, made.id))
    assert await reader.usage(ALICE) == (0, 0)
    assert await refusal(commit(append(made.id))) is Reason.NO_MAILBOX
    assert await refusal(commit(t.DeleteMailbox(ALICE, made.id))) is Reason.NO_MAILBOX


async def test_inbox_and_folders_with_children_stay(commit):
    parent = await commit(t.CreateMailbox(ALICE, "parent"))
    await commit(t.CreateMailbox(ALICE, "parent/child"))
    assert await refusal(commit(t.DeleteMailbox(ALICE, INBOX))) is Reason.INVALID
    assert await refusal(commit(t.DeleteMailbox(ALICE, parent.id))) is Reason.HAS_CHILDREN


async def test_rename_takes_the_folders_below_along(commit, reader):
    top = await commit(t.CreateMailbox(ALICE, "top"))
    below = await commit(t.CreateMailbox(ALICE, "top/below"))
    await commit(t.CreateMailbox(ALICE, "topping"))
    await commit(append(below.id))
    before = await reader.mailbox(ALICE, below.id)
    await commit(t.RenameMailbox(ALICE, top.id, "new/place"))
    rows = by_name(await reader.mailboxes(ALICE))
    assert {"new", "new/place", "new/place/below", "topping"} <= rows.keys()
    assert "top" not in rows
    after = rows["new/place/below"]
    assert (after.id, after.uidvalidity, after.object_id, after.messages) == (
        before.id,
        before.uidvalidity,
        before.object_id,
        1,
    )


async def test_rename_refuses_what_is_there_and_what_is_below_itself(commit):
    a = await commit(t.CreateMailbox(ALICE, "a"))
    assert await refusal(commit(t.RenameMailbox(ALICE, a.id, "Sent"))) is Reason.EXISTS
    assert await refusal(commit(t.RenameMailbox(ALICE, a.id, "a/b"))) is Reason.INVALID
    assert await refusal(commit(t.RenameMailbox(ALICE, 999, "b"))) is Reason.NO_MAILBOX


async def test_rename_of_inbox_moves_its_messages(commit, reader):
    await commit(intake(ALICE))
    await commit(append(INBOX, b"two", flags=1))
    old = await reader.messages(ALICE, INBOX, [1, 2])
    since = (await reader.mailbox(ALICE, INBOX)).modseq
    await commit(t.RenameMailbox(ALICE, INBOX, "INBOX/2026"))
    rows = by_name(await reader.mailboxes(ALICE))
    assert (rows["INBOX"].id, rows["INBOX"].messages, rows["INBOX"].unseen, rows["INBOX"].bytes) == (INBOX, 0, 0, 0)
    assert rows["INBOX"].uidnext == 3
    moved = rows["INBOX/2026"]
    assert (moved.messages, moved.unseen) == (2, 1)
    new = await reader.messages(ALICE, moved.id, [1, 2])
    assert [row.email_id for row in new] == [row.email_id for row in old]
    (gone,) = (await reader.changes(ALICE, INBOX, since)).vanished
    assert gone.runs == ((1, 2),)
    assert [row.uid for row in (await reader.changes(ALICE, moved.id, since)).changed] == [1, 2]


async def test_subscriptions_are_names(commit, reader):
    made = await commit(t.CreateMailbox(ALICE, "lists"))
    await commit(t.Subscribe(ALICE, "lists", True))
    await commit(t.Subscribe(ALICE, "not/there", True))
    await commit(t.Subscribe(ALICE, "Junk", False))
    assert (await reader.mailbox(ALICE, made.id)).subscribed
    assert not by_name(await reader.mailboxes(ALICE))["Junk"].subscribed
    await commit(t.DeleteMailbox(ALICE, made.id))
    assert await reader.subscriptions(ALICE) == [
        "Archive",
        "Drafts",
        "INBOX",
        "Sent",
        "Trash",
        "lists",
        "not/there",
    ]


async def test_recent_is_taken_once(commit, reader):
    await commit(intake(ALICE))
    await commit(intake(ALICE))
    assert (await reader.mailbox(ALICE, INBOX)).recent == 1
    assert await commit(t.TouchRecent(ALICE, INBOX)) == t.Recent(1, 3)
    assert await commit(t.TouchRecent(ALICE, INBOX)) == t.Recent(3, 3)
    assert (await reader.mailbox(ALICE, INBOX)).recent == 3


async def test_a_released_account_begins_anew(commit, reader):
    await commit(intake(ALICE, BOB))
    old_row = await reader.mailbox(ALICE, INBOX)
    (old,) = await reader.messages(ALICE, INBOX, [1])
    await commit(t.Release(ALICE))
    assert await reader.usage(ALICE) == (0, 0)
    assert (await reader.mailbox(ALICE, INBOX)).uidvalidity != old_row.uidvalidity
    await commit(intake(ALICE))
    (new,) = await reader.messages(ALICE, INBOX, [1])
    assert new.email_id != old.email_id
    assert await reader.usage(BOB) == (old.size, 1)


async def test_accounts_do_not_see_each_other(commit, reader):
    made = await commit(t.CreateMailbox(ALICE, "mine"))
    await commit(append(made.id))
    assert await reader.mailbox(BOB, made.id) is None
    assert await reader.flags(BOB, made.id) == []
    assert await refusal(commit(t.DeleteMailbox(BOB, made.id))) is Reason.NO_MAILBOX


async def test_a_rename_makes_no_more_parents_than_there_may_be_folders(commit, reader, monkeypatch):
    made = await commit(t.CreateMailbox(ALICE, "here"))
    before = [row.name for row in await reader.mailboxes(ALICE)]
    monkeypatch.setattr(names, "MAX_MAILBOXES", len(before) + 2)
    with pytest.raises(StoreError) as refused:
        await commit(t.RenameMailbox(ALICE, made.id, "a/b/c/there"))
    assert refused.value.reason is Reason.INVALID
    assert [row.name for row in await reader.mailboxes(ALICE)] == before
    await commit(t.RenameMailbox(ALICE, made.id, "a/b/there"))
