"""Bodies that are files of their own, in backups: each is copied once, whatever the number of backups.

They lie in the shelf's `bodies`, under the names they have in the data directory; no name is ever given twice, and no
file changes. Which of them belong to a backup its database says.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from postrider.ops.backup.shelf import BackupError, copy_hashed, sync_directory
from postrider.store.backup import BodyFile
from postrider.store.maildir import ROOT

#: Their directory on the shelf.
BODIES = "bodies"
_DRAFT = ".draft"
_PIECE = 1024 * 1024

Told = Callable[[int], object]


@dataclass(slots=True)
class Taken:
    """What was copied."""

    files: int = 0
    octets: int = 0
    copied: int = 0
    #: Files that the data directory does not have, or that are shorter than they should be.
    missing: list[str] = field(default_factory=list)


def take(data: Path, shelf: Path, wanted: Iterable[BodyFile], told: Told) -> Taken:
    """Copy what is not on the shelf yet; durable when it returns. Raises OSError."""
    done, changed = Taken(), set[Path]()
    for one in wanted:
        target = shelf / BODIES / one.path
        done.files += 1
        done.octets += one.length
        if _length(target) != one.length:
            if _copy(data / ROOT / one.path, target, one.length, changed):
                done.copied += one.length
            else:
                done.missing.append(one.path)
        told(one.length)
    for directory in sorted(changed, reverse=True):
        sync_directory(directory)
    return done


def problems(shelf: Path, wanted: Iterable[BodyFile], known: Mapping[str, str]) -> Mapping[str, str]:
    """What is wrong with bodies, "" for nothing, by path; those that are `known` are not read again."""
    found: dict[str, str] = {}
    for one in wanted:
        found[one.path] = known[one.path] if one.path in known else _wrong(shelf / BODIES / one.path, one)
    return found


def restore(shelf: Path, wanted: Iterable[BodyFile], draft: Path, missing: Iterable[str], told: Told) -> None:
    """Copy bodies into a data directory that is being made. Raises BackupError, OSError."""
    gone, changed = set(missing), set[Path]()
    for one in wanted:
        if one.path in gone:
            continue
        source = shelf / BODIES / one.path
        if wrong := _wrong(source, one):
            raise BackupError(wrong)
        _copy(source, draft / ROOT / one.path, one.length, changed)
        told(one.length)
    for directory in sorted(changed, reverse=True):
        sync_directory(directory)


def prune(shelf: Path, wanted: Iterable[Iterable[BodyFile]]) -> None:
    """Remove bodies that none of these backups has. Raises OSError."""
    needed = {hash(one.path) for backup in wanted for one in backup}  # the paths of millions would be too much
    root = shelf / BODIES
    for where, directories, files in os.walk(root, topdown=False):
        for path in (Path(where, name) for name in files):
            if hash(str(path.relative_to(root))) not in needed:
                path.unlink()
        if not files and not directories and Path(where) != root:
            Path(where).rmdir()


def _copy(source: Path, target: Path, length: int, changed: set[Path]) -> bool:
    """Copy a file whole or not at all; false when the source is not there or too short."""
    draft = target.with_name(f"{target.name}{_DRAFT}")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    try:
        copied, _ = copy_hashed(source, draft, length, lambda _: None)
    except FileNotFoundError:
        return False
    if copied != length:
        draft.unlink()
        return False
    draft.rename(target)
    changed.update(target.parents[:4])  # bodies, user, domain, and what they are in
    return True


def _wrong(path: Path, one: BodyFile) -> str:
    digest = hashlib.sha256()
    try:
        if _length(path) not in (-1, one.length):
            return f"{path} does not have {one.length} octets"
        with path.open("rb") as file:
            file.seek(one.start)
            while piece := file.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    return "" if digest.digest() == one.hash else f"{path} is damaged: its hash is not the database's"


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
