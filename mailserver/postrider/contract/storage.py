"""Keys of the store: 32 bytes each, as people make them and as the keys plane carries them. Pure."""

from __future__ import annotations

import base64
import binascii

#: AES-256.
KEY_BYTES = 32
REMEDY = "Store 32 random bytes in base64, as `openssl rand -base64 32` makes them."


class BadKey(ValueError):
    """It is no key of a store; the message says why, without saying anything of the key."""


def key(text: str | bytes) -> bytes:
    """The key that a Secret's entry is, in base64 or as it is. Raises BadKey."""
    data = text.encode() if isinstance(text, str) else text
    found = data if len(data) == KEY_BYTES else _decoded(data)
    if len(set(found)) < 2:
        raise BadKey("is one byte again and again")
    return found


def _decoded(data: bytes) -> bytes:
    try:
        found = base64.b64decode(data.strip(), validate=True)
    except binascii.Error as error:
        raise BadKey(f"is neither {KEY_BYTES} bytes ({len(data)} are there) nor base64") from error
    if len(found) != KEY_BYTES:
        raise BadKey(f"has {len(found)} bytes in base64, not {KEY_BYTES}")
    return found


def encoded(data: bytes) -> str:
    """A key as the keys plane carries it."""
    return base64.b64encode(data).decode()


def fault(text: str | None) -> str:
    """What is wrong with a row of the keys plane, "" for nothing."""
    if text is None:
        return "is not there"
    try:
        key(text)
    except BadKey as error:
        return str(error)
    return ""
