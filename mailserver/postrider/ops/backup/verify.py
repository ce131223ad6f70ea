"""Verifies backups: each file is read whole once, each database examined, and each body's record looked at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from postrider.ops.backup import bodies, databases, keys
from postrider.ops.backup.place import BackupError, Damaged, Place, Progress, whole
from postrider.ops.backup.shelf import HeldPack, Manifest, Shelf
from postrider.store.backup import DatabaseFile
from postrider.store.record_list import RecordList
from postrider.store.shape import StoreError

#: More bodies than these that are wrong in one backup say nothing new.
_ENOUGH = 20


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with backups."""

    backups: tuple[str, ...]
    text: str


@dataclass(slots=True)
class Verify:
    """Looks for damage in the backups of a place."""

    place: Place
    database: DatabaseFile
    progress: Progress
    _found: list[Problem] = field(default_factory=list)
    _records: dict[HeldPack, RecordList | None] = field(default_factory=dict)
    #: What is wrong with bodies that are files, "" for nothing.
    _bodies: Mapping[str, str] = field(default_factory=dict)

    def verify(self, only: str = "") -> list[Problem]:
        """All that is wrong with the backups, or with one of them. Raises BackupError, OSError."""
        shelf = Shelf(self.place)
        with self.place.reading(), TemporaryDirectory(prefix="postrider-") as scratch:
            names = [only] if only else shelf.names()
            if not names:
                raise BackupError(f"there is no finished backup in {self.place.title}")
            manifests: dict[str, Manifest] = {}
            for name in names:
                try:
                    manifests[name] = shelf.manifest(name)
                except Damaged as error:
                    self._say(name, [str(error)])
            self._packs(manifests, Path(scratch))
            for at, (name, manifest) in enumerate(manifests.items()):
                self.progress("databases", at, len(manifests))
                self._say(name, self._wrong(name, manifest))
            self.progress("databases", len(manifests), len(manifests))
            return self._found

    def _say(self, name: str, texts: Iterable[str]) -> None:
        self._found += [Problem((name,), text) for text in texts]

    def _packs(self, manifests: Mapping[str, Manifest], scratch: Path) -> None:
        """Read each pack, and note where in it which bodies lie, as it says itself; nothing for a damaged one."""
        users: dict[HeldPack, list[str]] = {}
        for name, manifest in manifests.items():
            for held in manifest.packs:
                users.setdefault(held, []).append(name)
        total, done = sum(held.length for held in users), 0
        for number, (held, names) in enumerate(users.items()):
            try:
                with whole(self.place, held.file, (held.length, held.sha256)) as path:
                    self._records[held] = RecordList.write(scratch / str(number), path)
            except Damaged as error:
                self._records[held] = None
                self._found.append(Problem(tuple(names), str(error)))
            done += held.length
            self.progress("packs", done, total)

    def _wrong(self, name: str, manifest: Manifest) -> Iterator[str]:
        """What is wrong with one backup, but for its packs."""
        yield from (f"pack {pack} was damaged when the backup was taken" for pack in manifest.damaged)
        yield from (f"{path} was missing when the backup was taken" for path in manifest.missing)
        yield from keys.problems(self.place, name, manifest.keys)
        try:
            with databases.at_hand(self.place, name, manifest) as file:
                packs = {held.id: self._records[held] for held in manifest.packs}
                yield from self.database.examine(file, packs)
                self._bodies = bodies.problems(self.place, self.database.files(file), self._bodies)
                wrong = (text for path, text in self._bodies.items() if text and path not in manifest.missing)
                yield from islice(wrong, _ENOUGH)
        except Damaged as error:
            yield str(error)
        except StoreError:  # the database cannot be read, which was told
            pass
