"""The reading side of packs: ranges of bodies, checked against what their records say."""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path

from postrider.store import framing
from postrider.store.blobs import Moved, Place
from postrider.store.codecs import FRAME
from postrider.store.keys import KeyMissing, Keys, none
from postrider.store.pack_files import pack_path, read_head
from postrider.store.records import BARE, KEY_NONE, BadRecord
from postrider.store.transactions import Reason, StoreError

_OPEN_PACKS = 64


class PackReader:
    """Reads records; keeps the packs used last open. Implements blobs.BlobReader."""

    def __init__(self, directory: Path, keys: Keys = none) -> None:
        self._directory = directory
        self._keys = keys
        self._files: OrderedDict[int, int] = OrderedDict()

    def read(self, place: Place, start: int, length: int | None) -> bytes:
        """A range of the body; every frame it touches is verified. Raises StoreError(UNAVAILABLE), Moved."""
        try:
            return read_range(self._file(place.pack), place.start, start, length, self._keys)
        except FileNotFoundError as error:
            raise Moved(str(place)) from error
        except (OSError, BadRecord, KeyMissing) as error:
            raise _unavailable(place, error) from error

    def file(self, place: Place) -> str:
        """No body has a file of its own."""
        return ""

    def read_aside(self, place: Place, start: int, length: int | None) -> bytes:
        """The same with a file of its own, for another thread."""
        try:
            fd = os.open(pack_path(self._directory, place.pack), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return read_range(fd, place.start, start, length, self._keys)
            finally:
                os.close(fd)
        except FileNotFoundError as error:
            raise Moved(str(place)) from error
        except (OSError, BadRecord, KeyMissing) as error:
            raise _unavailable(place, error) from error

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _file(self, pack: int) -> int:
        fd = self._files.get(pack)
        if fd is None:
            fd = os.open(pack_path(self._directory, pack), os.O_RDONLY | os.O_CLOEXEC)
            self._files[pack] = fd
            if len(self._files) > _OPEN_PACKS:
                os.close(self._files.popitem(last=False)[1])
        else:
            self._files.move_to_end(pack)
        return fd


def read_range(fd: int, record: int, start: int = 0, length: int | None = None, keys: Keys = none) -> bytes:
    """A range of the body in the record that begins at `record`. Raises BadRecord, OSError, KeyMissing."""
    header, _, frames = read_head(fd, record)
    key = keys(header.key_id).octets if header.key_id != KEY_NONE else b""
    end = header.size if length is None else min(header.size, start + length)
    if start >= end:
        return b""
    if header.version == BARE:  # one frame, however large: a part of it cannot be verified
        if end - start < header.size:
            return os.pread(fd, end - start, record + frames[0].start + start)
        return framing.decode(header, frames, 0, os.pread(fd, header.stored, record + frames[0].start))
    first, last = start // FRAME, (end - 1) // FRAME
    begin = frames[first].start
    raw = memoryview(os.pread(fd, frames[last].start + frames[last].stored - begin, record + begin))
    plain = [
        framing.decode(header, frames, at, raw[frames[at].start - begin :][: frames[at].stored], key)
        for at in range(first, last + 1)
    ]
    whole = plain[0] if len(plain) == 1 else b"".join(plain)
    return whole[start - first * FRAME : end - first * FRAME] if end - start < len(whole) else whole


def _unavailable(place: Place, error: Exception) -> StoreError:
    return StoreError(Reason.UNAVAILABLE, f"pack {place.pack}, record at {place.start}: {error}")
