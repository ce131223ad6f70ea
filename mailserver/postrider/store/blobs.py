"""Where bodies are kept: what the committer and the readers ask of packs, or of whatever takes their place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from postrider.store.meta import Incoming
from postrider.store.records import Header
from postrider.store.transactions import StoreError


class Place(NamedTuple):
    """Where a body lies, as its row has it: a pack and an offset in it; or pack 0 and a path, for files."""

    pack: int
    start: int
    path: str = ""


class Location(msgspec.Struct, frozen=True, gc=False):
    """Where a record lies, and what a blob row keeps of its header."""

    pack: int
    start: int
    header: Header
    path: str = ""

    @property
    def end(self) -> int:
        """Where the record behind this one begins."""
        return self.start + self.header.length


class SyncFailed(Exception):
    """A sync failed: what the disk holds is unknown. Nothing but the end of the process is right after it."""


class BlobWriter(Protocol):
    """The writer's side. Used from the writer's thread."""

    #: True when each delivery of a message is to have a body of its own.
    apart: bool

    def append(self, bodies: Sequence[Incoming], now: int) -> list[Location | StoreError]:
        """Write bodies; one that is not what it says, or has no place to go, is refused in its place. `now`: seconds.

        Raises OSError when a write fails (none of them is kept then) and SyncFailed.
        """
        ...

    def sync(self) -> None:
        """Make durable what append wrote. Raises SyncFailed."""
        ...

    def dropped(self, places: Sequence[Place]) -> None:
        """Nobody needs these bodies any more, and that is durable: what is a file of its own can go. Raises OSError."""
        ...

    def close(self) -> None:
        """Let the files go; the next writer goes on where this one stopped."""
        ...


class BlobReader(Protocol):
    """The reading side, one a process."""

    def read(self, place: Place, start: int, length: int | None) -> bytes:
        """A range of the body, verified. Raises StoreError(UNAVAILABLE), Moved."""
        ...

    def file(self, place: Place) -> str:
        """The path of the file that is the whole message; "" where bodies lie together."""
        ...

    def read_aside(self, place: Place, start: int, length: int | None) -> bytes:
        """The same, for a thread other than the one that calls `read`."""
        ...

    def close(self) -> None:
        """Close the files; the next read opens what it needs."""
        ...


class Moved(Exception):
    """What was at this place is somewhere else by now, or gone: the row knows."""
