"""Watches the snapshot's directory: verify, keep the last good one, hand it on.

What is incomplete is pending and is looked at again; what is wrong is refused and the last good generation goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from postrider.contract import files
from postrider.contract.check import check
from postrider.contract.model import READABLE, Snapshot
from postrider.contract.report import Refusal, Status
from postrider.telemetry.events import Events


@dataclass(slots=True)
class SnapshotWatch:
    """Looks at one directory when asked; the caller decides how often.

    `deliver` is called with each new good generation, after it was kept in `kept`.
    """

    source: Path
    kept: Path
    events: Events
    deliver: Callable[[Snapshot], None]
    #: Generation that was delivered last, -1 before the first.
    delivered: int = -1
    _pending: int = -1
    _refused: Refusal | None = None
    _seen: tuple[tuple[str, int, int], ...] | None = field(default=None)

    def restore(self) -> bool:
        """Serve the kept generation before anything else was seen; False when there is none that can be read."""
        found = self._read(self.kept)
        if not isinstance(found, Snapshot):
            return False
        self.delivered = found.generation
        self.deliver(found)
        return True

    def look(self) -> None:
        """Read the directory if it changed since the last look, and act on what is there."""
        signature = self._signature()
        if signature == self._seen:
            return
        found = self._read(self.source)
        if isinstance(found, files.Pending):
            # The parts arrive one by one: look again, changed or not.
            if found.generation != self._pending:
                self.events.emit("snapshot.pending", generation=found.generation, reason=found.reason)
            self._pending = found.generation
            return
        self._seen = signature
        self._pending = -1
        if isinstance(found, Refusal):
            self._refuse(found)
        elif found.generation < self.delivered:
            reason = f"generation {found.generation} is older than {self.delivered}, which is being served"
            self._refuse(Refusal(generation=found.generation, reason=reason))
        elif found.generation > self.delivered:
            self._accept(found)

    def status(self, loaded: int) -> Status:
        """What GET /status says when all processes serve `loaded`."""
        return Status(
            loaded=max(loaded, 0),
            pending=self._pending if self._pending >= 0 else None,
            refused=self._refused,
            readable=READABLE,
        )

    def _accept(self, snapshot: Snapshot) -> None:
        problems = check(snapshot)
        if problems:
            shown = "; ".join(f"{p.kind} {p.name}: {p.message}" for p in problems[:5])
            self._refuse(Refusal(generation=snapshot.generation, reason=shown))
            return
        files.write_directory(self.kept, snapshot)
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
        except files.BadSnapshot as error:
            return Refusal(generation=error.generation, reason=str(error))

    def _signature(self) -> tuple[tuple[str, int, int], ...]:
        """Name, inode and time of each file; a projected volume swaps a symlink, so files change their inode."""
        try:
            with os.scandir(self.source) as entries:
                stats = [(entry.name, entry.stat()) for entry in entries if entry.is_file()]
        except FileNotFoundError:
            return ()
        return tuple(sorted((name, stat.st_ino, stat.st_mtime_ns) for name, stat in stats))
