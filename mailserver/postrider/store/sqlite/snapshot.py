"""Writes all journaled rows into the packs, a slice at a time between batches, so that older records can go.

Without it the journal would grow for ever. A snapshot that a crash interrupted is begun anew; until the new one is
whole the one before it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw

from postrider.store import journal
from postrider.store.journal import About, Changed, Changes, Table
from postrider.store.sqlite.journal import Journal
from postrider.store.sqlite.rota import Portion
from postrider.store.sqlite.transaction import Running

#: Rows of one slice at most and at least, and octets for each of them.
_ROWS = 800
_LEAST = 25
_OCTETS = 640
#: The journal may grow to this many octets, and to so many times the size of a snapshot.
_AT_LEAST = 16 * 1024 * 1024
_TIMES = 4


class Snapshot:
    """The snapshot under way, if there is one."""

    def __init__(self, db: apsw.Connection, changes: Journal) -> None:
        self._db = db
        self._journal = changes
        rows: Any = db.execute("SELECT name, value FROM journal")
        known: dict[str, int] = dict(rows)
        self._size = known.get("snapshot_bytes", 0)
        self._wanted = "snapshot" not in known or known.get("layout") != changes.layout.crc
        self._slices: Iterator[list[Changed]] | None = None
        self._first = self._number = self._octets = self._pause = 0
        self.portion = Portion(_ROWS, min(_LEAST, _ROWS))
        #: Octets of the journal from before `since` counts.
        self._before = self._count()

    @property
    def running(self) -> bool:
        """Whether `step` has something to do."""
        return self._slices is not None

    def due(self) -> bool:
        """Whether one should be begun: there is none yet, the tables changed, the journal has become long."""
        octets = self._octets_now()
        return octets >= self._pause and (self._wanted or octets > max(_AT_LEAST, _TIMES * self._size))

    def ask(self) -> None:
        """One should be begun now, whatever there is."""
        self._wanted, self._pause = True, 0

    def begin(self) -> None:
        """Write the layout. Every batch must have its record in a pack. Raises OSError, SyncFailed."""
        self._first, self._number = self._journal.batch + 1, 0
        self._before = self._octets_now()
        self._journal.since.clear()
        self._octets = self._journal.write(journal.pack(self._journal.layout), self._about()).header.length
        self._slices = self._read()

    def step(self) -> bool:
        """Write a slice, unsynced; false when it was the last. Raises OSError, SyncFailed, apsw.Error."""
        if self._slices is None:
            return False
        rows = next(self._slices, None)
        self._number += 1
        if rows is not None:
            self._octets += self._journal.write(journal.pack(Changes(rows)), self._about()).header.length
            return True
        given = journal.pack(Changes([], _given_ids(self._db)))
        self._octets += self._journal.write(given, self._about(last=True)).header.length
        return False

    def finish(self, run: Running) -> None:
        """Say that it is whole, after it was synced, in a transaction: what it takes the place of is dead."""
        layout = self._journal.layout.crc
        known = (("snapshot", self._first), ("snapshot_bytes", self._octets), ("layout", layout))
        run.db.executemany("INSERT OR REPLACE INTO journal (name, value) VALUES (?, ?)", known)
        run.db.execute("UPDATE pack SET dead = dead + journal, journal = 0")
        needed = self._journal.since - self._journal.grown  # the COMMIT adds what has grown
        run.db.executemany(
            "UPDATE pack SET dead = dead - ?1, journal = ?1 WHERE id = ?2",
            [(octets, pack) for pack, octets in needed.items()],
        )

    def finished(self) -> None:
        """The transaction of `finish` was committed."""
        self._slices, self._wanted, self._size, self._pause = None, False, self._octets, 0
        self._before = 0

    def give_up(self) -> None:
        """It could not be written: it is begun anew when the journal has grown some more, or at the next start."""
        self._slices, self._pause = None, self._octets_now() + _AT_LEAST // 4

    def _octets_now(self) -> int:
        """Octets of the journal that are needed."""
        return self._before + self._journal.since.total()

    def _count(self) -> int:
        row: Any = self._db.execute("SELECT coalesce(sum(journal), 0) FROM pack").fetchone()
        return int(row[0])

    def _about(self, *, last: bool = False) -> About:
        return About(self._journal.batch, snapshot=self._first, slice=self._number, last=last)

    def _read(self) -> Iterator[list[Changed]]:
        """The rows of all tables; those of one slice are read at one moment."""
        pages: list[Changed] = []
        rows = octets = 0
        ids = _given_ids(self._db)
        for table in self._journal.layout.tables:
            for page, weight in _pages(self._db, table, ids.get(table.name), self.portion):
                pages.append(Changed(table.name, page))
                rows, octets = rows + len(page), octets + weight
                if rows >= self.portion.size or octets >= _OCTETS * self.portion.size:
                    yield pages
                    pages, rows, octets = [], 0, 0
        if pages:
            yield pages


def _given_ids(db: apsw.Connection) -> dict[str, int]:
    """The highest id that was given out, by table."""
    rows: Any = db.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
    return dict(rows)


def _pages(db: apsw.Connection, table: Table, highest: int | None, portion: Portion) -> Iterator[tuple[list[Any], int]]:
    """Some rows of a table after the other, by key, with their octets; no read is open in between.

    Rows with ids above `highest` came after the snapshot began: changes tell of them.
    """
    columns, key = ", ".join(table.columns), ", ".join(table.key)
    places = [table.columns.index(name) for name in table.key]
    bound = f"{key} <= {highest}" if highest is not None else "TRUE"
    after = f"({key}) > ({', '.join('?' * len(places))})"
    where, last = bound, ()
    while True:
        page: list[Any] = []
        weight = 0
        cursor = db.execute(
            f"SELECT {columns} FROM {table.name} WHERE {where} ORDER BY {key} LIMIT {portion.size}", last
        )
        for row in cursor:
            page.append(row)
            weight += sum(len(value) if isinstance(value, bytes | str) else 8 for value in row)
            if weight >= _OCTETS * portion.size:
                break
        cursor.close()
        if not page:
            return
        where, last = f"{bound} AND {after}", tuple(page[-1][place] for place in places)
        yield page, weight
