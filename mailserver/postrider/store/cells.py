"""Values of the database that are sealed under an account's key. Pure.

A sealed value says so itself, with the number of its key: what is older than the encryption stays as it is, and can
be read. It is bound to its body's row and its column, so that it is worth nothing in another place.
"""

from __future__ import annotations

import enum
import struct
from typing import Final

from postrider.store.codecs import BadFrame, seal, unseal
from postrider.store.keys import DataKey, Keys

#: No header field begins like this, nor does a CRC with MessagePack behind it.
_MARK: Final = b"\x00sealed\x01"
_HEAD: Final = struct.Struct("<8sI")
_BOUND: Final = struct.Struct("<Iq")


class Cell(enum.StrEnum):
    """The columns."""

    CACHED = "email.cached"
    PREFIX = "email.prefix"
    QUEUED = "queue.prefix"


def sealed(key: DataKey, cell: Cell, blob_id: int, data: bytes) -> bytes:
    """The value as the row has it; nothing is nothing."""
    if not data:
        return data
    return _HEAD.pack(_MARK, key.id) + seal(data, key.octets, _bound(key.id, cell, blob_id))


def is_sealed(stored: bytes) -> bool:
    """Whether a row's value has to be opened."""
    return stored.startswith(_MARK)


def opened(keys: Keys, cell: Cell, blob_id: int, stored: bytes, *, only_sealed: bool = False) -> bytes:
    """The value that is meant. Raises KeyMissing, BadFrame.

    `only_sealed`: its body is sealed, so that a value in the clear is one that somebody put there.
    """
    if not stored.startswith(_MARK):
        if only_sealed and stored:
            raise BadFrame("it lies in the clear, and its body does not")
        return stored
    id_ = int.from_bytes(stored[len(_MARK) : _HEAD.size], "little")
    return unseal(stored[_HEAD.size :], keys(id_).octets, _bound(id_, cell, blob_id))


def _bound(key_id: int, cell: Cell, blob_id: int) -> bytes:
    return _BOUND.pack(key_id, blob_id) + cell.encode()
