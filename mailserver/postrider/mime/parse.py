"""The scanner: one pass over a message finds header, structure and byte offsets. Linear, limited, never raising.

It must never copy a body, decode one, or recurse deeper than MAX_DEPTH, whatever a stranger sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from postrider.mime.addresses import parse_addresses
from postrider.mime.encoding import IDENTITY, decoded_size
from postrider.mime.header import (
    Octets,
    Parameters,
    fields,
    header_end,
    media_type,
    parameter,
    parameters,
    token,
    unfold,
)
from postrider.mime.structure import preview
from postrider.model.mail import Content, MailEnvelope, Part

#: Raised when `scan` learns something.
VERSION = 1
#: Header blocks up to this many octets are kept in Content.
MAX_CACHED_HEADER = 16 * 1024
#: Multiparts and messages within each other that are looked into.
MAX_DEPTH = 30
#: Parts of one message; what follows belongs to the last one.
MAX_PARTS = 1000
#: Octets of a header block whose fields are read; of a part's that are searched for its end.
MAX_HEADER = 256 * 1024
MAX_PART_HEADER = 64 * 1024
#: Lines that begin like a boundary and are none, before boundaries are looked for no more.
MAX_FALSE_BOUNDARIES = 20_000
#: Bodies in base64 or quoted-printable up to this many octets get their decoded size.
MAX_SIZED = 1024 * 1024
#: RFC 2046 §5.1.1 says 70; more occurs.
MAX_BOUNDARY = 250

_ADDRESS_FIELDS = {b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"}
_ENVELOPE_FIELDS = _ADDRESS_FIELDS | {b"date", b"subject", b"in-reply-to", b"message-id"}
_MIME_FIELDS = {
    b"content-type", b"content-transfer-encoding", b"content-id", b"content-description", b"content-md5",
    b"content-disposition", b"content-language", b"content-location",
}  # fmt: skip
_PART_FIELDS = frozenset(_MIME_FIELDS)
_MESSAGE_FIELDS = frozenset(_ENVELOPE_FIELDS | _MIME_FIELDS)

_TEXT = (b"text", b"plain")
_MESSAGE = (b"message", b"rfc822")
_MESSAGES = {_MESSAGE, (b"message", b"global")}
# RFC 2045 §5.2: what a part without Content-Type is.
_DEFAULT_PARAMETERS = ((b"charset", b"us-ascii"),)

Fields = Mapping[bytes, bytes]


def scan(data: Octets) -> Content:
    """Find out everything that is cached about a message. Takes any bytes."""
    scanner = _Scanner(data)
    root, found = scanner.part(_Place(0, 0, _TEXT, message=True))
    header = data[0 : root.body] if root.body <= MAX_CACHED_HEADER else b""
    return Content(VERSION, header, _envelope(found), root, preview(data, root))


@dataclass(slots=True)
class _Boundary:
    """An open multipart's boundary and its next delimiter line at or after where we last asked."""

    needle: bytes  # with the line break before it
    at: int = -1  # where its "--" begins
    after: int = 0  # where the next line begins
    closing: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part begins and what is expected there."""

    start: int
    depth: int
    default: tuple[bytes, bytes]
    message: bool = False


class _Scanner:
    """One scan; `open` are the multiparts we are in, outermost first."""

    def __init__(self, data: Octets) -> None:
        self.data = data
        self.size = len(data)
        self.open: list[_Boundary] = []
        self.parts = 0
        self.false_boundaries = 0

    def part(self, place: _Place) -> tuple[Part, Fields]:
        """The part that begins at `place` and ends before the next delimiter of any open multipart."""
        self.parts += 1
        start = place.start
        limit = self.size if not place.depth else min(self.size, start + MAX_PART_HEADER)
        body = header_end(self.data, start, limit)
        level = self._next(start)
        if level >= 0 and self.open[level].at < body:
            # The delimiter's own line break is not content (RFC 2046 §5.1.1); without an empty line all is header.
            body = self._content_end(start, start)
        block = self.data[start : min(body, start + MAX_HEADER)]
        found = _first_fields(block, _MESSAGE_FIELDS if place.message else _PART_FIELDS)
        return self._typed(place, body, found), found

    def _typed(self, place: _Place, body: int, found: Fields) -> Part:
        content_type = found.get(b"content-type")
        kind = media_type(content_type) if content_type is not None else None
        params: Parameters = _DEFAULT_PARAMETERS if place.default == _TEXT else ()
        if kind is None or content_type is None:
            kind = place.default
        else:
            params = parameters(content_type)
        encoding = token(found[b"content-transfer-encoding"]) if b"content-transfer-encoding" in found else b""
        parts: tuple[Part, ...] = ()
        message, envelope, decoded = None, None, -1
        if kind[0] == b"multipart":
            parts, end = self._multipart(place, body, kind[1], parameter(params, b"boundary"))
        elif kind in _MESSAGES:
            message, envelope, end = self._message(place, body, encoding)
        else:
            end = self._content_end(body, body)
            if encoding in IDENTITY:
                decoded = end - body
            elif end - body <= MAX_SIZED:
                decoded = decoded_size(self.data[body:end], encoding)
        disposition = found.get(b"content-disposition")
        return Part(
            place.start, body, end, kind[0], kind[1], params, encoding or b"7bit",
            self._lines(body, end) if kind[0] == b"text" or message is not None else 0,
            _unfolded(found, b"content-id"), _unfolded(found, b"content-description"), _unfolded(found, b"content-md5"),
            (token(disposition) or None) if disposition is not None else None,
            parameters(disposition) if disposition is not None else (),
            _languages(found.get(b"content-language", b"")),
            _unfolded(found, b"content-location"), parts, message, envelope, decoded,
        )  # fmt: skip

    def _multipart(self, place: _Place, body: int, subtype: bytes, boundary: bytes) -> tuple[tuple[Part, ...], int]:
        boundary = boundary.rstrip()  # RFC 2046 §5.1.1: it never ends with white space
        children: list[Part] = []
        position = body
        if boundary and len(boundary) <= MAX_BOUNDARY and place.depth < MAX_DEPTH:
            mine = _Boundary(b"\n--" + boundary)
            level = len(self.open)
            self.open.append(mine)
            # RFC 2046 §5.1.5
            default = _MESSAGE if subtype == b"digest" else _TEXT
            while self._next(position) == level and not mine.closing and self.parts < MAX_PARTS:
                child, _ = self.part(_Place(mine.after, place.depth + 1, default))
                children.append(child)
                position = child.end
            if mine.closing and self._next(position) == level:
                position = mine.after
            del self.open[level:]
        end = self._content_end(body, position)
        if not children:
            # IMAP has no empty multipart: what there is shows as one text part.
            children.append(Part(body, body, end, lines=self._lines(body, end), decoded=end - body))
        return tuple(children), end

    def _message(self, place: _Place, body: int, encoding: bytes) -> tuple[Part, MailEnvelope, int]:
        if encoding in IDENTITY and place.depth < MAX_DEPTH and self.parts < MAX_PARTS:
            message, found = self.part(_Place(body, place.depth + 1, _TEXT, message=True))
            return message, _envelope(found), message.end
        # RFC 2046 §5.2.1 forbids encoding a message: what is encoded stays closed.
        end = self._content_end(body, body)
        return Part(body, body, end, lines=self._lines(body, end), decoded=end - body), MailEnvelope(), end

    def _next(self, position: int) -> int:
        """Level of the multipart whose delimiter comes next at or after position, -1 where none does."""
        best, level = self.size + 1, -1
        for index, boundary in enumerate(self.open):
            if boundary.at < position:
                self._find(boundary, position)
            if boundary.at <= best and boundary.at < self.size:
                best, level = boundary.at, index
        return level

    def _find(self, boundary: _Boundary, position: int) -> None:
        needle = boundary.needle
        search = max(0, position - 1)
        while self.false_boundaries < MAX_FALSE_BOUNDARIES:
            found = self.data.find(needle, search, self.size)
            if found < 0:
                break
            behind = found + len(needle)
            rest, line_break, _ = self.data[behind : behind + 200].partition(b"\n")
            closing = rest.startswith(b"--")
            padding = rest[2:] if closing else rest
            if not padding.strip() and (line_break or behind + len(rest) == self.size):
                boundary.at, boundary.closing = found + 1, closing
                boundary.after = behind + len(rest) + len(line_break)
                return
            self.false_boundaries += 1
            search = behind
        boundary.at = self.size

    def _content_end(self, body: int, position: int) -> int:
        """End of the content that begins at body: the next delimiter's line break at or after position, or the end."""
        level = self._next(position)
        if level < 0:
            return self.size
        end = self.open[level].at - 1  # the delimiter's own line break
        if self.data[end - 1 : end] == b"\r":
            end -= 1
        return max(body, end)

    def _lines(self, start: int, end: int) -> int:
        count, step = 0, 1 << 20
        for at in range(start, end, step):
            count += self.data[at : min(at + step, end)].count(b"\n")
        # A last line without a line break is a line.
        return count + (1 if end > start and self.data[end - 1 : end] != b"\n" else 0)


