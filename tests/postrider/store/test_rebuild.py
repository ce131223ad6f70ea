"""A database made again from the packs is what it was; what the journal does not have is delivered again."""

import asyncio
import contextlib
import os
import shutil

import apsw
import memory_disk
import pytest
from histories import transactions
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rows_of import again, dump, lose
from stored import ALICE, BOB, EVERY_LANE, INBOX, MASTERS, NOON, StillClock, append, balanced, enqueue, intake

from postrider.store import journal
from postrider.store import transactions as t
from postrider.store.codecs import FRAME
from postrider.store.directory import CannotOpen
from postrider.store.open import Options, keyring, open_local, verify
from postrider.store.pack_files import PackFile, pack_path
from postrider.store.records import FILE_HEADER
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.survey import look_through
from postrider.store.transactions import Outcome, StoreError


@pytest.fixture
async def busy(data, options):
    """A store where a bit of everything happened."""
    store = open_local(data, options)
    commit = store.writer.commit
    for n in range(9):
        await commit(intake(ALICE, BOB, data=b"%d" % n * 9000, enqueue=(enqueue(),), thread_keys=(b"%d" % (n % 2),)))
    made = await commit(t.CreateMailbox(ALICE, "one/two"))
    await commit(append(made.id, b"three", b"four", flags=8, keywords=("word",)))
    await commit(t.SetFlags(ALICE, INBOX, (1, 2, 3), t.FlagChange.ADD, 9, ("other",)))
    await commit(t.Expunge(ALICE, INBOX, (2,)))
    await commit(t.Copy(ALICE, INBOX, (3, 4), made.id))
    await commit(t.Copy(ALICE, INBOX, (5, 6), made.id, move=True))
    await commit(t.Subscribe(BOB, "not there", True))
    await commit(t.RenameMailbox(BOB, 3, "renamed"))
    await commit(t.DeleteMailbox(BOB, 4))
    await commit(t.SetRights(ALICE, made.id, "mail/bob@a.test", "lrs"))
    await commit(t.Annotate(ALICE, 0, "", (("/shared/comment", b"hello"),)))
    await commit(t.PutThing(ALICE, "sieve", "main", b"keep;"))
    await commit(t.Remember("key", b"value", NOON + 100))
    (row, *_) = await commit(t.Claim(EVERY_LANE, NOON, 60, 3))
    await commit(t.Settle((t.Settlement(row.id, row.epoch, Outcome.BOUNCED),)))
    yield store
    await store.close()


async def test_everything_is_as_it_was(busy, data, options):
    await busy.close()
    before = dump(data)
    lose(data)
    done = again(data)
    assert dump(data) == before
    assert (done.accounts, done.messages, done.queued) == (2, 21, 8)
    assert (done.delivered_again, done.missing_batches, done.lost_bodies, done.damage) == (0, 0, 0, [])
    store = open_local(data, options)
    assert len(await store.reader.uids(ALICE, INBOX)) == 6
    stored = await store.writer.commit(intake(ALICE))
    assert stored.stored[0].uid == 10
    await store.close()
    before = dump(data)
    assert again(data).put_aside
    assert dump(data) == before


async def test_copies_that_were_being_made_are_no_damage(data, options):
    """Killed in the midst of compaction or encryption: the copies' pack is torn, and nobody was told of it yet.

    There is no room for more behind what was written: the disk was full.
    """
    committer = SqliteCommitter(data, options)
    committer.commit([intake(ALICE)])
    packs = data / "packs"
    copies = PackFile.create(packs, committer._packs.set_aside(NOON), FRAME, NOON, copies=True)
    copies.end = copies.write([b"a frame whose header comes last"], copies.end + 200)
    os.truncate(pack_path(packs, copies.id), copies.end)
    committer.commit([intake(BOB)])
    committer.close()
    before = dump(data)
    lose(data)
    done = again(data)
    assert (done.damage, done.dead) == ([], [])
    assert dump(data)["message"] == before["message"]
    copies.seal()
    copies.close()
    lose(data)
    done = again(data)
    assert (done.damage, [(one.pack, one.start) for one in done.dead]) == ([], [(copies.id, FILE_HEADER.size)])


async def test_a_file_that_power_loss_left_blank_is_no_pack(data, options):
    """The first octets of a pack that was begun were not durable."""
    committer = SqliteCommitter(data, options)
    committer.commit([intake(ALICE)])
    committer.close()
    before = dump(data)
    blank = [pack_path(data / "packs", number) for number in (2, 3)]
    blank[0].write_bytes(b"")
    blank[1].write_bytes(bytes(5000))
    lose(data)
    done = again(data)
    assert (done.damage, dump(data)) == ([], before)
    committer = SqliteCommitter(data, options)
    assert blank[0].exists() is blank[1].exists() is False
    committer.commit([intake(ALICE)])
    committer.close()
    assert verify(data, lambda *_: None).dead == []


