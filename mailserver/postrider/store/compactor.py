"""Copies what is still needed of sealed packs into a new one. Runs in a thread, beside the writer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postrider.store import journal
from postrider.store.blobs import Location
from postrider.store.codecs import FRAME, PLAIN
from postrider.store.framing import Subject
from postrider.store.pack_files import PackFile, check_frames, pack_path, read_frames
from postrider.store.pack_reader import read_range
from postrider.store.records import HEADER_SIZE, KEY_NONE, KIND_BODY, BadRecord, Frame, Header
from postrider.store.survey import Damage, Found, read_pack

#: Octets written between two syncs, so that other syncs need not wait for more.
SYNC_EVERY = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Move:
    """A body's record was copied."""

    pack: int
    start: int
    to: Location


@dataclass(slots=True)
class Copied:
    """What was copied: bodies; octets of the journal, and the last batch of it; what could not be read."""

    end: int = 0
    moves: list[Move] = field(default_factory=list)
    journal: int = 0
    batch: int = 0
    damage: list[Damage] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Copying:
    """What to copy: of these packs the bodies at the offsets that `live` tells, the journal since a snapshot."""

    directory: Path
    sources: Mapping[int, int]
    target: int
    live: Callable[[int], Collection[int]]
    snapshot: int
    now: int

    def run(self) -> Copied:
        """Copy and sync. Raises OSError, SyncFailed."""
        copied = Copied()
        file = PackFile.create(self.directory, self.target, FRAME + sum(self.sources.values()), self.now, copies=True)
        try:
            synced = 0
            for found in self._wanted(copied):
                try:
                    place = self._copy(found, file)
                except BadRecord as error:
                    copied.damage.append(Damage(found.pack, found.start, str(error)))
                    continue
                self._note(copied, found, place)
                if file.end - synced >= SYNC_EVERY:
                    file.sync()
                    synced = file.end
            file.seal()
            copied.end = file.end
        finally:
            file.close()
        return copied

    def _wanted(self, copied: Copied) -> Iterator[Found]:
        for pack in self.sources:
            live = self.live(pack)
            for found in read_pack(self.directory, pack):
                if isinstance(found, Damage):
                    copied.damage.append(found)
                elif found.header.kind == KIND_BODY:
                    if found.start in live:
                        yield found
                elif journal.unpack_about(found.meta).needed(self.snapshot):
                    yield found

    def _copy(self, found: Found, file: PackFile) -> Location:
        """One record, verified; what is plain is compressed where it pays."""
        header = found.header
        with pack_path(self.directory, found.pack).open("rb") as source:
            fd = source.fileno()
            if header.codec == PLAIN:
                subject = Subject(header.hash, header.size, found.meta, header.kind)
                return file.write_stream(subject, verified(fd, found.start, header, found.frames), header.date)
            if header.key_id != KEY_NONE:  # without its key it is as good as its checksums
                check_frames(fd, found.start, found.frames)
            else:
                for _ in verified(fd, found.start, header, found.frames):
                    pass
            raw = os.pread(fd, header.length, found.start)
            if len(raw) < header.length:
                raise BadRecord("the file ends inside a record")
            place = Location(file.id, file.end, header)
            # Without its header it is no record: that comes last.
            file.write([raw[HEADER_SIZE:]], place.start + HEADER_SIZE)
            file.write([raw[:HEADER_SIZE]], place.start)
            file.end = place.end
            return place

    @staticmethod
    def _note(copied: Copied, found: Found, place: Location) -> None:
        if found.header.kind == KIND_BODY:
            copied.moves.append(Move(found.pack, found.start, place))
        else:
            copied.journal += place.header.length
            copied.batch = max(copied.batch, journal.unpack_about(found.meta).batch)


def verified(fd: int, start: int, header: Header, frames: Sequence[Frame]) -> Iterator[bytes]:
    """What the frames of a record in the clear hold, one at least.

    Raises BadRecord, at their end when they do not have the record's hash.
    """
    if header.codec != PLAIN:
        return _hashed(read_frames(fd, start, header, frames), header.hash)
    # In the first release's records it is one frame, however long.
    return _hashed((read_range(fd, start, at, FRAME) for at in range(0, max(header.size, 1), FRAME)), header.hash)


def _hashed(pieces: Iterator[bytes], wanted: bytes) -> Iterator[bytes]:
    """The pieces as they are. Raises BadRecord at their end when they do not have the hash."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    if digest.digest() != wanted:
        raise BadRecord("the body does not have the hash that its record says")
