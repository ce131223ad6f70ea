"""Packs: append-only files that hold the bodies of messages, preallocated so that a full disk shows at write.

Nothing here decides what is durable: `append` writes, `sync` makes it so, the caller commits rows in between answers.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from postrider.store import records
from postrider.store.records import FILE_HEADER, HEADER_SIZE, BadRecord, Header
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Body

PACK_SIZE = 64 * 1024 * 1024
_SLICE = 1024 * 1024
_IOV = 512  # well below IOV_MAX


@dataclass(frozen=True, slots=True)
class Location:
    """Where a record lies, and what a blob row keeps of its header."""

    pack: int
    start: int
    header: Header


@dataclass(frozen=True, slots=True)
class Recovered:
    """What opening found behind the last committed record: whole records nobody knows, and bytes that were cut."""

    pack: int
    orphans: int
    cut: int


def pack_path(directory: Path, pack_id: int) -> Path:
    """The file of a pack."""
    return directory / f"{pack_id:08d}.pack"


def pack_ids(directory: Path) -> list[int]:
    """The packs that are there, in order."""
    return sorted(int(path.stem) for path in directory.glob("*.pack") if path.stem.isdigit())


class SyncFailed(Exception):
    """A sync failed: what the disk holds is unknown. Nothing but the end of the process is right after it."""


class Packs:
    """The writer's side: one pack is open for appending, the others are sealed."""

    def __init__(self, directory: Path, *, pack_size: int = PACK_SIZE) -> None:
        self._directory = directory
        self._pack_size = pack_size
        self._fd = -1
        self._limit = 0
        self._dirty = False
        self._torn = False
        #: The open pack, and where its next record goes.
        self.pack = 0
        self.end = 0

    def open(self, known: Mapping[int, int], now: int) -> Recovered:
        """Go on where the last writer stopped. `known` maps packs to the end of their last committed record.

        Whole records behind that end stay, as bytes nobody refers to; from the first one that is not whole the file
        is cut and zeroed. Raises OSError, SyncFailed.
        """
        present = pack_ids(self._directory)
        while present and present[-1] not in known and not _is_pack(self._directory, present[-1]):
            pack_path(self._directory, present.pop()).unlink()  # torn while it was made: nothing can be in it
        newest = max([*present, *known], default=0)
        if newest not in present:
            self._start(newest + 1, now)
            return Recovered(self.pack, 0, 0)
        fd = os.open(pack_path(self._directory, newest), os.O_RDWR | os.O_CLOEXEC)
        end = known.get(newest, FILE_HEADER.size)
        orphans = 0
        for start, header in scan(fd, end):
            orphans += 1
            end = start + header.length
        cut = _used_behind(fd, end)
        self._fd, self.pack, self.end, self._limit = fd, newest, end, max(self._pack_size, end)
        os.ftruncate(fd, end)
        os.posix_fallocate(fd, 0, self._limit)
        self._fsync()
        return Recovered(newest, orphans, cut)

    def append(self, bodies: Sequence[Body], now: int) -> list[Location | StoreError]:
        """Write bodies behind each other, unsynced. A body that is not what it says is refused in its place.

        Raises OSError when a write fails (none of them is kept then) and SyncFailed.
        """
        if self._torn:
            self._roll(now)
        places: list[Location | StoreError] = []
        pending: list[bytes] = []
        began = (self.pack, self.end)
        start = self.end
        try:
            for body in bodies:
                header = _measure(body, now)
                if isinstance(header, StoreError):
                    places.append(header)
                    continue
                if start + header.length > self._limit:
                    self._flush(pending, start)
                    start = self._roll(now, header.length)
                places.append(Location(self.pack, start, header))
                pending += (records.pack_header(header), body.data)
                start += HEADER_SIZE + len(body.data)
                if body.path:
                    self._flush(pending, start)
                    start = self._copy(body, start)
                pending.append(bytes(self.end_of(places[-1]) - start))
                start += len(pending[-1])
            self._flush(pending, start)
        except OSError:
            self._torn = True
            self.end = began[1] if self.pack == began[0] else FILE_HEADER.size
            raise
        return places

    def sync(self) -> None:
        """Make durable what append wrote. Raises SyncFailed."""
        if self._dirty:
            try:
                os.fdatasync(self._fd)
            except OSError as error:
                raise SyncFailed(f"fdatasync of pack {self.pack}: {error}") from error
            self._dirty = False

    def close(self) -> None:
        """Close the file; the next writer goes on in it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @staticmethod
    def end_of(place: Location | StoreError) -> int:
        """Where the record behind this one begins."""
        return 0 if isinstance(place, StoreError) else place.start + place.header.length

    def _flush(self, pending: list[bytes], end: int) -> None:
        """Write what is pending, so that it ends at `end`."""
        total = sum(map(len, pending))
        offset = end - total
        for first in range(0, len(pending), _IOV):
            part = pending[first : first + _IOV]
            size = sum(map(len, part))
            self._dirty = True
            written = os.pwritev(self._fd, part, offset)
            while written < size:  # a short write: the disk is nearly full, or a signal came
                written += os.pwrite(self._fd, b"".join(part)[written:], offset + written)
            offset += size
        pending.clear()
        self.end = end

    def _copy(self, body: Body, start: int) -> int:
        left = body.size
        with Path(body.path).open("rb") as spool:
            while left:
                piece = spool.read(min(left, _SLICE))
                if not piece:
                    raise OSError(errno.EIO, "the spool file became shorter while it was copied")
                start += len(piece)
                self._flush([piece], start)
                left -= len(piece)
        return start

    def _roll(self, now: int, room: int = 0) -> int:
        """Seal the open pack at its end and begin the next one; returns where that begins."""
        os.ftruncate(self._fd, self.end)
        self._fsync()
        sealed = self._fd
        self._start(self.pack + 1, now, room)
        os.close(sealed)
        self._torn = False
        return self.end

    def _start(self, pack_id: int, now: int, room: int = 0) -> None:
        path = pack_path(self._directory, pack_id)
        limit = max(self._pack_size, FILE_HEADER.size + room)
        path.unlink(missing_ok=True)  # left by an attempt that failed; no committed record is in it
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, limit)
            os.pwrite(fd, records.pack_file_header(pack_id, now), 0)
        except OSError:
            os.close(fd)
            raise
        self._fd, self.pack, self.end, self._limit = fd, pack_id, FILE_HEADER.size, limit
        self._fsync()
        sync_directory(self._directory)

    def _fsync(self) -> None:
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise SyncFailed(f"fsync of pack {self.pack}: {error}") from error
        self._dirty = False


def short_packs(directory: Path, known: Mapping[int, int]) -> list[int]:
    """Packs that are missing or end before their last committed record: somebody took something away."""
    present = {pack_id: pack_path(directory, pack_id).stat().st_size for pack_id in pack_ids(directory)}
    return [pack_id for pack_id, used in sorted(known.items()) if present.get(pack_id, 0) < used]


def sync_directory(directory: Path) -> None:
    """Make new names in a directory durable. Raises SyncFailed."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncFailed(f"fsync of {directory}: {error}") from error
    finally:
        os.close(fd)