def _first_fields(block: bytes, wanted: frozenset[bytes]) -> Fields:
    """The first field of each name; address fields that came several times are one list."""
    found: dict[bytes, bytes] = {}
    for name, value in fields(block, wanted):
        if name not in found:
            found[name] = value
        elif name in _ADDRESS_FIELDS and len(found[name]) < MAX_HEADER:
            found[name] += b"," + value
    return found


def _envelope(found: Fields) -> MailEnvelope:
    lists = {name: parse_addresses(found[name]) for name in _ADDRESS_FIELDS if name in found}
    author = lists.get(b"from", ())
    return MailEnvelope(
        _unfolded(found, b"date"),
        _unfolded(found, b"subject"),
        author,
        # RFC 9051 §7.5.2: absent or empty, they default to From.
        lists.get(b"sender") or author,
        lists.get(b"reply-to") or author,
        lists.get(b"to", ()),
        lists.get(b"cc", ()),
        lists.get(b"bcc", ()),
        _unfolded(found, b"in-reply-to"),
        _unfolded(found, b"message-id"),
    )


def _unfolded(found: Fields, name: bytes) -> bytes | None:
    value = found.get(name)
    return unfold(value) if value is not None else None


def _languages(value: bytes) -> tuple[bytes, ...]:
    # RFC 3282: a comma-separated list of tags.
    return tuple(tag for tag in (token(piece) for piece in value.split(b",", 20)) if tag) if value else ()
