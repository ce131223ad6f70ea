"""Compaction: what is still needed of sealed packs that are mostly dead moves into a new pack, the old files go.

A thread copies; rows are pointed at the copies in slices between batches; a file goes when nobody has needed it for
a while, so that a reader that has just looked a place up still finds it. A crash at any point leaves every row with a
record: copies that no row names are dead, and a file that was being written is removed at the next start.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import apsw

from postrider.store.blobs import SyncFailed
from postrider.store.compactor import Copied, Copying, Move
from postrider.store.directory import may_delete_packs
from postrider.store.journal import unpack_about
from postrider.store.pack_files import pack_ids, pack_path, sync_directory
from postrider.store.packs import Packs
from postrider.store.records import FILE_HEADER, KIND_JOURNAL
from postrider.store.sqlite import database
from postrider.store.sqlite.hands import Transact
from postrider.store.sqlite.journal import last_batch
from postrider.store.sqlite.rota import Portion
from postrider.store.sqlite.transaction import Running
from postrider.store.survey import Damage, read_pack

#: A sealed pack of which a larger part is dead is worth it.
DEAD_PART = 0.5
#: For less than this part of a pack's size nothing is copied, and no pack is sealed before it is full.
_WORTH = 64
#: Seconds between two looks, and until an empty pack's file goes.
_LOOK_EVERY = 60.0
GRACE = 60
#: Rows that are pointed at copies in one transaction, at most and at least.
_MOST, _LEAST = 1000, 20


class Compaction:
    """The compaction of one data directory; steps are called between batches."""

    def __init__(self, db: apsw.Connection, path: Path, packs: Packs, transact: Transact, unsynced: Transact) -> None:
        self._db = db
        self._path = path
        self._packs = packs
        self._transact = transact
        self._unsynced = unsynced
        self.portion = Portion(_MOST, _LEAST)
        self._look_at = 0.0
        self._thread: threading.Thread | None = None
        self._sources: dict[int, int] = {}
        self._target = 0
        self._result: Copied | Exception | None = None
        self._moves: list[Move] = []
        #: Packs with records that cannot be read: they stay.
        self.damaged: set[int] = set()
        #: Packs that have to go however little of them is dead: something in them lies in the clear.
        self.unclean: set[int] = set()
        self.dead_part = DEAD_PART
        self.least = packs.size // _WORTH
        self.grace = GRACE
        #: How many were made.
        self.steps = 0

    @property
    def running(self) -> bool:
        """Whether something is being copied, or pointed at."""
        return bool(self._sources)

    @property
    def looks(self) -> bool:
        """Whether the next step looks for what is to be done: then the journal must be synced."""
        return self._thread is None and not self.running

    def due(self, moment: float) -> bool:
        """Whether `step` has something to do now."""
        if self._thread is not None:
            return not self._thread.is_alive()
        return self.running or moment >= self._look_at

    def step(self, moment: float, now: int) -> bool:
        """Do a little; false when there is nothing to do for now.

        Raises OSError, SyncFailed, apsw.Error.
        """
        self.steps += 1
        if self._thread is not None:
            if self._thread.is_alive():
                return False
            self._thread = None
            self._take_result()
        elif self.running:
            self._point()
        else:
            self._look_at = moment + _LOOK_EVERY
            self._remove_empty(now)
            return self._begin(now)
        return True

    def can_clear(self, packs: set[int]) -> bool:
        """Whether some of these packs are there to be compacted."""
        rows: Any = self._db.execute("SELECT id FROM pack")
        return bool(packs & {pack for (pack,) in rows} - self.damaged)

    def look_now(self) -> None:
        """Do not wait until it is time to look."""
        self._look_at = 0.0

    def join(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()

    # -- choosing and copying --------------------------------------------------------------------------------------

    def _begin(self, now: int) -> bool:
        rows: Any = self._db.execute(
            # A pack's end is that of its last body: records of the journal may follow.
            "SELECT id, max(0, used - dead), dead FROM pack WHERE id < ?1 AND state = 'open' AND emptied = 0"
            " AND (dead > ?2 * (used - ?3) OR id IN (SELECT value FROM json_each(?4)))"
            " ORDER BY dead * 1.0 / used DESC",
            (self._packs.pack, self.dead_part, FILE_HEADER.size, json.dumps([*self.unclean])),
        ).fetchall()
        chosen: dict[int, int] = {}
        gain = 0
        for pack, live, dead in rows:
            if pack in self.damaged or (chosen and sum(chosen.values()) + live > self._packs.size):
                continue
            chosen[pack] = live
            gain += dead
        if not chosen or (gain < self.least and self.unclean.isdisjoint(chosen)):
            return False
        self._sources = chosen
        snapshot = self._snapshot()
        if not any(_is_live(self._db, pack) or self._journal_in(pack, snapshot) for pack in chosen):
            self._transact(self._finish_rows)
            self._sources = {}
            return True
        self._target = self._packs.set_aside(now)
        self._transact(self._note_target)
        copying = Copying(self._packs.directory, chosen, self._target, self._live_aside, snapshot, now)
        self._thread = threading.Thread(target=self._copy, args=(copying,), name="store-compaction", daemon=True)
        self._thread.start()
        return True

    def _note_target(self, run: Running) -> None:
        run.db.execute("INSERT INTO pack (id, used, state) VALUES (?, ?, 'copying')", (self._target, FILE_HEADER.size))

    def _journal_in(self, pack: int, snapshot: int) -> bool:
        """Whether records of the journal since the last snapshot are in a pack."""
        row: Any = self._db.execute("SELECT batch FROM pack WHERE id = ?", (pack,)).fetchone()
        return int(row[0]) >= snapshot - 1

    def _snapshot(self) -> int:
        row: Any = self._db.execute("SELECT value FROM journal WHERE name = 'snapshot'").fetchone()
        return int(row[0]) if row else 0

    def _live_aside(self, pack: int) -> Collection[int]:
        db = database.open_reader(self._path)
        try:
            return _live(db, pack)
        finally:
            db.close()

    def _copy(self, copying: Copying) -> None:
        try:
            self._result = copying.run()
        except Exception as error:
            self._result = error

    # -- pointing rows at the copies -------------------------------------------------------------------------------

    def _take_result(self) -> None:
        result, self._result = self._result, None
        if not isinstance(result, Copied):
            self._sources = {}
            self._transact(self._drop_target)
            if isinstance(result, OSError | SyncFailed):
                raise result
            raise OSError(f"packs cannot be compacted: {result!r}") from result
        self._moves = result.moves
        self.damaged |= {damage.pack for damage in result.damage}

        def seal(run: Running) -> None:
            run.db.execute(
                "UPDATE pack SET state = 'open', used = ?, journal = ?, batch = ? WHERE id = ?",
                (result.end, result.journal, result.batch, self._target),
            )

        self._transact(seal)

    def _drop_target(self, run: Running) -> None:
        pack_path(self._packs.directory, self._target).unlink(missing_ok=True)
        run.db.execute("DELETE FROM pack WHERE id = ?", (self._target,))

    def _point(self) -> None:
        size = self.portion.size
        some, self._moves = self._moves[:size], self._moves[size:]
        if some:
            self._unsynced(lambda run: _point(run, some))
        else:  # durable, and all before it: next their files go
            self._transact(self._finish_rows)
            self._sources = {}

    def _finish_rows(self, run: Running) -> None:
        for pack in self._sources:
            if pack not in self.damaged:
                run.db.execute(
                    "UPDATE pack SET emptied = ?1, journal = 0, dead = used WHERE id = ?2"
                    " AND NOT EXISTS (SELECT 1 FROM blob WHERE pack = ?2)",
                    (run.now, pack),
                )

    # -- removing --------------------------------------------------------------------------------------------------

    def _remove_empty(self, now: int) -> None:
        """The files of packs that nobody has needed for a while. That their rows moved is durable in the journal."""
        rows: Any = self._db.execute(
            "SELECT id FROM pack WHERE emptied > 0 AND emptied <= ?", (now - self.grace,)
        ).fetchall()
        if not rows:
            return
        with may_delete_packs(self._path.parent) as allowed:  # not while a backup is taken
            if not allowed:
                return
            for (pack,) in rows:
                pack_path(self._packs.directory, pack).unlink(missing_ok=True)
            sync_directory(self._packs.directory)
            self._transact(lambda run: forget(run, rows))


def clear_away(db: apsw.Connection, directory: Path) -> None:
    """At a start: what a compaction was writing when the last writer died belongs to nobody. Raises OSError."""
    rows: Any = db.execute("SELECT id FROM pack WHERE state = 'copying'").fetchall()
    for (pack,) in rows:
        pack_path(directory, pack).unlink(missing_ok=True)
    with db:
        db.executemany("DELETE FROM pack WHERE id = ?", rows)


def take_in(db: apsw.Connection, directory: Path) -> None:
    """At a start, before the outbox is written again: give rows to packs that no COMMIT came to tell of.

    They are dead: nothing is in them but slices of a snapshot that did not come to its end, and what the outbox has
    too. Any other pack without a row stays as it is: a rebuild may find mail in it. Raises OSError.
    """
    known: Any = db.execute("SELECT id FROM pack")
    unknown = {*pack_ids(directory)} - {pack for (pack,) in known}
    outbox: Any = db.execute("SELECT min(batch) FROM outbox").fetchone()
    last = last_batch(db)
    ends = {pack: _end_of_dead(directory, pack, range(outbox[0] or last + 1, last + 1)) for pack in unknown}
    with db:
        db.executemany(
            "INSERT INTO pack (id, used, dead) VALUES (?1, ?2, ?2 - ?3)",
            [(pack, end, FILE_HEADER.size) for pack, end in ends.items() if end],
        )


def _end_of_dead(directory: Path, pack: int, outbox: range) -> int:
    """Where the records of a pack end if all are in the outbox, or slices of snapshots begun by then; else 0."""
    end = FILE_HEADER.size
    for found in read_pack(directory, pack):
        if isinstance(found, Damage) or found.header.kind != KIND_JOURNAL:
            return 0
        about = unpack_about(found.meta)
        dead = about.batch < outbox.stop if about.snapshot else about.batch in outbox
        if not dead:
            return 0
        end = found.start + found.header.length
    return end


def _live(db: apsw.Connection, pack: int) -> Collection[int]:
    rows: Any = db.execute("SELECT start FROM blob WHERE pack = ? AND path = ''", (pack,)).fetchall()
    return {start for (start,) in rows}


def _is_live(db: apsw.Connection, pack: int) -> bool:
    return db.execute("SELECT 1 FROM blob WHERE pack = ? AND path = '' LIMIT 1", (pack,)).fetchone() is not None


def _point(run: Running, moves: list[Move]) -> None:
    """Rows that are gone by now leave their copies dead."""
    for move in moves:
        header, to = move.to.header, move.to
        row = run.one("SELECT stored FROM blob WHERE pack = ? AND start = ?", move.pack, move.start)
        if row is None:
            run.db.execute("UPDATE pack SET dead = dead + ? WHERE id = ?", (header.length, to.pack))
            continue
        run.db.execute(
            "UPDATE blob SET pack = ?, start = ?, codec = ?, key_id = ?, stored = ? WHERE pack = ? AND start = ?",
            (to.pack, to.start, header.codec, header.key_id, header.length, move.pack, move.start),
        )
        run.db.execute("UPDATE pack SET dead = dead + ? WHERE id = ?", (row[0], move.pack))


def forget(run: Running, packs: Sequence[tuple[int]]) -> None:
    """Files of packs are gone."""
    run.db.executemany("DELETE FROM pack WHERE id = ?", packs)
