"""How the bytes of a record lie in the file: a table of codecs, each working on one frame at a time.

A body is cut into frames of 1 MiB that stand for themselves, so that a range is read from the frames it touches. A
sealed frame is a nonce and AES-256-GCM under the account's key; what it authenticates beside itself (`_bound`) makes a
frame worth nothing anywhere but in its place. No I/O but random octets for nonces.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Octets = bytes | bytearray | memoryview

#: Plain octets of a frame; the last one of a body is shorter.
FRAME: Final = 1024 * 1024
#: The number under which a record's `meta` is a frame, for codecs that hide it.
META: Final = -1

PLAIN: Final = 0
ZSTD: Final = 1
SEALED: Final = 2
SEALED_ZSTD: Final = 3

# Level 1 costs 60 microseconds for a text of 24 KiB and halves it; level 3 costs 60 % more for another 4 %.
_LEVEL: Final = 1
#: A first frame that is larger than this part of what it was shows that the body does not pay.
_PAYS: Final = 0.9


class BadFrame(Exception):
    """The bytes are not what this codec wrote; the message says in which way."""


class Context(msgspec.Struct, frozen=True, gc=False):
    """What a codec may know of the frame: the record's hash, the frame's number, its plain length, the account's key.

    `whole` is the plain length of the body. Sealing codecs authenticate hash, number and `whole` along with the bytes;
    the others do without.
    """

    hash: bytes
    number: int
    size: int
    key: bytes = b""
    whole: int = 0


@dataclass(frozen=True, slots=True)
class Codec:
    """Encodes and decodes frames. `hides_meta`: the record's meta goes through it too, as frame META.

    `otherwise` is the codec for a body whose first frame does not become smaller by this one.
    """

    name: str
    encode: Callable[[Octets, Context], bytes]
    decode: Callable[[bytes, Context], bytes]
    otherwise: int | None = None
    hides_meta: bool = False


_squeezer = zstd.ZstdCompressor(level=_LEVEL)  # it has a lock of its own


def _squeeze(data: Octets, _: Context) -> bytes:
    return _squeezer.compress(data, zstd.ZstdCompressor.FLUSH_FRAME)


def _stretch(data: bytes, context: Context) -> bytes:
    try:
        # No more than the frame can be: what lies on a disk is not trusted with memory.
        plain = zstd.ZstdDecompressor().decompress(data, context.size + 1)
    except zstd.ZstdError as error:
        raise BadFrame(f"it cannot be decompressed: {error}") from error
    if len(plain) != context.size:
        raise BadFrame("decompressed, it is not as long as it says")
    return plain


def _same(data: Octets, _: Context) -> bytes:
    return bytes(data)


_BOUND: Final = struct.Struct("<B32sqq")
NONCE: Final = 12
#: Octets that sealing adds.
SEAL: Final = NONCE + 16


def seal(data: Octets, key: bytes, bound: bytes) -> bytes:
    """Nonce and ciphertext; `bound` must be said again to open it. Nonces are random: 2^32 seals a key at most."""
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(key).encrypt(nonce, data, bound)


def unseal(data: bytes, key: bytes, bound: bytes) -> bytes:
    """What was sealed. Raises BadFrame."""
    try:
        return AESGCM(key).decrypt(data[:NONCE], data[NONCE:], bound)
    except (InvalidTag, ValueError) as error:  # ValueError: too short for a nonce or a tag
        raise BadFrame("it is not what was sealed with this key, or not in its place") from error


def _bound(codec: int, context: Context) -> bytes:
    return _BOUND.pack(codec, context.hash, context.number, context.whole)


def _seal(data: Octets, context: Context) -> bytes:
    return seal(data, context.key, _bound(SEALED, context))


def _unseal(data: bytes, context: Context) -> bytes:
    return unseal(data, context.key, _bound(SEALED, context))


def _squeeze_and_seal(data: Octets, context: Context) -> bytes:
    plain = data if context.number == META else _squeeze(data, context)
    return seal(plain, context.key, _bound(SEALED_ZSTD, context))


def _unseal_and_stretch(data: bytes, context: Context) -> bytes:
    plain = unseal(data, context.key, _bound(SEALED_ZSTD, context))
    return plain if context.number == META else _stretch(plain, context)


#: The codecs by the number that a record's header has.
CODECS: Final[Mapping[int, Codec]] = {
    PLAIN: Codec("plain", _same, _same),
    ZSTD: Codec("zstd", _squeeze, _stretch, otherwise=PLAIN),
    SEALED: Codec("sealed", _seal, _unseal, hides_meta=True),
    SEALED_ZSTD: Codec("sealed zstd", _squeeze_and_seal, _unseal_and_stretch, otherwise=SEALED, hides_meta=True),
}
#: What takes the place of a codec for a body that is to be sealed.
SEALING: Final[Mapping[int, int]] = {PLAIN: SEALED, ZSTD: SEALED_ZSTD}


def pays(plain: int, encoded: int) -> bool:
    """Whether a first frame became enough smaller for the body to be kept that way."""
    return encoded <= plain * _PAYS


def frame_count(size: int) -> int:
    """Frames of a body of so many octets."""
    return -(-size // FRAME)


def frame_size(size: int, number: int) -> int:
    """Plain octets of frame `number` of such a body."""
    return min(FRAME, size - number * FRAME)
