"""Bodies as files of their own, in the Maildir of the account they were delivered to.

`<root>/<domain>/<user>/` is the account's Maildir. The files that belong to the store lie in its `bodies` directory,
which no mail program looks into; the names that those programs know (`cur`, `new`, folders) are hard links to them,
made and kept by `ops.maildir`. A file is the whole message: what we added, then the body, as it came.
"""

from __future__ import annotations

import errno
import itertools
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from postrider.store.blobs import Location, Moved, Place, SyncFailed
from postrider.store.directory import may_delete_packs
from postrider.store.meta import Incoming
from postrider.store.pack_files import sync_directory
from postrider.store.records import Header
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Body

#: Below the data directory.
ROOT = "maildir"
#: In an account's Maildir: what belongs to the store.
BODIES = "bodies"
#: Where messages wait that are to be sent to others.
QUEUE = ".queue"
_SLICE = 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
#: Files of a batch that are open at once; what is more is synced before its end.
_OPEN = 128
#: What is wrong with one account's directory, and no reason to refuse what comes for others.
_ITS_OWN = frozenset(
    {
        errno.EACCES,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
    }
)
#: What a directory's name must not contain, beside control characters.
_UNSAFE = frozenset('/%\\:"')


def account_directory(account: str) -> str:
    """The Maildir of an account, below the root: its domain and its user, each one safe name."""
    user, _, domain = account.partition("/")[2].rpartition("@")
    return f"{safe_name(domain)}/{safe_name(user)}"


def safe_name(text: str) -> str:
    """A name that can be nothing but one directory's; characters that could be more stand as %XX of their UTF-8."""
    safe = "".join(
        character if character >= " " and character != "\x7f" and character not in _UNSAFE else _escaped(character)
        for character in text
    )
    return _escaped(safe[0]) + safe[1:] if safe.startswith(".") else safe


def _escaped(character: str) -> str:
    return "".join(f"%{octet:02X}" for octet in character.encode("utf-8", "surrogateescape"))