async def test_numbers_of_what_came_and_went_in_one_batch_are_not_given_again(data, options):
    """A removed account is cleared away by its number: whoever came after it must not have that one."""
    committer = SqliteCommitter(data, options)
    committer.commit([intake(ALICE)])
    committer.commit([intake(BOB), t.Release(BOB)])
    committer.close()
    before = dump(data)
    lose(data)
    again(data)
    assert dump(data) == before
    assert ("account", 2) in before["sqlite_sequence"]


async def test_with_the_writer_killed_nothing_is_lost_either(busy, data, tmp_path):
    """What is in no synced record yet is in the page cache: only the database and the process are gone."""
    killed = tmp_path / "killed"
    shutil.copytree(data, killed)
    before = dump(killed)
    lose(killed)
    (killed / "lock").unlink()
    assert again(killed).delivered_again == 0
    assert dump(killed) == before


async def test_without_its_database_mail_is_not_hidden_by_an_empty_one(busy, data, options):
    await busy.close()
    lose(data)
    with pytest.raises(CannotOpen, match="store rebuild"):
        open_local(data, options)


async def test_mail_that_the_journal_does_not_know_is_delivered_again(busy, data, options, monkeypatch):
    """The power went with the database before the journal's last records reached the disk."""
    await busy.close()
    store = open_local(data, options)
    while store.writer._committer._upkeep.compaction.due(options.clock.monotonic()):
        await asyncio.sleep(0.01)  # its first look brings the journal in
    packs = store.writer._committer._packs
    writes = packs.append_journal
    folders = {account: await store.reader.mailboxes(account) for account in (ALICE, BOB)}
    monkeypatch.setattr(packs, "append_journal", lambda *_: (_ for _ in ()).throw(OSError))
    sent = await store.writer.commit(intake(ALICE, data=b"late", enqueue=(enqueue("late@d.test"),), sender="s@b.test"))
    await store.writer.commit(append(7, b"appended late", flags=1))
    monkeypatch.setattr(packs, "append_journal", writes)
    assert store.writer._committer._journal.behind
    copy = data.with_name(data.name + "-copy")
    shutil.copytree(data, copy)
    await store.close()
    lose(copy)
    done = again(copy)
    assert done.delivered_again == 2
    assert done.renewed == [ALICE]
    store = open_local(copy, options)
    for account, renewed in ((ALICE, True), (BOB, False)):
        for old, new in zip(folders[account], await store.reader.mailboxes(account), strict=True):
            assert (old.id, old.uidvalidity == new.uidvalidity) == (new.id, not renewed)
    uids = await store.reader.uids(ALICE, INBOX)
    (row,) = await store.reader.messages(ALICE, INBOX, [max(uids)])
    assert await store.reader.body(ALICE, row.blob) == b"late"
    assert (row.prefix, row.cached, sent.stored[0].uid) == (b"Return-Path: <>\r\n", b"made anew", max(uids))
    (row,) = await store.reader.messages(ALICE, 7, [max(await store.reader.uids(ALICE, 7))])
    assert (row.flags, await store.reader.body(ALICE, row.blob)) == (1, b"appended late")
    assert [row.sender for row in await store.reader.queue() if row.recipient == "late@d.test"] == ["s@b.test"]
    assert balanced(await store.reader.counters())
    await store.close()
    shutil.rmtree(copy)


@pytest.mark.parametrize("batch", range(6, 27, 2))
async def test_with_a_gap_in_the_journal_the_rest_is_there_and_agrees(busy, data, options, batch):
    """A record of the journal was damaged: what it said is lost, no mail is, and nobody's cache is trusted."""
    await busy.close()
    bodies = {body for account in (ALICE, BOB) for body in (await bodies_by_folder(data, options, account)).values()}
    lose(data)
    damage_record(data, batch)
    done = again(data)
    assert (done.missing_batches, done.renewed, len(done.damage)) == (1, [ALICE, BOB], 1)
    assert verify(data, lambda *_: None).problems == []
    found = {body for account in (ALICE, BOB) for body in (await bodies_by_folder(data, options, account)).values()}
    assert found >= bodies
    assert verify(data, lambda *_: None).problems == []


def damage_record(data, batch):
    survey = look_through(data / "packs", lambda *_: None)
    (entry,) = (entry for entry in survey.entries if (entry.about.batch, entry.about.snapshot) == (batch, 0))
    with pack_path(data / "packs", entry.pack).open("r+b") as file:
        file.seek(entry.start + entry.length - 40)
        file.write(b"other octets")


