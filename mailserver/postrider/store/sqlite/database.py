"""The database file, opened with the right settings: by the one that writes, by readers, by the checkpointer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from postrider.store.sqlite import schema
from postrider.store.sqlite.schema import WrongDatabase

PAGE_SIZE = 4096
#: Milliseconds to wait for another connection.
_BUSY = 10_000
#: Octets that the WAL's file keeps when it begins anew: twice of what it has when no reader is in the way.
WAL_KEPT = 64 * 1024 * 1024
#: Versions before it can corrupt the WAL when it is reset while another connection checkpoints.
OLDEST_SQLITE = (3, 51, 3)


def check_library(version: str = apsw.sqlite_lib_version()) -> None:
    """Raises WrongDatabase for an SQLite that can lose data."""
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise WrongDatabase(f"SQLite {version} can corrupt its write-ahead log: install apsw {wanted} or newer")


def open_writer(path: Path, notice: schema.Notice | None = None) -> apsw.Connection:
    """The one connection that writes, the schema migrated. Raises WrongDatabase, apsw.Error."""
    check_library()
    path.touch(mode=0o600)  # the WAL and what is shared with readers get the same mode
    with _opening(path, apsw.SQLITE_OPEN_READWRITE) as db:
        db.pragma("page_size", PAGE_SIZE)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "full")  # a COMMIT that returned is on the disk
        db.pragma("wal_autocheckpoint", 0)  # the writer chooses the moment
        db.pragma("journal_size_limit", WAL_KEPT)  # what a long read made of it is free again, the disk may be full
        db.pragma("cache_size", -64 * 1024)
        db.pragma("temp_store", "memory")
        schema.migrate(db, path, notice)
    return db


def open_checkpointer(path: Path) -> apsw.Connection:
    """A connection that copies the WAL into the database and nothing else. Raises apsw.Error."""
    with _opening(path, apsw.SQLITE_OPEN_READWRITE) as db:
        db.pragma("synchronous", "full")
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return db


def size(db: apsw.Connection) -> int:
    """Octets of a database, what is free in it too."""
    return int(str(db.pragma("page_count"))) * PAGE_SIZE


def write_anew(path: Path) -> None:
    """Write all that is in the database into new pages, so that nothing old is left in free space. Raises apsw.Error.

    Nobody commits meanwhile; it takes a second for 100 MB, and as much room as the database twice.
    """
    db = open_checkpointer(path)
    try:
        db.pragma("temp_store", "file")
        db.pragma("temp_store_directory", str(path.parent))
        db.execute("VACUUM")
    finally:
        db.close()


def truncate_wal(db: apsw.Connection) -> bool:
    """Bring all of the WAL in and empty its file; false when somebody is in the way. Raises apsw.Error."""
    db.setbusytimeout(0)
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return False
    finally:
        db.setbusytimeout(_BUSY)
    return True


def open_reader(path: Path) -> apsw.Connection:
    """A connection that reads. Raises apsw.Error."""
    with _opening(path, apsw.SQLITE_OPEN_READONLY) as db:
        db.pragma("cache_size", -16 * 1024)
        db.pragma("mmap_size", 256 * 1024 * 1024)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return db


@contextmanager
def _opening(path: Path, flags: int) -> Iterator[apsw.Connection]:
    """A connection that is left open, unless its opening fails: who looks at the failure would hold its files."""
    db = apsw.Connection(str(path), flags=flags)
    try:
        db.setbusytimeout(_BUSY)
        yield db
    except BaseException:
        db.close()
        raise
