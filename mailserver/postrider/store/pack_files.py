"""The files of packs: their names, what is in them, and one that is written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from postrider.store import framing, records
from postrider.store.blobs import Location, SyncFailed
from postrider.store.framing import Encoder, Subject
from postrider.store.records import FILE_HEADER, HEADER_SIZE, KEY_NONE, BadRecord, Frame, Header

SLICE = 1024 * 1024
_IOV = 512  # well below IOV_MAX
#: What is written at once where the next records go.
_ZEROS = bytes(512 * 1024)
#: Read with a header, since meta and table mostly fit.
_HEAD_GUESS = 4096


def pack_path(directory: Path, pack_id: int) -> Path:
    """The file of a pack."""
    return directory / f"{pack_id:08d}.pack"


def pack_ids(directory: Path) -> list[int]:
    """The packs that are there, in order."""
    return sorted(int(path.stem) for path in directory.glob("*.pack") if path.stem.isdigit())


def is_pack(directory: Path, pack_id: int) -> bool:
    """Whether the file begins as a pack of that number does."""
    with pack_path(directory, pack_id).open("rb") as file:
        try:
            records.check_file_header(file.read(FILE_HEADER.size), pack_id)
        except BadRecord:
            return False
    return True


def short_packs(directory: Path, known: Mapping[int, int]) -> list[int]:
    """Packs that are missing or end before their last committed record: somebody took something away."""
    present = {pack_id: pack_path(directory, pack_id).stat().st_size for pack_id in pack_ids(directory)}
    return [pack_id for pack_id, used in sorted(known.items()) if present.get(pack_id, 0) < used]


def is_being_copied(directory: Path, pack_id: int) -> bool:
    """Whether copies were still being written into a pack, or nothing yet: it does not say that it is one."""
    with pack_path(directory, pack_id).open("rb") as file:
        return not file.read(FILE_HEADER.size).strip(b"\0")


def sync_directory(directory: Path) -> None:
    """Make new names in a directory durable. Raises SyncFailed."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncFailed(f"fsync of {directory}: {error}") from error
    finally:
        os.close(fd)


