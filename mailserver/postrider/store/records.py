"""The format of packs: a file header, then records that describe themselves. Pure.

A record is a fixed header, `meta` (MessagePack, empty for now), the payload, and zeros up to a multiple of 8. All
numbers are little-endian. The header's own CRC comes last in it, so a torn header is never taken for a record.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

FILE_HEADER: Final = struct.Struct("<8sHHIqq")  # magic, version, reserved, pack id, created, reserved
FILE_MAGIC: Final = b"PostPack"
VERSION: Final = 1

# magic, version, kind, codec, reserved, key id, meta length, hash, size, stored, date, payload CRC, header CRC
_RECORD: Final = struct.Struct("<4sBBBBII32sQQqII")
_MAGIC: Final = b"PRec"
HEADER_SIZE: Final = _RECORD.size
_ALIGN: Final = 8

KIND_BODY: Final = 1
CODEC_PLAIN: Final = 0
KEY_NONE: Final = 0


class BadRecord(Exception):
    """The bytes are not a whole, undamaged record; the message says in which way."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a record says about itself. `size` counts the plain bytes, `stored` the payload's in the file."""

    hash: bytes
    size: int
    stored: int
    date: int
    crc: int
    kind: int = KIND_BODY
    codec: int = CODEC_PLAIN
    key_id: int = KEY_NONE
    meta: int = 0

    @property
    def payload(self) -> int:
        """Offset of the payload from the record's start."""
        return HEADER_SIZE + self.meta

    @property
    def length(self) -> int:
        """Octets from this record's start to the next one's."""
        return padded(self.payload + self.stored)


def padded(length: int) -> int:
    """The length with the zeros behind it."""
    return -(-length // _ALIGN) * _ALIGN


def pack_header(header: Header) -> bytes:
    """The header's bytes."""
    raw = _RECORD.pack(
        _MAGIC, VERSION, header.kind, header.codec, 0, header.key_id, header.meta,
        header.hash, header.size, header.stored, header.date, header.crc, 0,
    )  # fmt: skip
    return raw[:-4] + struct.pack("<I", zlib.crc32(raw[:-4]))


def unpack_header(raw: bytes) -> Header:
    """Read a header. Raises BadRecord."""
    if len(raw) < HEADER_SIZE:
        raise BadRecord("the file ends inside a header")
    magic, version, kind, codec, _, key_id, meta, digest, size, stored, date, crc, own = _RECORD.unpack_from(raw)
    if magic != _MAGIC:
        raise BadRecord("no record begins here")
    if own != zlib.crc32(raw[: HEADER_SIZE - 4]):
        raise BadRecord("the header's checksum does not fit")
    if version > VERSION:
        raise BadRecord(f"record version {version} is newer than this program")
    return Header(digest, size, stored, date, crc, kind, codec, key_id, meta)


def pack_file_header(pack_id: int, created: int) -> bytes:
    """The first bytes of a pack."""
    return FILE_HEADER.pack(FILE_MAGIC, VERSION, 0, pack_id, created, 0)


def check_file_header(raw: bytes, pack_id: int) -> None:
    """Raises BadRecord when these are not the first bytes of that pack."""
    if len(raw) < FILE_HEADER.size:
        raise BadRecord("the file is too short for a pack")
    magic, version, _, own_id, _, _ = FILE_HEADER.unpack_from(raw)
    if magic != FILE_MAGIC or own_id != pack_id:
        raise BadRecord("this is not the pack its name says")
    if version > VERSION:
        raise BadRecord(f"pack version {version} is newer than this program")
