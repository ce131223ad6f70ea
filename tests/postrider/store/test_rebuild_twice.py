"""A database that is lost once more, before the journal has begun anew after the first rebuild."""

import os
import shutil

import pytest
from rows_of import again, dump, lose
from stored import ALICE, BOB, append, balanced, intake

from postrider.store import transactions as t
from postrider.store.open import open_local, verify
from postrider.store.pack_files import pack_path
from postrider.store.records import KIND_BODY
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.survey import Found, look_through, read_pack


@pytest.fixture
def slowly(monkeypatch):
    """A snapshot takes many slices: as that of a large store it is not whole when the writer begins to serve."""
    monkeypatch.setattr("postrider.store.sqlite.snapshot._ROWS", 1)


def last_record(data):
    entries = look_through(data / "packs", lambda *_: None).entries
    return max((one for one in entries if not one.about.snapshot), key=lambda one: one.about.batch)


def clear(data, start, length):
    with pack_path(data / "packs", 1).open("r+b") as file:
        file.seek(start)
        file.write(bytes(length))


def bodies(data):
    found = read_pack(data / "packs", 1)
    return [one for one in found if isinstance(one, Found) and one.header.kind == KIND_BODY]


def fill(data, options, *last):
    """A store whose last batch is that one."""
    committer = SqliteCommitter(data, options)
    for n in range(3):
        committer.commit([intake(ALICE, data=b"%d" % n), append(account=BOB)])
    committer.commit(last)
    committer.close()


def killed(data, tmp_path):
    """A copy without its database, and what that was."""
    where = tmp_path / "killed"
    shutil.copytree(data, where, ignore=shutil.ignore_patterns("*-shm"))
    before = dump(where)
    lose(where)
    return where, before


async def once_more(data, options, tmp_path):
    """Start, go on, lose it again: all is as it was. Returns Alice's bodies."""
    committer = SqliteCommitter(data, options)
    committer.commit([intake(BOB, data=b"for bob")])
    committer.commit([intake(ALICE, data=b"for alice")])
    assert committer._upkeep._snapshot.running
    where, before = killed(data, tmp_path)
    committer.close()
    done = again(where)
    assert dump(where) == before
    assert (done.delivered_again, done.missing_batches, done.lost_bodies, done.damage) == (0, 0, 0, [])
    assert verify(where, lambda *_: None).problems == []
    store = open_local(where, options)
    rows = await store.reader.messages(ALICE, 1, await store.reader.uids(ALICE, 1))
    found = [await store.reader.body(ALICE, row.blob) for row in rows]
    assert balanced(await store.reader.counters())
    await store.close()
    return found


async def test_mail_that_was_delivered_again_is_in_the_journal(data, options, slowly, tmp_path):
    fill(data, options, intake(ALICE, data=b"late"))
    entry = last_record(data)
    clear(data, entry.start, entry.length)
    lose(data)
    assert again(data).delivered_again == 1
    assert await once_more(data, options, tmp_path) == [b"0", b"1", b"2", b"late", b"for alice"]


async def test_a_batch_that_was_never_committed_does_not_come_back(data, options, slowly, tmp_path):
    """The power went before its sync: the journal's record reached the disk, one of the bodies did not."""
    fill(data, options, intake(ALICE, data=os.urandom(3000)), intake(ALICE, data=b"whole"))
    torn, _ = bodies(data)[-2:]
    clear(data, torn.start + torn.header.length - 1000, 900)
    lose(data)
    for _ in range(2):
        done = again(data)
        assert (done.delivered_again, done.lost_bodies, done.damage) == (1, 0, [])
        lose(data)
    again(data)
    assert await once_more(data, options, tmp_path) == [b"0", b"1", b"2", b"whole", b"for alice"]


async def test_what_was_never_synced_is_no_damage_either_time(data, options, slowly, tmp_path):
    """Of its batch one body reached the disk, the one before it did not, nor did the journal's record."""
    fill(data, options, intake(ALICE, data=os.urandom(3000)), intake(ALICE, data=b"whole"))
    entry, (torn, _) = last_record(data), bodies(data)[-2:]
    clear(data, entry.start, entry.length)
    clear(data, torn.start, torn.header.length)
    lose(data)
    done = again(data)
    assert (done.delivered_again, done.damage, done.dead) == (1, [], [])
    assert await once_more(data, options, tmp_path) == [b"0", b"1", b"2", b"whole", b"for alice"]


async def test_a_change_that_was_lost_is_not_missed_the_second_time(data, options, slowly, tmp_path):
    """Its record was never synced, though what was written behind it reached the disk: a slice of a snapshot."""
    committer = SqliteCommitter(data, options)
    committer.commit([append(account=ALICE)])
    committer.commit([t.SetFlags(ALICE, 1, (1,), t.FlagChange.ADD, 1)])
    committer._upkeep._snapshot.step()
    committer.close()
    entry = last_record(data)
    clear(data, entry.start, entry.length)
    lose(data)
    done = again(data)
    assert (done.last_batch, done.missing_batches, done.damage) == (entry.about.batch - 1, 0, [])
    assert await once_more(data, options, tmp_path) == [b"a\r\n\r\nb", b"for alice"]


async def test_who_sent_the_same_twice_is_delivered_twice_again(data, options):
    fill(data, options, intake(ALICE, data=b"same"), intake(ALICE, data=b"same"))
    entry = last_record(data)
    clear(data, entry.start, entry.length)
    lose(data)
    assert again(data).delivered_again == 2
    assert len(dump(data)["message"]) == 8


def test_rebuilds_of_one_second_put_a_database_aside_each(data, options):
    fill(data, options, intake(ALICE))
    rows = dump(data)
    names = [again(data).put_aside for _ in range(3)]
    assert len({*names}) == 3
    shutil.copy(data / names[0], data / "mail.db")
    assert dump(data) == rows


def test_the_old_wal_is_kept_where_a_rebuild_was_killed_over_it(data, options):
    """The old database had its new name, its WAL did not."""
    fill(data, options, intake(ALICE))
    (data / "mail.db").rename(data / "mail.db.before-1")
    (data / "mail.db-wal").write_bytes(b"the last changes")
    aside = again(data).put_aside
    assert (data / f"{aside}-wal").read_bytes() == b"the last changes"
    assert again(data).put_aside not in ("", aside)
