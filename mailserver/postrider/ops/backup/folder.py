"""A directory that backups lie in: on another disk, or mounted from another machine."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from postrider.ops.backup.place import BackupError, Told, copy_hashed
from postrider.store.directory import make_private

#: What a file's name ends with for as long as it is not whole.
_DRAFT = ".draft"


@dataclass(slots=True)
class Folder:
    """Implements Place."""

    path: Path
    lanes: int = 1
    in_blocks: bool = False
    #: Directories with names that are not durable yet.
    _changed: set[Path] = field(default_factory=set)

    @property
    def title(self) -> str:
        """Its path."""
        return str(self.path)

    def prepare(self, data: Path) -> None:
        """Make it, unless it would be lost together with the data directory."""
        if self.path.resolve().is_relative_to(data.resolve()):
            raise BackupError(f"{self.path} is inside of {data}: both would be lost together")
        make_private(self.path)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock, or none at all."""
        with self._locked(fcntl.LOCK_EX, os.O_RDWR | os.O_CREAT):
            yield

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the lock together with others that read; without its file nobody ever wrote here."""
        with contextlib.ExitStack() as held:
            if (self.path / "lock").exists() or not self.path.is_dir():
                held.enter_context(self._locked(fcntl.LOCK_SH, os.O_RDONLY))
            yield

    @contextlib.contextmanager
    def _locked(self, kind: int, flags: int) -> Iterator[None]:
        if not self.path.is_dir():
            raise BackupError(f"{self.path} is not a directory")
        fd = os.open(self.path / "lock", flags | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BackupError(f"another command is at work in {self.path}: wait for its end") from error
            yield
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """The folder itself: what is made there need not be copied."""
        path = self.path / name
        path.mkdir(mode=0o700)
        yield path

    def folders(self) -> list[str]:
        """Directories."""
        return sorted(path.name for path in self.path.iterdir() if path.is_dir())

    def lengths(self, folder: str) -> Iterator[tuple[str, int]]:
        """Walk it; what is not whole yet has another name."""
        with contextlib.suppress(FileNotFoundError):
            # A directory sorts as its name with a slash does, and so do all names below it.
            names = {os.fsencode(one.name) + b"/" * one.is_dir(): one for one in os.scandir(self.path / folder)}
            for _, one in sorted(names.items()):
                if one.is_dir():
                    yield from self.lengths(f"{folder}/{one.name}")
                else:
                    yield f"{folder}/{one.name}", one.stat().st_size

    def length(self, name: str) -> int:
        """As its status says."""
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return -1

    def read(self, name: str) -> bytes:
        """All of it."""
        return (self.path / name).read_bytes()

    def fetch(self, name: str, target: Path, told: Told) -> tuple[int, str]:
        """Copy it in pieces."""
        return _copy(self.path / name, target, self.length(name), told)

    @contextlib.contextmanager
    def at_hand(self, name: str) -> Iterator[Path]:
        """It is."""
        yield self.path / name

    def write(self, name: str, content: bytes) -> None:
        """Write a draft, and give it its name."""
        with self._draft(name) as draft:
            draft.write_bytes(content)
            draft.chmod(0o600)
            _sync(draft, os.O_RDONLY)

    def put(self, name: str, source: Path, length: int) -> tuple[int, str]:
        """Copy in pieces into a draft."""
        with self._draft(name) as draft:
            got = _copy(source, draft, length, lambda _: None)
            if got[0] < length:
                draft.unlink()
        return got

    def adopt(self, name: str, source: Path) -> None:
        """It lies in its folder already, or is moved there."""
        target = self.path / name
        source.rename(target)
        self._changed.update(_above(target, self.path))

    def conclude(self, name: str, content: bytes) -> None:
        """Sync directories before and after."""
        self._settle()
        self.write(name, content)
        self._settle()

    def remove(self, names: Iterable[str]) -> None:
        """Unlink files, and the directories that are empty then."""
        emptied = set[Path]()
        for name in names:
            (self.path / name).unlink(missing_ok=True)
            emptied.update(_above(self.path / name, self.path))
        for directory in sorted(emptied - {self.path}, reverse=True):
            with contextlib.suppress(OSError):  # there is something in it, or never was one
                directory.rmdir()
        self._changed.update(emptied)
        self._settle()

    def clear(self, folder: str) -> None:
        """Remove the directory."""
        shutil.rmtree(self.path / folder)

    @contextlib.contextmanager
    def _draft(self, name: str) -> Iterator[Path]:
        target = self.path / name
        draft = target.with_name(f"{target.name}{_DRAFT}")
        make_private(target.parent)
        draft.unlink(missing_ok=True)
        try:
            yield draft
            if draft.exists():
                draft.rename(target)
                self._changed.update(_above(target, self.path))
        finally:
            draft.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Make the names durable."""
        for directory in sorted(self._changed, reverse=True):
            if directory.is_dir():
                _sync(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._changed.clear()


def _copy(source: Path, target: Path, length: int, told: Told) -> tuple[int, str]:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        got = copy_hashed(source, fd, length, told)
        os.fsync(fd)
    finally:
        os.close(fd)
    return got


def _above(path: Path, root: Path) -> Iterator[Path]:
    """The directories that a file is in, up to and with the root."""
    for directory in path.parents:
        yield directory
        if directory == root:
            return


def _sync(path: Path, flags: int) -> None:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
