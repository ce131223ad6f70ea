"""Where mail is imported from: folders and letters of a Maildir, of mbox files, of EML files, read one at a time."""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from postrider.mailbox.names import INBOX, SEPARATOR
from postrider.ops.exchange import names
from postrider.ops.exchange.letter import PIECE, Letter

#: Says what is passed over, and why.
Complain = Callable[[str], None]

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Files that are read before their turn, and by how many.
AHEAD, _READERS = 32, 4


class NotMail(Exception):
    """There is no mail of this format; the message says where and what to do."""


class Source(Protocol):
    """Mail in one format."""

    @property
    def folders(self) -> Sequence[str]:
        """Folder names as the source has them, but for their spelling as ours."""
        ...

    @property
    def subscribed(self) -> Sequence[str] | None:
        """Names that the source's owner subscribed to, None where the format knows no such thing."""
        ...

    @property
    def repeats(self) -> bool:
        """Two letters of a folder may have the same name and content, and are two all the same."""
        ...

    @property
    def size(self) -> int:
        """Octets of all its files."""
        ...

    def letters(self, folder: str) -> Iterator[Letter]:
        """The messages of a folder, oldest first where that can be told."""
        ...


def open_file(path: Path) -> BinaryIO:
    """A message's file, opened: a regular one, no link. Raises OSError.

    Whoever owns a Maildir may have laid links to what he must not read, or a pipe to wait for, into it.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return os.fdopen(fd, "rb")


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    """A file's octets, closed at their end; one that is small is read and closed at once."""
    first = file.read(PIECE)
    if len(first) < PIECE:
        file.close()
        return iter((first,))
    return chain((first,), _rest(file))


def ahead(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results in order, while those that follow are read already: no disk is waited for, one file at a time."""
    pool = ThreadPoolExecutor(_READERS)
    reading: deque[Future[Result]] = deque()
    try:
        for item in items:
            reading.append(pool.submit(read, item))
            if len(reading) >= AHEAD:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Every directory below, with its directories and files that are not hidden; some may be taken out of the former.

    Directories are followed by name, links to directories are not.
    """
    for where, directories, files in os.walk(root, onerror=_raise):
        directories.sort()
        yield Path(where), directories, sorted(name for name in files if not name.startswith("."))


def folder_of(parts: Sequence[str]) -> str:
    """The folder of a path below the root; INBOX is the root itself."""
    return SEPARATOR.join(names.level_of(part) for part in parts) or INBOX


def _rest(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


def _raise(error: OSError) -> None:
    raise error
