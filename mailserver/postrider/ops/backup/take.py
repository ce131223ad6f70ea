"""Takes a backup while the server runs: the database of one moment first, then the packs up to what it knows.

Packs only ever grow, bodies that are files never change, and what a backup took of them before is not read again: so a
backup costs the database, the pack that is open, and what was filled and written since the last one. While it runs,
neither packs nor bodies of the data directory are deleted (store.directory.keep_packs).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from postrider.model.ports import Clock
from postrider.ops.backup import bodies, keys
from postrider.ops.backup.shelf import (
    DATABASE,
    BackupError,
    HeldPack,
    Known,
    Manifest,
    Progress,
    Shelf,
    copy_hashed,
)
from postrider.store import directory, kind
from postrider.store.backup import DatabaseFile
from postrider.store.pack_files import pack_path


@dataclass(frozen=True, slots=True)
class Taken:
    """What was done."""

    path: Path
    manifest: Manifest
    #: Octets that were copied, of all that the backup consists of.
    copied: int
    removed: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Octets of the whole backup."""
        return self.manifest.length


@dataclass(slots=True)
class Backup:
    """One backup of a data directory onto a shelf."""

    data: Path
    shelf: Shelf
    database: DatabaseFile
    clock: Clock
    progress: Progress

    def take(self, *, keep: int = 0) -> Taken:
        """Take it; with `keep` only so many remain afterwards.

        Raises BackupError, CannotOpen, StoreError, OSError.
        """
        if not directory.database_path(self.data).exists():
            raise BackupError(f"{self.data} is not a data directory: there is no {DATABASE} in it")
        if self.shelf.path.resolve().is_relative_to(self.data.resolve()):
            raise BackupError(f"{self.shelf.path} is inside of {self.data}: both would be lost together")
        self.shelf.prepare()
        with self.shelf.locked(), directory.keep_packs(self.data):
            taken = self._take()
            if keep:
                removed = tuple(self.shelf.remove_all_but(keep))
                if removed:
                    left = (self.shelf.path / name / DATABASE for name in self.shelf.names())
                    bodies.prune(self.shelf.path, map(self.database.files, left))
                taken = Taken(taken.path, taken.manifest, taken.copied, removed)
            return taken

    def _take(self) -> Taken:
        moment = datetime.datetime.fromtimestamp(self.clock.now(), datetime.UTC)
        draft = self.shelf.begin(f"{moment:%Y%m%dT%H%M%SZ}")
        file = draft / DATABASE
        found = self.database.copy(self.data, file, lambda done, total: self.progress("database", done, total))
        length, digest = copy_hashed(file, None, file.stat().st_size, lambda _: None)
        held = keys.take(self.data, draft)
        packs, damaged, copied = self._packs(found.packs)
        taken = bodies.take(self.data, self.shelf.path, self.database.files(file), self._told())
        manifest = Manifest(
            taken=moment.isoformat(timespec="seconds"),
            version=version("postrider"),
            schema=found.schema,
            min_reader=found.min_reader,
            lease=found.lease,
            database_length=length,
            database_sha256=digest,
            packs=packs,
            keys=held,
            damaged=damaged,
            blobs=kind.decided(self.data),
            files=taken.files,
            files_length=taken.octets,
            missing=tuple(taken.missing),
        )
        return Taken(self.shelf.finish(draft, manifest), manifest, copied + length + taken.copied)

    def _told(self) -> Callable[[int], None]:
        done = 0

        def told(octets: int) -> None:
            nonlocal done
            done += octets
            self.progress("bodies", done, 0)

        return told

    def _packs(self, ends: Mapping[int, int]) -> tuple[tuple[HeldPack, ...], tuple[int, ...], int]:
        """Copy what is not on the shelf yet: (packs, those that are damaged, octets copied)."""
        known = {(one.device, one.inode, one.changed, one.held.id, one.held.length): one for one in self.shelf.known()}
        held: list[HeldPack] = []
        damaged: list[int] = []
        used: set[Known] = set()
        total, done, copied = sum(ends.values()), 0, 0
        for pack_id, end in sorted(ends.items()):
            source = pack_path(directory.packs_directory(self.data), pack_id)
            try:
                stat = source.stat()
            except FileNotFoundError:
                damaged.append(pack_id)
                continue
            one = known.get((stat.st_dev, stat.st_ino, stat.st_mtime_ns, pack_id, end))
            if one is None:
                one = Known.of(stat, self._copy(source, pack_id, end, (done, total)))
                self.shelf.remember(one)
                copied += one.held.length
            if one.held.length < end:
                damaged.append(pack_id)
            held.append(one.held)
            used.add(one)
            done += end
            self.progress("packs", done, total)
        self.shelf.forget_all_but(used)
        return tuple(held), tuple(damaged), copied

    def _copy(self, source: Path, pack_id: int, end: int, so_far: tuple[int, int]) -> HeldPack:
        draft = self.shelf.packs / f".{pack_id:08d}"
        draft.unlink(missing_ok=True)
        done, total = so_far

        def told(octets: int) -> None:
            nonlocal done
            done += octets
            self.progress("packs", done, total)

        length, digest = copy_hashed(source, draft, end, told)
        held = HeldPack(pack_id, length, digest)
        draft.rename(self.shelf.packs / held.file)
        return held
