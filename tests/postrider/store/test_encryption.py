"""An encrypted store: nothing readable on the disk, keys where they belong, shredding, missing keys, rebuilding."""

import asyncio
import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from rows_of import again, dump, lose
from stored import ALICE, BOB, EVERY_LANE, INBOX, MASTERS, NOON, StillClock, append, enqueue, intake

from postrider.ops.backup.folder import Folder
from postrider.ops.backup.restore import Restore
from postrider.ops.backup.take import Backup
from postrider.ops.backup.verify import Verify
from postrider.store import open as stores
from postrider.store import transactions as t
from postrider.store.codecs import SEALED_ZSTD
from postrider.store.directory import CannotOpen, key_files
from postrider.store.keyring import Masters
from postrider.store.open import keyring, open_local
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Body
from postrider.telemetry.events import Events

WORD = b"xylophonist"
LETTER = b"Subject: " + WORD + b"\r\n\r\n" + WORD * 40 + b"\r\n"


def letter(*accounts, **fields):
    prefix = b"Received: from " + WORD + b"\r\n"
    given = {
        "deliver": tuple(t.Deliver(account, prefix) for account in accounts),
        "cached": b"\1\2\3\4" + WORD,
        "enqueue": (t.Enqueue("c.test", "dave@c.test", prefix, NOON),),
        "thread_keys": (WORD,),
    }
    return intake(data=LETTER, **(given | fields))


def seen(directory: Path):
    """The files that have the word."""
    return [path.name for path in directory.rglob("*") if path.is_file() and WORD in path.read_bytes()]


def refuse(*_, **__):
    raise OSError(5, "no")


@pytest.fixture
def sealed(data, options):
    """Options of an encrypted store."""
    return replace(options, keys=keyring(data, MASTERS))


async def rows(store, account):
    return await store.reader.messages(account, INBOX, await store.reader.uids(account, INBOX))


async def test_nothing_is_readable_on_the_disk(data, sealed, tmp_path):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE, BOB))
    await store.writer.commit(append(INBOX, LETTER, thread_keys=(WORD,)))
    large = tmp_path / "large"
    large.write_bytes(LETTER * 5000)
    body = t.NewMessage(spooled(large), NOON, b"cached " + WORD)
    await store.writer.commit(t.Append(ALICE, INBOX, (body,)))
    first, second, third = await rows(store, ALICE)
    assert (first.prefix, first.cached) == (b"Received: from " + WORD + b"\r\n", b"\1\2\3\4" + WORD)
    assert await store.reader.body(ALICE, third.blob) == LETTER * 5000
    assert (await store.reader.queue())[0].prefix == first.prefix
    assert first.sealed
    await store.writer.commit(t.Recache(ALICE, ((second.email_id, b"anew " + WORD),)))
    assert (await rows(store, ALICE))[1].cached == b"anew " + WORD
    assert seen(data) == []
    await store.close()
    assert seen(data) == []
    assert len(list(key_files(data))) == 3


async def test_many_at_once_are_compressed_as_one_is(data, sealed):
    committer = SqliteCommitter(data, sealed)
    committer.commit([letter(ALICE, BOB, thread_keys=()) for _ in range(10)])
    committer.close()
    assert {row[3] for row in dump(data)["blob"]} == {SEALED_ZSTD}


def spooled(path):
    data = path.read_bytes()
    return Body(hashlib.sha256(data).digest(), len(data), b"", str(path))


async def test_equal_mail_cannot_be_told_equal(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE, BOB))
    await store.writer.commit(letter(ALICE, enqueue=()))
    await store.close()
    hashes = dump(data)["blob"]
    assert len({row[1] for row in hashes}) == 3  # Alice's two are one and the same to who has her key
    assert len(dump(data)["thread_key"]) == 2


async def test_what_is_older_stays_and_can_be_read(data, options, sealed):
    store = open_local(data, options)
    await store.writer.commit(letter(ALICE))
    await store.close()
    assert seen(data)
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE))
    old, new = await rows(store, ALICE)
    assert (old.sealed, new.sealed) == (False, True)
    assert (old.cached, old.prefix) == (new.cached, new.prefix)
    assert await store.reader.body(ALICE, old.blob) == await store.reader.body(ALICE, new.blob) == LETTER
    await store.close()


