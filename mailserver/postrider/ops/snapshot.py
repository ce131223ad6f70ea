"""Watches the snapshot's directory: verify, keep the last good one, hand it on.

What is incomplete is pending and is looked at again; what is wrong is refused and the last good generation goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from postrider.contract import files
from postrider.contract.check import check
from postrider.contract.model import Snapshot
from postrider.contract.report import Refusal, RefusedRow, Status
from postrider.telemetry.events import Events

#: How many of a refused generation's rows are named.
SHOWN = 20


@dataclass(slots=True)
class SnapshotWatch:
    """Looks at one directory when asked; the caller decides how often.

    `deliver` is called with each new good generation, after it was kept in `kept`.
    """

    source: Path
    kept: Path
    events: Events
    deliver: Callable[[Snapshot], None]
    #: Generation that was delivered last, None before the first.
    delivered: int | None = None
    _pending: files.Pending | None = None
    _refused: Refusal | None = None
    _seen: tuple[tuple[str, int, int], ...] | None = None

    def restore(self) -> None:
        """Serve the kept generation until the source has one; without any there is nothing to serve yet."""
        found = self._read(self.kept)
        if isinstance(found, Snapshot):
            self.delivered = found.generation
            self.deliver(found)

    def look(self) -> None:
        """Read the directory if it changed since the last look, and act on what is there."""
        found = self._news()
        if found is not None and found.generation != self.delivered:
            self._accept(found)

    def peek(self) -> Snapshot | None:
        """What a look would serve, or the kept one, for who must know before anything is kept: the directory's lock.

        None while there is neither.
        """
        found = self._news()
        if found is not None:
            self._seen = None
            return found
        kept = self._read(self.kept)
        return kept if isinstance(kept, Snapshot) else None

    def status(self, loaded: int | None) -> Status:
        """What GET /status says when all processes serve `loaded`."""
        return Status(
            loaded=loaded,
            pending=self._pending.generation if self._pending else None,
            waiting_for=self._pending.reason if self._pending else "",
            refused=self._refused,
        )

    def _news(self) -> Snapshot | None:
        """The generation that is there, if the directory changed and it is whole and right; else it is said why not."""
        signature = self._signature()
        if signature == self._seen:
            return None
        self._seen = signature  # also of what makes us fail: it is looked at once
        found = self._read(self.source)
        if isinstance(found, files.Pending):
            # The parts arrive one by one: look again, changed or not.
            self._seen = None
            if found != self._pending:
                self.events.emit("snapshot.pending", generation=found.generation, reason=found.reason)
            self._pending = found
            return None
        self._pending = None
        refusal = found if isinstance(found, Refusal) else self._refusal(found)
        if refusal is not None:
            self._refuse(refusal)
            return None
        return found if isinstance(found, Snapshot) else None

    def _refusal(self, found: Snapshot) -> Refusal | None:
        """Why a whole generation is not served."""
        if self.delivered is not None and found.generation < self.delivered:
            reason = f"older than generation {self.delivered}, which is being served"
            return Refusal(generation=found.generation, reason=reason)
        problems = [problem for problem in check(found) if problem.drops]
        if not problems or found.generation == self.delivered:
            return None
        rows = tuple(RefusedRow(p.kind, p.namespace, p.name, p.reason, p.message) for p in problems[:SHOWN])
        reason = f"{len(problems)} objects are wrong; the first is {problems[0].kind} {problems[0].name}"
        return Refusal(generation=found.generation, reason=reason, rows=rows)

    def _accept(self, snapshot: Snapshot) -> None:
        try:
            files.write_directory(self.kept, files.without_storage_keys(snapshot))
        except OSError as error:
            self._seen = None  # tried again at the next look; the disk may be full
            reason = f"it cannot be kept on the data disk: {error.strerror}"
            if self._refused is None or self._refused.reason != reason:
                self._refuse(Refusal(generation=snapshot.generation, reason=reason))
            return
        self._refused = None
        self.delivered = snapshot.generation
        self.deliver(snapshot)
        self.events.emit("snapshot.loaded", generation=snapshot.generation, mailboxes=len(snapshot.mailboxes))

    def _refuse(self, refusal: Refusal) -> None:
        self._refused = refusal
        self.events.emit("snapshot.refused", generation=refusal.generation, reason=refusal.reason)

    def _read(self, directory: Path) -> Snapshot | files.Pending | Refusal:
        try:
            return files.read_directory(directory)
        except FileNotFoundError:
            return files.Pending(f"{directory} does not exist")
        except OSError as error:
            return files.Pending(f"{directory} cannot be read: {error.strerror}")
        except files.BadSnapshot as error:
            return Refusal(generation=self._generation(directory), reason=str(error))

    def _generation(self, directory: Path) -> int:
        """The generation a directory that cannot be read claims to be, 0 where not even that is legible."""
        try:
            return msgspec.json.decode(files.read_manifest(directory) or b"{}", type=_Claims).generation
        except msgspec.DecodeError:
            return 0

    def _signature(self) -> tuple[tuple[str, int, int], ...]:
        """Name, inode and time of each file: the least that changes with any of them."""
        try:
            with os.scandir(files.current(self.source)) as entries:
                stats = [(entry.name, entry.stat()) for entry in entries]
        except OSError:  # _read says what is wrong
            return ()
        return tuple(sorted((name, stat.st_ino, stat.st_mtime_ns) for name, stat in stats))


class _Claims(msgspec.Struct):
    generation: int = 0
