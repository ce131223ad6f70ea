"""What is wrong with a store is found, and said precisely."""

import os
import shutil

import apsw
import pytest
from stored import ALICE, BOB, INBOX, NOON, append, enqueue, intake

from postrider.store import transactions as t
from postrider.store.open import compact, open_local, verify
from postrider.store.pack_files import pack_ids, pack_path
from postrider.store.records import FILE_HEADER
from postrider.store.sqlite.committer import SqliteCommitter
from postrider.store.survey import read_pack

MIB = 1024 * 1024


def problems(data):
    return verify(data, lambda *_: None).problems


def place_of(data, blob):
    db = apsw.Connection(str(data / "mail.db"))
    pack, start = db.execute("SELECT pack, start FROM blob WHERE id = ?", (blob,)).fetchone()
    db.close()
    return pack, start


@pytest.fixture
async def kept(data, options):
    """A data directory with some mail, which nobody has open."""
    store = open_local(data, options)
    commit = store.writer.commit
    for n in range(20):
        await commit(intake(ALICE, BOB, data=b"%d" % n + os.urandom(20_000), enqueue=(enqueue(),)))
        await commit(append(INBOX, os.urandom(20_000), flags=9))
    await commit(t.Expunge(ALICE, INBOX, tuple(range(1, 11))))
    await commit(t.Copy(ALICE, INBOX, (12, 13, 15), 2))
    await commit(t.BeginCopy(ALICE, INBOX, 3, 10))
    await commit(t.StageCopy(ALICE, 1, (16, 17)))
    await commit(t.DeleteMailbox(ALICE, 4))
    await store.close()
    return data


async def test_nothing_is_wrong(kept, options):
    done = verify(kept, lambda *_: None)
    assert done.problems == []
    assert (done.packs, done.records > 60) == (len(pack_ids(kept / "packs")), True)
    store = open_local(kept, options)
    assert problems(kept) == []
    await store.close()


async def test_damaged_records_are_named(kept):
    pack, start = place_of(kept, 15)
    with pack_path(kept / "packs", pack).open("r+b") as file:
        file.seek(start + 9000)
        file.write(bytes([os.pread(file.fileno(), 1, start + 9000)[0] ^ 1]))
    assert problems(kept) == [f"body 15, pack {pack}, at {start}: the record's checksum does not fit"]
    with pack_path(kept / "packs", pack).open("r+b") as file:
        file.seek(start)
        file.write(b"nothing here")
    done = verify(kept, lambda *_: None)
    assert done.problems == [f"body 15: no record begins at {start} of pack {pack}"]
    assert done.dead == [f"pack {pack}, at {start}: no record begins here"]


async def test_damage_that_concerns_nobody_is_told_apart(kept, options):
    pack, start = place_of(kept, 14)
    store = open_local(kept, options)
    await store.writer.commit(t.Expunge(ALICE, INBOX, (14,)))
    await store.close()
    with pack_path(kept / "packs", pack).open("r+b") as file:
        file.seek(start + 9000)
        file.write(b"some other octets")
    done = verify(kept, lambda *_: None)
    assert (done.problems, done.dead) == ([], [f"pack {pack}, at {start}: the record's checksum does not fit"])


async def test_what_the_power_left_of_a_pack_that_was_just_begun_is_no_damage(kept, options, tmp_path):
    """It has no row yet, and a record of the journal in it was never synced."""
    committer = SqliteCommitter(kept, options)
    committer._packs.begin_next(NOON)
    committer.commit([t.SetFlags(ALICE, INBOX, (12,), t.FlagChange.ADD, 2)])
    shutil.copytree(kept, tmp_path / "image", ignore=shutil.ignore_patterns("*-shm"))
    end = committer._packs.end
    with pack_path(tmp_path / "image" / "packs", committer._packs.pack).open("r+b") as file:
        file.seek(end - 40)
        file.write(bytes(40))
    committer.close()
    assert problems(tmp_path / "image") == []


async def test_a_missing_pack_is_named(kept):
    pack, _ = place_of(kept, 15)
    pack_path(kept / "packs", pack).unlink()
    assert f"body 15: pack {pack} is missing" in problems(kept)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE blob SET refs = 7 WHERE id = 15", "body 15: used 3 times, and its row says 7"),
        ("UPDATE blob SET hash = zeroblob(32) WHERE id = 15", "another body lies there"),
        ("DELETE FROM message WHERE account_id = 2 AND uid = 3", "is in no folder"),
        ("DELETE FROM blob WHERE id = 15", "the queue names body 15, which has no row"),
        ("UPDATE mailbox SET unseen = 3 WHERE account_id = 1 AND id = 1", "folder mail/alice@a.test/INBOX: messages"),
        ("UPDATE account SET messages = 1 WHERE id = 2", "account mail/bob@a.test: messages and octets"),
        ("UPDATE domain_usage SET bytes = 1", "domain mail/a.test: messages and octets"),
        ("UPDATE counter SET value = 1 WHERE name = 'queued'", "the queue has 20 rows, and its counter says 1"),
        ("UPDATE counter SET value = 1 WHERE name = 'accepted'", "deliveries accepted that are accounted for are 60"),
    ],
)
async def test_rows_that_do_not_agree_are_named(kept, change, problem):
    db = apsw.Connection(str(kept / "mail.db"))
    db.execute(change)
    db.close()
    assert any(problem in text for text in problems(kept)), problems(kept)


async def test_compacting_on_demand(kept, options):
    before = sum(path.stat().st_size for path in (kept / "packs").iterdir())
    compact(kept, options, 0.05)
    assert sum(path.stat().st_size for path in (kept / "packs").iterdir()) < before
    assert problems(kept) == []


async def test_what_follows_damage_is_found_wherever_it_begins(kept):
    """Packs are looked through a MiB at a time: a header may lie across two of them."""
    pack, start = place_of(kept, 3)
    path = pack_path(kept / "packs", pack)
    whole = path.read_bytes()
    for size in range(MIB - 6, MIB + 4):
        path.write_bytes(whole[: FILE_HEADER.size] + b"?" * size + whole[start:])
        damage, found, *_ = read_pack(kept / "packs", pack)
        assert (damage.start, found.start) == (FILE_HEADER.size, FILE_HEADER.size + size)
