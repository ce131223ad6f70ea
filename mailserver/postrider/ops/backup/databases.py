"""The database of a backup: one file in a directory; in a bucket blocks that are compressed, and shared.

A block is named after the hash of what is in it. Of a database that changed little most are there already, so a backup
costs what changed, as it does with packs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from postrider.ops.backup.place import Damaged, Place, Told, fetch_whole, side_by_side, whole, write_all
from postrider.ops.backup.shelf import DATABASE, Manifest
from postrider.store import codecs

#: The folder of blocks.
BLOCKS = "blocks"
#: Octets of a block, but for the last one.
BLOCK = 4 * 1024 * 1024


def block_name(digest: str) -> str:
    """The file of a block."""
    return f"{BLOCKS}/{digest}.zst"


def keep(place: Place, backup: str, file: Path, told: Told) -> tuple[tuple[str, ...], int]:
    """Put a database that lies in the scratch directory into its backup: (blocks, octets copied)."""
    if not place.in_blocks:
        place.adopt(f"{backup}/{DATABASE}", file)
        length = place.length(f"{backup}/{DATABASE}")
        told(length)
        return (), length
    there = {name for name, _ in place.lengths(BLOCKS)}
    digests: list[str] = []

    def fresh() -> Iterator[bytes]:
        with file.open("rb", buffering=0) as reading:
            while block := reading.read(BLOCK):
                digests.append(hashlib.sha256(block).hexdigest())
                told(len(block))
                if block_name(digests[-1]) not in there:
                    there.add(block_name(digests[-1]))
                    yield block

    def put(block: bytes) -> int:
        squeezed = codecs.CODECS[codecs.ZSTD].encode(block, _context(len(block)))
        place.write(block_name(hashlib.sha256(block).hexdigest()), squeezed)
        return len(squeezed)

    copied = sum(octets for _, octets in side_by_side(place.lanes, put, fresh()))
    return tuple(digests), copied


def fetch(place: Place, backup: str, manifest: Manifest, target: Path, told: Told) -> None:
    """Make the database's file of a backup, synced. Raises Damaged, BackupError, OSError."""
    if manifest.blocks:
        _put_together(place, manifest, target, told)
    else:
        wanted = manifest.database_length, manifest.database_sha256
        fetch_whole(place, f"{backup}/{DATABASE}", target, wanted, told)


@contextlib.contextmanager
def at_hand(place: Place, backup: str, manifest: Manifest) -> Iterator[Path]:
    """The database of a backup as a file of this machine. Raises Damaged, BackupError, OSError."""
    if manifest.blocks:
        with TemporaryDirectory(prefix="postrider-") as scratch:
            file = Path(scratch) / DATABASE
            _put_together(place, manifest, file, lambda _: None)
            yield file
    else:
        with whole(place, f"{backup}/{DATABASE}", (manifest.database_length, manifest.database_sha256)) as file:
            yield file


def _put_together(place: Place, manifest: Manifest, target: Path, told: Told) -> None:
    last, whole_digest = len(manifest.blocks) - 1, hashlib.sha256()

    def get(numbered: tuple[int, str]) -> bytes:
        number, digest = numbered
        name = block_name(digest)
        size = BLOCK if number < last else manifest.database_length - last * BLOCK
        try:
            block = codecs.CODECS[codecs.ZSTD].decode(place.read(name), _context(size))
        except FileNotFoundError as error:
            raise Damaged(f"{place.title}/{name} cannot be read: {error.strerror}") from error
        except codecs.BadFrame as error:
            raise Damaged(f"{place.title}/{name} is damaged: {error}") from error
        if hashlib.sha256(block).hexdigest() != digest:
            raise Damaged(f"{place.title}/{name} is damaged: its hash is not its name")
        return block

    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for _, block in side_by_side(place.lanes, get, enumerate(manifest.blocks)):
            write_all(fd, block)
            whole_digest.update(block)
            told(len(block))
        os.fsync(fd)
    finally:
        os.close(fd)
    if whole_digest.hexdigest() != manifest.database_sha256:
        raise Damaged(f"the blocks of a database in {place.title} are not those that were its own")


def _context(size: int) -> codecs.Context:
    return codecs.Context(b"", 0, size)
