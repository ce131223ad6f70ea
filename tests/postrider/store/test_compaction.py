"""Compaction: room comes back, nothing that is needed goes, whenever it is interrupted."""

import asyncio
import os
import shutil

import apsw
import pytest
from rows_of import again, dump, lose
from stored import ALICE, BOB, INBOX, append, intake

from postrider.ops.backup.folder import Folder
from postrider.ops.backup.restore import Restore
from postrider.ops.backup.take import Backup
from postrider.ops.backup.verify import Verify
from postrider.store import directory
from postrider.store import transactions as t
from postrider.store.blobs import Moved, Place
from postrider.store.open import database_file, open_local
from postrider.store.pack_files import pack_ids, pack_path
from postrider.store.pack_reader import PackReader
from postrider.store.sqlite import reader
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.sqlite.rota import Portion


@pytest.fixture
def where(data):
    """A place for copies of the data directory."""
    yield data.with_name(data.name + "-copy")
    shutil.rmtree(data.with_name(data.name + "-copy"), ignore_errors=True)


@pytest.fixture
def sparse(data, options):
    """Sealed packs of which little is needed: of 80 messages every sixteenth is left."""
    committer = SqliteCommitter(data, options)
    bodies = {}
    for n in range(80):
        bodies[n + 1] = b"%d:" % n + os.urandom(20_000)
        committer.commit([intake(ALICE, data=bodies[n + 1]), append(INBOX, b"x%d" % n, account=BOB)])
    gone = tuple(uid for uid in bodies if uid % 16)
    committer.commit([t.SetFlags(ALICE, INBOX, gone, t.FlagChange.ADD, 8), t.Expunge(ALICE, INBOX, gone)])
    yield committer, {uid: body for uid, body in bodies.items() if uid % 16 == 0}
    committer.close()


def one_step(committer, clock):
    """Housekeeping until compaction has had its turn; true while there is more of it."""
    compaction = committer._upkeep.compaction
    compaction.join()
    clock.seconds += 61
    before = compaction.steps
    while compaction.steps == before:
        committer.between()
        committer._journal.join()
    return compaction.running


def compact(committer, clock):
    """Until two looks in a row find nothing: the first of them has removed what the compaction before it emptied."""
    idle = 0
    while idle < 2:
        idle = 0 if one_step(committer, clock) else idle + 1


async def bodies_of(data, options, account=ALICE):
    store = open_local(data, options)
    rows = await store.reader.messages(account, INBOX, await store.reader.uids(account, INBOX))
    found = {row.uid: await store.reader.body(account, row.blob) for row in rows}
    await store.close()
    return found


def size(data):
    return sum(pack_path(data / "packs", pack).stat().st_size for pack in pack_ids(data / "packs"))


def copy_of(data, where):
    """The data directory as a kill at this moment leaves it."""
    shutil.rmtree(where, ignore_errors=True)
    shutil.copytree(data, where, ignore=shutil.ignore_patterns("*-shm"))
    return where


async def test_room_comes_back_and_what_is_needed_stays(sparse, data, options, clock, where):
    committer, left = sparse
    before = size(data)
    rows = dump(data)
    compact(committer, clock)
    assert size(data) < before / 2
    copy_of(data, where)
    after = dump(where)
    for table in set(rows) - {"blob"}:
        assert after[table] == rows[table], table
    assert await bodies_of(where, options) == left
    assert len(await bodies_of(where, options, BOB)) == 80
    rows = dump(where)
    lose(where)
    assert again(where).damage == []
    assert dump(where) == rows
    assert await bodies_of(where, options) == left


async def test_killed_at_any_step_it_loses_nothing(sparse, data, options, clock, where):
    committer, left = sparse
    committer._upkeep.compaction.portion = Portion(30, 30)
    moments = 0
    while one_step(committer, clock) or moments < 3:
        moments += 1
        assert await bodies_of(copy_of(data, where), options) == left
        again(copy_of(data, where))
        assert await bodies_of(where, options) == left
        other = SqliteCommitter(copy_of(data, where), options)
        compact(other, clock)
        other.close()
        assert await bodies_of(where, options) == left
        assert len(await bodies_of(where, options, BOB)) == 80
    assert moments >= 5


async def test_a_reader_that_looked_before_it_moved_looks_again(data, options, clock, sparse):
    committer, left = sparse
    db = apsw.Connection(str(data / "mail.db"), flags=apsw.SQLITE_OPEN_READONLY)
    uid, pack, start = db.execute(
        "SELECT uid, pack, start FROM message JOIN email ON email.id = email_id JOIN blob ON blob.id = blob_id"
        " WHERE message.account_id = 1 ORDER BY uid LIMIT 1"
    ).fetchone()
    db.close()
    early, late = PackReader(data / "packs"), PackReader(data / "packs")
    assert early.read(Place(pack, start), 0, None) == left[uid]
    compact(committer, clock)
    assert early.read(Place(pack, start), 0, None) == left[uid]
    with pytest.raises(Moved):
        late.read(Place(pack, start), 0, None)
    early.close()


