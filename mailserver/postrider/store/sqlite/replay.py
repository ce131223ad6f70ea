"""Brings rows of the journal into a database: the last whole snapshot, and all changes since it began."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import apsw

from postrider.store import journal
from postrider.store.journal import Changed, Layout, Table
from postrider.store.sqlite.journal import columns_of
from postrider.store.sqlite.mend import make_way
from postrider.store.survey import Entry

#: Reads the payload of a journal record. Raises BadRecord.
Read = Callable[[Entry], bytes]


class NoJournal(Exception):
    """The packs do not say what tables there were: they were written by a release without a journal."""


class Replay:
    """One replay, within a transaction of its caller."""

    def __init__(self, db: apsw.Connection, entries: Iterable[Entry], now: int) -> None:
        """`now`: seconds since the epoch."""
        self._db = db
        self._now = now
        self._entries = sorted(entries, key=lambda entry: entry.about.order)
        self._statements: dict[str, _Statements] = {}
        #: The first batch that is not in the snapshot; 0 without any, then all changes there are count.
        self.first = _whole_snapshot(self._entries)
        batches = {entry.about.batch for entry in self._entries if not entry.about.snapshot}
        later = sorted(batch for batch in batches if batch >= self.first)
        #: The last batch that is known, and those before it that are not.
        self.last = max([*later, self.first - 1, 0])
        self.missing = frozenset(_gaps([max(self.first, 1) - 1, *later]))
        self.wanted = [entry for entry in self._entries if self._is_wanted(entry)]

    def run(self, read: Read, told: Callable[[int, int], object]) -> None:
        """Apply everything in order. Raises NoJournal, BadRecord, msgspec.DecodeError, apsw.Error."""
        ids: Counter[str] = Counter()
        numbered = self._numbered()
        for done, entry in enumerate(self.wanted):
            told(done, len(self.wanted))
            payload = read(entry)
            if entry.about.snapshot and entry.about.slice == 0:
                self._take_layout(journal.unpack_layout(payload))
                continue
            changes = journal.unpack_changes(payload)
            for changed in changes.tables:
                self._apply(changed)
                if changed.gone and changed.table in numbered:  # one that came and went in one batch was never inserted
                    ids[changed.table] = max(ids[changed.table], *(number for (number,) in changed.gone))
            ids |= Counter(changes.ids)
        self._raise_ids(ids)

    def _numbered(self) -> frozenset[str]:
        """Tables whose ids are given once."""
        rows = self._db.execute("SELECT name FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%'")
        return frozenset(str(name) for (name,) in rows)

    def _is_wanted(self, entry: Entry) -> bool:
        about = entry.about
        if not about.snapshot:
            return about.batch >= self.first
        # Layouts of snapshots that were begun later count too: the tables were changed then.
        return about.snapshot == self.first or (about.slice == 0 and about.snapshot > self.first)

    def _take_layout(self, layout: Layout) -> None:
        """A release that did not know what is derived has journaled it."""
        self._statements = {
            table.name: _Statements(self._db, table) for table in layout.tables if table.name not in journal.DERIVED
        }

    def _apply(self, changed: Changed) -> None:
        if not self._statements:
            raise NoJournal
        statements = self._statements.get(changed.table)
        if statements and statements.insert:
            # All keys go first: what the rows say now may only be unique without what they said before.
            keys = [statements.key(row) for row in changed.rows]
            self._db.executemany(statements.delete, [*changed.gone, *keys])
            if self.missing:
                for row in changed.rows:
                    make_way(self._db, changed.table, statements.named(row), self._now)
            self._db.executemany(statements.insert, [statements.row(row) for row in changed.rows])

    def _raise_ids(self, ids: Counter[str]) -> None:
        """No id is given out twice, though its row is gone."""
        for name, value in ids.items():
            found = self._db.execute("SELECT 1 FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
            self._db.execute(
                "UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1"
                if found
                else "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)",
                (name, value),
            )


def _gaps(numbers: Sequence[int]) -> Iterator[int]:
    """What is missing between ascending numbers."""
    for before, after in pairwise(numbers):
        yield from range(before + 1, after)


class _Statements:
    """How rows of one table of a layout are written into the table as it is now; a table may be gone by now."""

    def __init__(self, db: apsw.Connection, table: Table) -> None:
        present = [name for name, _, generated in columns_of(db, table.name) if not generated]
        self._names = table.columns
        self._columns = [name for name in table.columns if name in present]
        self._places = [table.columns.index(name) for name in self._columns]
        self._key_places = [table.columns.index(name) for name in table.key]
        empty = sorted(journal.DERIVED_COLUMNS.get(table.name, frozenset()) & set(present))
        self._empty = [b""] * len(empty)
        names = [*self._columns, *empty]
        marks = ", ".join("?" * len(names))
        self.insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})" if present else ""
        self.delete = f"DELETE FROM {table.name} WHERE " + " AND ".join(f"{name} = ?" for name in table.key)

    def key(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The key of a row of the journal."""
        return tuple(row[place] for place in self._key_places)

    def named(self, row: Sequence[Any]) -> dict[str, Any]:
        """The values of a row of the journal by their columns."""
        return dict(zip(self._names, row, strict=True))

    def row(self, row: Sequence[Any]) -> tuple[Any, ...]:
        """The values of a row; an older one may lack columns that were added later."""
        return (*(row[place] for place in self._places), *self._empty)


def _whole_snapshot(entries: Iterable[Entry]) -> int:
    """The latest snapshot of which every slice is there, 0 when there is none."""
    slices: dict[int, set[int]] = {}
    ends: dict[int, int] = {}
    for entry in entries:
        about = entry.about
        if about.snapshot:
            slices.setdefault(about.snapshot, set()).add(about.slice)
            if about.last:
                ends[about.snapshot] = about.slice
    whole = [number for number, end in ends.items() if len(slices[number]) == end + 1]
    return max(whole, default=0)
