"""What a writer does between batches: journal, snapshots, compaction, what was removed, what is to be encrypted."""

from __future__ import annotations

from collections.abc import Callable

import apsw

from postrider.store.blobs import SyncFailed
from postrider.store.sqlite.compaction import Compaction
from postrider.store.sqlite.encryption import Encryption
from postrider.store.sqlite.hands import Hands, Store
from postrider.store.sqlite.rota import IDLE, SOON, Job, Portion, Rota
from postrider.store.sqlite.snapshot import Snapshot
from postrider.store.writer import Options

#: Seconds until the journal of batches without bodies is synced, and between tries to write what could not be.
_JOURNAL_EVERY = 5.0
_FIRST_SLICES = 8


class Upkeep:
    """The upkeep of one data directory."""

    def __init__(self, store: Store, hands: Hands, options: Options) -> None:
        self._journal = store.journal
        self._packs = store.packs
        self._hands = hands
        self._snapshot = snapshot = Snapshot(store.db, store.journal)
        self.compaction = compaction = Compaction(store.db, store.path, store.packs, hands.transact, hands.unsynced)
        self.encryption = Encryption(store, snapshot, compaction, hands, options)
        #: When the journal is looked after next.
        self._journal_at = 0.0
        #: How many journal records have to be synced before compaction looks around; 0: it does not want to.
        self._look_behind = 0
        #: How many journal records there were when the last slice of the snapshot was written; 0: it is not.
        self._snapshot_end = 0
        #: Rows of removed folders are still to be cleared away.
        self.doomed = True
        self._removal = Job(
            "removal", lambda: 0.0 if self.doomed else IDLE, lambda: self.in_order(self._clear), Portion(1000, 20)
        )
        self._rota = Rota(
            (
                Job("journal", self._until_journal, lambda: self.in_order(self._keep_journal)),
                self._removal,
                Job("snapshot", self._until_snapshot, self._go_on_with_snapshot, snapshot.portion),
                Job("compaction", self._until_compaction, lambda: self.in_order(self._compact), compaction.portion),
                Job("encryption", self._until_encryption, lambda: self.in_order(self.encryption.step)),
            ),
            hands.clock,
            hands.observe,
        )

    def begin(self) -> None:
        """At the start, before anything changes: other tables than before are described."""
        self.in_order(self.encryption.begin)
        if self._snapshot.due() and not self.in_order(self._snapshot.begin):
            self._snapshot.give_up()
        for _ in range(_FIRST_SLICES):  # a small store has its snapshot before it serves
            if self._snapshot_end:
                self.in_order(self._bring_journal)
            if self._snapshot.running:
                self._go_on_with_snapshot()

    def between(self) -> float:
        """Do a little; seconds until there is more to do, 0 for now."""
        return self._rota.turn()

    def close(self) -> None:
        """End what is under way; the journal is whole in the packs then, unless the disk is full."""
        self.compaction.join()
        self.encryption.stop()
        self._journal.join()
        if self.in_order(self._bring_journal):
            self.in_order(self._journal.close)

    def in_order(self, work: Callable[[], object]) -> bool:
        """Do some housekeeping; false when it could not be written, and is to be tried again later."""
        try:
            work()
        except (SyncFailed, apsw.IOError) as error:
            self._hands.fatal(error)
        except (OSError, apsw.Error) as error:  # a damaged page of the database is no reason to serve nobody
            self._hands.failed(error)
            return False
        return True

    def compact_now(self, dead_part: float) -> None:
        """Compact every pack of which a larger part is dead; nobody must be reading. Raises OSError, apsw.Error."""
        compaction = self.compaction
        compaction.dead_part, compaction.least, compaction.grace = dead_part, 0, 0
        more = True
        while more:  # what was emptied goes with the next look, which may find more to copy
            compaction.look_now()
            self._bring_journal()
            more = self._step_compaction()
            while compaction.running:
                compaction.join()
                self._step_compaction()
        self.encryption.complete()

    # -- the journal -----------------------------------------------------------------------------------------------

    def _until_journal(self) -> float:
        moment = self._hands.clock.monotonic()
        if self._journal.synced == self._journal.batch:
            self._journal_at = moment + _JOURNAL_EVERY
            return IDLE
        return self._journal_at - moment

    def _keep_journal(self) -> None:
        """What is in the packs becomes durable in time, what could not be written is tried again."""
        self._journal.catch_up()
        done = self._journal.durable(self._journal.written)
        self._journal_at = self._hands.clock.monotonic() + (_JOURNAL_EVERY if done else SOON)

    def _bring_journal(self) -> None:
        self._journal.catch_up()
        self._packs.sync()
        self._journal.note_synced()

    # -- the snapshot ----------------------------------------------------------------------------------------------

    def _until_snapshot(self) -> float:
        if self._journal.behind:
            return IDLE
        if self._snapshot_end:
            return SOON if self._journal.syncing else 0.0
        return 0.0 if self._snapshot.running or self._snapshot.due() else IDLE

    def _go_on_with_snapshot(self) -> bool:
        if self.in_order(self._step_snapshot):
            return True
        self._snapshot.give_up()
        self._snapshot_end = 0
        return False

    def _step_snapshot(self) -> None:
        snapshot = self._snapshot
        if not snapshot.running:
            if self._hands.space():
                snapshot.begin()
            else:
                snapshot.give_up()
        elif not self._snapshot_end and snapshot.step():
            return
        else:
            self._snapshot_end = self._snapshot_end or self._journal.written
            if self._journal.durable(self._snapshot_end):
                self._hands.unsynced(snapshot.finish)
                snapshot.finished()
                self._snapshot_end = 0

    # -- encryption, compaction and removal ----------------------------------------------------------------------------

    def _until_encryption(self) -> float:
        # Compaction that waits for the journal looks around first: what it looks at must not go on without that.
        compacts = self.compaction.running or self._look_behind > 0
        return SOON if compacts and not self.encryption.holds_packs else self.encryption.waits()

    def _until_compaction(self) -> float:
        if self.encryption.holds_packs:
            return SOON
        if self._look_behind and self._journal.syncing:
            return SOON
        if self.compaction.due(self._hands.clock.monotonic()):
            return 0.0
        return SOON if self.compaction.running else IDLE

    def _compact(self) -> None:
        if self.compaction.looks:  # what is copied, or goes, must not be what the journal is still to say
            if not self._look_behind:
                self._journal.catch_up()
                self._look_behind = self._journal.written
            if not self._journal.durable(self._look_behind):
                return
            self._look_behind = 0
        self._step_compaction()

    def _step_compaction(self) -> bool:
        return self.compaction.step(self._hands.clock.monotonic(), int(self._hands.clock.now()))

    def _clear(self) -> None:
        self.doomed = self._hands.clear(self._removal.portion.size)
