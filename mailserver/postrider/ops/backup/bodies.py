"""Bodies that are files of their own, in backups: each is copied once, whatever the number of backups.

They lie in the shelf's `bodies`, under the names they have in the data directory; no name is ever given twice, and no
file changes. Which of them belong to a backup its database says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from postrider.ops.backup.place import Damaged, Place, Told, side_by_side
from postrider.store.backup import BodyFile
from postrider.store.directory import make_private
from postrider.store.maildir import ROOT
from postrider.store.pack_files import sync_directory

#: Their folder.
BODIES = "bodies"
_PIECE = 1024 * 1024


@dataclass(slots=True)
class Taken:
    """What was copied."""

    files: int = 0
    octets: int = 0
    copied: int = 0
    #: Files that the data directory does not have, or that are shorter than they should be.
    missing: list[str] = field(default_factory=list)


def take(data: Path, place: Place, wanted: Iterable[BodyFile], told: Told) -> Taken:
    """Copy what is not there yet. Raises BackupError, OSError."""
    done = Taken()

    def put(row: tuple[BodyFile, bool]) -> int:
        """Octets that were copied, -1 where there are not as many as there should be."""
        one, there = row
        if there:
            return 0
        try:
            found, _ = place.put(_name(one), data / ROOT / one.path, one.length)
        except FileNotFoundError:
            return -1
        return found if found == one.length else -1

    rows = _compared(wanted, place.lengths(BODIES))
    for (one, _), copied in side_by_side(place.lanes, put, rows):
        done.files += 1
        done.octets += one.length
        if copied < 0:
            done.missing.append(one.path)
        else:
            done.copied += copied
        told(one.length)
    return done


def _compared(wanted: Iterable[BodyFile], there: Iterator[tuple[str, int]]) -> Iterator[tuple[BodyFile, bool]]:
    """Each body with whether it is there; both are sorted, so that nothing of millions is kept in memory."""
    present: tuple[str, int] | None = ("", 0)
    for one in wanted:
        name = _name(one)
        while present and present[0].encode() < name.encode():
            present = next(there, None)
        yield one, present == (name, one.length)


def problems(place: Place, wanted: Iterable[BodyFile], known: Mapping[str, str]) -> Mapping[str, str]:
    """What is wrong with bodies, "" for nothing, by path; those that are `known` are not read again."""

    def wrong(one: BodyFile) -> str:
        return known[one.path] if one.path in known else _wrong(place, one)

    return {one.path: text for one, text in side_by_side(place.lanes, wrong, wanted)}


def restore(place: Place, wanted: Iterable[BodyFile], draft: Path, missing: Iterable[str], told: Told) -> None:
    """Copy bodies into a data directory that is being made. Raises Damaged, BackupError, OSError."""
    gone, changed = set(missing), set[Path]()

    def fetch(one: BodyFile) -> None:
        target = draft / ROOT / one.path
        make_private(target.parent)
        try:
            place.fetch(_name(one), target, lambda _: None)
        except OSError as error:
            raise Damaged(f"{place.title}/{_name(one)} cannot be read: {error.strerror}") from error
        if wrong := _differs(target, one):
            raise Damaged(f"{place.title}/{_name(one)} {wrong}")

    for one, _ in side_by_side(place.lanes, fetch, (one for one in wanted if one.path not in gone)):
        changed.update((draft / ROOT / one.path).parents[:4])  # bodies, user, domain, and what they are in
        told(one.length)
    for directory in sorted(changed, reverse=True):
        sync_directory(directory)


def needed(wanted: Iterable[BodyFile]) -> Iterator[str]:
    """The files of these bodies."""
    return map(_name, wanted)


def _name(one: BodyFile) -> str:
    return f"{BODIES}/{one.path}"


def _wrong(place: Place, one: BodyFile) -> str:
    try:
        with place.at_hand(_name(one)) as path:
            wrong = _differs(path, one)
    except OSError as error:
        return f"{place.title}/{_name(one)} cannot be read: {error.strerror}"
    return wrong and f"{place.title}/{_name(one)} {wrong}"


def _differs(path: Path, one: BodyFile) -> str:
    """In which way a file is not this body. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if file.seek(0, 2) != one.length:
            return f"does not have {one.length} octets"
        file.seek(one.start)
        while piece := file.read(_PIECE):
            digest.update(piece)
    return "" if digest.digest() == one.hash else "is damaged: its hash is not the database's"
