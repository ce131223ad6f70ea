"""How the bytes of a record lie in the file: a table of codecs, each working on one frame at a time. Pure.

A body is cut into frames of 1 MiB that stand for themselves, so that a range is read from the frames it touches.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

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

# Level 1 costs 60 microseconds for a text of 24 KiB and halves it; level 3 costs 60 % more for another 4 %.
_LEVEL: Final = 1
#: A first frame that is larger than this part of what it was shows that the body does not pay.
_PAYS: Final = 0.9


class BadFrame(Exception):
    """The bytes are not what this codec wrote; the message says in which way."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a codec may know of the frame: the record's hash, the frame's number, its plain length, the account's key.

    Sealing codecs authenticate the first three along with the bytes; the others do without.
    """

    hash: bytes
    number: int
    size: int
    key: bytes = b""


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


#: The codecs by the number that a record's header has.
CODECS: Final[Mapping[int, Codec]] = {
    PLAIN: Codec("plain", _same, _same),
    ZSTD: Codec("zstd", _squeeze, _stretch, otherwise=PLAIN),
}


def pays(plain: int, encoded: int) -> bool:
    """Whether a first frame became enough smaller for the body to be kept that way."""
    return encoded <= plain * _PAYS


def frame_count(size: int) -> int:
    """Frames of a body of so many octets."""
    return -(-size // FRAME)


def frame_size(size: int, number: int) -> int:
    """Plain octets of frame `number` of such a body."""
    return min(FRAME, size - number * FRAME)
