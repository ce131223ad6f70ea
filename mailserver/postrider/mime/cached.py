"""Content as the octets the store keeps beside a message."""

from __future__ import annotations

import msgspec

from postrider.mime.parse import VERSION
from postrider.model.mail import Content

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Content).decode


def to_cache(content: Content) -> bytes:
    """Octets for the store."""
    return _encode(content)


def from_cache(cached: bytes) -> Content | None:
    """What was cached; None where it is damaged or of an older version of the scanner, so that one has to scan anew.

    A newer version only adds at the end: a release that was rolled back goes on with what it understands.
    """
    try:
        found = _decode(cached)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.version >= VERSION else None
