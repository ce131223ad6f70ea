"""The data directory: one writer, no network filesystems, and databases that are ours."""

import dataclasses
import os
from pathlib import Path

import apsw
import pytest

from postrider.store import directory
from postrider.store.directory import CannotOpen
from postrider.store.open import open_local, open_writer
from postrider.store.sqlite import database, schema
from postrider.store.sqlite.schema import WrongDatabase

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
23 22 0:20 / /run rw,nosuid - tmpfs tmpfs rw
30 22 0:40 / /srv/mail rw - nfs4 server:/mail rw,vers=4.2
31 30 254:9 / /srv/mail/block rw - xfs /dev/sdb rw
32 22 0:50 / /with\\040space rw - cifs //server/share rw
33 22 0:60 / /over rw - xfs /dev/sdc rw
34 33 0:61 / /over rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/postrider", "ext4"),
        ("/run/postrider", "tmpfs"),
        ("/running", "ext4"),
        ("/srv/mail", "nfs4"),
        ("/srv/mail/deep/er", "nfs4"),
        ("/srv/mail/block/data", "xfs"),
        ("/with space/data", "cifs"),
        ("/over/data", "tmpfs"),
    ],
)
def test_the_filesystem_of_a_path(path, kind):
    assert directory.filesystem(Path(path), MOUNTS) == kind


def test_filesystems_that_lose_mail_are_refused():
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK) or directory.check_filesystem(shared, allow_tmpfs=True) != "tmpfs":
        pytest.skip("no tmpfs at /dev/shm on this machine")
    with pytest.raises(CannotOpen, match="tmpfs"):
        directory.check_filesystem(shared, allow_tmpfs=False)


def test_a_second_writer_waits_then_refuses(data, options):
    waited = []
    directory.make(data)
    first = directory.lock(data, 0)
    impatient = dataclasses.replace(options, wait=2.0, sleep=waited.append)
    with pytest.raises(CannotOpen, match=f"in use by another server or command .pid {os.getpid()}"):
        open_writer(data, impatient)
    assert sum(waited) == 2.0
    os.close(first)


async def test_a_second_writer_goes_on_when_the_first_ends(data, options):
    turns = []
    directory.make(data)
    first = directory.lock(data, 0)

    def sleep(seconds):
        turns.append(seconds)
        if len(turns) == 3:
            os.close(first)

    second = open_local(data, dataclasses.replace(options, wait=30, sleep=sleep))
    assert len(turns) == 3
    await second.close()


@pytest.mark.parametrize("version", ["3.51.2", "3.45.0", "2.99.99"])
def test_an_sqlite_that_loses_data_is_refused(version):
    with pytest.raises(WrongDatabase, match=version):
        database.check_library(version)


def test_a_new_database_says_whose_it_is(data):
    db = database.open_writer(data / "mail.db")
    assert db.pragma("application_id") == schema.APPLICATION_ID
    assert db.pragma("user_version") == schema.SCHEMA
    assert db.pragma("synchronous") == 2
    assert db.pragma("journal_mode") == "wal"
    assert db.execute("SELECT version, min_reader FROM schema_version").fetchall() == [
        (schema.SCHEMA, schema.MIN_READER)
    ]
    db.close()
    database.open_writer(data / "mail.db").close()


def test_foreign_databases_are_refused(data):
    other = apsw.Connection(str(data / "mail.db"))
    other.pragma("application_id", 77)
    other.execute("CREATE TABLE x (y)")
    other.close()
    with pytest.raises(WrongDatabase, match="not a Postrider database"):
        database.open_writer(data / "mail.db")


@pytest.mark.parametrize(("min_reader", "readable"), [(schema.SCHEMA, True), (schema.SCHEMA + 1, False)])
def test_newer_schemas_say_who_can_read_them(data, min_reader, readable):
    db = database.open_writer(data / "mail.db")
    db.execute("UPDATE schema_version SET version = ?, min_reader = ?", (schema.SCHEMA + 1, min_reader))
    db.pragma("user_version", schema.SCHEMA + 1)
    db.close()
    if readable:
        database.open_writer(data / "mail.db").close()
    else:
        with pytest.raises(WrongDatabase, match="install a newer release"):
            database.open_writer(data / "mail.db")