#: Names change hands, a batch for each step.
_HANDS = (
    t.OpenAccount(ALICE), append(2, b"one"), t.CreateMailbox(ALICE, "Work"), append(7, b"two"),
    t.RenameMailbox(ALICE, 7, "Old"), t.CreateMailbox(ALICE, "Work"), append(8, b"three"),
    t.Release(ALICE, keep=True), t.OpenAccount(ALICE), append(3, b"four"), intake(ALICE, data=b"five"),
)  # fmt: skip


@pytest.mark.parametrize("lost", [0, 4, 5, 7, 8])
async def test_with_a_gap_where_names_changed_hands_nobody_has_two_and_all_mail_is_there(data, options, lost):
    committer = SqliteCommitter(data, options)
    first = committer._journal.batch + 1
    for txn in _HANDS:
        committer.commit([txn])
    committer.close()
    lose(data)
    damage_record(data, first + lost)
    assert again(data).missing_batches == 1
    assert verify(data, lambda *_: None).problems == []
    store = open_local(data, options)
    names = [row.name for row in await store.reader.accounts()]
    await store.writer.commit(intake(*names, data=b"new"))
    await store.close()
    found = [body for name in names for body in (await bodies_by_folder(data, options, name)).values()]
    assert sorted(found) == sorted([b"one", b"two", b"three", b"four", b"five", *[b"new"] * len(names)])
    assert verify(data, lambda *_: None).problems == []


async def bodies_by_folder(data, options, account):
    store = open_local(data, options)
    found = {}
    for folder in await store.reader.mailboxes(account):
        for row in await store.reader.messages(account, folder.id, await store.reader.uids(account, folder.id)):
            found[folder.id, row.uid] = await store.reader.body(account, row.blob)
    await store.close()
    return found


async def test_the_journal_begins_anew_when_it_has_become_long(data, options, monkeypatch):
    monkeypatch.setattr("postrider.store.sqlite.snapshot._AT_LEAST", 20_000)
    monkeypatch.setattr("postrider.store.sqlite.snapshot._ROWS", 3)
    committer = SqliteCommitter(data, options)
    for n in range(120):
        committer.commit(
            [intake(ALICE, data=b"%d" % n), t.SetFlags(ALICE, INBOX, (1,), t.FlagChange.ADD, 1, (f"k{n}",))]
        )
        while committer.between() == 0:
            pass
    committer.close()
    db = apsw.Connection(str(data / "mail.db"))
    known = dict(db.execute("SELECT name, value FROM journal"))
    assert known["snapshot"] > 50
    # What a snapshot took the place of is dead, also in the pack that is open: else the next were due at once.
    (needed,) = db.execute("SELECT sum(journal) FROM pack").fetchone()
    assert needed < 60_000
    assert needed < sum(entry.length for entry in look_through(data / "packs", lambda *_: None).entries) / 2
    db.close()
    before = dump(data)
    lose(data)
    again(data)
    assert dump(data) == before


def test_every_table_is_journaled_or_has_a_reason(data, options):
    """A new table is covered by itself; this says which are not, so that nobody forgets one by mistake."""
    committer = SqliteCommitter(data, options)
    tables = {table.name: table for table in committer._journal.layout.tables}
    committer.close()
    assert set(journal.DERIVED) == {
        "destination", "domain_usage", "journal", "log_size", "outbox", "pack", "schema_version",
    }  # fmt: skip
    assert set(tables) == {
        "account", "annotation", "append_key", "blob", "change", "counter", "doomed", "email", "expunged", "former",
        "ledger", "mailbox", "message", "queue", "rights", "seen", "sequence", "staged", "subscription", "thing",
        "thread_key", "vanished",
    }  # fmt: skip
    assert all(table.key for table in tables.values())


async def history_again(history, masters):
    with memory_disk.directory() as data:
        keys = keyring(data, masters)
        options = Options(clock=StillClock(), allow_tmpfs=True, measure_sync=False, pack_size=64 * 1024, keys=keys)
        store = open_local(data, options)
        for txn in history:
            with contextlib.suppress(StoreError):
                await store.writer.commit(txn)
        await store.close()
        before = dump(data)
        lose(data)
        done = again(data, keys)
        assert dump(data) == before
        assert done.delivered_again == done.lost_bodies == done.missing_batches == 0


@settings(
    max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(st.lists(transactions, min_size=5, max_size=25), st.sampled_from((None, MASTERS)))
def test_any_history_is_made_again(history, masters):
    asyncio.run(history_again(history, masters))
