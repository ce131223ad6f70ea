"""The wrapped keys of an encrypted data directory in its backups. The master keys are in neither."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from postrider.ops.backup.shelf import BackupError, copy_hashed, sync_directory
from postrider.store import directory

#: Their directory in a backup's.
KEYS = "keys"
#: No file of a key is longer.
_LONGEST = 64 * 1024


def take(data: Path, draft: Path) -> dict[str, str]:
    """Copy the keys, after the database that names them; returns their hashes by name. Raises OSError."""
    found: dict[str, str] = {}
    for source in sorted(directory.key_files(data)):
        target = draft / KEYS
        target.mkdir(mode=0o700, exist_ok=True)
        try:
            _, found[source.name] = copy_hashed(source, target / source.name, _LONGEST, lambda _: None)
        except FileNotFoundError:  # its account was shredded just now
            continue
    if found:
        sync_directory(draft / KEYS)
    return found


def problems(backup: Path, keys: Mapping[str, str]) -> list[str]:
    """What is wrong with the keys of a backup."""
    found = []
    for name, digest in keys.items():
        path = backup / KEYS / name
        try:
            _, there = copy_hashed(path, None, _LONGEST, lambda _: None)
        except OSError as error:
            found.append(f"{path} cannot be read: {error.strerror}")
        else:
            if there != digest:
                found.append(f"{path} is damaged: its hash is not the manifest's")
    return found


def restore(backup: Path, keys: Mapping[str, str], draft: Path) -> None:
    """Copy the keys into a data directory that is being made. Raises BackupError, OSError."""
    if not keys:
        return
    target = directory.keys_directory(draft)
    target.mkdir(mode=0o700)
    for name, digest in keys.items():
        _, there = copy_hashed(backup / KEYS / name, target / name, _LONGEST, lambda _: None)
        if there != digest:
            raise BackupError(f"{backup / KEYS / name} is damaged: its hash is not the manifest's")
    sync_directory(target)
