"""Packs: append-only files that hold the bodies of messages, and the journal, preallocated.

Nothing here decides what is durable: `append` writes, `sync` makes it so, the caller commits rows in between answers.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from postrider.store import codecs, journal, records
from postrider.store.blobs import Location, Place
from postrider.store.codecs import FRAME
from postrider.store.framing import Encoder, Subject
from postrider.store.keys import DataKey
from postrider.store.meta import Incoming
from postrider.store.pack_files import PackFile, WrongSize, is_pack, pack_ids, pack_path, scan, used_behind
from postrider.store.records import FILE_HEADER, KIND_BODY, KIND_JOURNAL, Header
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Body

PACK_SIZE = 64 * 1024 * 1024
#: Batches of more bodies, or more octets, are written as they are: then the processor has better things to do, and what
#: is dead brings a compaction that compresses the rest. What is sealed is compressed now or never.
SQUEEZED_BODIES = 4
SQUEEZED_BYTES = 4 * 1024 * 1024
#: Octets from which on a journal record is compressed: that of a batch costs its messages too much.
_SQUEEZED_JOURNAL = 64 * 1024
#: Behind a write of fewer octets the place for the next ones is made ready.
_LITTLE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Recovered:
    """What opening found behind the last committed record.

    `orphans` are whole records nobody knows, `cut` bytes that were no record any more, or one of a batch that was
    never committed.
    """

    pack: int
    orphans: int
    cut: int


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """One record to be written."""

    body: Body
    meta: bytes
    kind: int
    codec: int
    seal: DataKey | None = None

    @property
    def subject(self) -> Subject:
        body, seal = self.body, self.seal
        if seal is None:
            return Subject(body.hash, body.size, self.meta, self.kind, self.codec)
        codec = codecs.SEALING[self.codec]
        return Subject(seal.mac(body.hash), body.size, self.meta, self.kind, codec, seal.id, seal.octets)


class Packs:
    """The writer's side: one pack is open for appending, the others are sealed. Implements blobs.BlobWriter."""

    #: One record serves all deliveries of a message.
    apart = False

    def __init__(self, directory: Path, *, pack_size: int = PACK_SIZE) -> None:
        self.directory = directory
        #: Octets at which a pack is sealed.
        self.size = pack_size
        self._file: PackFile | None = None
        self._torn = False
        #: Called before a pack is sealed: what its journal records tell must be durable.
        self.before_seal: Callable[[], object] = lambda: None

    @property
    def path(self) -> Path:
        """The open pack's file."""
        return pack_path(self.directory, self.pack)

    @property
    def pack(self) -> int:
        """The open pack."""
        return self._open.id

    @property
    def end(self) -> int:
        """Where the next record goes."""
        return self._open.end

    def open(self, known: Mapping[int, int], now: int, batch: int = sys.maxsize) -> Recovered:
        """Go on where the last writer stopped. `known` maps packs to the end of their last committed record.

        Whole records behind that end stay, as bytes nobody refers to; from the first one that is not whole, or is the
        journal's of a batch after `batch`, the last that was committed, the file is cut and zeroed.
        Raises OSError, SyncFailed.
        """
        present = pack_ids(self.directory)
        while present and present[-1] not in known and not is_pack(self.directory, present[-1]):
            pack_path(self.directory, present.pop()).unlink()  # torn while it was made: nothing can be in it
        newest = max([*present, *known], default=0)
        if newest not in present:
            self._start(newest + 1, now)
            return Recovered(self.pack, 0, 0)
        end = max(known.get(newest, 0), FILE_HEADER.size)
        orphans = 0
        fd = os.open(pack_path(self.directory, newest), os.O_RDONLY | os.O_CLOEXEC)
        try:
            for start, header, raw in scan(fd, end):
                if header.kind == KIND_JOURNAL and journal.unpack_about(raw).batch > batch:
                    break
                orphans += 1
                end = start + header.length
            cut = used_behind(fd, end)
        finally:
            os.close(fd)
        self._file = PackFile.reopen(self.directory, newest, end, self.size)
        return Recovered(newest, orphans, cut)

    def append(self, bodies: Sequence[Incoming], now: int) -> list[Location | StoreError]:
        """Write bodies behind each other, unsynced. A body that is not what it says is refused in its place.

        Raises OSError when a write fails (none of them is kept then) and SyncFailed.
        """
        few = len(bodies) <= SQUEEZED_BODIES and sum(one.body.size for one in bodies) <= SQUEEZED_BYTES
        entries = [
            _Entry(one.body, one.meta, KIND_BODY, codecs.ZSTD if few or one.seal else codecs.PLAIN, one.seal)
            for one in bodies
        ]
        return self._write(entries, now)

    def append_journal(self, payload: bytes, about: bytes, now: int) -> Location:
        """Write a journal record, unsynced; `about` is its meta. Raises OSError, SyncFailed."""
        codec = codecs.ZSTD if len(payload) >= _SQUEEZED_JOURNAL else codecs.PLAIN
        body = Body(hashlib.sha256(payload).digest(), len(payload), payload)
        (place,) = self._write([_Entry(body, about, KIND_JOURNAL, codec)], now)
        assert isinstance(place, Location)  # noqa: S101 -- only a body with a path can be refused
        return place

    def take_back(self, place: Location) -> None:
        """Remove, durably, the record that was written last. Raises SyncFailed."""
        self._open.take_back(place)

    def sync(self) -> None:
        """Make durable what append wrote. Raises SyncFailed."""
        self._open.sync()

    def dropped(self, places: Sequence[Place]) -> None:
        """Packs are compacted as a whole: nothing goes at once."""

    def set_aside(self, now: int) -> int:
        """Reserve the number of a pack that somebody else will write; appending goes on in the one after it."""
        reserved = self.pack + 1
        self._roll(now, number=reserved + 1)
        return reserved

    def begin_next(self, now: int) -> None:
        """Seal the open pack though it is not full. Raises OSError, SyncFailed."""
        self._roll(now)

    def close(self) -> None:
        """Close the file; the next writer goes on in it."""
        if self._file:
            self._file.close()
            self._file = None

    @property
    def _open(self) -> PackFile:
        if self._file is None:
            raise RuntimeError("the packs are closed")
        return self._file

    def _write(self, entries: Sequence[_Entry], now: int) -> list[Location | StoreError]:
        if self._torn:
            self._roll(now)
        places: list[Location | StoreError] = []
        pending: list[bytes] = []
        began = (self.pack, self.end)
        start = self.end
        try:
            for entry in entries:
                room = records.largest(entry.body.size, len(entry.meta))
                if start + room > self._open.limit:
                    self._flush(pending)
                    start = self._roll(now, room)
                if entry.body.path:
                    self._flush(pending)
                    place = self._stream(entry, now)
                elif len(entry.body.data) != entry.body.size:
                    place = StoreError(Reason.INVALID, "the body is not as long as it says")
                else:
                    place = Location(self.pack, start, _encode(entry, now, pending))
                places.append(place)
                if isinstance(place, Location):
                    start = place.end
            self._flush(pending)
        except OSError:
            self._torn = True
            self._open.end = began[1] if self.pack == began[0] else FILE_HEADER.size
            raise
        return places

    def _flush(self, pending: list[bytes]) -> None:
        if pending:
            end = self._open.write(pending, self.end)
            little = end - self.end <= _LITTLE
            self._open.end = end
            pending.clear()
            if little:
                self._open.clear_ahead()

    def _stream(self, entry: _Entry, now: int) -> Location | StoreError:
        """Copy a body from its spool file, a frame at a time."""
        try:
            return self._open.write_stream(entry.subject, _pieces(entry.body), now)
        except _SpoolGone as error:
            return StoreError(Reason.UNAVAILABLE, f"the spool file cannot be read: {error}")
        except WrongSize:
            self._torn = True  # what was written of it must not stay behind the last record
            return StoreError(Reason.INVALID, "the spool file is not as long as it says")

    def _roll(self, now: int, room: int = 0, number: int = 0) -> int:
        """Seal the open pack at its end and begin the next one; returns where that begins."""
        sealed = self._open
        self.before_seal()
        sealed.seal()
        self._start(number or sealed.id + 1, now, room)
        sealed.close()
        self._torn = False
        return self.end

    def _start(self, pack_id: int, now: int, room: int = 0) -> None:
        limit = max(self.size, FILE_HEADER.size + room)
        self._file = PackFile.create(self.directory, pack_id, limit, now)


class _SpoolGone(Exception):
    """A spool file cannot be read."""


def _pieces(body: Body) -> Iterator[bytes]:
    """A spool file's frames, one at least."""
    try:
        with Path(body.path).open("rb") as spool:
            yield spool.read(FRAME)
            while piece := spool.read(FRAME):
                yield piece
    except OSError as error:
        raise _SpoolGone(str(error)) from error


def _encode(entry: _Entry, now: int, pending: list[bytes]) -> Header:
    """Put the pieces of a record behind what is pending; returns its header."""
    data = entry.body.data
    if len(data) <= FRAME:
        encoder = Encoder(entry.subject, data)
        frames = [encoder.first]
    else:
        view = memoryview(data)
        encoder = Encoder(entry.subject, view[:FRAME])
        frames = [encoder.first]
        frames += [encoder.frame(view[at : at + FRAME]) for at in range(FRAME, len(data), FRAME)]
    header, head = encoder.finish(now)
    padding = header.length - records.HEADER_SIZE - header.meta - header.stored
    pending += (head, *frames, bytes(padding))
    return header
