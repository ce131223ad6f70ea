"""An index file: where it is, what is in it, and whether it can be trusted. What cannot is thrown away.

All accounts without a key share one. An account that has a key has a file of its own, encrypted and authenticated page
by page (SQLite3 Multiple Ciphers, ChaCha20-Poly1305) under a key that is made of the account's: who shreds the account
has shredded its index. In both are the same tables.

A table of trigrams (FTS5) for each part of a message's text, and one of words; a document's number is
folder << 32 | UID, so that the postings of a folder lie together, come newest first, and can be cut out. A UID under
its UIDVALIDITY is one text for ever (RFC 9051 §2.3.1.1), and UIDs only grow: a folder's highest indexed UID says all
about what is covered.

Nothing is synced in the shared file (synchronous=OFF): a killed process leaves it whole, a crash of the machine need
not. So it carries the mark of the boot during which it was written, taken off when it is closed in good order after a
sync; a mark of another boot means that it may be torn, and it is made anew. Files of single accounts are opened and
closed all the time, which would sync more than synchronous=NORMAL does: that leaves them whole after any crash.

Documents keep their folded texts, so that a candidate is checked where it is found and no message is read for it.

In the shared file terms and texts lie in the clear. So nothing of a message that is encrypted at rest is in it.
"""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw
import msgspec

from postrider.store.keys import DataKey
from postrider.store.search.wanted import Part
from postrider.store.search.words import WORDS, rank

APPLICATION_ID = 0x506F7353  # "PosS"
#: Raised when the tables or what is put into them change.
SCHEMA = 4
#: Why the file of an account is begun that had none yet.
NONE_THERE = "there was none"
#: What a damaged index raises when it is read or written; one that another key encrypted is as good as damaged.
DAMAGE = (apsw.CorruptError, apsw.NotADBError)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, str]).decode

_TABLES = """
-- departed: when an account left for a file of its own, seconds since the epoch; 0: no trace of such is here.
CREATE TABLE mark (build INT NOT NULL, text TEXT NOT NULL, boot TEXT NOT NULL, departed INT NOT NULL) STRICT;
CREATE TABLE folder (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account TEXT NOT NULL, uidvalidity INT NOT NULL, mailbox INT NOT NULL,
    indexed INT NOT NULL DEFAULT 0, documents INT NOT NULL DEFAULT 0, UNIQUE (account, uidvalidity)
) STRICT;
-- partial: not wholly indexed, a candidate of every search. texts: what was indexed (see pack_texts).
CREATE TABLE document (id INTEGER PRIMARY KEY, partial INT NOT NULL, texts BLOB NOT NULL) STRICT;
CREATE INDEX document_partial ON document (id) WHERE partial;
"""
#: Terms are trigrams; the prefixes answer for texts of one and two characters.
TRIGRAMS = (
    "CREATE VIRTUAL TABLE {part} USING fts5(text, content='', contentless_delete=1, detail=none, prefix='1 2',"
    " tokenize='trigram case_sensitive 1')"
)
#: Bytes of new postings in memory before they become a segment.
_HASH = 4 * 1024 * 1024
#: How the file of a writer is kept: the shared one, and that of an account. What leaves the first for the second leaves
#: no trace there. The second has some thirty pages when nothing is in it; a checkpoint, each 4 MiB, costs it two syncs.
_SHARED = {
    "journal_mode": "wal",
    "journal_size_limit": 32 * 1024 * 1024,
    "synchronous": "off",
    "cache_size": -16 * 1024,
    "secure_delete": "on",
}
_OWN = {
    "page_size": 1024,
    "synchronous": "off",  # until it is begun: half a file is none
    "journal_mode": "wal",
    "journal_size_limit": 4 * 1024 * 1024,
    "wal_autocheckpoint": 4 * 1024,
    "cache_size": -8 * 1024,
    "secure_delete": "off",
}
#: Below so many octets the log of an account's file stays when it is closed: a mail now and then costs no sync.
_LOG_LEFT = 128 * 1024
_SEALED = re.compile(r"([0-9a-f]{8})\.db(?:-wal|-shm)?")


class NoCipher(Exception):
    """This SQLite encrypts nothing."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What an index must agree with to be used."""

    #: How text was taken from messages and folded.
    text: str
    #: This run of the machine.
    boot: str


def index_path(directory: Path, key_id: int = 0) -> Path:
    """Where the index of a data directory is, of the accounts without a key or of the one that has this key."""
    return directory / "search" / f"{key_id:08x}.db" if key_id else directory / "search.db"


def sealed_files(directory: Path) -> Iterator[tuple[int, Path]]:
    """The files of accounts that have a key, and what SQLite put beside them, by the keys' numbers."""
    for path in (directory / "search").glob("????????.db*"):
        if match := _SEALED.fullmatch(path.name):
            yield int(match[1], 16), path


