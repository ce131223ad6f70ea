"""Looks through all packs: which records there are, what is damaged. Rebuilding and verifying begin with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from postrider.store import journal, records
from postrider.store.journal import About
from postrider.store.pack_files import (
    check_frames,
    is_being_copied,
    is_pack,
    pack_ids,
    pack_path,
    read_frames,
    read_head,
)
from postrider.store.records import FILE_HEADER, HEADER_SIZE, KIND_BODY, KIND_JOURNAL, BadRecord, Frame, Header

#: Octets that are looked through at a time.
_PIECE = 1024 * 1024
#: Told how far it is: what is being done, units done, and units in all.
Progress = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class Found:
    """One record."""

    pack: int
    start: int
    header: Header
    meta: bytes
    frames: list[Frame]


@dataclass(frozen=True, slots=True)
class Damage:
    """Octets of a pack that are no record."""

    pack: int
    start: int
    text: str

    def __str__(self) -> str:
        return f"pack {self.pack}, at {self.start}: {self.text}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A journal record, and where it is."""

    about: About
    pack: int
    start: int
    length: int


@dataclass(slots=True)
class Survey:
    """What there is: the end of each pack's last record, the journal, what is damaged.

    `unsynced`: the journal's record of a batch whose bodies are torn, which never came to be committed; it is not one
    of the entries. `blank`: files that were made for packs, and nothing was written into them. `end`: pack and offset
    of the last record of changes.
    """

    used: dict[int, int] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    damage: list[Damage] = field(default_factory=list)
    unsynced: Entry | None = None
    blank: list[int] = field(default_factory=list)
    end: tuple[int, int] = (0, 0)


def look_through(directory: Path, progress: Progress) -> Survey:
    """Read the headers of all records, and the journal's whole. Raises OSError."""
    survey = Survey()
    ids = pack_ids(directory)
    for done, pack in enumerate(ids):
        progress("reading packs", done, len(ids))
        # Copies that were being made when the writer ended: nothing is said to be in them before they are sealed.
        copies = is_being_copied(directory, pack)
        if copies and _is_blank(directory, pack):
            survey.blank.append(pack)
            continue
        survey.used[pack] = FILE_HEADER.size
        for found in read_pack(directory, pack):
            wrong = found if isinstance(found, Damage) else _enter(survey, directory, found)
            if wrong and not copies:
                survey.damage.append(wrong)
    if survey.used:
        _look_at_end(survey, directory, max(survey.used))
    progress("reading packs", len(ids), len(ids))
    return survey


def has_bodies(directory: Path) -> bool:
    """Whether there is any mail in the packs. Raises OSError."""
    return any(
        isinstance(found, Found) and found.header.kind == KIND_BODY
        for pack in pack_ids(directory)
        for found in read_pack(directory, pack)
    )


def read_pack(directory: Path, pack: int) -> Iterator[Found | Damage]:
    """The records of a pack in their order; behind damage it goes on with the next header that is whole."""
    if not is_pack(directory, pack):
        yield Damage(pack, 0, "this is not the pack its name says")
    fd = os.open(pack_path(directory, pack), os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        start = FILE_HEADER.size
        while start < size:
            try:
                header, meta, frames = read_head(fd, start)
                if start + header.length > size:
                    raise BadRecord("the file ends inside a record")
            except BadRecord as error:
                following = _next_header(fd, start)
                if following < size or _any(fd, start, size):
                    yield Damage(pack, start, str(error))
                start = following
                continue
            yield Found(pack, start, header, meta, frames)
            start += header.length
    finally:
        os.close(fd)


def _enter(survey: Survey, directory: Path, found: Found) -> Damage | None:
    """Note a record; what is wrong with it, if something is."""
    if found.header.kind == KIND_JOURNAL:
        try:
            with pack_path(directory, found.pack).open("rb") as file:
                for _ in read_frames(file.fileno(), found.start, found.header, found.frames):
                    pass
            about = journal.unpack_about(found.meta)
        except (BadRecord, msgspec.DecodeError) as error:
            return Damage(found.pack, found.start, f"a record of the journal: {error}")
        survey.entries.append(Entry(about, found.pack, found.start, found.header.length))
    survey.used[found.pack] = found.start + found.header.length
    return None


def _look_at_end(survey: Survey, directory: Path, pack: int) -> None:
    """Tell apart, in the pack that was open, what was never synced: no damage, and a batch that was never committed.

    One sync makes bodies and the record of their batch durable. So nobody was told of what has no such record behind
    it; and where bodies before the last record are not whole the power went before that sync.
    """
    last = max((one for one in survey.entries if not one.about.snapshot), key=lambda one: one.about.batch, default=None)
    synced = -1
    if last is not None and last.pack == pack:
        synced = last.start
        before, batch = _batch_before(directory, last)
        with pack_path(directory, pack).open("rb") as file:
            if not all(_is_whole(file.fileno(), found) for found in batch):
                synced = before
                survey.unsynced = last
                survey.entries.remove(last)
                survey.used[pack] = min(survey.used[pack], last.start)
    survey.damage = [one for one in survey.damage if one.pack != pack or one.start <= synced]
    if last is not None:
        survey.end = last.pack, last.start


def _batch_before(directory: Path, last: Entry) -> tuple[int, list[Found | Damage]]:
    """Where the journal's record before this one is, 0 for none, and what lies between them."""
    before = 0
    batch: list[Found | Damage] = []
    for found in read_pack(directory, last.pack):
        if found.start >= last.start:
            break
        if isinstance(found, Found) and found.header.kind == KIND_JOURNAL:
            before = found.start
            batch.clear()
        else:
            batch.append(found)
    return before, batch


def _is_blank(directory: Path, pack: int) -> bool:
    """Whether the writer ended before anything in the file was durable."""
    with pack_path(directory, pack).open("rb") as file:
        return not _any(file.fileno(), 0, os.fstat(file.fileno()).st_size)


def _is_whole(fd: int, found: Found | Damage) -> bool:
    if isinstance(found, Damage):
        return False
    try:
        check_frames(fd, found.start, found.frames)
    except BadRecord:
        return False
    return True


def _next_header(fd: int, start: int) -> int:
    """Where the next whole header begins behind `start`, the file's end when there is none."""
    size, at = os.fstat(fd).st_size, start + 1
    while at <= size - HEADER_SIZE and (piece := os.pread(fd, _PIECE, at)):
        found = piece.find(records.MAGIC)
        while found >= 0:
            try:
                records.unpack_header(os.pread(fd, HEADER_SIZE, at + found))
            except BadRecord:
                found = piece.find(records.MAGIC, found + 1)
            else:
                return at + found
        at += len(piece) - len(records.MAGIC) + 1
    return size


def _any(fd: int, start: int, end: int) -> bool:
    """Whether there is anything but zeros."""
    while start < end:
        piece = os.pread(fd, min(_PIECE, end - start), start)
        if not piece:
            return False
        if piece.strip(b"\0"):
            return True
        start += len(piece)
    return False