class MaildirWriter:
    """The writer's side. Implements blobs.BlobWriter."""

    apart = True

    def __init__(self, root: Path, unique: Callable[[], str]) -> None:
        """`unique` gives names that were never given before."""
        self._root = root
        self._unique = unique
        self._made: set[Path] = set()
        #: Files of the batch that is not synced yet.
        self._files: list[int] = []
        self._paths: list[Path] = []
        self._directories: set[Path] = set()
        #: Files to be removed when no backup wants them any more.
        self._waiting: list[str] = []

    def append(self, bodies: Sequence[Incoming], now: int) -> list[Location | StoreError]:
        """Write a file for each body, most of them unsynced. Raises OSError (none is kept then), SyncFailed."""
        try:
            return [self._write(one, now) for one in bodies]
        except OSError:
            for path in self._paths:
                path.unlink(missing_ok=True)
            self._forget()
            raise

    def sync(self) -> None:
        """Make durable what append wrote, names too. Raises SyncFailed."""
        self._sync_files()
        try:
            for directory in self._directories:
                sync_directory(directory)
        except OSError as error:
            raise SyncFailed(f"the directory of a new message is gone: {error}") from error
        self._forget()

    def dropped(self, places: Sequence[Place]) -> None:
        """Nobody needs these files any more; one that is gone is no matter. They wait for the end of a backup.

        Raises OSError: the others are gone then, and `store compact` finds what is not.
        """
        self._waiting += [place.path for place in places]
        if not self._waiting:
            return
        failed: OSError | None = None
        with may_delete_packs(self._root.parent) as allowed:
            while allowed and self._waiting:
                try:
                    (self._root / self._waiting.pop()).unlink(missing_ok=True)
                except OSError as error:
                    failed = error
        if failed:
            raise failed

    def close(self) -> None:
        """What still waits is found by `store compact`."""
        self.dropped(())
        self._forget()

    def _sync_files(self) -> None:
        try:
            for descriptor in self._files:
                os.fdatasync(descriptor)
        except OSError as error:
            raise SyncFailed(f"fdatasync of a message below {self._root}: {error}") from error
        self._close_files()

    def _close_files(self) -> None:
        for descriptor in self._files:
            os.close(descriptor)
        self._files.clear()

    def _forget(self) -> None:
        self._close_files()
        self._paths.clear()
        self._directories.clear()

    def _write(self, one: Incoming, now: int) -> Location | StoreError:
        holder = _holder(one)
        prefix = one.belongs.placed[0].prefix if one.belongs.placed else b""
        directory = self._root / holder
        name = f"{now}.{self._unique()}"
        path = directory / name
        if len(self._files) >= _OPEN:
            self._sync_files()
        try:
            self._make(directory)
            descriptor = self._create(path)
        except OSError as error:
            if error.errno not in _ITS_OWN:
                raise
            return StoreError(Reason.WRITE_FAILED, f"a message cannot be written into {directory}: {error.strerror}")
        self._files.append(descriptor)
        self._paths.append(path)
        size = crc = 0
        try:
            _write_all(descriptor, prefix)
            for piece in _pieces(one.body):
                crc = zlib.crc32(piece, crc)
                size += len(piece)
                _write_all(descriptor, piece)
        except _SpoolGone as error:
            path.unlink()
            return StoreError(Reason.UNAVAILABLE, f"the spool file cannot be read: {error}")
        if size != one.body.size:
            path.unlink()
            return StoreError(Reason.INVALID, "the body is not as long as it says")
        self._directories.add(directory)
        header = Header(one.body.hash, size, size, now, crc)
        return Location(0, len(prefix), header, f"{holder}/{name}")

    def _create(self, path: Path) -> int:
        try:
            return os.open(path, _NEW, 0o600)
        except FileNotFoundError:  # somebody removed the directory
            self._made.discard(path.parent)
            self._make(path.parent)
            return os.open(path, _NEW, 0o600)

    def _make(self, directory: Path) -> None:
        """Make a directory and those above it, durable, once in a process."""
        if directory in self._made:
            return
        above = itertools.takewhile(lambda path: path != self._root.parent, (directory, *directory.parents))
        for path in reversed(list(above)):
            path.mkdir(mode=0o700, exist_ok=True)
            sync_directory(path.parent)  # also when it is there: whoever made it need not have
        self._made.add(directory)


class MaildirReader:
    """The reading side. Implements blobs.BlobReader; a body's place says where in its file it begins."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, place: Place, start: int, length: int | None) -> bytes:
        """A range of the body. Raises StoreError(UNAVAILABLE), Moved."""
        try:
            with (self._root / place.path).open("rb", buffering=0) as file:
                end = os.fstat(file.fileno()).st_size
                begin = place.start + start
                wanted = end - begin if length is None else min(length, end - begin)
                return os.pread(file.fileno(), max(wanted, 0), begin)
        except FileNotFoundError as error:
            raise Moved(place.path) from error
        except OSError as error:
            raise StoreError(Reason.UNAVAILABLE, f"{place.path}: {error}") from error

    read_aside = read

    def file(self, place: Place) -> str:
        """The path of the whole message's file."""
        return str(self._root / place.path) if place.path else ""

    def close(self) -> None:
        """Nothing is held between reads."""


def _holder(one: Incoming) -> str:
    """The directory of a body's file, below the root."""
    if one.belongs.placed:
        return f"{account_directory(one.belongs.placed[0].account)}/{BODIES}"
    return QUEUE


class _SpoolGone(Exception):
    """A spool file cannot be read."""


def _pieces(body: Body) -> Iterator[bytes]:
    if not body.path:
        yield body.data
        return
    try:
        with Path(body.path).open("rb") as spool:
            while piece := spool.read(_SLICE):
                yield piece
    except OSError as error:
        raise _SpoolGone(str(error)) from error


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
