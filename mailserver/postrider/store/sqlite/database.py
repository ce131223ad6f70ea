"""The database file: opened with the right settings, created or migrated, refused when it is not ours or too new."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import apsw

APPLICATION_ID = 0x506F7374  # "Post"
#: The newest schema this program knows, and the oldest program that can read it.
SCHEMA = 1
MIN_READER = 1
PAGE_SIZE = 4096
#: Versions before it can corrupt the WAL when it is reset while another connection checkpoints.
OLDEST_SQLITE = (3, 51, 3)


class WrongDatabase(Exception):
    """This file cannot be used; the message says why and what to do."""


def check_library(version: str = apsw.sqlite_lib_version()) -> None:
    """Raises WrongDatabase for an SQLite that can lose data."""
    if tuple(map(int, version.split("."))) < OLDEST_SQLITE:
        wanted = ".".join(map(str, OLDEST_SQLITE))
        raise WrongDatabase(f"SQLite {version} can corrupt its write-ahead log: install apsw {wanted} or newer")


def open_writer(path: Path) -> apsw.Connection:
    """The one connection that writes. Raises WrongDatabase, apsw.Error."""
    check_library()
    path.touch(mode=0o600)  # the WAL and what is shared with readers get the same mode
    db = apsw.Connection(str(path))
    db.setbusytimeout(10_000)
    db.pragma("page_size", PAGE_SIZE)
    db.pragma("journal_mode", "wal")
    db.pragma("synchronous", "full")  # a COMMIT that returned is on the disk
    db.pragma("wal_autocheckpoint", 0)  # the writer chooses the moment
    db.pragma("cache_size", -64 * 1024)
    db.pragma("temp_store", "memory")
    _migrate(db, path)
    return db


def open_checkpointer(path: Path) -> apsw.Connection:
    """A connection that copies the WAL into the database and nothing else. Raises apsw.Error."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    db.setbusytimeout(10_000)
    db.pragma("synchronous", "full")
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return db


def open_reader(path: Path) -> apsw.Connection:
    """A connection that reads. Raises apsw.Error."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    db.setbusytimeout(10_000)
    db.pragma("cache_size", -16 * 1024)
    db.pragma("mmap_size", 256 * 1024 * 1024)
    db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    return db


def _migrate(db: apsw.Connection, path: Path) -> None:
    own = db.pragma("application_id")
    version = int(str(db.pragma("user_version")))
    if own not in (0, APPLICATION_ID) or (own == 0 and version):
        raise WrongDatabase(f"{path} is not a Postrider database")
    if version > SCHEMA:
        row = db.execute("SELECT min_reader FROM schema_version WHERE component = 'store'").fetchone()
        if not row or int(row[0]) > SCHEMA:
            raise WrongDatabase(f"{path} has schema {version}, this program knows {SCHEMA}: install a newer release")
        return
    if version == SCHEMA:
        return
    db.execute("BEGIN EXCLUSIVE")
    for number, sql in _migrations():
        if number > version:
            db.execute(sql)
    db.execute("INSERT OR REPLACE INTO schema_version VALUES ('store', ?, ?)", (SCHEMA, MIN_READER))
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", SCHEMA)
    db.execute("COMMIT")


def _migrations() -> list[tuple[int, str]]:
    directory = resources.files("postrider.store") / "sql"
    files = (file for file in directory.iterdir() if file.name.endswith(".sql"))
    return sorted((int(file.name[:4]), file.read_text(encoding="utf-8")) for file in files)
