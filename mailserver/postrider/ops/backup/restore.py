"""Verifies backups, and restores one into a new data directory, which begins a new epoch."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from postrider.model.ports import Clock
from postrider.ops.backup import bodies, keys
from postrider.ops.backup.shelf import (
    DATABASE,
    BackupError,
    HeldPack,
    Manifest,
    Progress,
    Shelf,
    copy_hashed,
    sync_directory,
)
from postrider.store import directory, kind
from postrider.store.backup import DatabaseFile
from postrider.store.maildir import ROOT
from postrider.store.pack_files import pack_path
from postrider.store.shape import StoreError

#: What a restore brings into a data directory, in this order.
_PLACES: tuple[Callable[[Path], Path], ...] = (
    directory.keys_directory,
    directory.packs_directory,
    lambda data: data / ROOT,
    lambda data: data / kind.NOTE,
    directory.database_path,
)
#: More bodies than these that are wrong in one backup say nothing new.
_ENOUGH = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with backups."""

    backups: tuple[str, ...]
    text: str


def verify(shelf: Shelf, database: DatabaseFile, progress: Progress, only: str = "") -> list[Problem]:
    """All that is wrong with the backups of a shelf, or with one of them. Raises BackupError.

    Each file is read whole and its hash compared; each database is examined, and each body's record looked at.
    """
    with shelf.locked():
        names = [only] if only else shelf.names()
        if not names:
            raise BackupError(f"there is no finished backup in {shelf.path}")
        manifests = {name: shelf.manifest(name) for name in names}
        found = _verify_packs(shelf, manifests, progress)
        for at, (name, manifest) in enumerate(manifests.items()):
            progress("databases", at, len(manifests))
            found += [Problem((name,), text) for text in _verify_database(shelf, database, name, manifest)]
        progress("databases", len(manifests), len(manifests))
        return found + _verify_bodies(shelf, database, manifests)


def _verify_packs(shelf: Shelf, manifests: dict[str, Manifest], progress: Progress) -> list[Problem]:
    users: dict[HeldPack, list[str]] = {}
    for name, manifest in manifests.items():
        for held in manifest.packs:
            users.setdefault(held, []).append(name)
    found: list[Problem] = []
    total, done = sum(held.length for held in users), 0
    for held, names in users.items():
        if wrong := _wrong_file(shelf.packs / held.file, held.length, held.sha256):
            found.append(Problem(tuple(names), wrong))
        done += held.length
        progress("packs", done, total)
    return found


def _verify_database(shelf: Shelf, database: DatabaseFile, name: str, manifest: Manifest) -> list[str]:
    file = shelf.path / name / DATABASE
    if wrong := _wrong_file(file, manifest.database_length, manifest.database_sha256):
        return [wrong]
    damaged = keys.problems(shelf.path / name, manifest.keys)
    damaged += [f"pack {pack} was damaged when the backup was taken" for pack in manifest.damaged]
    packs = {held.id: shelf.packs / held.file for held in manifest.packs}
    return damaged + list(database.examine(file, {pack: path for pack, path in packs.items() if path.exists()}))


def _verify_bodies(shelf: Shelf, database: DatabaseFile, manifests: dict[str, Manifest]) -> list[Problem]:
    found: list[Problem] = []
    known: Mapping[str, str] = {}
    for name, manifest in manifests.items():
        found += [Problem((name,), f"{path} was missing when the backup was taken") for path in manifest.missing]
        try:
            known = bodies.problems(shelf.path, database.files(shelf.path / name / DATABASE), known)
        except StoreError:  # the database is damaged, which was told
            continue
        wrong = [text for path, text in known.items() if text and path not in manifest.missing]
        found += [Problem((name,), text) for text in wrong[:_ENOUGH]]
    return found


def _wrong_file(path: Path, length: int, digest: str) -> str:
    try:
        found = copy_hashed(path, None, length + 1, lambda _: None)
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if found[0] != length:
        return f"{path} has {'fewer' if found[0] < length else 'more'} than its {length} octets"
    return "" if found[1] == digest else f"{path} is damaged: its hash is not the manifest's"


@dataclass(slots=True)
class Restore:
    """One backup on its way into a data directory."""

    shelf: Shelf
    data: Path
    database: DatabaseFile
    clock: Clock
    progress: Progress

    def restore(self, name: str = "", *, hold_queue: bool = False) -> tuple[str, Manifest]:
        """Restore the backup of this name, the newest by default; returns what it was.

        The directory must be empty, or hold what a restore that did not finish left. Nothing can be opened there
        before all is in its place. Raises BackupError, WrongDatabase, OSError.
        """
        with self.shelf.locked():
            chosen = name or self.shelf.latest()
            manifest = self.shelf.manifest(chosen)
            draft = self._room()
            self._fill(draft, chosen, manifest)
            since = int(datetime.datetime.fromisoformat(manifest.taken).timestamp())
            now = int(self.clock.now())
            self.database.begin_epoch(draft / DATABASE, now, since=since, hold_queue=hold_queue)
            self._move_in(draft)
            return chosen, manifest

    def _room(self) -> Path:
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = directory.unfinished_restore(self.data)
        mine = [where(self.data) for where in _PLACES] if draft.exists() else []
        # A volume of its own may have been born with lost+found.
        names = {path.name for path in self.data.iterdir()} - {draft.name, "lost+found"} - {path.name for path in mine}
        if names:
            raise BackupError(f"{self.data} is not empty ({', '.join(sorted(names)[:3])} ...): restore into a new one")
        for left in (*mine, draft):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
        directory.make(draft)
        sync_directory(self.data)
        return draft

    def _fill(self, draft: Path, name: str, manifest: Manifest) -> None:
        if manifest.blobs != kind.PACKS:
            kind.decided(draft, manifest.blobs)
        total = manifest.length
        done = 0

        def told(octets: int) -> None:
            nonlocal done
            done += octets
            self.progress("restore", done, total)

        for held in manifest.packs:
            source = self.shelf.packs / held.file
            got = copy_hashed(source, pack_path(directory.packs_directory(draft), held.id), held.length, told)
            if got != (held.length, held.sha256):
                raise BackupError(f"{source} is damaged: its hash is not the manifest's")
        keys.restore(self.shelf.path / name, manifest.keys, draft)
        source = self.shelf.path / name / DATABASE
        got = copy_hashed(source, directory.database_path(draft), manifest.database_length, told)
        if got != (manifest.database_length, manifest.database_sha256):
            raise BackupError(f"{source} is damaged: its hash is not the manifest's")
        if manifest.blobs != kind.PACKS:
            bodies.restore(self.shelf.path, self.database.files(source), draft, manifest.missing, told)

    def _move_in(self, draft: Path) -> None:
        """The database last: without it there is nothing to open."""
        sync_directory(directory.packs_directory(draft))
        sync_directory(draft)
        for left in set(draft.iterdir()) - {where(draft) for where in _PLACES}:
            left.unlink()
        for where in _PLACES:
            if where(draft).exists():
                where(draft).rename(where(self.data))
        sync_directory(self.data)
        draft.rmdir()
        sync_directory(self.data)