def scan(fd: int, start: int) -> Iterator[tuple[int, Header]]:
    """The whole, undamaged records from `start` on; ends at the first that is not one."""
    while True:
        try:
            header = records.unpack_header(os.pread(fd, HEADER_SIZE, start))
            read_payload(fd, start, header)
        except BadRecord:
            return
        yield start, header
        start += header.length


def read_payload(fd: int, start: int, header: Header) -> bytes:
    """The stored bytes of the record at `start`. Raises BadRecord when they are not what was written."""
    payload = os.pread(fd, header.stored, start + header.payload)
    if len(payload) < header.stored:
        raise BadRecord("the file ends inside a record")
    if zlib.crc32(payload) != header.crc:
        raise BadRecord("the record's checksum does not fit")
    return payload


def _measure(body: Body, now: int) -> Header | StoreError:
    """The header of a body's record, its checksum counted; refuses a body that is not as long as it says."""
    if not body.path:
        if len(body.data) != body.size:
            return StoreError(Reason.INVALID, "the body is not as long as it says")
        return Header(body.hash, body.size, body.size, now, zlib.crc32(body.data))
    crc, size = 0, 0
    try:
        with Path(body.path).open("rb") as spool:
            while piece := spool.read(_SLICE):
                crc = zlib.crc32(piece, crc)
                size += len(piece)
    except OSError as error:
        return StoreError(Reason.UNAVAILABLE, f"the spool file cannot be read: {error}")
    if size != body.size:
        return StoreError(Reason.INVALID, "the spool file is not as long as it says")
    return Header(body.hash, body.size, body.size, now, crc)


def _is_pack(directory: Path, pack_id: int) -> bool:
    with pack_path(directory, pack_id).open("rb") as file:
        try:
            records.check_file_header(file.read(FILE_HEADER.size), pack_id)
        except BadRecord:
            return False
    return True


def _used_behind(fd: int, end: int) -> int:
    """How many bytes from `end` on are not zero, to the last one that is not."""
    used = 0
    at = end
    while piece := os.pread(fd, _SLICE, at):
        if kept := len(piece.rstrip(b"\0")):
            used = at + kept - end
        at += len(piece)
    return used