async def test_a_missing_key_concerns_its_own(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE, enqueue=()))
    await store.close()
    later = Masters("b", {"b": bytes(range(1, 33))})
    both = Masters("b", {**MASTERS.keys, **later.keys})
    store = open_local(data, replace(sealed, keys=keyring(data, both)))
    await store.writer.commit(letter(BOB, enqueue=()))
    await store.close()
    ring = keyring(data, later)
    store = open_local(data, replace(sealed, keys=ring))
    for refused in (store.writer.commit(append(INBOX, LETTER)), rows(store, ALICE)):
        with pytest.raises(StoreError) as error:
            await refused
        assert error.value.reason is Reason.UNAVAILABLE
    with pytest.raises(StoreError):  # the queue's key is as old as hers
        await store.writer.commit(letter(BOB))
    assert len(await rows(store, BOB)) == 1
    assert len(await store.reader.flags(ALICE, INBOX)) == 1
    ring.load(both)
    await store.writer.commit(letter(ALICE, BOB))
    assert len(await rows(store, ALICE)) == 2
    await store.close()


async def test_a_claim_without_the_key_takes_nothing(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(enqueue=(enqueue(),)))
    await store.close()
    ring = keyring(data)
    store = open_local(data, replace(sealed, keys=ring))
    with pytest.raises(StoreError) as error:
        await store.writer.commit(t.Claim(EVERY_LANE, NOON, 60, 3))
    assert error.value.reason is Reason.UNAVAILABLE
    ring.load(MASTERS)
    assert len(await store.writer.commit(t.Claim(EVERY_LANE, NOON, 60, 3))) == 1
    await store.close()


@pytest.mark.parametrize("broken", [False, True])
async def test_a_removed_account_is_shredded_and_its_name_gets_another_key(data, sealed, monkeypatch, broken):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE, BOB))
    keys = {path.name for path in key_files(data)}
    # All at once, as they come from several fronts: the mail behind the removal is not lost with the key.
    if broken:
        monkeypatch.setattr(Path, "unlink", refuse)
    await asyncio.gather(
        *map(store.writer.commit, (letter(ALICE, enqueue=()), t.Release(ALICE), letter(ALICE, enqueue=())))
    )
    (left,) = await rows(store, ALICE)
    assert await store.reader.body(ALICE, left.blob) == LETTER
    assert len(await rows(store, BOB)) == 1
    await store.close()
    monkeypatch.undo()
    store = open_local(data, sealed)
    now = {path.name for path in key_files(data)}
    assert (len(keys - now), len(now - keys)) == (1, 1)
    assert len(await rows(store, ALICE)) == 1
    await store.close()


async def test_whose_mail_is_gone_for_good_stands_in_the_log(data, sealed):
    log = io.StringIO()
    store = open_local(data, replace(sealed, events=Events(log)))
    await store.writer.commit(letter(ALICE, BOB))
    await store.writer.commit(t.Release(ALICE))
    await store.close()
    shredded = [row["accounts"] for row in map(json.loads, log.getvalue().splitlines()) if "shredded" in row["event"]]
    assert shredded == [[ALICE]]


async def test_a_removed_account_that_is_kept_keeps_its_key(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE))
    await store.writer.commit(t.Release(ALICE, keep=True))
    await store.writer.commit(letter(ALICE))
    (released,) = [row for row in await store.reader.accounts() if row.released]
    assert len(await rows(store, released.name)) == len(await rows(store, ALICE)) == 1
    assert len(list(key_files(data))) == 3
    await store.writer.commit(t.Release(released.name))
    assert len(list(key_files(data))) == 2
    assert await store.reader.body(ALICE, (await rows(store, ALICE))[0].blob) == LETTER
    await store.close()


