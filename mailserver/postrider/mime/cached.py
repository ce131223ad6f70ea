"""Content as the octets the store keeps beside a message: a CRC, and MessagePack."""

from __future__ import annotations

import zlib

import msgspec

from postrider.mime.parse import VERSION
from postrider.model.mail import Content

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Content).decode


def to_cache(content: Content) -> bytes:
    """Octets for the store."""
    encoded = _encode(content)
    return zlib.crc32(encoded).to_bytes(4, "big") + encoded


def from_cache(cached: bytes) -> Content | None:
    """What was cached; None where it is damaged or of an older version of the scanner, so that one has to scan anew.

    A newer version only adds at the end: a release that was rolled back goes on with what it understands.
    """
    encoded = cached[4:]
    # Checked first: a damaged length would have the decoder ask for gigabytes.
    if zlib.crc32(encoded).to_bytes(4, "big") != cached[:4]:
        return None
    try:
        found = _decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.version >= VERSION else None
