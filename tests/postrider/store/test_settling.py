"""What housekeeping does is not synced by itself: nothing outside the database goes by it before it is durable."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from stored import ALICE, append, intake

from postrider.store import pack_files
from postrider.store import transactions as t
from postrider.store.open import _committer
from postrider.store.sqlite.committer import SqliteCommitter


@pytest.fixture
def committer(data, options):
    made = SqliteCommitter(data, options)
    yield made
    made.close()


@pytest.fixture
def synced(monkeypatch):
    """The names of files that were synced, in order."""
    found = []

    def noting(sync):
        def noted(fd):
            found.append(Path(f"/proc/self/fd/{fd}").readlink().name)
            return sync(fd)

        return noted

    for name in ("fdatasync", "fsync"):
        monkeypatch.setattr(pack_files.os, name, noting(getattr(os, name)))
    return found


def remove_a_folder(committer, messages=600):
    made, *_ = committer.commit([t.CreateMailbox(ALICE, "Work")]).results
    committer.commit([append(made.id, *[b"%d" % number for number in range(messages)])])
    committer.commit([t.DeleteMailbox(ALICE, made.id)])


def keep_house(committer):
    while committer.between() < 1:
        committer._journal.join()
        committer._options.clock.seconds += 0.05


def test_what_is_cleared_away_is_durable_before_a_pack_is_sealed_behind_it(committer, data, options, synced):
    remove_a_folder(committer)
    keep_house(committer)
    assert not committer._upkeep.doomed
    synced.clear()
    for _ in range(2):
        committer.commit([intake(ALICE, data=os.urandom(options.pack_size * 2 // 3))])
    assert synced.index("mail.db-wal") < synced.index("00000001.pack")
    assert synced.index("00000001.pack") < synced.index("00000002.pack")
    assert synced.count("mail.db-wal") == 1  # the rest is SQLite's


def test_with_files_every_transaction_is_synced(data, options, synced):
    """A file that nobody needs goes at once: it may not come back to a row that does."""
    committer = _committer(data, replace(options, blobs="maildir"))
    remove_a_folder(committer)
    keep_house(committer)
    synced.clear()
    for _ in range(3):
        committer.commit([append()])
        committer._settling.settle()
    assert "mail.db-wal" not in synced
    committer.close()


def test_a_sync_that_fails_aside_ends_the_process(data, options, clock, monkeypatch):
    """Whatever was in the packs by then may be lost: nothing more is acknowledged."""
    died = []

    def die():
        died.append(True)
        raise SystemExit

    def fail(fd):
        if Path(f"/proc/self/fd/{fd}").readlink().suffix == ".pack":
            raise OSError(errno.EIO, "Input/output error")
        return sync(fd)

    committer = SqliteCommitter(data, replace(options, die=die))
    keep_house(committer)
    committer.commit([t.CreateMailbox(ALICE, "Work")])
    committer.between()
    sync = os.fdatasync
    monkeypatch.setattr(pack_files.os, "fdatasync", fail)
    clock.seconds += 6
    with pytest.raises(SystemExit):
        keep_house(committer)
    assert died
    monkeypatch.undo()
    committer._db.close()


def test_the_journal_is_synced_within_seconds_and_nobody_waits(committer, clock, synced):
    keep_house(committer)
    committer.commit([t.CreateMailbox(ALICE, "Work")])
    synced.clear()
    committer.between()
    committer._journal.join()
    assert synced == []
    clock.seconds += 6
    keep_house(committer)
    assert synced == ["00000001.pack"]
    assert committer._journal.synced == committer._journal.batch