async def test_mail_that_is_refused_makes_no_keys(data, sealed):
    store = open_local(data, sealed)
    full = (t.Deliver(ALICE, b"", quota_bytes=1),)
    for _ in range(5):
        with pytest.raises(StoreError):
            await store.writer.commit(letter(deliver=full, enqueue=()))
    assert len(list(key_files(data))) == 2
    await store.close()
    store = open_local(data, sealed)  # a process later it is still the same
    await store.writer.commit(letter(ALICE))
    assert len(list(key_files(data))) == 2
    await store.close()


async def test_a_disk_that_takes_no_key_takes_no_mail(data, sealed, monkeypatch):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE))
    monkeypatch.setattr("os.write", lambda fd, octets: len(octets) - 1)  # what a full disk does
    with pytest.raises(StoreError) as error:
        await store.writer.commit(letter(BOB))
    assert error.value.reason is Reason.NO_SPACE
    monkeypatch.undo()
    await store.writer.commit(letter(ALICE, BOB))
    assert [len(await rows(store, account)) for account in (ALICE, BOB)] == [2, 1]
    assert len(list(key_files(data))) == 3
    await store.close()


async def test_rows_are_worth_nothing_in_another_place_nor_in_the_clear(data, sealed):
    store = open_local(data, sealed)
    for word in (b"one", b"two"):
        await store.writer.commit(letter(ALICE, cached=b"\1\2\3\4" + word, enqueue=()))
    await store.close()
    db = apsw.Connection(str(data / "mail.db"))
    db.setbusytimeout(10_000)
    db.execute("UPDATE email SET cached = (SELECT cached FROM email WHERE id = 2) WHERE id = 1")
    db.execute("UPDATE email SET cached = x'01020304' WHERE id = 2")
    store = open_local(data, sealed)
    # What is cached is found anew from the body, which is authenticated.
    assert [row.cached for row in await rows(store, ALICE)] == [b"", b""]
    db.execute("UPDATE email SET prefix = CAST('Received: from a liar' AS BLOB) WHERE id = 2")
    with pytest.raises(StoreError, match="lies in the clear"):
        await rows(store, ALICE)
    await store.close()
    db.close()


async def test_a_damaged_queue_row_is_held_and_no_other_waits_for_it(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(enqueue=(enqueue("one@c.test"), enqueue("two@c.test"))))
    await store.close()
    db = apsw.Connection(str(data / "mail.db"))
    db.execute("UPDATE queue SET prefix = CAST(prefix || x'00' AS BLOB) WHERE recipient = 'one@c.test'")
    db.close()
    store = open_local(data, sealed)
    claimed = await store.writer.commit(t.Claim(EVERY_LANE, NOON, 60, 10))
    assert [row.recipient for row in claimed] == ["two@c.test"]
    await store.close()
    db = apsw.Connection(str(data / "mail.db"))
    assert [tuple(row) for row in db.execute("SELECT recipient, state FROM queue WHERE last_reply != ''")] == [
        ("one@c.test", "held")
    ]
    db.close()


async def test_a_lost_database_is_made_again(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE, BOB))
    await store.writer.commit(append(INBOX, LETTER))
    await store.close()
    before = dump(data)
    lose(data)
    done = again(data, keyring(data, MASTERS))
    assert (dump(data), done.damage) == (before, [])
    store = open_local(data, sealed)
    assert [await store.reader.body(ALICE, row.blob) for row in await rows(store, ALICE)] == [LETTER, LETTER]
    await store.close()


