"""Backups as commands take them: the parts of ops.backup, wired to the machine's clock and the store's files."""

from __future__ import annotations

from pathlib import Path

from postrider.net.system import SystemClock
from postrider.ops.backup import restore as restoring
from postrider.ops.backup.restore import Problem, Restore
from postrider.ops.backup.shelf import Manifest, Progress, Shelf
from postrider.ops.backup.take import Backup, Taken
from postrider.store import open as stores
from postrider.store.directory import CannotOpen


def take(data: Path, shelf: Path, keep: int, progress: Progress) -> Taken:
    """Back a data directory up, whether a server runs on it or not. Raises BackupError, StoreError, OSError."""
    return Backup(data, Shelf(shelf), stores.database_file(), SystemClock(), progress).take(keep=keep)


def verify(shelf: Path, only: str, progress: Progress) -> list[Problem]:
    """All that is wrong with the backups of a shelf. Raises BackupError."""
    return restoring.verify(Shelf(shelf), stores.database_file(), progress, only)


def listed(shelf: Path) -> list[tuple[str, Manifest]]:
    """The backups of a shelf, oldest first. Raises BackupError."""
    found = Shelf(shelf)
    return [(name, found.manifest(name)) for name in found.names()]


def restore(shelf: Path, data: Path, at: str, progress: Progress, *, hold_queue: bool) -> tuple[str, Manifest]:
    """Restore a backup, the newest by default, into an empty directory. Raises BackupError, CannotOpen, OSError."""
    work = Restore(Shelf(shelf), data, stores.database_file(), SystemClock(), progress)
    try:
        return work.restore(at, hold_queue=hold_queue)
    except stores.WrongDatabase as error:
        raise CannotOpen(str(error)) from error