def sync_data(path: Path) -> None:
    """Make durable what was written into a preallocated file, from beside the one who writes it. Raises SyncFailed.

    It is opened for that: an error is told to everybody who has the file open, so the one who writes hears of it too.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fdatasync(fd)
    except OSError as error:
        raise SyncFailed(f"fdatasync of {path}: {error}") from error
    finally:
        os.close(fd)


# -- reading -------------------------------------------------------------------------------------------------------


def read_head(fd: int, start: int) -> tuple[Header, bytes, list[Frame]]:
    """Header, meta and frames of the record at `start`. Raises BadRecord."""
    raw = os.pread(fd, _HEAD_GUESS, start)
    header = records.unpack_header(raw)
    head = raw[HEADER_SIZE : HEADER_SIZE + header.head]
    if len(head) < header.head:
        head = os.pread(fd, header.head, start + HEADER_SIZE)
    meta, frames = records.unpack_head(header, head)
    return header, meta, frames


def read_frames(fd: int, start: int, header: Header, frames: Sequence[Frame], key: bytes = b"") -> Iterator[bytes]:
    """The plain bytes of the record at `start`, a frame at a time; `key` opens a sealed one. Raises BadRecord."""
    for number, frame in enumerate(frames):
        yield framing.decode(header, frames, number, os.pread(fd, frame.stored, start + frame.start), key)


def check_frames(fd: int, start: int, frames: Sequence[Frame]) -> None:
    """Raises BadRecord where a frame is not what was written; what it means is another matter."""
    for frame in frames:
        framing.check(frame, os.pread(fd, frame.stored, start + frame.start))


def read_padding(fd: int, start: int, header: Header) -> None:
    """Raises BadRecord where the zeros behind a record are missing."""
    end = HEADER_SIZE + header.meta + header.stored
    if os.pread(fd, header.length - end, start + end) != bytes(header.length - end):
        raise BadRecord("the record is not closed with zeros")


def walk(fd: int, start: int) -> Iterator[tuple[int, Header, bytes, list[Frame]]]:
    """The records from `start` on, by what their headers say: (start, header, meta, frames). Raises BadRecord.

    Ends where nothing but zeros, or the end of the file, is where a record could begin.
    """
    while any(os.pread(fd, HEADER_SIZE, start)):
        header, meta, frames = read_head(fd, start)
        yield start, header, meta, frames
        start += header.length


def scan(fd: int, start: int) -> Iterator[tuple[int, Header, bytes]]:
    """The whole, undamaged records from `start` on with their meta; ends at the first that is not one."""
    try:
        for at, header, meta, frames in walk(fd, start):
            if header.key_id == KEY_NONE:
                for _ in read_frames(fd, at, header, frames):
                    pass
            else:  # without its key it is as whole as its checksums
                check_frames(fd, at, frames)
            yield at, header, meta
    except BadRecord:
        return


def used_behind(fd: int, end: int) -> int:
    """How many bytes from `end` on are not zero, to the last one that is not."""
    used = 0
    at = end
    while piece := os.pread(fd, SLICE, at):
        if kept := len(piece.rstrip(b"\0")):
            used = at + kept - end
        at += len(piece)
    return used


# -- writing -------------------------------------------------------------------------------------------------------


def _preallocate(fd: int, end: int, limit: int) -> None:
    """End the file at `end` and take the room of a whole pack, if there is so much. Raises OSError.

    On a disk with less records take theirs as they are written, down to the floor of free space; and a server starts
    on a full one, so that mail can be read and expunged.
    """
    os.ftruncate(fd, end)
    try:
        os.posix_fallocate(fd, 0, limit)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.ftruncate(fd, end)  # what was taken before it failed


class WrongSize(Exception):
    """There were more or fewer octets than was said."""


class PackFile:
    """One pack that is written: preallocated where there is room, so that a full disk shows at write, not at sync."""

    def __init__(self, fd: int, pack_id: int, end: int, limit: int, header: bytes = b"") -> None:
        """`header`: the file's first octets, where they come when it is sealed."""
        self.fd = fd
        self.id = pack_id
        #: Where the next record goes.
        self.end = end
        self.limit = limit
        self._dirty = False
        #: Up to here zeros were written, or records.
        self._cleared = 0
        self._header = header

    @classmethod
    def create(cls, directory: Path, pack_id: int, limit: int, now: int, *, copies: bool = False) -> PackFile:
        """Begin a pack; a file of that number is replaced. Raises OSError, SyncFailed.

        Of `copies`: that it is a pack it says when it is sealed. Nobody relies on what is in it before.
        """
        path, header = pack_path(directory, pack_id), records.pack_file_header(pack_id, now)
        path.unlink(missing_ok=True)  # left by an attempt that failed; no committed record is in it
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _preallocate(fd, 0, limit)
            if not copies:
                os.pwrite(fd, header, 0)
        except OSError:
            os.close(fd)
            raise
        made = cls(fd, pack_id, FILE_HEADER.size, limit, header if copies else b"")
        made.sync_all()
        sync_directory(directory)
        return made

    @classmethod
    def reopen(cls, directory: Path, pack_id: int, end: int, limit: int) -> PackFile:
        """Go on at `end`; what lies behind it is zeros afterwards. Raises OSError, SyncFailed."""
        fd = os.open(pack_path(directory, pack_id), os.O_RDWR | os.O_CLOEXEC)
        limit = max(limit, end)
        _preallocate(fd, end, limit)
        made = cls(fd, pack_id, end, limit)
        made.sync_all()
        return made

    def write(self, pieces: Sequence[bytes], offset: int) -> int:
        """Write pieces behind each other; returns where they end. Raises OSError."""
        for first in range(0, len(pieces), _IOV):
            part = pieces[first : first + _IOV]
            size = sum(map(len, part))
            self._dirty = True
            written = os.pwritev(self.fd, part, offset)
            while written < size:  # a short write: the disk is nearly full, or a signal came
                written += os.pwrite(self.fd, b"".join(part)[written:], offset + written)
            offset += size
        return offset

    def clear_ahead(self) -> None:
        """Write zeros where the next records go, if there are none and it can be done.

        Blocks that were only allocated have the file system's own journal written at the sync that first fills them:
        a sync takes a third longer then, and longer than the zeros cost where little is written at once.
        """
        if self.end > self._cleared:
            self._dirty = True
            try:
                self._cleared = self.end + os.pwrite(self.fd, _ZEROS[: self.limit - self.end], self.end)
            except OSError:  # the disk is full: the next records may still find room
                self._cleared = self.limit

    def write_stream(self, subject: Subject, pieces: Iterator[bytes], date: int) -> Location:
        """Write a record from its frames, of which there is one at least; its header comes last, when all is known.

        Raises OSError, WrongSize, and what the pieces raise; then what was written is no record.
        """
        start, first = self.end, next(pieces)
        encoder = Encoder(subject, first)
        got, end = len(first), self.write([encoder.first], start + encoder.start)
        for piece in pieces:
            got += len(piece)
            end = self.write([encoder.frame(piece)], end)
        if got != subject.size:
            raise WrongSize
        header, head = encoder.finish(date)
        self.write([head], start)
        place = Location(self.id, start, header)
        self.end = self.write([bytes(place.end - end)], end)
        return place

    def take_back(self, place: Location) -> None:
        """Put zeros in the place of the last record, durably. Raises SyncFailed."""
        try:
            self.end = place.start
            self.write([bytes(place.header.length)], self.end)
        except OSError as error:
            raise SyncFailed(f"a record of pack {self.id} cannot be taken back: {error}") from error
        self.sync()

    def sync(self) -> None:
        """Make durable what was written into the preallocated file. Raises SyncFailed."""
        if self._dirty:
            try:
                os.fdatasync(self.fd)
            except OSError as error:
                raise SyncFailed(f"fdatasync of pack {self.id}: {error}") from error
            self._dirty = False

    def seal(self) -> None:
        """End the file behind its last record. Raises OSError, SyncFailed."""
        if self._header:
            self.sync()  # what is in it comes before the word that it is
            os.pwrite(self.fd, self._header, 0)
        os.ftruncate(self.fd, self.end)
        self.sync_all()

    def sync_all(self) -> None:
        """The same with the file's length. Raises SyncFailed."""
        try:
            os.fsync(self.fd)
        except OSError as error:
            raise SyncFailed(f"fsync of pack {self.id}: {error}") from error
        self._dirty = False

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)
