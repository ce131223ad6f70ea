"""Bodies into the frames of a record, and back. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from postrider.store import records
from postrider.store.codecs import CODECS, META, PLAIN, ZSTD, BadFrame, Context, Octets, frame_count, frame_size, pays
from postrider.store.records import BARE, KIND_BODY, BadRecord, Frame, Header


class Subject(msgspec.Struct, frozen=True, gc=False):
    """What a record is to say about its body: hash and size of the plain bytes, kind, meta, the wanted codec."""

    hash: bytes
    size: int
    meta: bytes = b""
    kind: int = KIND_BODY
    codec: int = ZSTD
    key_id: int = records.KEY_NONE
    key: bytes = b""


class Encoder:
    """One record in the making: frames go in one after the other, header and table come out at the end."""

    def __init__(self, subject: Subject, first: Octets) -> None:
        """`first` is the first frame's bytes: whether they shrink decides how the body is kept."""
        self._subject = subject
        self._table: list[tuple[int, int]] = []
        codec = CODECS[subject.codec]
        encoded = codec.encode(first, self._context(0)) if subject.size else b""
        if codec.otherwise is not None and not (subject.size and pays(len(first), len(encoded))):
            self._subject = msgspec.structs.replace(subject, codec=codec.otherwise)
            codec = CODECS[codec.otherwise]
            encoded = codec.encode(first, self._context(0)) if subject.size else b""
        self._codec = codec
        self._meta = codec.encode(subject.meta, self._context(META)) if codec.hides_meta else subject.meta
        #: The first frame as it is to be stored.
        self.first = self._noted(encoded) if subject.size else b""

    @property
    def start(self) -> int:
        """Offset of the first frame from the record's start."""
        return records.HEADER_SIZE + len(self._meta) + frame_count(self._subject.size) * 8

    def frame(self, piece: Octets) -> bytes:
        """The next frame as it is to be stored."""
        return self._noted(self._codec.encode(piece, self._context(len(self._table))))

    def finish(self, date: int) -> tuple[Header, bytes]:
        """The header, and the bytes before the first frame; to be called after the last one."""
        head = self._meta + records.pack_table(self._table)
        stored = len(head) - len(self._meta) + sum(length for length, _ in self._table)
        subject = self._subject
        header = Header(
            subject.hash, subject.size, stored, date, zlib.crc32(head), subject.kind, subject.codec, subject.key_id,
            len(self._meta),
        )  # fmt: skip
        return header, records.pack_header(header) + head

    def _noted(self, encoded: bytes) -> bytes:
        self._table.append((len(encoded), zlib.crc32(encoded)))
        return encoded

    def _context(self, number: int) -> Context:
        subject = self._subject
        size = len(subject.meta) if number == META else frame_size(subject.size, number)
        return Context(subject.hash, number, size, subject.key, subject.size)


def decode(header: Header, frames: Sequence[Frame], number: int, stored: Octets, key: bytes = b"") -> bytes:
    """The plain bytes of one frame. Raises BadRecord."""
    check(frames[number], stored)
    size = header.size if header.version == BARE else frame_size(header.size, number)
    return _decoded(header, stored, Context(header.hash, number, size, key, header.size))


def check(frame: Frame, stored: Octets) -> None:
    """Raises BadRecord when these are not the bytes that the table tells of."""
    if len(stored) < frame.stored:
        raise BadRecord("the file ends inside a record")
    if zlib.crc32(stored) != frame.crc:
        raise BadRecord("the record's checksum does not fit")


def decode_meta(header: Header, meta: bytes, key: bytes = b"") -> bytes:
    """The plain meta. Raises BadRecord."""
    codec = CODECS.get(header.codec)
    if codec and not codec.hides_meta:
        return meta
    return _decoded(header, meta, Context(header.hash, META, 0, key, header.size))


def _decoded(header: Header, stored: Octets, context: Context) -> bytes:
    codec = CODECS.get(header.codec)
    if codec is None or (header.codec in (PLAIN, ZSTD) and header.key_id != records.KEY_NONE):
        raise BadRecord(f"codec {header.codec} with key {header.key_id} is newer than this program")
    try:
        return codec.decode(bytes(stored), context)
    except BadFrame as error:
        raise BadRecord(str(error)) from error
