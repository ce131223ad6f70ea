"""The format of packs: a file header, then records that describe themselves. Pure.

A record is a fixed header, `meta` (MessagePack: whom it belongs to), a table of its frames, the frames, and zeros up
to a multiple of 8. All numbers are little-endian. The header's own CRC comes last in it, so a torn header is never
taken for a record; its other CRC is that of meta and table, and the table has one for each frame.

Version 1 had neither meta nor table: its payload is plain, and the header's CRC is the payload's. It stays readable.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from postrider.store.codecs import PLAIN, frame_count

FILE_HEADER: Final = struct.Struct("<8sHHIqq")  # magic, version, reserved, pack id, created, reserved
FILE_MAGIC: Final = b"PostPack"
FILE_VERSION: Final = 1
VERSION: Final = 2
#: Without meta and table.
BARE: Final = 1

# magic, version, kind, codec, reserved, key id, meta length, hash, size, stored, date, CRC, header CRC
_RECORD: Final = struct.Struct("<4sBBBBII32sQQqII")
MAGIC: Final = b"PRec"
HEADER_SIZE: Final = _RECORD.size
_FRAME: Final = struct.Struct("<II")  # stored length, CRC
_ALIGN: Final = 8
#: Octets that a codec may at most add to a frame, or to meta.
_SLACK: Final = 256

KIND_BODY: Final = 1
KIND_JOURNAL: Final = 2
KEY_NONE: Final = 0


class BadRecord(Exception):
    """The bytes are not a whole, undamaged record; the message says in which way."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """What a record says about itself. `size` counts the plain bytes, `stored` table and frames in the file."""

    hash: bytes
    size: int
    stored: int
    date: int
    crc: int
    kind: int = KIND_BODY
    codec: int = PLAIN
    key_id: int = KEY_NONE
    meta: int = 0
    version: int = VERSION

    @property
    def table(self) -> int:
        """Octets of the table of frames."""
        return 0 if self.version == BARE else frame_count(self.size) * _FRAME.size

    @property
    def head(self) -> int:
        """Octets of meta and table, which follow the header."""
        return self.meta + self.table

    @property
    def length(self) -> int:
        """Octets from this record's start to the next one's."""
        return padded(HEADER_SIZE + self.meta + self.stored)


class Frame(msgspec.Struct, frozen=True, gc=False):
    """Where one frame lies, from the record's start, and its checksum."""

    start: int
    stored: int
    crc: int


def padded(length: int) -> int:
    """The length with the zeros behind it."""
    return -(-length // _ALIGN) * _ALIGN


def largest(size: int, meta: int) -> int:
    """Octets that a record of such a body has at most."""
    return padded(HEADER_SIZE + meta + _SLACK + size + frame_count(size) * (_FRAME.size + _SLACK))


def pack_header(header: Header) -> bytes:
    """The header's bytes."""
    raw = _RECORD.pack(
        MAGIC, header.version, header.kind, header.codec, 0, header.key_id, header.meta,
        header.hash, header.size, header.stored, header.date, header.crc, 0,
    )  # fmt: skip
    return raw[:-4] + struct.pack("<I", zlib.crc32(raw[:-4]))


def unpack_header(raw: bytes) -> Header:
    """Read a header. Raises BadRecord."""
    if len(raw) < HEADER_SIZE:
        raise BadRecord("the file ends inside a header")
    magic, version, kind, codec, _, key_id, meta, digest, size, stored, date, crc, own = _RECORD.unpack_from(raw)
    if magic != MAGIC:
        raise BadRecord("no record begins here")
    if own != zlib.crc32(raw[: HEADER_SIZE - 4]):
        raise BadRecord("the header's checksum does not fit")
    if version > VERSION:
        raise BadRecord(f"record version {version} is newer than this program")
    return Header(digest, size, stored, date, crc, kind, codec, key_id, meta, version)


def pack_table(frames: Sequence[tuple[int, int]]) -> bytes:
    """The table of frames, each a stored length and a checksum."""
    return b"".join(_FRAME.pack(stored, crc) for stored, crc in frames)


def unpack_head(header: Header, head: bytes) -> tuple[bytes, list[Frame]]:
    """Meta and frames, from the bytes that follow the header. Raises BadRecord."""
    if len(head) < header.head:
        raise BadRecord("the file ends inside a record")
    if header.version == BARE:
        return head[: header.meta], [Frame(HEADER_SIZE + header.meta, header.stored, header.crc)]
    if zlib.crc32(head) != header.crc:
        raise BadRecord("the checksum of what the record says about itself does not fit")
    frames: list[Frame] = []
    start = HEADER_SIZE + header.head
    for stored, crc in _FRAME.iter_unpack(head[header.meta :]):
        frames.append(Frame(start, stored, crc))
        start += stored
    if start != HEADER_SIZE + header.meta + header.stored:
        raise BadRecord("the frames are not as long as the record says")
    return head[: header.meta], frames


def pack_file_header(pack_id: int, created: int) -> bytes:
    """The first bytes of a pack."""
    return FILE_HEADER.pack(FILE_MAGIC, FILE_VERSION, 0, pack_id, created, 0)


def check_file_header(raw: bytes, pack_id: int) -> None:
    """Raises BadRecord when these are not the first bytes of that pack."""
    if len(raw) < FILE_HEADER.size:
        raise BadRecord("the file is too short for a pack")
    magic, version, _, own_id, _, _ = FILE_HEADER.unpack_from(raw)
    if magic != FILE_MAGIC or own_id != pack_id:
        raise BadRecord("this is not the pack its name says")
    if version > FILE_VERSION:
        raise BadRecord(f"pack version {version} is newer than this program")
