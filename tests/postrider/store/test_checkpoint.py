"""The write-ahead log: it is brought in beside the commits, and what a long read made of it is given back."""

from dataclasses import replace

import pytest
from stored import ALICE, intake

from postrider.store.directory import database_path
from postrider.store.sqlite import database
from postrider.store.sqlite.committer import SqliteCommitter


@pytest.fixture
def committer(data, options, monkeypatch):
    monkeypatch.setattr(database, "WAL_KEPT", 512 * 1024)
    made = SqliteCommitter(data, replace(options, wal_size=256 * 1024))
    yield made
    made.close()


def grow(committer, batches):
    """Commit, and let the thread end that brings the log in."""
    for _ in range(batches):
        committer.commit([intake(ALICE, cached=bytes(4000)) for _ in range(20)])
        committer.between()
        if committer._wal._aside:
            committer._wal._aside.join()


def test_the_log_is_as_short_again_when_a_long_read_has_ended(committer, data):
    log = data / "mail.db-wal"
    grow(committer, 20)
    assert log.stat().st_size < 1024 * 1024
    reader = database.open_reader(database_path(data))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM message").fetchall()
    grow(committer, 30)
    assert log.stat().st_size > 3 * 1024 * 1024
    reader.execute("COMMIT")
    reader.close()
    grow(committer, 30)
    assert log.stat().st_size < 1024 * 1024