def open_writer(path: Path, marks: Marks, build: int, key: DataKey | None = None) -> tuple[apsw.Connection, str]:
    """The one connection that writes, and why the index was begun anew ("": it was not). Raises apsw.Error, OSError.

    `build` is a random number that tells a new index from every other. With a key it is encrypted.
    """
    reason = NONE_THERE
    if path.exists():
        db = None
        try:
            db = _connect(path, key)
            reason = _distrust(db, marks)
        except (*DAMAGE, apsw.SQLError) as error:  # SQLError: a table is missing
            reason = f"it is damaged: {error}"
        if db is not None and not reason:
            _sign(db, marks.boot, key)
            return db, ""
        if db is not None:
            db.close()
    remove(path)
    db = _connect(path, key)
    with db:
        db.execute(_TABLES)
        for part in Part:
            db.execute(TRIGRAMS.format(part=part))
            db.execute(f"INSERT INTO {part}({part}, rank) VALUES ('hashsize', {_HASH})")
        db.execute(WORDS)
        db.execute("INSERT INTO mark (build, text, boot, departed) VALUES (?, ?, '', 0)", (build, marks.text))
    db.pragma("application_id", APPLICATION_ID)
    db.pragma("user_version", SCHEMA)
    _sign(db, marks.boot, key)
    return db, reason


def close_writer(db: apsw.Connection, key: DataKey | None = None) -> None:
    """Close in good order: what is in the file is on the disk before the mark comes off."""
    if key:
        log = Path(db.filename_wal)
        if log.exists() and log.stat().st_size < _LOG_LEFT:
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.close()
        return
    db.pragma("synchronous", "full")
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_FULL)
    db.execute("UPDATE mark SET boot = ''")
    db.close()


def open_reader(path: Path, key: DataKey | None = None) -> apsw.Connection | None:
    """A connection that reads, None where the file is not an index of this release. Raises apsw.Error."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    with contextlib.ExitStack() as opened:
        opened.callback(db.close)
        db.setbusytimeout(2_000)
        if key:
            _unlock(db, key)
            db.pragma("cache_size", -1024)
        else:
            db.pragma("cache_size", -8 * 1024)
            db.pragma("mmap_size", 256 * 1024 * 1024)
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        ask_as_it_stands(db)
        db.register_fts5_function("answers", rank)
        if _version(db) != (APPLICATION_ID, SCHEMA):
            return None
        opened.pop_all()
    return db


def ask_as_it_stands(db: apsw.Connection) -> None:
    """Make a query's text one term: FTS5's own tokenizer finds none in what is shorter than a trigram."""
    db.register_fts5_tokenizer("trigram", _as_it_stands)


def pack_texts(texts: Mapping[Part, str]) -> bytes:
    """A document's texts as they lie in its row."""
    return zlib.compress(_encode({part.value: text for part, text in texts.items()}), 1)


def unpack_texts(packed: bytes) -> dict[str, str]:
    """The texts of a row. Raises apsw.CorruptError."""
    try:
        return _decode(zlib.decompress(packed))
    except (zlib.error, msgspec.DecodeError) as error:
        raise apsw.CorruptError(f"the texts of a document cannot be read: {error}") from error


def remove(path: Path) -> None:
    """Throw the index away; a write-ahead log without its database would haunt the next one."""
    for name in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        name.unlink(missing_ok=True)


def _connect(path: Path, key: DataKey | None) -> apsw.Connection:
    if key:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)  # what SQLite puts beside it gets the same mode
    db = apsw.Connection(str(path))
    with contextlib.ExitStack() as opened:
        opened.callback(db.close)
        db.setbusytimeout(10_000)
        if key:
            _unlock(db, key)
        for name, value in (_OWN if key else _SHARED).items():
            db.pragma(name, value)
        opened.pop_all()
    return db


def _unlock(db: apsw.Connection, key: DataKey) -> None:
    """Name the key before anything is read. Nothing of such a file is written elsewhere, or mapped. Raises NoCipher."""
    db.pragma("cipher", "chacha20")
    if not db.execute(f'PRAGMA key = "raw:{key.index.hex()}"', can_cache=False).fetchall():
        raise NoCipher("this SQLite encrypts nothing: install apsw-sqlite3mc, and no apsw beside it")
    db.pragma("temp_store", "memory")
    db.pragma("mmap_size", 0)


def _distrust(db: apsw.Connection, marks: Marks) -> str:
    """Why this index cannot be used, "" where it can."""
    if _version(db) != (APPLICATION_ID, SCHEMA):
        return "another release made it"
    text, boot = db.execute("SELECT text, boot FROM mark").fetchone() or ("", "")
    if text != marks.text:
        return "text is read differently now"
    if boot not in ("", marks.boot):
        return "the machine went down while it was written"
    return ""


def _sign(db: apsw.Connection, boot: str, key: DataKey | None) -> None:
    """Put our mark on the disk before anything else is changed, where what is changed is not synced.

    In the log alone it would not be safe: that begins anew before what was in it is synced in the file.
    """
    if key:
        db.pragma("synchronous", "normal")
        return
    db.pragma("synchronous", "full")
    db.execute("UPDATE mark SET boot = ?", (boot,))
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_FULL)
    db.pragma("synchronous", "off")


def _version(db: apsw.Connection) -> tuple[int, int]:
    return int(str(db.pragma("application_id"))), int(str(db.pragma("user_version")))


def _as_it_stands(_: apsw.Connection, __: list[str]) -> apsw.Tokenizer:
    def tokens(text: bytes, _: int, __: str | None) -> list[tuple[int, int, str]]:
        return [(0, len(text), text.decode("utf-8", "replace"))]

    return tokens
