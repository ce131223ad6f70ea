"""The data keys of a data directory: a file each, wrapped under a master key that is never in the directory.

They are in no other place, no database, journal or pack: who removes the file of a key has shredded all that it
sealed. Nothing is sealed with a key before its file is durable.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from postrider.store import directory
from postrider.store.blobs import SyncFailed
from postrider.store.codecs import BadFrame, seal, unseal
from postrider.store.keys import SECRET, DataKey, KeyMissing, Shredded
from postrider.store.pack_files import sync_directory

#: In the place of a master key's id.
DAMAGED: Final = "(damaged)"
_MAGIC: Final = b"PostKey1"


@dataclass(frozen=True, slots=True)
class Masters:
    """Master keys by id. The newest wraps, all of them unwrap; without any nothing is encrypted."""

    newest: str = ""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Wrapped(msgspec.Struct, frozen=True, array_like=True):
    """What a key's file says: whose it was when it was made, what it is wrapped with."""

    id: int
    account: str
    master: str
    sealed: bytes

    @property
    def bound(self) -> bytes:
        """What the wrap is worth nothing without."""
        return _encode((self.id, self.account, self.master))


@dataclass(frozen=True, slots=True)
class Rotated:
    """What a rotation did: keys that were wrapped anew, and whose keys cannot be had, by the missing master's id.

    The newest one is among them when it is missing, needed by nobody yet but for new keys. Those whose files are
    damaged stand under DAMAGED, by the files' names.
    """

    wrapped: int
    missing: Mapping[str, tuple[str, ...]]


def _nothing_new() -> Masters | None:
    return None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Wrapped).decode


