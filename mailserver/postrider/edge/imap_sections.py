"""BODY[...] and BINARY[...]: sections read out of the store piece by piece, and no more of a body than is asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from postrider.mime.encoding import IDENTITY, decode_transfer, decoder, is_known
from postrider.model.mail import Content
from postrider.protocols.imap.events import Section
from postrider.protocols.imap.sections import Place, Span, locate, select_fields
from postrider.store.codecs import FRAME
from postrider.store.ports import Reader
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, MessageRow

#: Octets of a body sent at once.
BODY_SLICE = 64 * 1024
#: Octets of a body held for a client that does not take them. Bodies lie in frames: reading a frame in halves inflates
#: it twice, and a slow reader costs half as much.
BLOCK = FRAME // 2
#: Octets of a header that fields are picked from.
MAX_HEADER = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Letter:
    """One message to read sections of. Without `content` it is only read whole."""

    reader: Reader
    account: Account
    row: MessageRow
    content: Content | None

    async def read(self, start: int, length: int) -> bytes:
        """A range of the blob, all of it. Raises StoreError."""
        if length <= 0:
            return b""
        found = await self.reader.body(self.account, self.row.blob, start, length)
        if len(found) != length:
            raise StoreError(Reason.UNAVAILABLE, "a body is shorter than it should be")
        return found

    async def slices(self, start: int, end: int) -> AsyncIterator[bytes]:
        """The octets [start, end) of the blob in slices to be sent. Raises StoreError."""
        while start < end:
            block = await self.read(start, min(end - start, BLOCK - start % BLOCK))
            for at in range(0, len(block), BODY_SLICE):
                yield block[at : at + BODY_SLICE]
            start += len(block)

    def place(self, section: Section) -> Place | None:
        """Where a section lies; None where there is no such part."""
        size = self.row.blob.size
        return Place(True, Span(0, size)) if self.content is None else locate(section, self.content, size)


def undecodable(letter: Letter, section: Section) -> bool:
    """True for a BINARY section whose transfer encoding nobody knows (RFC 9051 §7.1 UNKNOWN-CTE)."""
    place = letter.place(section) if section.binary or section.size_only else None
    return place is not None and not is_known(place.encoding)


async def pieces(letter: Letter, section: Section) -> AsyncIterator[bytes]:
    """A section's part of the FETCH response. Raises StoreError, perhaps when a piece is out already."""
    place = letter.place(section)
    if place is None:
        yield section.label + (b" 0" if section.size_only else b" NIL")
        return
    if section.size_only:
        yield b"%b %d" % (section.label, await _decoded_size(letter, place))
        return
    if section.fields:
        header = await _fields(letter, section, place)
        start, stop = _window(section.partial, len(header))
        yield b"%b {%d}\r\n" % (section.label, stop - start)
        yield header[start:stop]
        return
    decoding = section.binary and place.encoding not in IDENTITY
    start, stop = _window(section.partial, await _decoded_size(letter, place) if decoding else _size(letter, place))
    stream = (_decoded if decoding else _raw)(letter, place, start, stop)
    sign = b""
    if section.binary and stop - start > BODY_SLICE:
        sign = b"~"
    elif section.binary:
        held = b"".join([piece async for piece in stream])
        sign, stream = (b"~" if b"\x00" in held else b""), _one(held)
    # RFC 9051 §4.3: only a literal8 may hold NUL, and nobody knows of what is long before it was read.
    yield b"%b %b{%d}\r\n" % (section.label, sign, stop - start)
    async for piece in stream:
        yield piece


def _size(letter: Letter, place: Place) -> int:
    return (len(letter.row.prefix) if place.prefix else 0) + place.span.end - place.span.start


async def _decoded_size(letter: Letter, place: Place) -> int:
    if place.encoding in IDENTITY:
        return _size(letter, place)
    if place.decoded >= 0:
        return place.decoded
    # A line of more than mime.encoding.SLICE octets: nobody could say at delivery.
    raw = await letter.read(place.span.start, place.span.end - place.span.start)
    return len(decode_transfer(raw, place.encoding))


def _window(partial: tuple[int, int] | None, size: int) -> tuple[int, int]:
    """The octets [start, stop) that a partial (RFC 9051 §6.4.5) asks for."""
    if partial is None:
        return 0, size
    start = min(partial[0], size)
    return start, min(start + partial[1], size)


async def _fields(letter: Letter, section: Section, place: Place) -> bytes:
    header = _cached(letter, place)
    if header is None:
        span = place.span
        header = await letter.read(span.start, min(span.end - span.start, MAX_HEADER))
    prefix = letter.row.prefix if place.prefix else b""
    return select_fields(prefix + header, section.fields, exclude=section.text == "HEADER.FIELDS.NOT")


def _cached(letter: Letter, place: Place) -> bytes | None:
    """The message's header out of the cache, where it is that and there."""
    content = letter.content
    if content is not None and content.header and place.span == Span(content.root.header, content.root.body):
        return content.header
    return None


async def _raw(letter: Letter, place: Place, start: int, stop: int) -> AsyncIterator[bytes]:
    """Octets [start, stop) of prefix and span, as they are."""
    prefix = letter.row.prefix if place.prefix else b""
    if start < len(prefix):
        yield prefix[start:stop]
    at, end = max(start - len(prefix), 0), max(stop - len(prefix), 0)
    cached = _cached(letter, place)
    if cached is not None:
        yield cached[at:end]
        return
    async for piece in letter.slices(place.span.start + at, place.span.start + end):
        yield piece


async def _decoded(letter: Letter, place: Place, start: int, stop: int) -> AsyncIterator[bytes]:
    """Octets [start, stop) of a part's content without its transfer encoding. It reads no further than they need."""
    decoding = decoder(place.encoding)
    at, position = place.span.start, 0
    while position < stop and at < place.span.end:
        # Base64 needs four octets for three, and line breaks.
        enough = min(at + (stop - position) * 3 // 2 + 128, place.span.end)
        async for encoded in letter.slices(at, enough):
            piece = decoding.feed(encoded)
            yield piece[max(start - position, 0) : max(stop - position, 0)]
            position += len(piece)
        at = enough
    if position < stop:
        piece = decoding.finish()
        if position + len(piece) < stop:
            raise StoreError(Reason.UNAVAILABLE, "a part decodes to less than it should")
        yield piece[max(start - position, 0) : stop - position]


async def _one(piece: bytes) -> AsyncIterator[bytes]:
    yield piece
