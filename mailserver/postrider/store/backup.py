"""What a backup needs of the database's file: a consistent copy, a look for damage, and a new epoch after a restore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from postrider.store.record_list import RecordList

#: Told how far a long copy is: octets done, and in all.
Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copied database says about itself."""

    schema: int
    min_reader: int
    #: How often a writer had started.
    lease: int
    #: Packs with records that the database knows, and where in each the last of them ends.
    packs: Mapping[int, int]


class BodyFile(NamedTuple):
    """A body that is a file of its own: its path below the Maildirs' root, where in it the body begins, its hash."""

    path: str
    start: int
    #: Octets of the whole file.
    length: int
    #: SHA-256 of the body.
    hash: bytes


class DatabaseFile(Protocol):
    """The database as a file."""

    def copy(self, data: Path, target: Path, progress: Progress) -> Copied:
        """Copy the database of a data directory, as it is at this moment, to a file of its own.

        A server may be at work meanwhile. Raises OSError, StoreError(UNAVAILABLE).
        """
        ...

    def files(self, path: Path) -> Iterator[BodyFile]:
        """The bodies that a copy says are files of their own. Raises StoreError(UNAVAILABLE)."""
        ...

    def examine(self, path: Path, packs: Mapping[int, RecordList | None]) -> Sequence[str]:
        """All that is wrong with a copy, or with where it says bodies lie in these packs; empty when nothing is.

        Into packs without a list nobody looks.
        """
        ...

    def begin_epoch(self, path: Path, now: int, *, since: int, hold_queue: bool) -> None:
        """Make a restored database one that no client mistakes for what was lost.

        Between the backup (`since`) and the loss UIDs, modseqs and ids were given that the database knows nothing of:
        all of them go on far above. Claims of the queue are free; with `hold_queue` its rows wait for an administrator.
        Raises WrongDatabase, OSError.
        """
        ...
