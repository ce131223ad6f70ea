"""The database as a file of a backup: copied while the server writes, examined, and given a new epoch when restored."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import apsw

from postrider.store import directory
from postrider.store.backup import BodyFile, Copied, Progress
from postrider.store.record_list import RecordList
from postrider.store.shape import Reason, StoreError
from postrider.store.sqlite import database
from postrider.store.values import QueueState

_PAGES = 4096
#: More complaints than these say nothing new.
_ENOUGH = 20
#: How far things jump in a new epoch: always further than an earlier restore of the same backup brought them, for what
#: was given since then is lost too. UIDs have 32 bits: so many, and more for each second that was lost than arrive in a
#: second; what goes beyond the most counts a fortieth. UIDVALIDITY, which has 32 bits too, runs with the clock.
UID_JUMP, UIDS_A_SECOND, MOST_UIDS, LATER_UIDS_A_SECOND = 1 << 20, 10_000, 1 << 28, 250
FOLDER_JUMP, MOST_FOLDERS = 1 << 16, 1 << 22
#: Modseqs and ids (63 bits) go on with a clock that counts so many a second: above what came of any restore before, of
#: whichever backup. Where they are ahead of it the clock is wrong: so far.
A_SECOND, JUMP = 1 << 20, 1 << 32
_SPREAD = 1 << 20
_LAST_UID = (1 << 32) - 1


class SqliteFile:
    """Implements backup.DatabaseFile."""

    def copy(self, data: Path, target: Path, progress: Progress) -> Copied:
        """Copy within one read transaction: the WAL cannot begin anew meanwhile, so nothing else is done in it."""
        try:
            db = database.open_reader(directory.database_path(data))
            try:
                return _copy(db, target, progress)
            finally:
                db.close()
        except apsw.FullError as error:
            raise StoreError(Reason.NO_SPACE, f"{target.parent}: there is no room for the database") from error
        except apsw.Error as error:
            raise StoreError(Reason.UNAVAILABLE, f"the database cannot be copied: {error}") from error

    def files(self, path: Path) -> Iterator[BodyFile]:
        """Rows of bodies with a path."""
        try:
            db = _open_copy(path)
            rows: Any = db.cursor()
            try:
                rows.execute("SELECT path, start, start + size, hash FROM blob WHERE path != '' ORDER BY path")
                for row in rows:
                    yield BodyFile(*row)
            finally:
                rows.close(True)  # whoever found something wrong reads no further
                db.close()
        except apsw.Error as error:
            raise StoreError(Reason.UNAVAILABLE, f"{path}: {error}") from error

    def examine(self, path: Path, packs: Mapping[int, RecordList | None]) -> Sequence[str]:
        """The database's own integrity check, and each body's record looked at where it should be."""
        try:
            db = _open_copy(path)
            try:
                found = [f"database: {row[0]}" for row in db.execute(f"PRAGMA integrity_check({_ENOUGH})")]
                if found == ["database: ok"]:
                    found = []
                for wrong in _misplaced(db, packs):
                    if len(found) >= _ENOUGH:
                        break
                    found.append(wrong)
            finally:
                db.close()
        except apsw.Error as error:
            return (f"database: {error}",)
        return tuple(found)

    def begin_epoch(self, path: Path, now: int, *, since: int, hold_queue: bool) -> None:
        """Migrate, then move everything that is given out once to numbers that were never given."""
        db = database.open_writer(path)
        try:
            db.execute("BEGIN EXCLUSIVE")
            _renew(db, now, max(0, now - since))
            _free_queue(db, hold=hold_queue)
            # What is changed here is in no pack: the journal begins anew, with all rows.
            db.execute("DELETE FROM journal")
            db.execute("COMMIT")
            db.pragma("journal_mode", "delete")
        finally:
            db.close()


def _open_copy(path: Path) -> apsw.Connection:
    return apsw.Connection(f"file:{path}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _copy(db: apsw.Connection, target: Path, progress: Progress) -> Copied:
    db.execute("BEGIN")  # one state for the rows below and for all pages
    # What a compaction is still writing belongs to nobody; of what it has emptied the file may be gone already.
    rows: Any = db.execute("SELECT id, used FROM pack WHERE state != 'copying' AND emptied = 0").fetchall()
    said: Any = db.execute(
        "SELECT version, min_reader, value FROM schema_version, sequence WHERE component = 'store' AND name = 'lease'"
    ).fetchone()
    copy = apsw.Connection(str(target))
    try:
        # The copy is worth nothing before it is whole, and it is synced then.
        copy.pragma("synchronous", "off")
        with copy.backup("main", db, "main") as backup:
            while not backup.done:
                backup.step(_PAGES)
                done = backup.page_count - backup.remaining
                progress(done * database.PAGE_SIZE, backup.page_count * database.PAGE_SIZE)
        db.execute("COMMIT")
        copy.pragma("journal_mode", "delete")  # one file, without a WAL beside it
    finally:
        copy.close()
    with target.open("rb") as file:
        os.fsync(file.fileno())
    target.chmod(0o600)
    schema, min_reader, lease = said
    return Copied(schema, min_reader, lease, dict(rows))


def _misplaced(db: apsw.Connection, packs: Mapping[int, RecordList | None]) -> Iterator[str]:
    """Bodies whose record is not where the database says."""
    now, there = 0, dict[int, bytes]()
    rows: Any = db.execute("SELECT pack, start, hash FROM blob WHERE path = '' ORDER BY pack, start")
    for pack, start, digest in rows:
        if pack not in packs:
            if pack != now:
                yield f"pack {pack} is missing, and bodies lie in it"
            now = pack
        elif listed := packs[pack]:
            if pack != now:
                now, there = pack, listed.hashes()
            if (found := there.get(start)) != digest:
                wrong = "another body lies there" if found else "no record begins there"
                yield f"pack {pack}, record at {start}: {wrong}"


def _renew(db: apsw.Connection, now: int, lost: int) -> None:
    uids = min(UID_JUMP + UIDS_A_SECOND * lost, MOST_UIDS) + LATER_UIDS_A_SECOND * lost
    folders = min(FOLDER_JUMP + lost, MOST_FOLDERS)
    far = (now + 1) * A_SECOND
    db.execute("UPDATE sequence SET value = max(value, ?) + ? WHERE name = 'uidvalidity'", (now, folders))
    db.execute("UPDATE sequence SET value = value + ? WHERE name = 'lease'", (JUMP,))
    db.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT name, 0 FROM sqlite_master WHERE type = 'table'"
        " AND sql LIKE '%AUTOINCREMENT%' AND name NOT IN (SELECT name FROM sqlite_sequence)"
    )
    db.execute("UPDATE sqlite_sequence SET seq = iif(seq < ?1, ?1, seq + ?2)", (far, JUMP))
    # Whatever a client knows of after the backup, it has to ask anew: nothing below the new modseq can be told.
    db.execute(
        "UPDATE account SET modseq = iif(modseq < ?1, ?1, modseq + ?2),"
        " next_mailbox = iif(next_mailbox < ?1, ?1, next_mailbox + ?2)", (far, JUMP),
    )  # fmt: skip
    db.execute("UPDATE account SET floor = modseq")
    # A copy that was under way has UIDs above UIDNEXT; they are cleared away, and nothing new may lie among them.
    fresh = "max(uidnext, hidden_last + 1)"
    present = "(SELECT modseq FROM account WHERE id = account_id)"
    # Messages that came after the backup are gone, and QRESYNC says so (RFC 7162 §3.2.10).
    db.execute(
        "INSERT INTO vanished (account_id, mailbox_id, modseq, first, last)"
        f" SELECT account_id, id, {present}, uidnext, {fresh} + ?1 - 1 FROM mailbox WHERE {fresh} <= ?2",
        (uids, _LAST_UID - 2 * uids),
    )
    full = db.execute(f"SELECT account_id, id FROM mailbox WHERE {fresh} > ?", (_LAST_UID - 2 * uids,)).fetchall()
    db.execute(f"UPDATE mailbox SET uidnext = {fresh} + ? WHERE {fresh} <= ?", (uids, _LAST_UID - 2 * uids))
    for folder in full:  # no room to jump: clients forget all they know of it
        ((value,),) = db.execute("UPDATE sequence SET value = value + 1 WHERE name = 'uidvalidity' RETURNING value")
        db.execute("UPDATE mailbox SET uidvalidity = ? WHERE account_id = ? AND id = ?", (value, *folder))
    # Flags that changed after the backup are as they were before: so every message has changed. Each has a modseq of
    # its own, or nearly: a million with the same one could not be told a slice at a time.
    for table in ("mailbox", "seen", "thing", "change"):
        db.execute(f"UPDATE {table} SET modseq = {present}")
    db.execute(f"UPDATE message SET modseq = {present} - (uid & ?)", (_SPREAD - 1,))
    # A compaction that was under way never was.
    db.execute("DELETE FROM pack WHERE state = 'copying'")


def _free_queue(db: apsw.Connection, *, hold: bool) -> None:
    """Nobody holds a claim; what was sent after the backup stands here again."""
    db.execute("UPDATE queue SET state = ?, claimed_until = 0 WHERE state = ?", (QueueState.READY, QueueState.CLAIMED))
    if hold:
        db.execute("UPDATE queue SET state = ? WHERE state = ?", (QueueState.HELD, QueueState.READY))