async def test_mail_that_the_journal_does_not_know_is_delivered_again(data, sealed, monkeypatch):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE))
    while store.writer._committer._upkeep.compaction.due(sealed.clock.monotonic()):
        await asyncio.sleep(0.01)  # its first look brings the journal in
    monkeypatch.setattr(store.writer._committer._packs, "append_journal", refuse)
    await store.writer.commit(letter(ALICE, BOB))
    monkeypatch.undo()
    copy = data.with_name(data.name + "-copy")
    shutil.copytree(data, copy)
    await store.close()
    lose(copy)
    try:
        keys = len(list(key_files(copy)))
        without = again(copy, keyring(copy))
        assert (without.delivered_again, len(without.damage)) == (0, 3)
        lose(copy)
        done = again(copy, keyring(copy, MASTERS))
        assert (done.delivered_again, done.damage) == (3, [])
        assert len(list(key_files(copy))) == keys  # Bob's was made for him before all was lost
        store = open_local(copy, replace(sealed, keys=keyring(copy, MASTERS)))
        for account, number in ((ALICE, 2), (BOB, 1)):
            assert [await store.reader.body(account, row.blob) for row in await rows(store, account)] == [
                LETTER
            ] * number
            assert (await store.reader.account(account)).encrypted
        assert [row.prefix for row in await store.reader.queue()] == [b"Received: from " + WORD + b"\r\n"] * 2
        assert seen(copy) == []
        await store.close()
    finally:
        shutil.rmtree(copy)


async def test_mail_of_a_shredded_account_is_not_brought_back(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE, BOB))
    await store.writer.commit(t.Release(ALICE))
    await store.close()
    lose(data)
    done = again(data, keyring(data, MASTERS))
    assert (done.damage, done.delivered_again) == ([], 0)
    assert stores.verify(data, lambda *_: None, keyring(data, MASTERS)).problems == []


async def test_verify_authenticates_with_keys_and_looks_at_checksums_without(data, sealed):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE, BOB))
    await store.close()
    for ring, unopened in ((keyring(data, MASTERS), 0), (keyring(data), 3)):
        done = stores.verify(data, lambda *_: None, ring)
        assert (done.problems, done.dead, done.unopened) == ([], [], unopened)
    # Bob's key where Alice's was: records are whole, and mean nothing.
    ring = keyring(data, MASTERS)
    hers, his = (next(id_ for id_, name in ring.owners().items() if name == who) for who in (ALICE, BOB))
    ring._opened = {hers: ring.key(his), his: ring.key(his)}
    assert len(stores.verify(data, lambda *_: None, ring).problems) == 1


async def test_compaction_needs_no_keys(data, sealed):
    store = open_local(data, sealed)
    for _ in range(12):
        await store.writer.commit(letter(ALICE, enqueue=()))
    flagged = tuple(range(1, 12))
    await store.writer.commit(t.SetFlags(ALICE, INBOX, flagged, t.FlagChange.ADD, 8, ()))
    await store.writer.commit(t.Expunge(ALICE, INBOX, flagged))
    await store.close()
    before, after = stores.compact(data, replace(sealed, keys=None, pack_size=1024), 0.1)
    assert after < before or after == before
    store = open_local(data, sealed)
    (left,) = await rows(store, ALICE)
    assert await store.reader.body(ALICE, left.blob) == LETTER
    await store.close()


async def test_a_backup_can_be_read_with_the_master_key(data, sealed, tmp_path):
    store = open_local(data, sealed)
    await store.writer.commit(letter(ALICE))
    shelf, clock, database = Folder(tmp_path / "shelf"), StillClock(), stores.database_file()
    Backup(data, shelf, database, clock, lambda *_: None).take()
    await store.close()
    assert seen(shelf.path) == []
    assert Verify(shelf, database, lambda *_: None).verify() == []
    where = tmp_path / "restored"
    Restore(shelf, where, database, clock, lambda *_: None).restore()
    store = open_local(where, replace(sealed, keys=keyring(where, MASTERS)))
    (row,) = await rows(store, ALICE)
    assert await store.reader.body(ALICE, row.blob) == LETTER
    await store.close()
    (held,) = [path for path in shelf.path.glob("*/keys/*") if path.read_bytes().count(b"alice")]
    held.write_bytes(b"x")
    assert [problem.text for problem in Verify(shelf, database, lambda *_: None).verify()] == [
        f"{held} is damaged: its hash is not the manifest's"
    ]


async def test_files_for_other_programs_cannot_be_encrypted(data, sealed):
    with pytest.raises(CannotOpen, match="cannot be encrypted"):
        open_local(data, replace(sealed, blobs="maildir"))
