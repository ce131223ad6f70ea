"""What lies in the clear though all is to be encrypted: rows whose bodies do, and packs that tell of such.

For threads, each with a connection of its own; no read lasts long, so that the WAL can be brought in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from postrider.store import journal
from postrider.store.blobs import Place
from postrider.store.pack_files import pack_ids
from postrider.store.records import KEY_NONE, KIND_BODY
from postrider.store.sealer import Clear
from postrider.store.sqlite import database
from postrider.store.survey import Damage, read_pack

#: Rows that are looked at in one read, and records between two rests.
_ROWS = 5000
_RECORDS = 200
#: Rows of one round, about.
_ENOUGH = 1000

#: Tables of rows that need bodies, in the order they are gone through, with whose they are: 0 is the queue. Rows of
#: accounts that are gone are about to be cleared away.
TABLES: Mapping[str, tuple[str, str]] = {
    "email": ("account_id", "EXISTS (SELECT 1 FROM account WHERE account.id = account_id)"),
    "queue": ("0", "TRUE"),
}


@dataclass(slots=True)
class Round:
    """Some bodies in the clear, and the id of the last row that was looked at; 0: it was the last of all."""

    bodies: list[Clear] = field(default_factory=list)
    after: int = 0


def count(path: Path, rest: Callable[[], None]) -> int:
    """Rows whose bodies lie in the clear. Raises apsw.Error."""
    db = database.open_reader(path)
    try:
        return sum(len(rows) for table in TABLES for rows in _pieces(db, table, 0, rest))
    finally:
        db.close()


def some(path: Path, table: str, after: int, most: int) -> Round:
    """Bodies that rows with higher ids need, about `most` octets of them. Raises apsw.Error.

    Rows that share one come together: they were inserted one behind the other.
    """
    db = database.open_reader(path)
    try:
        found: dict[tuple[int, int], tuple[int, Place, list[int]]] = {}
        rows = octets = last = 0
        for piece in _pieces(db, table, after):
            for row_id, account_id, blob_id, size, *place in piece:
                if (rows >= _ENOUGH or octets >= most) and (blob_id, account_id) not in found:
                    return Round(_bodies(found), last)
                _, _, sharing = found.setdefault((blob_id, account_id), (size, Place(*place), []))
                octets += 0 if sharing else size
                sharing.append(row_id)
                rows, last = rows + 1, row_id
        return Round(_bodies(found))
    finally:
        db.close()


def _bodies(found: Mapping[tuple[int, int], tuple[int, Place, list[int]]]) -> list[Clear]:
    return [
        Clear(blob_id, size, place, account_id, tuple(rows))
        for (blob_id, account_id), (size, place, rows) in found.items()
    ]


def _pieces(
    db: apsw.Connection, table: str, after: int, rest: Callable[[], None] = lambda: None
) -> Iterator[list[Any]]:
    """Rows of a table whose bodies lie in the clear, in order: id, account, body, its size and place."""
    whose, there = TABLES[table]
    highest: Any = db.execute(f"SELECT coalesce(max(id), 0) FROM {table}").fetchone()
    while after < highest[0]:
        yield db.execute(
            f"SELECT {table}.id, {whose}, blob_id, blob.size, pack, start, path FROM {table}"
            f" CROSS JOIN blob ON blob.id = blob_id"
            f" WHERE {table}.id > ?1 AND {table}.id <= ?2 AND key_id = 0 AND {there} ORDER BY {table}.id",
            (after, after + _ROWS),
        ).fetchall()
        after += _ROWS
        rest()


@dataclass(frozen=True, slots=True)
class Look:
    """A look through packs: what is not looked at again, where the open one ends, the snapshot that counts.

    With snapshot 0 the journal is passed over.
    """

    directory: Path
    skip: Collection[int]
    open_pack: int
    open_end: int
    snapshot: int
    rest: Callable[[], None]


def packs(look: Look) -> dict[int, bool]:
    """Packs, by whether they have no body in the clear and no journal from before the snapshot. Raises OSError."""
    return {pack: _is_clean(look, pack) for pack in pack_ids(look.directory) if pack not in look.skip}


def _is_clean(look: Look, pack: int) -> bool:
    try:
        for number, found in enumerate(read_pack(look.directory, pack)):
            if number % _RECORDS == 0:
                look.rest()
            if pack == look.open_pack and found.start >= look.open_end:
                break
            if isinstance(found, Damage):
                continue
            if found.header.kind == KIND_BODY:
                if found.header.key_id == KEY_NONE:
                    return False
            elif look.snapshot and not journal.unpack_about(found.meta).needed(look.snapshot):
                return False
    except FileNotFoundError:  # it was compacted away
        return True
    return True
