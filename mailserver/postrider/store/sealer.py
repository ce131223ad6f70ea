"""Copies bodies that lie in the clear into a new pack, each sealed for one holder. Runs in a thread, as compaction."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from postrider.model.ports import Clock
from postrider.store import meta
from postrider.store.blobs import Location, Place
from postrider.store.codecs import FRAME, SEALED_ZSTD
from postrider.store.compactor import SYNC_EVERY, verified
from postrider.store.framing import Subject
from postrider.store.keys import DataKey
from postrider.store.pack_files import PackFile, pack_path, read_head
from postrider.store.records import KIND_BODY, BadRecord, largest

#: Rests for each second of work: while others commit, and else.
_BUSY, _QUIET = 4.0, 0.5
#: Seconds of the longest rest, however long the machine stood still: a writer that ends waits for it.
_LONGEST = 1.0


class Clear(NamedTuple):
    """A body in the clear, and rows of one holder that need it: emails of an account, or with account 0 the queue's."""

    blob_id: int
    size: int
    place: Place
    account_id: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """A body's sealed copy."""

    of: Clear
    to: Location


@dataclass(slots=True)
class Copies:
    """What was copied, where the pack ends, and what could not be read."""

    made: list[Copy] = field(default_factory=list)
    end: int = 0
    unreadable: list[tuple[Clear, str]] = field(default_factory=list)


class Stopped(Exception):
    """The writer ends: what was under way is begun anew at its next start."""


class Pace:
    """Leaves the processor to others: rests half as long as what was done took, and far longer while they commit."""

    def __init__(
        self, clock: Clock, sleep: Callable[[float], None], commits: Callable[[], int], stopping: threading.Event
    ) -> None:
        """`commits` grows with each batch."""
        self._clock = clock
        self._sleep = sleep
        self._commits = commits
        self._stopping = stopping
        self._seen = commits()
        self._since = clock.monotonic()

    def rest(self) -> None:
        """To be called after every few milliseconds of work. Raises Stopped."""
        if self._stopping.is_set():
            raise Stopped
        seen = self._commits()
        took = self._clock.monotonic() - self._since
        self._sleep(min(_LONGEST, took * (_QUIET if seen == self._seen else _BUSY)))
        self._seen, self._since = seen, self._clock.monotonic()


@dataclass(frozen=True, slots=True)
class Sealer:
    """What to copy, each under its holder's key, and into which pack."""

    directory: Path
    target: int
    wanted: Sequence[tuple[Clear, DataKey]]
    pace: Pace
    now: int

    def run(self) -> Copies:
        """Copy and sync. Raises OSError, SyncFailed, Stopped."""
        copies = Copies()
        room = sum(largest(clear.size, len(meta.KNOWN)) for clear, _ in self.wanted)
        file = PackFile.create(self.directory, self.target, FRAME + room, self.now, copies=True)
        try:
            synced = 0
            for clear, key in self.wanted:
                try:
                    copies.made.append(Copy(clear, self._copy(clear, key, file)))
                except (BadRecord, FileNotFoundError) as error:
                    copies.unreadable.append((clear, str(error)))
                if file.end - synced >= SYNC_EVERY:
                    file.sync()
                    synced = file.end
                self.pace.rest()
            file.seal()
            copies.end = file.end
        finally:
            file.close()
        return copies

    def _copy(self, clear: Clear, key: DataKey, file: PackFile) -> Location:
        with pack_path(self.directory, clear.place.pack).open("rb") as source:
            fd = source.fileno()
            header, _, frames = read_head(fd, clear.place.start)
            subject = Subject(key.mac(header.hash), header.size, meta.KNOWN, KIND_BODY, SEALED_ZSTD, key.id, key.octets)
            return file.write_stream(subject, verified(fd, clear.place.start, header, frames), header.date)
