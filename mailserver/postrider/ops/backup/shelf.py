"""The layout of backups in a place, what each says about itself, and which packs they share.

    packs/00000007-1f2e3d4c5b6a7988.pack   by number and hash; shared by all backups, never changed
    packs/index.jsonl               which file of the data directory became which of these
    blocks/1f2e...9a.zst            pieces of databases, by the hash of what is in them; in buckets
    bodies/one.test/alice/bodies/1800000000.5f1c   bodies that are files of their own; shared and never changed too
    20261121T191500Z/mail.db        the database as it was at that moment; in directories
    20261121T191500Z/keys/          wrapped keys, where mail is encrypted
    20261121T191500Z/manifest.json  all that belongs to this backup, and its own hash; written last, removed first

A backup without a manifest was not finished: the next one clears it away and goes on with what is shared.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from postrider.ops.backup.place import BackupError, Damaged, Place

#: What this program reads; it writes 1 where nothing newer is used.
FORMAT = 2
MANIFEST = "manifest.json"
DATABASE = "mail.db"
PACKS = "packs"
_INDEX = f"{PACKS}/index.jsonl"
#: How backups are named; earlier releases put a dot before one that is not finished.
_NAME = re.compile(r"\.?\d{8}T\d{6}Z(-\d+)?")


class HeldPack(msgspec.Struct, frozen=True):
    """A pack of a backup: its first `length` octets, all that the database of that moment knows of."""

    id: int
    length: int
    sha256: str

    @property
    def file(self) -> str:
        """Its name."""
        return f"{PACKS}/{self.id:08d}-{self.sha256[:16]}.pack"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup consists of."""

    #: 2 where the database is in blocks, else 1.
    format: int = 1
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
    #: Where the database is not a file but in blocks: their hashes, in order.
    blocks: tuple[str, ...] = ()
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
    """Backups in a place."""

    place: Place

    @property
    def title(self) -> str:
        """Where it is, as people write it."""
        return self.place.title

    def names(self) -> list[str]:
        """The finished backups, oldest first."""
        return sorted((name for name, finished in self._folders() if finished), key=_order)

    def _folders(self) -> Iterator[tuple[str, bool]]:
        for name in self.place.folders():
            if _NAME.fullmatch(name):
                yield name, not name.startswith(".") and self.place.length(f"{name}/{MANIFEST}") >= 0

    def manifest(self, name: str) -> Manifest:
        """What one backup consists of. Raises Damaged, BackupError."""
        file = f"{name}/{MANIFEST}"
        try:
            content = self.place.read(file)
            seal, _, rest = content.partition(b"\n  ")[2].partition(b"\n")
            if seal != _seal(rest) and not seal.startswith(b'"format"'):  # the first release's have no seal
                raise Damaged(f"{self.title}/{file} is damaged: its hash is not what it says itself")
            found = msgspec.json.decode(content, type=Manifest)
        except FileNotFoundError as error:
            there = ", ".join(self.names()) or "none"
            raise BackupError(f"there is no backup {name} in {self.title} (there are: {there})") from error
        except msgspec.DecodeError as error:
            raise Damaged(f"{self.title}/{file} is damaged: {error}") from error
        if found.format > FORMAT:
            raise BackupError(
                f"{self.title}/{file} has format {found.format}, this program knows {FORMAT}: install a newer release"
            )
        return found

    def latest(self) -> str:
        """The newest backup. Raises BackupError when there is none."""
        names = self.names()
        if not names:
            raise BackupError(f"there is no finished backup in {self.title}")
        return names[-1]

    def begin(self, name: str) -> str:
        """The name of a new backup, which is none before it has a manifest; what others left unfinished goes.

        It comes behind all that are there, though the clock were set back: it is the newest.
        """
        there = list(self._folders())
        for left in [folder for folder, finished in there if not finished]:
            self.place.clear(left)
        packs = [file for file, _ in self.place.lengths(PACKS)]
        self.place.remove(file for file in packs if file != _INDEX and not file.endswith(".pack"))
        stamp, number = max((_order(backup) for backup, finished in there if finished), default=("", 0))
        return name if _order(name) > (stamp, number) else f"{stamp}-{number + 1}"

    def finish(self, name: str, manifest: Manifest) -> None:
        """Make the backup one: all it consists of is there for good before its manifest is."""
        rest = msgspec.json.format(msgspec.json.encode(manifest)).removeprefix(b"{\n") + b"\n"
        self.place.conclude(f"{name}/{MANIFEST}", b"{\n  %b\n%b" % (_seal(rest), rest))

    def remove_all_but(self, keep: int) -> list[str]:
        """Remove the oldest backups; returns their names. What is shared stays (`sweep`)."""
        gone = self.names()[:-keep]
        for name in gone:
            self.place.remove([f"{name}/{MANIFEST}"])
            self.place.clear(name)
        return gone

    def sweep(self, folder: str, needed: Iterable[str]) -> None:
        """Remove the files of a folder that is shared, but for those that some backup needs."""
        kept = set(map(hash, needed))  # the names of millions would be too much
        kept.add(hash(_INDEX))
        self.place.remove(file for file, _ in self.place.lengths(folder) if hash(file) not in kept)

    # -- what was copied before --------------------------------------------------------------------------------------

    def known(self, packs: Mapping[str, int]) -> set[Known]:
        """What was copied before and is still among the packs; forgetting it costs only time."""
        found = set[Known]()
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            found.update(map(partial(msgspec.json.decode, type=Known), self.place.read(_INDEX).splitlines()))
        return {one for one in found if packs.get(one.held.file) == one.held.length}

    def remember(self, known: Iterable[Known]) -> None:
        """Know these from now on, and no others."""
        self.place.write(_INDEX, b"".join(msgspec.json.encode(one) + b"\n" for one in known))


def _seal(rest: bytes) -> bytes:
    """The first line of a manifest, behind its brace: the hash of all that comes after it."""
    return b'"sha256": "%b",' % hashlib.sha256(rest).hexdigest().encode()


def _order(name: str) -> tuple[str, int]:
    """Backups that were taken later come later."""
    stamp, _, number = name.partition("-")
    return stamp, int(number or 1)
