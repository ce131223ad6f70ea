"""Data keys: what mail is sealed with. Each account has one of its own, and the queue has one. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

#: Octets of a secret; AES-256.
SECRET: Final = 32
#: Whose key the queue's is, where an account is asked for.
QUEUE: Final = ""


class KeyMissing(Exception):
    """A key cannot be had: it was shredded, or its master key is not there. The message says which."""


class Shredded(KeyMissing):
    """It is gone for good, as it was meant to."""


@dataclass(frozen=True, slots=True)
class DataKey:
    """A key by the number that stands in what it sealed. Nothing prints it."""

    id: int
    #: For AES-256-GCM.
    octets: bytes = field(repr=False)
    #: For the search index of the account.
    index: bytes = field(repr=False)
    _mac: bytes = field(repr=False)

    @classmethod
    def of(cls, id_: int, secret: bytes) -> Self:
        """The key that is made of a secret: each use has a part of its own."""
        seal, index, mac = (_part(secret, use) for use in (b"postrider seal", b"postrider index", b"postrider mac"))
        return cls(id_, seal, index, mac)

    def mac(self, data: bytes) -> bytes:
        """32 octets that stand for these, and mean nothing without the key: equal mail cannot be told equal."""
        return hashlib.blake2b(data, key=self._mac, digest_size=32).digest()  # a third of what HMAC takes


#: Gives a key by its number. Raises KeyMissing.
Keys = Callable[[int], DataKey]


def none(id_: int) -> DataKey:
    """Keys where there are none."""
    raise KeyMissing(f"it is encrypted with key {id_:08x}, and no keys are there")


def _part(secret: bytes, use: bytes) -> bytes:
    return hmac.digest(secret, use, "sha256")
