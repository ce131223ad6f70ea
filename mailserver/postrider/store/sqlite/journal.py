"""Collects what each batch changes, and brings it into the packs behind the batch.

SQLite tells about every row that changes. A batch that brings bodies has its changes written behind them before its
COMMIT: one sync of the pack makes both durable; a record whose COMMIT fails is taken back, or cut off at the next
start. The changes of any other batch go into the outbox with its COMMIT, and into the pack right after it. There they
are durable with the next sync of the pack, 5 s later at most; until then the outbox has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw

from postrider.store import journal
from postrider.store.aside import Aside
from postrider.store.blobs import Location, Place
from postrider.store.journal import About, Changed, Changes, Layout, Table
from postrider.store.pack_files import sync_data
from postrider.store.packs import Packs
from postrider.store.records import FILE_HEADER

_Rows = dict[Any, Any]


class _Watched:
    """One journaled table: how to take key and row from what SQLite tells.

    It cannot tell the values of a table with generated columns: of that, rows are read by their rowid at COMMIT.
    """

    def __init__(self, db: apsw.Connection, table: Table) -> None:
        columns = columns_of(db, table.name)
        stored = [name for name, _, generated in columns if not generated]
        self.name = table.name
        self.by_rowid = len(stored) < len(columns)
        self.key = _picker(stored, table.key)
        self.row = _picker(stored, table.columns)
        wanted = ", ".join(table.columns)
        self.select = f"SELECT {wanted} FROM {table.name} WHERE rowid = ?"


class Journal:
    """The journal of one database. A part is one transaction of a batch, to be kept or dropped as a whole."""

    def __init__(self, db: apsw.Connection, packs: Packs, now: Callable[[], int]) -> None:
        self._db = db
        self._packs = packs
        self._now = now
        self.layout = layout_of(db)
        self._watched = {table.name: _Watched(db, table) for table in self.layout.tables}
        self._batch_rows: dict[str, _Rows] = {}
        self._rows = self._batch_rows
        self._freed: list[Place] = []
        self._freed_before = 0
        #: The record of the batch that is about to be committed, if it is written already.
        self._early: Location | None = None
        #: The last batch in the outbox; 0: it is empty.
        self._kept = 0
        #: The last batch that was committed; that has its record in a pack; whose record is synced.
        self.batch = self.appended = self.synced = 0
        #: Records that were written since the start, and those of them that are synced.
        self.written = self._safe = 0
        self._aside = Aside("store-journal")
        #: Octets of journal records in each pack: what its row does not count yet, and all since the last snapshot
        #: was begun.
        self.grown: Counter[int] = Counter()
        self.since: Counter[int] = Counter()
        blob = [name for name, _, _ in columns_of(db, "blob")]
        self._place = itemgetter(blob.index("pack"), blob.index("start"), blob.index("path"))
        db.preupdate_hook(self._seen)

    # -- collecting ------------------------------------------------------------------------------------------------

    def begin_part(self) -> None:
        """What changes from now on can be dropped without the rest."""
        self._rows = {}
        self._freed_before = len(self._freed)

    def end_part(self, *, kept: bool) -> None:
        """The part stays with the batch, or was undone."""
        if kept:
            for table, rows in self._rows.items():
                self._batch_rows.setdefault(table, {}).update(rows)
        else:
            del self._freed[self._freed_before :]
        self._rows = self._batch_rows

    def drop(self) -> None:
        """The batch was rolled back; its number is given again. Raises SyncFailed."""
        self._forget()
        early, self._early = self._early, None
        if early:
            self._packs.take_back(early)
            self.appended = self.synced = self.batch
            self.grown[early.pack] -= early.header.length
            self.since[early.pack] -= early.header.length

    def _forget(self) -> None:
        self._batch_rows = self._rows = {}
        self._freed = []

    def _seen(self, update: apsw.PreUpdate) -> None:
        table = self._watched.get(update.table_name)
        if table is None:
            return
        rows = self._rows.get(table.name)
        if rows is None:
            rows = self._rows[table.name] = {}
        if table.by_rowid:
            rows[update.rowid] = rows[update.rowid_new] = None
            return
        new: Any = update.new
        if new is None or update.op == "UPDATE":
            old: Any = update.old
            rows[table.key(old)] = None
            if new is None and table.name == "blob":
                self.free(Place(*self._place(old)))
        if new is not None:
            rows[table.key(new)] = table.row(new)

    def free(self, place: Place) -> None:
        """A body that no row needs once this is committed."""
        if place.path:
            self._freed.append(place)

    # -- committing ------------------------------------------------------------------------------------------------

    def commit(self, *, bodies: bool = False, packed: bool = False) -> list[Place]:
        """COMMIT, and see to the record of the batch. Returns places of files nobody needs.

        `bodies`: some were written for this batch, so that it has a record even when all of them were refused: a
        rebuild takes bodies that the journal says nothing of for mail that was lost. `packed`: they lie in the packs,
        and are still to be synced.
        Raises apsw.Error, SyncFailed. After an OSError the batch is committed all the same: `catch_up` tries again.
        """
        payload = self._payload(always=bodies)
        if packed:
            self._write_early(payload)
        if payload and not self._early:
            self._db.execute("INSERT INTO outbox (batch, changes) VALUES (?, ?)", (self.batch + 1, payload))
        if self._kept and self.synced:
            self._db.execute("DELETE FROM outbox WHERE batch <= ?", (self.synced,))
        self._note_grown()
        self._db.execute("COMMIT")
        early, self._early = self._early, None
        freed = self._freed
        self._forget()
        self.grown.clear()
        if self.synced >= self._kept:
            self._kept = 0
        if payload:
            self.batch += 1
            if not early:
                self._kept = self.batch
                if self.appended == self.batch - 1:
                    with suppress(OSError):  # we are behind then, and who calls `catch_up` hears of it
                        self._append(self.batch, payload)
        return freed

    def _write_early(self, payload: bytes) -> None:
        """Write the record, unless others come first, and sync the packs, with the bodies. Raises SyncFailed."""
        if not self.behind:
            with suppress(OSError):  # then it goes the other way
                self._early = self._append(self.batch + 1, payload)
        self._packs.sync()
        self.note_synced()

    def leave(self, batch: int, last: int) -> None:
        """Leave what was collected to the next start, as that batch; up to `last` numbers are not given again."""
        payload = self._payload(always=last >= batch)
        if payload:
            rows = [(batch, payload), *((other, journal.pack(Changes([]))) for other in range(batch + 1, last + 1))]
            self._db.executemany("INSERT INTO outbox (batch, changes) VALUES (?, ?)", rows)

    def _note_grown(self) -> None:
        for pack, octets in self.grown.items():
            self._db.execute(
                "INSERT INTO pack (id, used, journal, batch) VALUES (?1, ?4, ?2, ?3) ON CONFLICT (id) DO UPDATE"
                " SET journal = journal + ?2, batch = max(batch, ?3)",
                (pack, octets, self.appended, FILE_HEADER.size),
            )

    def recover(self) -> None:
        """Go on after the last batch; the packs have no record of a later one.

        What the outbox still has is written once more: perhaps it never reached the disk. Raises SyncFailed.
        """
        row: Any = self._db.execute("SELECT min(batch), coalesce(max(batch), 0) FROM outbox").fetchone()
        first, self._kept = row
        self.batch = last_batch(self._db)
        self.appended = self.batch if first is None else first - 1
        with suppress(OSError):  # a full disk: it is tried again, and told, between batches
            self.catch_up()

    @property
    def behind(self) -> bool:
        """Whether committed batches have no record in a pack yet."""
        return self.appended < self.batch

    def catch_up(self) -> None:
        """Write the records that are missing. Raises OSError, SyncFailed."""
        while self.behind:
            rows: Any = self._db.execute(
                "SELECT batch, changes FROM outbox WHERE batch > ? ORDER BY batch LIMIT 16", (self.appended,)
            ).fetchall()
            for batch, payload in rows:
                self._append(batch, payload)
            if not rows:
                self.appended = self.batch

    def write(self, payload: bytes, about: About) -> Location:
        """Write a journal record, unsynced. Raises OSError, SyncFailed."""
        place = self._packs.append_journal(payload, journal.pack(about), self._now())
        self.grown[place.pack] += place.header.length
        self.since[place.pack] += place.header.length
        self.written += 1
        return place

    def note_synced(self) -> None:
        """The packs were synced."""
        self.synced, self._safe = self.appended, self.written

    @property
    def syncing(self) -> bool:
        """Whether a thread is at work that `durable` has sent."""
        return self._aside.running

    def durable(self, written: int) -> bool:
        """Whether so many records are synced; if not, a thread sees to it, and batches go on. Raises SyncFailed."""
        if not self._aside.running:
            done = self._aside.take()
            if done:
                self.synced, self._safe = max(self.synced, done[0]), max(self._safe, done[1])
            if self._safe < written:
                self._aside.start(partial(_sync, self._packs.path, (self.appended, self.written)))
        return self._safe >= written

    def join(self) -> None:
        """Wait for the thread."""
        self._aside.join()

    def close(self) -> None:
        """The packs were synced for the last time: the next start need not write anything once more."""
        if self.synced == self.batch:
            with self._db:
                self._db.execute("DELETE FROM outbox")
                self._note_grown()

    def _append(self, batch: int, payload: bytes) -> Location:
        place = self.write(payload, About(batch))
        self.appended = batch
        return place

    def _payload(self, *, always: bool) -> bytes:
        tables = []
        for name, found in self._rows_at_commit():
            rows = [row for row in found.values() if row is not None]
            gone = [key for key, row in found.items() if row is None] if len(rows) < len(found) else []
            tables.append(Changed(name, rows, gone))
        return journal.pack(Changes(tables)) if tables or always else b""

    def _rows_at_commit(self) -> Iterator[tuple[str, _Rows]]:
        for name, found in self._batch_rows.items():
            table = self._watched[name]
            if table.by_rowid:
                rows = {(rowid,): self._db.execute(table.select, (rowid,)).fetchone() for rowid in found}
                yield name, rows
            else:
                yield name, found


def _sync(path: Path, noted: tuple[int, int]) -> tuple[int, int]:
    """Make the open pack durable, with all that was written when this was noted; older packs were synced at their end.

    Raises SyncFailed.
    """
    sync_data(path)
    return noted


def last_batch(db: apsw.Connection) -> int:
    """The last batch that was committed."""
    row: Any = db.execute(
        "SELECT max((SELECT coalesce(max(batch), 0) FROM outbox), (SELECT coalesce(max(batch), 0) FROM pack))"
    ).fetchone()
    return int(row[0])


def layout_of(db: apsw.Connection) -> Layout:
    """All tables but those that are derived, with their columns: what the journal tells about."""
    names: Any = db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    ).fetchall()
    return Layout(tuple(_table(db, name) for (name,) in names if name not in journal.DERIVED))


def _table(db: apsw.Connection, name: str) -> Table:
    columns = columns_of(db, name)
    left_out = journal.DERIVED_COLUMNS.get(name, frozenset())
    key = sorted((order, column) for column, order, _ in columns if order)
    return Table(
        name,
        tuple(column for column, _, generated in columns if not generated and column not in left_out),
        tuple(column for _, column in key),
    )


def columns_of(db: apsw.Connection, table: str) -> list[tuple[str, int, bool]]:
    """Name, place in the key (from 1; 0 is none), and whether it is generated, of each column."""
    rows: Any = db.execute(f"PRAGMA table_xinfo({table})").fetchall()
    return [(name, key, hidden != 0) for _, name, _, _, _, key, hidden in rows]


def _picker(stored: Sequence[str], wanted: Sequence[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Takes the wanted columns out of a row, as a tuple."""
    if tuple(stored) == tuple(wanted):
        return tuple
    places = [stored.index(name) for name in wanted if name in stored]
    if len(places) == 1:
        place = places[0]
        return lambda row: (row[place],)
    return itemgetter(*places)