async def test_a_pack_that_is_gone_takes_no_room_for_a_reader_that_has_it_open(data, options, monkeypatch):
    monkeypatch.setattr(reader, "KEPT_OPEN", 0)
    store = open_local(data, options)
    await store.writer.commit(append(INBOX, b"one"))
    (row,) = await store.reader.messages(ALICE, INBOX, [1])
    for _ in range(2):
        assert await store.reader.body(ALICE, row.blob) == b"one"
        assert list(store.reader._blobs._files) == [1]
        async with asyncio.timeout(60):
            while store.reader._blobs._files:
                await asyncio.sleep(0)
    await store.close()


async def test_what_cannot_be_read_stays_where_it_is(sparse, data, options, clock, where):
    committer, _ = sparse
    db = apsw.Connection(str(data / "mail.db"), flags=apsw.SQLITE_OPEN_READONLY)
    pack, start = db.execute("SELECT pack, start FROM blob WHERE size > 10000 ORDER BY pack, start LIMIT 1").fetchone()
    db.close()
    with pack_path(data / "packs", pack).open("r+b") as file:
        file.seek(start + 9_000)
        file.write(b"!" if os.pread(file.fileno(), 1, start + 9_000) != b"!" else b"?")
    compact(committer, clock)
    assert pack in pack_ids(data / "packs")
    assert committer._upkeep.compaction.damaged == {pack}
    others = sum(1 for number in pack_ids(data / "packs") if number < pack + 6)
    assert others < 6
    with pytest.raises(Exception, match="checksum"):
        await bodies_of(copy_of(data, where), options)


async def test_mail_comes_in_while_it_is_compacted(sparse, data, options, clock, where):
    committer, left = sparse
    n = 0
    while one_step(committer, clock):
        n += 1
        body = b"meanwhile %d" % n
        (done,) = committer.commit([intake(ALICE, data=body)]).results
        left[done.stored[0].uid] = body
        uid = min(left)
        if n == 2:  # copied, and gone before its row is pointed at the copy
            flags = t.SetFlags(ALICE, INBOX, (uid,), t.FlagChange.ADD, 8)
            committer.commit([flags, t.Expunge(ALICE, INBOX, (uid,))])
            del left[uid]
    assert n >= 3
    assert await bodies_of(copy_of(data, where), options) == left


async def test_no_pack_goes_while_a_backup_wants_it(sparse, data, clock):
    committer, _ = sparse
    before = pack_ids(data / "packs")
    with directory.keep_packs(data):
        compact(committer, clock)
        compact(committer, clock)
        assert set(before) <= set(pack_ids(data / "packs"))
    compact(committer, clock)
    assert not set(before[1:-1]) & set(pack_ids(data / "packs"))


async def test_a_backup_at_any_step_is_whole(sparse, data, options, clock, where):
    committer, left = sparse
    path, database = where.with_name(where.name + "-shelf"), database_file()
    shelf = Folder(path)
    moments = 0
    while one_step(committer, clock) or moments < 3:
        moments += 1
        Backup(data, shelf, database, clock, lambda *_: None).take(keep=1)
        assert Verify(shelf, database, lambda *_: None).verify() == []
        Restore(shelf, where, database, clock, lambda *_: None).restore()
        assert await bodies_of(where, options) == left
        assert len(await bodies_of(where, options, BOB)) == 80
        shutil.rmtree(where)
    shutil.rmtree(path)


async def test_a_backup_needs_no_file_of_an_emptied_pack(sparse, data, options, clock, where):
    """Killed between the removal of the file and that of its row."""
    committer, left = sparse
    committer._upkeep.compaction.grace = 1_000_000
    compact(committer, clock)
    emptied = emptied_packs(data)
    assert emptied
    for pack in emptied:
        pack_path(data / "packs", pack).unlink()
    shelf, database = Folder(where.with_name(where.name + "-shelf")), database_file()
    taken = Backup(data, shelf, database, clock, lambda *_: None).take()
    assert taken.manifest.damaged == ()
    assert Verify(shelf, database, lambda *_: None).verify() == []
    Restore(shelf, where, database, clock, lambda *_: None).restore()
    assert await bodies_of(where, options) == left
    shutil.rmtree(shelf.path)


def emptied_packs(data):
    db = apsw.Connection(str(data / "mail.db"), flags=apsw.SQLITE_OPEN_READONLY)
    rows = db.execute("SELECT id FROM pack WHERE emptied > 0").fetchall()
    db.close()
    return [pack for (pack,) in rows]