class Keyring:
    """The keys of one data directory. Any thread may call it; one process alone may change files."""

    def __init__(
        self, data: Path, masters: Masters | None = None, again: Callable[[], Masters | None] = _nothing_new
    ) -> None:
        """`again` looks whether there are other master keys by now; it is asked when one is missing."""
        self._data = data
        self._directory = directory.keys_directory(data)
        self._again = again
        self._masters = masters or Masters()
        self._opened: dict[int, DataKey] = {}
        self._changing = threading.Lock()
        self._on = bool(self._masters.newest) or any(directory.key_files(data))

    @property
    def on(self) -> bool:
        """Whether mail is to be sealed: once it was, it always is, with keys or without."""
        return self._on

    def load(self, masters: Masters) -> None:
        """Other master keys hold from now on."""
        self._masters, self._opened = masters, {}
        self._on = self._on or bool(masters.newest)

    def key(self, id_: int) -> DataKey:
        """A key by its number. Raises KeyMissing."""
        return self._opened.get(id_) or self._open(id_)

    def make(self, account: str) -> DataKey:
        """A new key for an account, durable. Raises KeyMissing (there is no master), OSError, SyncFailed."""
        if self._masters.newest not in self._masters.keys:
            self._look_again()
        with self._changing:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            while not (id_ := secrets.randbits(32)) or self._path(id_).exists():
                pass
            secret = secrets.token_bytes(SECRET)
            self._write(_wrap(id_, account, secret, self._masters))
            sync_directory(self._directory)
            sync_directory(self._directory.parent)
        found = self._opened[id_] = DataKey.of(id_, secret)
        return found

    def owners(self) -> dict[int, str]:
        """Whose each key was when it was made. Raises OSError."""
        found = (_unpack(path.read_bytes()) for path in directory.key_files(self._data))
        return {wrapped.id: wrapped.account for wrapped in found if wrapped is not None}

    def rotate(self) -> Rotated:
        """Wrap with the newest master what an older one wrapped. Raises OSError, SyncFailed."""
        count, missing = 0, dict[str, list[str]]()
        with self._changing:
            masters = self._masters
            can_wrap = masters.newest in masters.keys
            if masters.newest and not can_wrap:
                missing[masters.newest] = []
            for path in sorted(directory.key_files(self._data)):
                wrapped = _unpack(path.read_bytes())
                if wrapped is None or self._path(wrapped.id) != path:
                    missing.setdefault(DAMAGED, []).append(path.name)
                    continue
                try:
                    secret = _unwrapped(wrapped, masters)
                    if can_wrap and wrapped.master != masters.newest:
                        self._replace(_wrap(wrapped.id, wrapped.account, secret, masters))
                        count += 1
                except KeyMissing:
                    missing.setdefault(wrapped.master, []).append(wrapped.account)
        return Rotated(count, {master: tuple(accounts) for master, accounts in missing.items()})

    def shred(self, ids: Iterable[int]) -> list[str]:
        """Nobody can read any more what these keys sealed; whose they were. Raises OSError, SyncFailed."""
        owners: list[str] = []
        with self._changing:
            there = [id_ for id_ in ids if self._path(id_).exists()]
            for id_ in there:
                with self._path(id_).open("r+b") as file:
                    wrapped = _unpack(file.read())
                    owners.append(wrapped.account if wrapped else f"{id_:08x}")
                    _overwrite(file.fileno())
                self._path(id_).unlink()
                self._opened.pop(id_, None)
            if there:
                sync_directory(self._directory)
        return owners

    def _open(self, id_: int) -> DataKey:
        wrapped = self._read(id_)
        if wrapped.master not in self._masters.keys:
            self._look_again()
        opened, masters = self._opened, self._masters
        opened[id_] = found = DataKey.of(id_, _unwrapped(wrapped, masters))
        return found

    def _look_again(self) -> None:
        masters = self._again()
        if masters is not None and masters != self._masters:
            self.load(masters)

    # -- files -----------------------------------------------------------------------------------------------------

    def _path(self, id_: int) -> Path:
        return self._directory / f"{id_:08x}"

    def _read(self, id_: int) -> Wrapped:
        try:
            wrapped = _unpack(self._path(id_).read_bytes())
        except FileNotFoundError as error:
            raise Shredded(f"key {id_:08x} is gone: what it sealed was shredded") from error
        except OSError as error:
            raise KeyMissing(f"key {id_:08x} cannot be read: {error.strerror}") from error
        if wrapped is None or wrapped.id != id_:
            raise KeyMissing(f"the file of key {id_:08x} is damaged")
        return wrapped

    def _write(self, wrapped: Wrapped) -> None:
        """Put a key's file in its place whole or not at all; the directory is to be synced."""
        draft = self._directory / f".{wrapped.id:08x}"
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            octets = _MAGIC + _encode(wrapped)
            if os.write(fd, octets) != len(octets):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(draft))
            _sync(fd)
        finally:
            os.close(fd)
        draft.rename(self._path(wrapped.id))

    def _replace(self, wrapped: Wrapped) -> None:
        """The same where there is one; the old one is overwritten once the new one is durable."""
        with self._path(wrapped.id).open("r+b") as old:
            self._write(wrapped)
            sync_directory(self._directory)
            _overwrite(old.fileno())


def _unpack(data: bytes) -> Wrapped | None:
    """What a file says; None where it is damaged."""
    if not data.startswith(_MAGIC):
        return None
    try:
        return _decode(data[len(_MAGIC) :])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _wrap(id_: int, account: str, secret: bytes, masters: Masters) -> Wrapped:
    master = masters.keys.get(masters.newest)
    if master is None:
        which = f"the master key {masters.newest!r} is" if masters.newest else "the master keys are"
        raise KeyMissing(f"{which} not there: nothing new can be encrypted")
    bare = Wrapped(id_, account, masters.newest, b"")
    return msgspec.structs.replace(bare, sealed=seal(secret, master, bare.bound))


def _unwrapped(wrapped: Wrapped, masters: Masters) -> bytes:
    master = masters.keys.get(wrapped.master)
    if master is None:
        raise KeyMissing(f"key {wrapped.id:08x} is wrapped with the master key {wrapped.master!r}, which is not there")
    try:
        return unseal(wrapped.sealed, master, wrapped.bound)
    except BadFrame as error:
        raise KeyMissing(
            f"key {wrapped.id:08x} is damaged, or the master key {wrapped.master!r} is another than it was"
        ) from error


def _overwrite(fd: int) -> None:
    os.pwrite(fd, secrets.token_bytes(os.fstat(fd).st_size), 0)
    _sync(fd)


def _sync(fd: int) -> None:
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncFailed(f"fsync of a key: {error}") from error
