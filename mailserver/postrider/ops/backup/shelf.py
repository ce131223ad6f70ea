"""A directory of backups: its layout, what each backup says about itself, and which packs they share.

    lock                            one command at a time
    packs/00000007-1f2e3d4c5b6a7988.pack   by number and hash; shared by all backups, never changed
    packs/index.jsonl               which file of the data directory became which of these
    bodies/one.test/alice/bodies/1800000000.5f1c   bodies that are files of their own; shared and never changed too
    20261121T191500Z/mail.db        the database as it was at that moment
    20261121T191500Z/keys/          wrapped keys, where mail is encrypted
    20261121T191500Z/manifest.json  everything that belongs to this backup; written last

A backup whose directory begins with a dot was not finished: the next one clears it away and goes on with its packs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

FORMAT = 1
MANIFEST = "manifest.json"
DATABASE = "mail.db"
_DRAFT = "."
_PIECE = 1024 * 1024

#: Told what is done at the moment, and how far it is: octets done, and in all.
Progress = Callable[[str, int, int], object]


class BackupError(Exception):
    """A backup cannot be made or used; the message says why and what to do."""


class HeldPack(msgspec.Struct, frozen=True):
    """A pack of a backup: its first `length` octets, all that the database of that moment knows of."""

    id: int
    length: int
    sha256: str

    @property
    def file(self) -> str:
        """Its name among the packs."""
        return f"{self.id:08d}-{self.sha256[:16]}.pack"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup consists of."""

    format: int = FORMAT
    #: When its state was the present one, RFC 3339.
    taken: str
    #: The release that made it, and the database's schema.
    version: str
    schema: int
    min_reader: int
    #: How often a writer of this data directory had started: tells a store from one that was restored.
    lease: int
    database_length: int
    database_sha256: str
    packs: tuple[HeldPack, ...]
    #: What the data directory keeps bodies in (store.kind); of those in files their number, and octets in all.
    blobs: str = "packs"
    files: int = 0
    files_length: int = 0
    #: Hashes of the wrapped keys, by their files' names.
    keys: dict[str, str] = {}
    #: Packs that were missing or too short in the data directory already.
    damaged: tuple[int, ...] = ()
    #: Bodies' files that were missing or too short in the data directory already.
    missing: tuple[str, ...] = ()

    @property
    def length(self) -> int:
        """Octets of all it consists of."""
        return self.database_length + sum(held.length for held in self.packs) + self.files_length


class Known(msgspec.Struct, frozen=True):
    """A file of a data directory that was copied: as long as it is this one, unchanged, it need not be read again."""

    device: int
    inode: int
    changed: int
    held: HeldPack

    @classmethod
    def of(cls, stat: os.stat_result, held: HeldPack) -> Known:
        """The file with this status, copied as `held`."""
        return cls(stat.st_dev, stat.st_ino, stat.st_mtime_ns, held)


@dataclass(frozen=True, slots=True)
class Shelf:
    """The directory."""

    path: Path

    @property
    def packs(self) -> Path:
        """Where the packs of all backups are."""
        return self.path / "packs"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Have it alone. Raises BackupError when somebody else has."""
        if not self.path.is_dir():
            raise BackupError(f"{self.path} is not a directory")
        fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackupError(f"another command is at work in {self.path}: wait for its end") from error
            yield
        finally:
            os.close(fd)

    def prepare(self) -> None:
        """Make what is missing."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.packs.mkdir(mode=0o700, exist_ok=True)

    def names(self) -> list[str]:
        """The finished backups, oldest first."""
        return sorted(path.parent.name for path in self.path.glob(f"[!.]*/{MANIFEST}"))

    def manifest(self, name: str) -> Manifest:
        """What one backup consists of. Raises BackupError."""
        path = self.path / name / MANIFEST
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Manifest)
        except FileNotFoundError as error:
            there = ", ".join(self.names()) or "none"
            raise BackupError(f"there is no backup {name} in {self.path} (there are: {there})") from error
        except msgspec.DecodeError as error:
            raise BackupError(f"{path} is damaged: {error}") from error
        if found.format > FORMAT:
            raise BackupError(f"{path} has format {found.format}, this program knows {FORMAT}: install a newer release")
        return found

    def latest(self) -> str:
        """The newest backup. Raises BackupError when there is none."""
        names = self.names()
        if not names:
            raise BackupError(f"there is no finished backup in {self.path}")
        return names[-1]

    def begin(self, name: str) -> Path:
        """The directory of a new backup, for as long as it is not finished; what others left unfinished goes."""
        for left in self.path.glob(f"{_DRAFT}*Z*"):
            shutil.rmtree(left)
        for left in self.packs.glob(f"{_DRAFT}*"):
            left.unlink()
        free, number = name, 1
        while (self.path / free).exists():
            number += 1
            free = f"{name}-{number}"
        draft = self.path / f"{_DRAFT}{free}"
        draft.mkdir(mode=0o700)
        return draft

    def finish(self, draft: Path, manifest: Manifest) -> Path:
        """Make the backup one: all it consists of is on the disk before its name is."""
        sync_directory(self.packs)
        path = draft / MANIFEST
        path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        path.chmod(0o600)
        with path.open("rb") as file:
            os.fsync(file.fileno())
        sync_directory(draft)
        final = draft.with_name(draft.name.removeprefix(_DRAFT))
        draft.rename(final)
        sync_directory(self.path)
        return final

    def remove_all_but(self, keep: int) -> list[str]:
        """Remove the oldest backups, and the packs that no other needs; returns the names of the removed."""
        gone = self.names()[:-keep]
        for name in gone:
            draft = self.path / f"{_DRAFT}{name}"
            (self.path / name).rename(draft)
            shutil.rmtree(draft)
        needed = {held.file for name in self.names() for held in self.manifest(name).packs}
        for path in self.packs.glob("*.pack"):
            if path.name not in needed:
                path.unlink()
        return gone

    # -- what was copied before --------------------------------------------------------------------------------------

    @property
    def _index(self) -> Path:
        return self.packs / "index.jsonl"

    def known(self) -> set[Known]:
        """What was copied before and is still here; forgetting it costs only time."""
        found = set()
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            for line in self._index.read_bytes().splitlines():
                found.add(msgspec.json.decode(line, type=Known))
        return {one for one in found if _length(self.packs / one.held.file) == one.held.length}

    def remember(self, one: Known) -> None:
        """Note a copy that is on the disk."""
        fd = os.open(self._index, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, msgspec.json.encode(one) + b"\n")
        finally:
            os.close(fd)

    def forget_all_but(self, known: set[Known]) -> None:
        """Write the index anew, with these alone."""
        draft = self._index.with_name(".index")
        draft.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in known))
        draft.chmod(0o600)
        draft.rename(self._index)


def copy_hashed(source: Path, target: Path | None, length: int, told: Callable[[int], object]) -> tuple[int, str]:
    """Read up to `length` octets of a file; returns how many there were, and their SHA-256 in hex.

    With a target they are written there, synced; `told` hears of each piece.
    """
    digest, left = hashlib.sha256(), length
    with contextlib.ExitStack() as stack:
        reading = stack.enter_context(source.open("rb", buffering=0))
        fd = -1
        if target:
            fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, fd)
        while left and (piece := reading.read(min(_PIECE, left))):
            digest.update(piece)
            written = 0
            while fd >= 0 and written < len(piece):
                written += os.write(fd, piece[written:])
            left -= len(piece)
            told(len(piece))
        if fd >= 0:
            os.fsync(fd)
    return length - left, digest.hexdigest()


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
