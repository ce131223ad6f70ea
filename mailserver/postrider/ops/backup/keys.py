"""The wrapped keys of an encrypted data directory in its backups. The master keys are in neither."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from postrider.ops.backup.place import Damaged, Place, write_all
from postrider.store import directory
from postrider.store.pack_files import sync_directory

#: Their folder in a backup's.
KEYS = "keys"


def take(data: Path, place: Place, backup: str) -> dict[str, str]:
    """Copy the keys, after the database that names them; returns their hashes by name. Raises BackupError, OSError."""
    found: dict[str, str] = {}
    for source in sorted(directory.key_files(data)):
        try:
            content = source.read_bytes()
        except FileNotFoundError:  # its account was shredded just now
            continue
        place.write(f"{backup}/{KEYS}/{source.name}", content)
        found[source.name] = hashlib.sha256(content).hexdigest()
    return found


def problems(place: Place, backup: str, keys: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the keys of a backup. Raises BackupError."""
    for name in keys:
        try:
            _read(place, f"{backup}/{KEYS}/{name}", keys[name])
        except Damaged as error:
            yield str(error)


def restore(place: Place, backup: str, keys: Mapping[str, str], draft: Path) -> None:
    """Copy the keys into a data directory that is being made. Raises Damaged, OSError."""
    if not keys:
        return
    target = directory.keys_directory(draft)
    target.mkdir(mode=0o700)
    for name, digest in keys.items():
        fd = os.open(target / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, _read(place, f"{backup}/{KEYS}/{name}", digest))
            os.fsync(fd)
        finally:
            os.close(fd)
    sync_directory(target)


def _read(place: Place, name: str, digest: str) -> bytes:
    try:
        content = place.read(name)
    except OSError as error:
        raise Damaged(f"{place.title}/{name} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise Damaged(f"{place.title}/{name} is damaged: its hash is not the manifest's")
    return content
