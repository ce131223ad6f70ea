"""What a writer does for its packs between batches: the journal synced in time, snapshots, compaction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import apsw

from postrider.model.ports import Clock
from postrider.store.blobs import SyncFailed
from postrider.store.packs import Packs
from postrider.store.sqlite.compaction import Compaction, Transact
from postrider.store.sqlite.journal import Journal
from postrider.store.sqlite.snapshot import Snapshot

#: Seconds until the journal of batches without bodies is synced, and between tries to write what could not be.
_JOURNAL_EVERY = 5.0
_FIRST_SLICES = 8
#: Seconds between looks at a thread that copies, and at whether something is to be compacted.
_COPYING = 0.1
_IDLE = 60.0


@dataclass(frozen=True, slots=True)
class Hands:
    """What upkeep may do with the writer it belongs to."""

    transact: Transact
    #: Whether there is space enough.
    space: Callable[[], bool]
    #: A sync failed; something could not be written, which is to be told.
    fatal: Callable[[Exception], NoReturn]
    failed: Callable[[Exception], object]
    clock: Clock


class Upkeep:
    """The upkeep of one data directory."""

    def __init__(
        self, journal: Journal, snapshot: Snapshot, compaction: Compaction, packs: Packs, hands: Hands
    ) -> None:
        self._journal = journal
        self._snapshot = snapshot
        self._packs = packs
        self._hands = hands
        self.compaction = compaction
        #: When the journal is looked after next.
        self._journal_at = 0.0

    def begin(self) -> None:
        """At the start, before anything changes: other tables than before are described."""
        if self._snapshot.due() and not self.in_order(self._snapshot.begin):
            self._snapshot.give_up()
        for _ in range(_FIRST_SLICES):  # a small store has its snapshot before it serves
            if self._snapshot.running and not self.in_order(self._go_on_with_snapshot):
                self._snapshot.give_up()

    def between(self) -> float:
        """Do a little; seconds until there is more to do, 0 for now."""
        waits = min(self._keep_journal(), self._compact())
        if not self._journal.behind and not self.in_order(self._go_on_with_snapshot):
            self._snapshot.give_up()
        return 0.0 if self._snapshot.running else waits

    def close(self) -> None:
        """End what is under way; the journal is whole in the packs then, unless the disk is full."""
        self.compaction.join()
        if self.in_order(self._bring_journal):
            self.in_order(self._journal.close)

    def in_order(self, work: Callable[[], object]) -> bool:
        """Do some housekeeping; false when it could not be written, and is to be tried again later."""
        try:
            work()
        except (SyncFailed, apsw.IOError) as error:
            self._hands.fatal(error)
        except (OSError, apsw.FullError) as error:
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
            more = self._compact_step()
            while compaction.running:
                compaction.join()
                self._compact_step()

    def _keep_journal(self) -> float:
        """What is in the packs becomes durable in time, what could not be written is tried again."""
        journal, moment = self._journal, self._hands.clock.monotonic()
        if journal.synced == journal.batch:
            self._journal_at = moment + _JOURNAL_EVERY
            return _IDLE
        if moment >= self._journal_at:
            self._journal_at = moment + _JOURNAL_EVERY
            self.in_order(self._bring_journal)
        return self._journal_at - moment

    def _bring_journal(self) -> None:
        self._journal.catch_up()
        self._packs.sync()
        self._journal.note_synced()

    def _go_on_with_snapshot(self) -> None:
        snapshot, clock = self._snapshot, self._hands.clock
        start = clock.monotonic()
        if not snapshot.running:
            if snapshot.due() and self._hands.space():
                snapshot.begin()
        elif not snapshot.step():
            self._bring_journal()
            self._hands.transact(snapshot.finish)
            snapshot.finished()
        else:
            snapshot.took(clock.monotonic() - start)

    def _compact(self) -> float:
        """Seconds until there is something to do about compaction."""
        if not self.compaction.due(self._hands.clock.monotonic()):
            return _COPYING if self.compaction.running else _IDLE
        if self.in_order(self._compact_step) and self.compaction.running:
            return 0.0
        return _IDLE

    def _compact_step(self) -> bool:
        self._bring_journal()  # what is copied, or goes, must not be what the journal is still to say
        return self.compaction.step(self._hands.clock.monotonic(), int(self._hands.clock.now()))
