"""Restores a backup into a new data directory, which begins a new epoch."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from postrider.model.ports import Clock
from postrider.ops.backup import bodies, databases, keys
from postrider.ops.backup.place import BackupError, Place, Progress, fetch_whole, side_by_side
from postrider.ops.backup.shelf import HeldPack, Manifest, Shelf
from postrider.store import directory, kind
from postrider.store.backup import DatabaseFile
from postrider.store.maildir import ROOT
from postrider.store.pack_files import pack_path, sync_directory

#: What a restore brings into a data directory, in this order.
_PLACES: tuple[Callable[[Path], Path], ...] = (
    directory.keys_directory,
    directory.packs_directory,
    lambda data: data / ROOT,
    lambda data: data / kind.NOTE,
    directory.database_path,
)


@dataclass(slots=True)
class Restore:
    """One backup on its way into a data directory."""

    place: Place
    data: Path
    database: DatabaseFile
    clock: Clock
    progress: Progress

    def restore(self, name: str = "", *, hold_queue: bool = False) -> tuple[str, Manifest]:
        """Restore the backup of this name, the newest by default; returns what it was.

        The directory must be empty, or hold what a restore that did not finish left. Nothing can be opened there
        before all is in its place. Raises BackupError, WrongDatabase, OSError.
        """
        shelf = Shelf(self.place)
        with self.place.reading():
            chosen = name or shelf.latest()
            manifest = shelf.manifest(chosen)
            with self._alone():
                draft = self._room()
                self._fill(draft, chosen, manifest)
                since = int(datetime.datetime.fromisoformat(manifest.taken).timestamp())
                now = int(self.clock.now())
                self.database.begin_epoch(directory.database_path(draft), now, since=since, hold_queue=hold_queue)
                self._move_in(draft)
            return chosen, manifest

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Have the directory alone, by a lock of itself: with a file for that it would not be empty."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self.data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackupError(f"a backup is being restored into {self.data}: wait for its end") from error
            yield
        finally:
            os.close(fd)

    def _room(self) -> Path:
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

        def fetch(held: HeldPack) -> None:
            target = pack_path(directory.packs_directory(draft), held.id)
            fetch_whole(self.place, held.file, target, (held.length, held.sha256), lambda _: None)

        for held, _ in side_by_side(self.place.lanes, fetch, manifest.packs):
            told(held.length)
        keys.restore(self.place, name, manifest.keys, draft)
        database = directory.database_path(draft)
        databases.fetch(self.place, name, manifest, database, told)
        if manifest.blobs != kind.PACKS:
            bodies.restore(self.place, self.database.files(database), draft, manifest.missing, told)

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
