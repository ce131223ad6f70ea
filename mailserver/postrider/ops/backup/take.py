"""Takes a backup while the server runs: the database of one moment first, then the packs up to what it knows.

Packs only ever grow, bodies that are files never change, and what a backup took of them before is not read again: so a
backup costs the database, the pack that is open, and what was filled and written since the last one. While it runs,
neither packs nor bodies of the data directory are deleted (store.directory.keep_packs).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from postrider.model.ports import Clock
from postrider.ops.backup import bodies, databases, keys
from postrider.ops.backup.place import BackupError, Place, Progress, Told, hashed, side_by_side
from postrider.ops.backup.shelf import DATABASE, PACKS, HeldPack, Known, Manifest, Shelf
from postrider.store import directory, kind
from postrider.store.backup import DatabaseFile
from postrider.store.pack_files import pack_path


@dataclass(frozen=True, slots=True)
class Taken:
    """What was done."""

    name: str
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
    """One backup of a data directory to a place."""

    data: Path
    place: Place
    database: DatabaseFile
    clock: Clock
    progress: Progress

    def take(self, *, keep: int = 0) -> Taken:
        """Take it; with `keep` only so many remain afterwards.

        Raises BackupError, CannotOpen, StoreError, OSError.
        """
        if not directory.database_path(self.data).exists():
            raise BackupError(f"{self.data} is not a data directory: there is no {DATABASE} in it")
        self.place.prepare(self.data)
        with self.place.alone(), directory.keep_packs(self.data):
            shelf = Shelf(self.place)
            taken = self._take(shelf)
            return Taken(taken.name, taken.manifest, taken.copied, self._prune(shelf, keep)) if keep else taken

    def _take(self, shelf: Shelf) -> Taken:
        moment = datetime.datetime.fromtimestamp(self.clock.now(), datetime.UTC)
        name = shelf.begin(f"{moment:%Y%m%dT%H%M%SZ}")
        with self.place.scratch(name) as scratch:
            file = scratch / DATABASE
            found = self.database.copy(self.data, file, lambda done, total: self.progress("database", done, total))
            length, digest = hashed(file, file.stat().st_size)
            held = keys.take(self.data, self.place, name)
            packs, damaged, copied = self._packs(shelf, found.packs)
            taken = bodies.take(self.data, self.place, self.database.files(file), self._told("bodies", 0))
            blocks, written = databases.keep(self.place, name, file, self._told("database", length))
        manifest = Manifest(
            format=2 if blocks else 1,
            taken=moment.isoformat(timespec="seconds"),
            version=version("postrider"),
            schema=found.schema,
            min_reader=found.min_reader,
            lease=found.lease,
            database_length=length,
            database_sha256=digest,
            blocks=blocks,
            packs=packs,
            keys=held,
            damaged=damaged,
            blobs=kind.decided(self.data),
            files=taken.files,
            files_length=taken.octets,
            missing=tuple(taken.missing),
        )
        shelf.finish(name, manifest)
        return Taken(name, manifest, copied + written + taken.copied)

    def _told(self, what: str, total: int, done: int = 0) -> Told:
        def told(octets: int) -> None:
            nonlocal done
            done += octets
            self.progress(what, done, total)

        return told

    def _packs(self, shelf: Shelf, ends: Mapping[int, int]) -> tuple[tuple[HeldPack, ...], tuple[int, ...], int]:
        """Copy what is not there yet: (packs, those that are damaged, octets copied)."""
        there = dict(self.place.lengths(PACKS))
        known = {(one.device, one.inode, one.changed, one.held.id, one.held.length): one for one in shelf.known(there)}

        def keep(pack: tuple[int, int]) -> tuple[Known | None, int]:
            """What became of it (nothing where it is missing), and the octets that were copied."""
            pack_id, end = pack
            source = pack_path(directory.packs_directory(self.data), pack_id)
            try:
                stat = source.stat()
            except FileNotFoundError:
                return None, 0
            if one := known.get((stat.st_dev, stat.st_ino, stat.st_mtime_ns, pack_id, end)):
                return one, 0
            held = HeldPack(pack_id, *hashed(source, end))
            return Known.of(stat, held), 0 if there.get(held.file) == held.length else self._put(held, source)

        used: list[Known] = []
        damaged: list[int] = []
        told, copied = self._told("packs", sum(ends.values())), 0
        for (pack_id, end), (one, octets) in side_by_side(self.place.lanes, keep, sorted(ends.items())):
            if one:
                used.append(one)
            if not one or one.held.length < end:
                damaged.append(pack_id)
            copied += octets
            told(end)
        shelf.remember(used)
        return tuple(one.held for one in used), tuple(damaged), copied

    def _put(self, held: HeldPack, source: Path) -> int:
        if self.place.put(held.file, source, held.length) != (held.length, held.sha256):
            raise BackupError(f"{source} changed while it was copied: the disk does not read what it read before")
        return held.length

    def _prune(self, shelf: Shelf, keep: int) -> tuple[str, ...]:
        """Remove older backups, and what none of those that remain needs; returns their names."""
        removed = tuple(shelf.remove_all_but(keep))
        if removed:
            left = {name: shelf.manifest(name) for name in shelf.names()}
            shelf.sweep(PACKS, (held.file for manifest in left.values() for held in manifest.packs))
            shelf.sweep(databases.BLOCKS, map(databases.block_name, (b for m in left.values() for b in m.blocks)))
            if bodies.BODIES in self.place.folders():
                shelf.sweep(bodies.BODIES, self._bodies(left))
        return removed

    def _bodies(self, backups: Mapping[str, Manifest]) -> Iterator[str]:
        for name, manifest in backups.items():
            with databases.at_hand(self.place, name, manifest) as file:
                yield from bodies.needed(self.database.files(file))
