"""Migrations: numbered, whole or not at all, and the release before goes on working.

That the present program works on the next schema is shown by the conformance suite (conftest.py, "next schema").
"""

import signal
import subprocess
import sys

import apsw
import pytest
from next_schema import migrate_further, step
from stored import ALICE, intake

from postrider.store.open import open_local
from postrider.store.sqlite import database, schema
from postrider.store.sqlite.schema import Migration, WrongDatabase

KILLED_HALF_WAY = """
import os, signal, sys
from pathlib import Path
import apsw
from postrider.store.sqlite import schema
from next_schema import step
db = apsw.Connection(sys.argv[1])
db.pragma("cache_size", 10)  # so that pages reach the disk before the end
db.create_scalar_function("die", lambda: os.kill(os.getpid(), signal.SIGKILL))
work = step()
sql = work.sql + "CREATE TABLE filler (x BLOB); INSERT INTO filler SELECT zeroblob(3000000) FROM message; SELECT die();"
schema.migrate(db, Path(sys.argv[1]), steps=(*schema.STEPS, schema.Migration(work.number, work.min_reader, sql)))
"""


def shape(db):
    """All tables with their columns, and the indexes."""
    tables = sorted(name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"))
    indexes = sorted(db.execute("SELECT name, sql FROM sqlite_master WHERE type != 'table'").fetchall(), key=str)
    columns = {name: sorted(row[1:] for row in db.execute(f"PRAGMA table_info({name})")) for name in tables}
    return columns, indexes, db.pragma("user_version")


def test_the_present_schema_has_its_migrations_in_order():
    assert [one.number for one in schema.STEPS] == list(range(1, schema.SCHEMA + 1))
    assert [one.min_reader for one in schema.STEPS] == sorted(one.min_reader for one in schema.STEPS)
    assert all(one.min_reader <= one.number for one in schema.STEPS)


def test_what_takes_away_says_so():
    for one in schema.STEPS[1:]:
        takes = any(word in one.sql.upper() for word in ("DROP TABLE", "DROP COLUMN", "RENAME "))
        assert not takes or one.min_reader == one.number, f"migration {one.number}"


@pytest.mark.parametrize("version", range(1, schema.SCHEMA + 1))
def test_each_earlier_schema_becomes_the_present_one(data, version):
    path = data / "mail.db"
    db = apsw.Connection(str(path))
    schema.migrate(db, path, steps=schema.STEPS[:version])
    assert db.pragma("user_version") == version
    db.close()
    told = []
    migrated = database.open_writer(path, lambda event, **fields: told.append((event, fields["from"], fields["to"])))
    fresh = database.open_writer(data / "fresh.db")
    assert shape(migrated) == shape(fresh)
    events = ("store.migrating", "store.migrated") if version < schema.SCHEMA else ()
    assert told == [(event, version, schema.SCHEMA) for event in events]
    for db in (migrated, fresh):
        db.close()


def test_a_migration_that_fails_leaves_the_old_schema(data):
    path = data / "mail.db"
    db = database.open_writer(path)
    before = shape(db)
    wrong = Migration(schema.SCHEMA + 1, 1, "CREATE TABLE new (x); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(apsw.SQLError, match="nowhere"):
        schema.migrate(db, path, steps=(*schema.STEPS, wrong))
    assert not db.in_transaction
    assert shape(db) == before
    db.close()


async def test_a_migration_that_is_killed_leaves_the_old_schema(data, options):
    store = open_local(data, options)
    for number in range(20):
        await store.writer.commit(intake(ALICE, data=b"%d" % number))
    await store.close()
    db = apsw.Connection(str(data / "mail.db"))
    before = shape(db)
    db.close()
    support = [sys.executable, "-c", KILLED_HALF_WAY, data / "mail.db"]
    run = subprocess.run(list(map(str, support)), env={"PYTHONPATH": ":".join(sys.path)}, check=False)
    assert run.returncode == -signal.SIGKILL
    assert (data / "mail.db-wal").stat().st_size > 10_000_000
    store = open_local(data, options)
    assert len(await store.reader.uids(ALICE, 1)) == 20
    await store.close()
    db = apsw.Connection(str(data / "mail.db"))
    assert shape(db) == before
    assert db.pragma("integrity_check") == "ok"
    db.close()
    migrate_further(data)  # and the next attempt succeeds


async def test_a_release_may_be_rolled_back(data, options):
    """This program wrote, the next release migrated and wrote, this program comes back."""
    store = open_local(data, options)
    await store.writer.commit(intake(ALICE, data=b"first"))
    await store.close()
    migrate_further(data)
    store = open_local(data, options)
    (stored,) = (await store.writer.commit(intake(ALICE, data=b"second"))).stored
    rows = await store.reader.messages(ALICE, stored.mailbox_id, [1, 2])
    assert [await store.reader.body(ALICE, row.blob) for row in rows] == [b"first", b"second"]
    await store.close()
    db = apsw.Connection(str(data / "mail.db"))
    assert db.pragma("user_version") == schema.SCHEMA + 1
    db.close()


def test_a_schema_that_this_program_cannot_use_is_refused(data):
    path = data / "mail.db"
    db = database.open_writer(path)
    schema.migrate(db, path, steps=(*schema.STEPS, Migration(schema.SCHEMA + 1, schema.SCHEMA + 1, step().sql)))
    db.close()
    with pytest.raises(WrongDatabase, match=f"schema {schema.SCHEMA + 1}.*knows {schema.SCHEMA}: install a newer"):
        database.open_writer(path)
