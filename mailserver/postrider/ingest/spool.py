"""Stage 1, spool: chunks become a body of known size and hash, in memory or in an unsynced file.

What lies in the file is no promise to anyone: only the store's commit is.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from postrider.mime.header import Octets, header_end
from postrider.store.values import Body

#: Octets of a message that are held in memory.
IN_MEMORY = 256 * 1024
_PREFIX = "spool-"
# RFC 5322 §4.5: obsolete syntax allows white space before the colon.
_RECEIVED = re.compile(rb"^received[ \t]*:", re.IGNORECASE | re.MULTILINE)


class Spooled(msgspec.Struct, frozen=True):
    """A whole message on its way in."""

    body: Body
    #: The header block with its empty line, as far as it lies in the first IN_MEMORY octets.
    header: bytes
    received_count: int
    #: True when an octet above 127 is in it.
    eight_bit: bool

    @property
    def header_complete(self) -> bool:
        """False when the header block goes on behind `header`."""
        return len(self.header) < IN_MEMORY or self.header.endswith((b"\n\r\n", b"\n\n"))

    def octets(self) -> AbstractContextManager[Octets]:
        """The message's bytes, mapped where they lie in a file."""
        return _mapped(self.body.path) if self.body.path else contextlib.nullcontext(self.body.data)


class Spool:
    """One message being received. `close` when done with it, always: it removes the file."""

    def __init__(self, directory: Path, *, drop_return_path: bool) -> None:
        self._directory = directory
        self._drop_return_path = drop_return_path
        self._chunks: list[bytes] = []
        self._size = 0
        self._hash = hashlib.sha256()
        self._header: bytes | None = None
        self._eight_bit = False
        self._file: int | None = None
        self._path = ""
        self._failed: OSError | None = None

    @property
    def size(self) -> int:
        """Octets so far."""
        return self._size

    async def write(self, chunk: bytes) -> None:
        """The next bytes. When the file cannot take them, `finish` says so: the sender is in the middle of DATA."""
        if self._failed is not None:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > IN_MEMORY:
            try:
                self._flush()
            except OSError as error:
                self._failed = error
                self._chunks.clear()

    def finish(self) -> Spooled:
        """The message is complete. Raises OSError when the file could not take it."""
        if self._failed is not None:
            raise self._failed
        if self._file is None:
            data = self._take()
            body = Body(self._hash.digest(), self._size, data)
        else:
            self._flush()
            body = Body(self._hash.digest(), self._size, path=self._path)
        header = self._header or b""
        return Spooled(body, header, len(_RECEIVED.findall(header)), self._eight_bit)

    def close(self) -> None:
        """Forget the message."""
        self._chunks.clear()
        if self._file is not None:
            os.close(self._file)
            self._file = None
            Path(self._path).unlink(missing_ok=True)

    def _take(self) -> bytes:
        """What has come since the last time, hashed; the first time the header is looked at."""
        data = b"".join(self._chunks)
        self._chunks.clear()
        if self._header is None:
            header = data[: header_end(data, 0, len(data))]
            if self._drop_return_path and b"return-path" in header.lower():
                kept = _without_return_path(header)
                data = kept + data[len(header) :]
                self._size -= len(header) - len(kept)
                header = kept
            self._header = header
        self._hash.update(data)
        self._eight_bit = self._eight_bit or not data.isascii()
        return data

    def _flush(self) -> None:
        data = memoryview(self._take())
        if self._file is None:
            self._file, self._path = tempfile.mkstemp(prefix=_PREFIX, dir=self._directory)
        while data:
            data = data[os.write(self._file, data) :]


@contextlib.contextmanager
def _mapped(path: str) -> Iterator[Octets]:
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield _Mapped(mapped)


class _Mapped:
    """A mapped file. Before CPython 3.11.4 mmap.find reads one octet more than it may (gh-105235).

    Behind the last page of a file that is all there is of it: a stranger's message would end the process.
    """

    def __init__(self, mapped: mmap.mmap) -> None:
        self._mapped = mapped

    def __len__(self) -> int:
        return len(self._mapped)

    def __getitem__(self, key: slice, /) -> bytes:
        return self._mapped[key]

    def find(self, sub: bytes, start: int, end: int, /) -> int:
        """As bytes.find, for a `start` that is not negative."""
        size = len(self._mapped)
        if end < size:
            return self._mapped.find(sub, start, end)
        found = self._mapped.find(sub, start, size - 1)
        last = size - len(sub)
        return last if found < 0 and start <= last and self._mapped[last:] == sub else found


def sweep(directory: Path) -> None:
    """Remove what a killed process left behind; for the start, before anything is received."""
    for path in directory.glob(_PREFIX + "*"):
        path.unlink(missing_ok=True)


def _without_return_path(header: bytes) -> bytes:
    """The header block without Return-Path fields: the only one is ours, added at delivery (RFC 5321 §4.4)."""
    kept: list[bytes] = []
    dropping = False
    for line in header.splitlines(keepends=True):
        if line[:1] not in (b" ", b"\t"):
            dropping = line[:11].lower() == b"return-path" and line[11:].lstrip()[:1] == b":"
        if not dropping:
            kept.append(line)
    return b"".join(kept)
