"""Encrypts the mail that was there before encryption was switched on, beside the server's work.

In this order: sealed copies of bodies are written into new packs by a thread, a round at a time, and rows are pointed
at them in slices between batches; the journal's snapshot is written anew, without what lay in the clear; packs that
still have some of it are compacted, however little of them is dead; the database is written anew, with nothing in its
free space. A crash at any point leaves every row with a record, and the next start goes on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import apsw

from postrider.store.aside import Aside
from postrider.store.blobs import SyncFailed
from postrider.store.keys import QUEUE, DataKey, KeyMissing
from postrider.store.pack_files import pack_path
from postrider.store.records import FILE_HEADER
from postrider.store.sealer import Copies, Copy, Pace, Sealer
from postrider.store.sqlite import clear, database
from postrider.store.sqlite.clear import Look, Round
from postrider.store.sqlite.compaction import Compaction, forget
from postrider.store.sqlite.hands import Hands, Store
from postrider.store.sqlite.repoint import repoint
from postrider.store.sqlite.rota import IDLE, SOON
from postrider.store.sqlite.snapshot import Snapshot
from postrider.store.sqlite.transaction import Running
from postrider.store.writer import Options

#: Rows of `journal`: how far it is, and the snapshot that has nothing in the clear.
_STAGE, _SNAPSHOT = "encrypted", "encrypted_from"
#: Of the first: under way; all but the database's free space; done; a start has begun with that space.
_BEGUN, _LEFTOVERS, _DONE, _TRIED = 1, 2, 3, 4
#: Seconds of a slice between two batches, and copies of one at most.
_SLICE = 0.008
_MOST = 200
#: Octets of a database that is written anew while the server runs (half a second), and at a start.
_QUICK, _AT_START = 32 * 1024 * 1024, 1024 * 1024 * 1024
_WHEN = "`store compact`, or up to 1 GiB the server's next start, which write the database anew, with no free space"
#: Seconds between two looks at what others are to do first.
_LATER = 1.0


class Encryption:
    """The job of one data directory. It is a chain of steps, each of which names the next."""

    def __init__(
        self, store: Store, snapshot: Snapshot, compaction: Compaction, hands: Hands, options: Options
    ) -> None:
        self._store = store
        self._snapshot = snapshot
        self._compaction = compaction
        self._hands = hands
        self._options = options
        self._aside = Aside("store-encryption")
        self._stopping = threading.Event()
        self._step: Callable[[], float] | None = self._begin
        self._at = 0.0
        #: Whether the packs must stay as they are for now.
        self.holds_packs = False
        #: Messages that lie in the clear, and those of them whose bodies cannot be read.
        self._left = self._unreadable = 0
        #: What was told since the start: that it began, that it waits.
        self._told_begun = self._told_waits = False
        self._table = ""
        self._round = Round()
        self._keys: dict[int, DataKey | None] = {}
        self._copies: deque[Copy] = deque()
        self._target = 0
        self._clean: set[int] = set()
        #: The last batch that may tell of what lies in the clear.
        self._clear_batch = 0
        #: Whether rows were changed that the noted snapshot may show as they were.
        self._pointed = False

    # -- what the writer sees --------------------------------------------------------------------------------------

    def waits(self) -> float:
        """Seconds until there is something to do, 0 for now."""
        if self._step is None or not self._store.sealing.on:
            return IDLE
        return SOON if self._aside.running else max(0.0, self._at - self._hands.clock.monotonic())

    def step(self) -> None:
        """Do a little. Raises OSError, SyncFailed, apsw.IOError, apsw.FullError: it begins anew after a while then."""
        step = self._step
        if step is None:
            return
        self._step, self._at = self._begin, self._hands.clock.monotonic() + IDLE
        try:
            rest = step()
        except Exception as error:
            self.holds_packs = False
            self._drop_target()
            if isinstance(error, OSError | SyncFailed | apsw.IOError | apsw.FullError):
                raise
            raise OSError(f"what lies in the clear cannot be encrypted: {error!r}") from error
        self._at = self._hands.clock.monotonic() + rest

    def begin(self) -> None:
        """At the start of a writer, before it serves: what only an idle database allows. Raises what `step` does."""
        stage = self._noted(_STAGE)
        if not self._store.sealing.on:
            return
        if stage == _LEFTOVERS and database.size(self._store.db) <= _AT_START:
            self._note(_STAGE, _TRIED)
            self._step = self._write_anew
            self.step()
        elif stage in (_LEFTOVERS, _TRIED):
            self._wait_for(_WHEN)
        elif not self._ever():
            self._finish()

    def complete(self) -> None:
        """For a tool, which may take its time: what a start was too short for. Raises what `step` does."""
        if self._store.sealing.on and self._noted(_STAGE) in (_LEFTOVERS, _TRIED):
            if self._step != self._empty_wal:
                self._step = self._write_anew
            while self._step is not None:
                self._options.sleep(self.waits())
                self.step()

    def join(self) -> None:
        """Wait for the thread."""
        self._aside.join()

    def stop(self) -> None:
        """Have the thread end what it does; the next start begins with it anew."""
        self._stopping.set()
        self.join()

    def _then(self, step: Callable[[], float] | None, rest: float = 0.0) -> float:
        self._step = step
        return rest

    def _start(self, work: Callable[[], object], then: Callable[[], float]) -> float:
        self._aside.start(work)
        return self._then(then, SOON)

    # -- how much there is -----------------------------------------------------------------------------------------

    def _begin(self) -> float:
        if self._noted(_STAGE) in (_LEFTOVERS, _DONE, _TRIED):
            return self._then(None)
        if not self._ever():
            return self._finish()
        self._keys, self._round, self._unreadable = {}, Round(), 0
        return self._start(self._count, self._counted)

    def _count(self) -> int:
        return clear.count(self._store.path, self._pace().rest)

    def _counted(self) -> float:
        self._left = self._aside.take()
        self._show()
        self._note_begun()  # without a message too: journal and free space may have something of those that are gone
        self._table = next(iter(clear.TABLES))
        return self._then(self._look_for_some)

    def _note_begun(self) -> None:
        if not self._told_begun:
            self._told_begun = True
            self._emit("store.encrypting", messages=self._left)
        self._note(_STAGE, _BEGUN)

    def _ever(self) -> bool:
        """Whether there ever was any mail."""
        return self._one("SELECT 1 FROM sqlite_sequence WHERE name = 'blob' AND seq > 0") is not None

    # -- rows, a round at a time -----------------------------------------------------------------------------------

    def _look_for_some(self) -> float:
        if not self._hands.space():
            return self._then(self._look_for_some, IDLE)
        self.holds_packs = True
        path, table, after, most = self._store.path, self._table, self._round.after, self._store.packs.size
        return self._start(lambda: clear.some(path, table, after, most), self._found)

    def _found(self) -> float:
        self._round = self._aside.take()
        return self._then(self._give_key)

    def _give_key(self) -> float:
        """Keys for the holders of a round; one that is new at a time, since its file is synced."""
        holder = next((one.account_id for one in self._round.bodies if one.account_id not in self._keys), None)
        if holder is None:
            return self._then(self._copy)
        try:
            self._keys[holder] = self._transact_key(holder)
        except KeyMissing as error:
            self._keys[holder] = None
            self._wait_for(str(error))
        return self._then(self._give_key)

    def _transact_key(self, account_id: int) -> DataKey | None:
        sealing = self._store.sealing
        if not account_id:
            return sealing.key_of(QUEUE)
        row = self._one("SELECT name, key_id FROM account WHERE id = ?", account_id)
        if row is None:  # it goes
            return None
        if row[1]:
            return sealing.key(row[1])
        given: list[DataKey] = []
        self._hands.transact(lambda _: given.append(sealing.noted_key(row[0])))
        return given[0]

    def _copy(self) -> float:
        wanted = [(one, key) for one in self._round.bodies if (key := self._keys[one.account_id])]
        if not wanted:
            return self._next_round()
        store, now = self._store, int(self._hands.clock.now())
        self._target = store.packs.set_aside(now)
        self._hands.transact(self._note_target)
        sealer = Sealer(store.packs.directory, self._target, wanted, self._pace(), now)
        return self._start(sealer.run, self._copied)

    def _note_target(self, run: Running) -> None:
        run.db.execute("INSERT INTO pack (id, used, state) VALUES (?, ?, 'copying')", (self._target, FILE_HEADER.size))

    def _copied(self) -> float:
        copies: Copies = self._aside.take()
        self._unreadable += sum(len(one.rows) for one, _ in copies.unreadable)
        if not copies.made:
            self._drop_target()
            return self._next_round()

        def seal(run: Running) -> None:  # all of it is dead until rows need it
            run.db.execute(
                "UPDATE pack SET state = 'open', used = ?1, dead = ?1 - ?2 WHERE id = ?3",
                (copies.end, FILE_HEADER.size, self._target),
            )

        self._hands.transact(seal)
        self._target = 0
        self._copies = deque(copies.made)
        return self._then(self._point)

    def _drop_target(self) -> None:
        target, self._target = self._target, 0
        if target:
            pack_path(self._store.packs.directory, target).unlink(missing_ok=True)
            self._hands.transact(lambda run: forget(run, [(target,)]))

    def _point(self) -> float:
        if not self._copies:
            return self._next_round()
        clock = self._hands.clock
        start = clock.monotonic()

        def slice_of_it(run: Running) -> int:
            rows = 0
            for _ in range(min(_MOST, len(self._copies))):
                rows += repoint(run, self._store.sealing, self._copies.popleft())
                if clock.monotonic() - start > _SLICE:
                    break
            return rows

        done: list[int] = []
        self._hands.unsynced(lambda run: done.append(slice_of_it(run)))
        self._left = max(0, self._left - done[0])
        self._pointed = True
        self._show()
        return self._then(self._point, clock.monotonic() - start)  # as long again for others

    def _next_round(self) -> float:
        """Others may have the packs in between: the originals are dead, and take room."""
        self.holds_packs = False
        self._compaction.look_now()
        if not self._round.after:
            tables = [*clear.TABLES, ""]
            self._table = tables[tables.index(self._table) + 1]
            if not self._table:
                return self._rows_done()
        return self._then(self._look_for_some)

    def _rows_done(self) -> float:
        if None in self._keys.values():  # keys are missing, or accounts are being cleared away
            return self._then(self._begin, IDLE)
        if self._one("SELECT 1 FROM doomed"):  # the snapshot would have them as they were
            return self._then(self._rows_done, _LATER)
        self._left = self._unreadable
        self._show()
        if self._pointed or not self._noted(_SNAPSHOT):
            self._clear_batch = self._store.journal.batch
            return self._then(self._want_snapshot)
        return self._then(self._look_at_packs)

    # -- journal and packs -----------------------------------------------------------------------------------------

    def _want_snapshot(self) -> float:
        """One that was begun when no row had anything in the clear any more: older records of the journal can go."""
        last = self._noted("snapshot")
        if last <= self._clear_batch:
            if not self._snapshot.running and self._hands.space():
                self._snapshot.ask()
            return self._then(self._want_snapshot, _LATER)
        self._pointed = False
        self._note(_SNAPSHOT, last)
        return self._then(self._look_at_packs)

    def _look_at_packs(self) -> float:
        packs = self._store.packs
        skip = self._clean | self._compaction.damaged
        look = Look(packs.directory, skip, packs.pack, packs.end, self._noted(_SNAPSHOT), self._pace().rest)
        return self._start(lambda: clear.packs(look), self._looked)

    def _looked(self) -> float:
        found: dict[int, bool] = self._aside.take()
        store = self._store
        self._clean |= {pack for pack, clean in found.items() if clean and pack != store.packs.pack}
        dirty = {pack for pack, clean in found.items() if not clean}
        if not dirty:
            return self._packs_done()
        if store.packs.pack in dirty:
            store.packs.begin_next(int(self._hands.clock.now()))
        if not self._compaction.can_clear(dirty):
            self._wait_for(f"the database knows nothing of {len(dirty)} packs with something in the clear")
            return self._then(self._look_at_packs, IDLE)
        self._compaction.unclean = dirty
        return self._then(self._wait_for_compaction)

    def _wait_for_compaction(self) -> float:
        compaction = self._compaction
        if compaction.can_clear(compaction.unclean):
            if not compaction.running:  # files go when nobody has needed them for a while
                compaction.look_now()
            return self._then(self._wait_for_compaction, _LATER)
        compaction.unclean = set()
        return self._then(self._look_at_packs)

    def _packs_done(self) -> float:
        if database.size(self._store.db) > _QUICK:
            self._note(_STAGE, _LEFTOVERS)
            self._wait_for(_WHEN)
            return self._then(None)
        return self._then(self._write_anew)

    # -- the database ----------------------------------------------------------------------------------------------

    def _write_anew(self) -> float:
        database.write_anew(self._store.path)
        if self._noted(_STAGE) == _TRIED:  # nobody killed us
            self._note(_STAGE, _LEFTOVERS)
        return self._then(self._empty_wal)

    def _empty_wal(self) -> float:
        """Its file still has pages from before. A reader may be in the way for a moment."""
        if not database.truncate_wal(self._store.db):
            return self._then(self._empty_wal, _LATER)
        return self._start(self._count, self._counted_last)

    def _counted_last(self) -> float:
        self._left = self._unreadable = self._aside.take()
        self._show()
        return self._finish()

    def _finish(self) -> float:
        """All is encrypted; or all but bodies that cannot be read, which the next start tries again."""
        if self._noted(_STAGE):
            damaged = sorted(self._compaction.damaged)
            self._emit("store.encrypted", unreadable=self._unreadable, damaged_packs=damaged)
        self._note(_STAGE, _BEGUN if self._unreadable else _DONE)
        return self._then(None)

    # -- small things ----------------------------------------------------------------------------------------------

    def _pace(self) -> Pace:
        return Pace(self._hands.clock, self._options.sleep, lambda: self._store.journal.batch, self._stopping)

    def _wait_for(self, reason: str) -> None:
        if not self._told_waits:
            self._told_waits = True
            self._emit("store.encryption_waits", reason=reason, messages=self._left)

    def _show(self) -> None:
        if self._options.metrics:
            self._options.metrics.observe("postrider_store_clear_messages", self._left)

    def _emit(self, event: str, **fields: object) -> None:
        if self._options.events:
            self._options.events.emit(event, **fields)

    def _note(self, name: str, value: int) -> None:
        def write(run: Running) -> None:
            run.db.execute("INSERT OR REPLACE INTO journal (name, value) VALUES (?, ?)", (name, value))

        self._hands.transact(write)

    def _noted(self, name: str) -> int:
        row = self._one("SELECT value FROM journal WHERE name = ?", name)
        return int(row[0]) if row else 0

    def _one(self, sql: str, *values: object) -> Any:
        return self._store.db.execute(sql, values).fetchone()
