"""Commits batches: bodies synced first, then all rows with one COMMIT; a refused transaction leaves no row.

A sync that fails ends the process: nothing may be acknowledged after it.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import apsw

from postrider.store import directory
from postrider.store import transactions as t
from postrider.store.blobs import BlobWriter, Location, Place, SyncFailed
from postrider.store.keyring import Keyring
from postrider.store.meta import Incoming, incoming
from postrider.store.pack_files import short_packs
from postrider.store.packs import Packs, Recovered
from postrider.store.space import Space
from postrider.store.sqlite import database, ledger, queue, removal
from postrider.store.sqlite.checkpoint import Checkpointer
from postrider.store.sqlite.compaction import clear_away, take_in
from postrider.store.sqlite.files import check_database
from postrider.store.sqlite.handlers import HANDLERS
from postrider.store.sqlite.hands import Hands, Store
from postrider.store.sqlite.journal import Journal, last_batch
from postrider.store.sqlite.sealing import Sealing
from postrider.store.sqlite.settling import Settling
from postrider.store.sqlite.transaction import Running
from postrider.store.sqlite.upkeep import Upkeep
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account
from postrider.store.writer import Options, Outcome, merged

Result = TypeVar("Result")

#: A median sync slower than this is worth a warning, in seconds.
_SLOW_SYNC = 0.02
_SYNC_ERRORS = frozenset({apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC})


class SqliteCommitter:
    """Implements writer.Committer over the database and the packs. Making it raises CannotOpen, WrongDatabase.

    Bodies go to `blobs`, into the packs by default; the journal goes into the packs always.
    """

    def __init__(self, path: Path, options: Options, blobs: BlobWriter | None = None) -> None:
        self._options = options
        self._path = path
        directory.make(path)
        kind = directory.check_filesystem(path, allow_tmpfs=options.allow_tmpfs)
        self._packs = Packs(directory.packs_directory(path), pack_size=options.pack_size)
        self._blobs = blobs or self._packs
        self._space = Space(path, options, lambda free: self._emit("store.no_space", free=free))
        with ExitStack() as undo:
            self._lock = directory.lock(path, options.wait, options.sleep)
            undo.callback(os.close, self._lock)
            check_database(path)
            self._db = database.open_writer(directory.database_path(path), self._emit)
            undo.callback(self._db.close)
            undo.callback(self._packs.close)
            self._settling = Settling(self._db, directory.database_path(path))
            self._packs.before_seal = self._settling.settle
            limit = options.wal_size // database.PAGE_SIZE
            self._sealing = Sealing(self._db, options.keys or Keyring(path), self._emit)
            self._wal = Checkpointer(self._db, directory.database_path(path), limit, self._checkpoint_failed)
            recovered = self._recover()
            latency = directory.sync_latency(path) if options.measure_sync else 0.0
            undo.pop_all()
        self._emit(
            "store.open", path=str(path), filesystem=kind, sync_ms=round(latency * 1000, 3), pack=recovered.pack,
            orphans=recovered.orphans, cut=recovered.cut,
        )  # fmt: skip
        if latency > _SLOW_SYNC:
            self._emit("store.slow_sync", sync_ms=round(latency * 1000, 3))

    def _recover(self) -> Recovered:
        """Find the end of the packs, and free what the last writer's fronts had claimed."""
        clear_away(self._db, self._packs.directory)
        rows: Any = self._db.execute("SELECT id, used FROM pack WHERE emptied = 0")
        known: dict[int, int] = dict(rows)
        short = short_packs(directory.packs_directory(self._path), known)
        if short:
            self._emit("store.damaged", packs=short)
        recovered = self._packs.open(known, self._now(), last_batch(self._db))
        take_in(self._db, self._packs.directory)
        self._journal = Journal(self._db, self._packs, self._now)
        self._journal.recover()
        unsynced = partial(self._transact, synced=False)
        hands = Hands(
            self._transact, unsynced, self._clear, self._space.enough, self._fatal, self._write_failed, self._observe,
            self._options.clock,
        )  # fmt: skip
        store = Store(self._db, directory.database_path(self._path), self._packs, self._journal, self._sealing)
        self._upkeep = Upkeep(store, hands, self._options)
        self._upkeep.begin()
        self._transact(queue.free_all_claims)
        self._upkeep.in_order(self._sealing.shred_doomed)
        return recovered

    def commit(self, txns: Sequence[t.Txn]) -> Outcome:
        """Run a batch. What it returns is durable; a refused transaction has changed nothing."""
        if self._sealing.on and any(isinstance(txn, t.Release | t.Reinstate) for txn in txns):
            return merged([self._commit([txn]) for txn in txns])  # whoever has the name next has another key
        return self._commit(txns)

    def _commit(self, txns: Sequence[t.Txn]) -> Outcome:
        start = time.perf_counter()
        outcome = Outcome([None] * len(txns))
        try:
            places = self._write_bodies(txns, outcome.results)
            if self._blobs is not self._packs and any(places):
                self._blobs.sync()  # packs are synced with the journal's record in them
            self._write_rows(txns, places, outcome)
            if self._blobs.apart:
                self._drop_refused(places, outcome.results)
        except SyncFailed as error:
            self._fatal(error)
        if self._options.metrics:
            self._options.metrics.observe("postrider_commit_seconds", time.perf_counter() - start)
            self._options.metrics.observe("postrider_commit_batch", len(txns))
        return outcome

    def between(self) -> float:
        """Housekeeping between two batches; seconds until there is more of it."""
        if self._options.metrics:
            self._options.metrics.observe("postrider_wal_bytes", self._wal.pages * database.PAGE_SIZE)
        self._checkpoint(self._wal.between)
        return self._upkeep.between()

    def _observe(self, job: str, seconds: float) -> None:
        if self._options.metrics:
            self._options.metrics.observe("postrider_housekeeping_seconds", seconds, job=job)

    def compact(self, dead_part: float) -> tuple[int, int]:
        """Compact at once, for a tool; octets of records before and after. Raises OSError, SyncFailed, apsw.Error."""
        before = self._octets()
        self._upkeep.compact_now(dead_part)
        return before, self._octets()

    def _octets(self) -> int:
        row: Any = self._db.execute("SELECT coalesce(sum(used), 0) FROM pack").fetchone()
        return int(row[0])

    def close(self) -> None:
        """Bring the WAL in, close files, let the directory go."""
        self._upkeep.close()
        self._settling.settle()
        self._checkpoint(self._wal.finish)
        self._db.close()
        self._blobs.close()
        self._packs.close()
        os.close(self._lock)

    # -- bodies ----------------------------------------------------------------------------------------------------

    def _write_bodies(self, txns: Sequence[t.Txn], results: list[object]) -> list[list[Location]]:
        """Write all bodies; refuses transactions whose bodies cannot be written."""
        bodies = [self._incoming(txn, at, results) for at, txn in enumerate(txns)]
        places: list[list[Location]] = [[] for _ in txns]
        if not any(bodies):
            return places
        refusal, written = StoreError(Reason.NO_SPACE, "free space is below the floor"), None
        try:
            if self._space.enough():
                written = iter(self._blobs.append([body for some in bodies for body in some], self._now()))
        except OSError as error:
            refusal = self._write_failed(error)
        if written is None:
            results[:] = [refusal if some else result for some, result in zip(bodies, results, strict=True)]
            return places
        for at, some in enumerate(bodies):
            for _ in some:
                place = next(written)
                if isinstance(place, StoreError):
                    results[at] = place
                    self._emit("store.write_failed", error=str(place))
                else:
                    places[at].append(place)
        return places

    def _incoming(self, txn: t.Txn, at: int, results: list[object]) -> tuple[Incoming, ...]:
        try:
            if not self._sealing.on:
                return incoming(txn, self._journal.batch + 1, self._name_of, apart=self._blobs.apart)
            bodies = incoming(txn, self._journal.batch + 1, self._name_of, apart=True)
            return tuple(self._sealing.body(one) for one in bodies)
        except StoreError as error:
            results[at] = error
            return ()
        except OSError as error:
            results[at] = self._write_failed(error)
            return ()
        except SyncFailed:
            raise
        except Exception as error:  # a bug must not take the batch of the others with it
            results[at] = self._unexpected(txn, error)
            return ()

    def _name_of(self, account: Account, mailbox_id: int) -> str:
        row: Any = self._db.execute(
            "SELECT mailbox.name FROM account JOIN mailbox ON account_id = account.id"
            " WHERE account.name = ? AND mailbox.id = ?",
            (account, mailbox_id),
        ).fetchone()
        return str(row[0]) if row else ""

    # -- rows ------------------------------------------------------------------------------------------------------

    def _write_rows(self, txns: Sequence[t.Txn], places: list[list[Location]], outcome: Outcome) -> None:
        refused = list(outcome.results)
        try:
            if not self._run_batch(txns, places, outcome, guarded=False):
                outcome.results[:], outcome.accounts, outcome.queue = refused, set(), False
                self._run_batch(txns, places, outcome, guarded=True)
        except (apsw.FullError, apsw.IOError) as error:
            if getattr(error, "extendedresult", 0) in _SYNC_ERRORS:
                self._fatal(error)
            self._roll_back()
            refusal = self._write_failed(error)
            outcome.results[:] = [result or refusal for result in refused]
            outcome.accounts, outcome.queue = set(), False

    def _run_batch(
        self, txns: Sequence[t.Txn], places: list[list[Location]], outcome: Outcome, *, guarded: bool
    ) -> bool:
        """All transactions and one COMMIT. Guarded, each has a savepoint, and a refused one alone is undone.

        Savepoints cost a fifth of everything, and hardly ever is a transaction refused that has changed something: so
        the batch goes without at first, and when there is one after all it is rolled back, false returned.
        """
        db, now = self._db, self._now()
        sealing = self._sealing if self._sealing.on else None
        shredded: list[int] = []
        unused: list[Location] = []
        counts: Counter[str] = Counter()
        db.execute("BEGIN IMMEDIATE")
        for at, txn in enumerate(txns):
            if outcome.results[at] is not None:
                continue
            run = Running(db, now, places[at], sealing=sealing)
            changes = db.total_changes()
            result = self._run_guarded(run, txn) if guarded else _run(run, txn)
            if isinstance(result, Exception):
                if not guarded and (db.total_changes() != changes or not isinstance(result, StoreError)):
                    self._roll_back()
                    return False
            else:
                for name, amount in run.counts.items():
                    counts[name] += amount
                outcome.accounts |= run.changed
                outcome.queue |= run.queue_changed
                self._upkeep.doomed |= run.doomed
                shredded += run.shredded
                unused += run.unused
            outcome.results[at] = result
        ledger.add_counts(db, counts)
        self._note_packs(places, outcome.results, unused)
        self._commit_rows(bodies=any(places))
        if sealing and any(isinstance(txn, t.Release | t.Reinstate) for txn in txns):
            sealing.renamed()
            self._upkeep.in_order(lambda: sealing.shred(shredded))
        return True

    def _transact(self, step: Callable[[Running], Result], *, synced: bool = True) -> Result:
        """A transaction of our own; unsynced, it is durable with the next that is. Raises what the step does."""
        synced |= self._blobs.apart  # files that it leaves to nobody go with it
        with nullcontext() if synced else self._settling.unsynced():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                result = step(Running(self._db, self._now()))
                self._commit_rows(synced=synced)
            except BaseException:
                self._roll_back()
                raise
        return result

    def _commit_rows(self, *, bodies: bool = False, synced: bool = True) -> None:
        freed = self._journal.commit(bodies=bodies, packed=bodies and self._blobs is self._packs)
        self._settling.committed(synced=synced)
        if freed:
            self._upkeep.in_order(lambda: self._blobs.dropped(freed))

    def _roll_back(self) -> None:
        if self._db.in_transaction:  # a full disk and I/O errors can have ended it
            self._db.execute("ROLLBACK")
        self._sealing.forget()
        self._journal.drop()

    def _run_guarded(self, run: Running, txn: t.Txn) -> object:
        self._db.execute("SAVEPOINT one")
        self._journal.begin_part()
        result = _run(run, txn)
        failed = isinstance(result, Exception)
        if isinstance(result, Exception):
            self._db.execute("ROLLBACK TO one")
            self._sealing.forget()
            if not isinstance(result, StoreError):  # a bug must not take the batch of the others with it
                result = self._unexpected(txn, result)
        self._db.execute("RELEASE one")
        self._journal.end_part(kept=not failed)
        return result

    def _note_packs(self, places: list[list[Location]], results: list[object], unused: Sequence[Location]) -> None:
        """How far the packs are used now; bodies of refused transactions are dead, and those that nobody needs."""
        ends: dict[int, int] = {}
        dead: Counter[int] = Counter()
        for some, result in zip(places, results, strict=True):
            for place in some:
                if place.path:
                    continue
                ends[place.pack] = max(ends.get(place.pack, 0), place.end)
                if isinstance(result, StoreError):
                    dead[place.pack] += place.header.length
        for place in unused:
            dead[place.pack] += place.header.length
            self._journal.free(Place(place.pack, place.start, place.path))
        for pack, end in ends.items():
            self._db.execute(
                "INSERT INTO pack (id, used, dead) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE"
                " SET used = max(used, ?2), dead = dead + ?3",
                (pack, end, dead[pack]),
            )

    def _drop_refused(self, places: list[list[Location]], results: list[object]) -> None:
        refused = [some for some, result in zip(places, results, strict=True) if isinstance(result, StoreError)]
        gone = [Place(place.pack, place.start, place.path) for some in refused for place in some]
        self._upkeep.in_order(lambda: self._blobs.dropped(gone))

    def _clear(self, size: int) -> bool:
        self._sealing.shred_doomed()  # what is left of an account is not forgotten before its key is
        return self._transact(lambda run: removal.clear_slice(run, size), synced=False)

    def _checkpoint(self, step: Callable[[], bool]) -> None:
        start = time.perf_counter()
        try:
            if step():
                self._observe("checkpoint", time.perf_counter() - start)
        except apsw.Error as error:
            self._checkpoint_failed(error)

    def _checkpoint_failed(self, error: Exception) -> None:
        """An I/O error may have been a sync; after any other the WAL keeps what the database did not take."""
        if isinstance(error, apsw.IOError):
            self._fatal(error)
        self._write_failed(error)

    # -- what goes wrong -------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._options.clock.now())

    def _unexpected(self, txn: t.Txn, error: Exception) -> StoreError:
        self._emit("server.failure", exc_info=error, transaction=type(txn).__name__)
        return StoreError(Reason.WRITE_FAILED, "unexpected failure, see the log")

    def _write_failed(self, error: Exception) -> StoreError:
        self._emit("store.write_failed", error=str(error))
        full = isinstance(error, apsw.FullError) or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
        return StoreError(Reason.NO_SPACE if full else Reason.WRITE_FAILED, str(error))

    def _fatal(self, error: Exception) -> NoReturn:
        """After a failed sync nobody knows what the disk holds: nothing may be acknowledged any more."""
        self._emit("store.fatal", error=str(error))
        self._options.die()
        raise AssertionError("the process goes on after a failed sync") from error

    def _emit(self, event: str, **fields: object) -> None:
        if self._options.events:
            self._options.events.emit(event, **fields)


def _run(run: Running, txn: t.Txn) -> object:
    """The result of one transaction, or what its handler raised."""
    try:
        return HANDLERS[type(txn)](run, txn)
    except (apsw.FullError, apsw.IOError):
        raise
    except Exception as error:
        return error
