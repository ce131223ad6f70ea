"""Backups as commands take them: the parts of ops.backup, wired to the machine's clock and the store's files."""

from __future__ import annotations

import re
from pathlib import Path

from postrider.net.system import SystemClock
from postrider.ops.backup.folder import Folder
from postrider.ops.backup.place import BackupError, Damaged, Place, Progress
from postrider.ops.backup.restore import Restore
from postrider.ops.backup.shelf import Manifest, Shelf
from postrider.ops.backup.take import Backup, Taken
from postrider.ops.backup.verify import Problem, Verify
from postrider.store import open as stores
from postrider.store.directory import CannotOpen


def place(name: str, progress: Progress) -> Place:
    """Where backups lie, by its name: a directory, or s3://BUCKET/PREFIX. Raises BackupError."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):/", name)
    if not scheme:
        return Folder(Path(name).absolute())
    if scheme[1] != "s3":
        raise BackupError(f"{name}: backups go to a directory (a mounted one will do) or to s3://BUCKET/PREFIX")
    try:
        from postrider.ops.backup.bucket import Bucket  # noqa: PLC0415 - a client for S3 that nothing else needs
    except ModuleNotFoundError as error:
        raise BackupError(f"{name}: {error.name} is not installed: pip install 'postrider[server,s3]'") from error
    return Bucket(name, lambda what: progress(what, 0, 0))


def take(data: Path, where: Place, keep: int, progress: Progress) -> Taken:
    """Back a data directory up, whether a server runs on it or not. Raises BackupError, StoreError, OSError."""
    return Backup(data, where, stores.database_file(), SystemClock(), progress).take(keep=keep)


def verify(where: Place, only: str, progress: Progress) -> list[Problem]:
    """All that is wrong with the backups of a place. Raises BackupError, OSError."""
    return Verify(where, stores.database_file(), progress).verify(only)


def listed(where: Place) -> list[tuple[str, Manifest | None]]:
    """The backups of a place, oldest first; None where one does not say what it is. Raises BackupError, OSError."""
    found = Shelf(where)
    with where.reading():
        return [(name, _manifest(found, name)) for name in found.names()]


def _manifest(shelf: Shelf, name: str) -> Manifest | None:
    try:
        return shelf.manifest(name)
    except Damaged:
        return None


def restore(where: Place, data: Path, at: str, progress: Progress, *, hold_queue: bool) -> tuple[str, Manifest]:
    """Restore a backup, the newest by default, into an empty directory. Raises BackupError, CannotOpen, OSError."""
    work = Restore(where, data, stores.database_file(), SystemClock(), progress)
    try:
        return work.restore(at, hold_queue=hold_queue)
    except stores.WrongDatabase as error:
        raise CannotOpen(str(error)) from error
