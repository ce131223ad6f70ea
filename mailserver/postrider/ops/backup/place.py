"""Where backups may lie: what a directory and a bucket have in common.

A place holds files by name (`packs/index.jsonl`), each of them whole or not there at all. Whoever writes has it alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

#: Told how many octets more are done.
Told = Callable[[int], object]
#: Told what is done at the moment, and how far it is: octets done, and in all.
Progress = Callable[[str, int, int], object]

_PIECE = 1024 * 1024

Item = TypeVar("Item")
Result = TypeVar("Result")


class BackupError(Exception):
    """A backup cannot be made or used; the message says why and what to do."""


class Damaged(BackupError):
    """A file is missing, or not what it was; the message says which."""


class Place(Protocol):
    """Files by name. All methods raise BackupError where the place fails, OSError where a file does."""

    @property
    def title(self) -> str:
        """Where it is, as people write it."""
        ...

    @property
    def lanes(self) -> int:
        """How many files it pays to move at once."""
        ...

    @property
    def in_blocks(self) -> bool:
        """Whether a database is better kept in blocks: where files are moved over a network, and only as a whole."""
        ...

    def prepare(self, data: Path) -> None:
        """Make it ready for backups of this data directory."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Have it alone, to write. Raises BackupError when somebody else is at work."""
        ...

    def reading(self) -> AbstractContextManager[None]:
        """Read what is there; needs no right to write."""
        ...

    def scratch(self, name: str) -> AbstractContextManager[Path]:
        """A directory for files that are on their way into the folder of this name; it goes with what is left in it."""
        ...

    def folders(self) -> list[str]:
        """The folders right below."""
        ...

    def lengths(self, folder: str) -> Iterator[tuple[str, int]]:
        """Every file in and below a folder, with its octets; sorted as the UTF-8 of their names is."""
        ...

    def length(self, name: str) -> int:
        """Octets of a file; -1 when there is none."""
        ...

    def read(self, name: str) -> bytes:
        """A small file. Raises FileNotFoundError."""
        ...

    def fetch(self, name: str, target: Path, told: Told) -> tuple[int, str]:
        """Copy a file to one that is not there yet, synced; returns its octets and their SHA-256 in hex."""
        ...

    def at_hand(self, name: str) -> AbstractContextManager[Path]:
        """A file as one of this machine, for as long as it is needed."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Write a small file; what was there is replaced."""
        ...

    def put(self, name: str, source: Path, length: int) -> tuple[int, str]:
        """Copy the first octets of a file; returns how many there were, and their SHA-256 in hex.

        With fewer than `length` nothing is kept.
        """
        ...

    def adopt(self, name: str, source: Path) -> None:
        """Take a file out of the scratch directory."""
        ...

    def conclude(self, name: str, content: bytes) -> None:
        """Write the small file that makes all others count: they are durable before it is there, and then it is."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, durably; those that are not there are no error."""
        ...

    def clear(self, folder: str) -> None:
        """Remove a folder with all that is in it."""
        ...


def copy_hashed(source: Path, target: int, length: int, told: Told) -> tuple[int, str]:
    """Read up to `length` octets of a file; returns how many there were, and their SHA-256 in hex.

    They are written to `target` where it is a file descriptor (-1: none); `told` hears of each piece. Raises OSError.
    """
    digest, left = hashlib.sha256(), length
    with source.open("rb", buffering=0) as reading:
        while left and (piece := reading.read(min(_PIECE, left))):
            digest.update(piece)
            if target >= 0:
                write_all(target, piece)
            left -= len(piece)
            told(len(piece))
    return length - left, digest.hexdigest()


def hashed(source: Path, length: int, told: Told = lambda _: None) -> tuple[int, str]:
    """How many of the first `length` octets a file has, and their SHA-256 in hex. Raises OSError."""
    return copy_hashed(source, -1, length, told)


def fetch_whole(place: Place, name: str, target: Path, wanted: tuple[int, str], told: Told) -> None:
    """Copy a file that has these octets and this hash. Raises Damaged where it has not, OSError."""
    try:
        found = place.fetch(name, target, told)
    except FileNotFoundError as error:
        raise Damaged(f"{place.title}/{name} cannot be read: {error.strerror}") from error
    _compare(place, name, found, wanted)


@contextlib.contextmanager
def whole(place: Place, name: str, wanted: tuple[int, str]) -> Iterator[Path]:
    """A file at hand that has these octets and this hash. Raises Damaged where it has not."""
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(place.at_hand(name))
            found = hashed(path, wanted[0] + 1)
        except OSError as error:
            raise Damaged(f"{place.title}/{name} cannot be read: {error.strerror}") from error
        _compare(place, name, found, wanted)
        yield path


def _compare(place: Place, name: str, found: tuple[int, str], wanted: tuple[int, str]) -> None:
    if found[0] != wanted[0]:
        few = "fewer" if found[0] < wanted[0] else "more"
        raise Damaged(f"{place.title}/{name} has {few} than its {wanted[0]} octets")
    if found[1] != wanted[1]:
        raise Damaged(f"{place.title}/{name} is damaged: its hash is not the manifest's")


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it, however often that takes. Raises OSError."""
    written = 0
    while written < len(data):
        written += os.write(fd, data[written:])


def side_by_side(lanes: int, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
    """Each item with what the work made of it, in their order; so many are worked on at once.

    The first that fails ends it: what it raised is raised here.
    """
    if lanes == 1:
        for item in items:
            yield item, work(item)
        return
    waiting: deque[tuple[Item, Future[Result]]] = deque()
    with ThreadPoolExecutor(lanes) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) > lanes:
                    first, done = waiting.popleft()
                    yield first, done.result()
            while waiting:
                first, done = waiting.popleft()
                yield first, done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
