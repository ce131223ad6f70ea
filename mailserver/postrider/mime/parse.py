"""The scanner: one pass over a message finds header, structure and byte offsets. Linear, limited, never raising.

It must never copy a body, decode one, or recurse deeper than MAX_DEPTH, whatever a stranger sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec

from postrider.mime.addresses import AddressParser
from postrider.mime.attributes import attributes
from postrider.mime.delimiters import Delimiters
from postrider.mime.encoding import IDENTITY, decoded_size
from postrider.mime.envelope import MESSAGE_FIELDS, PART_FIELDS, Fields, envelope, first_fields, value
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
from postrider.mime.structure import preview, thread_keys
from postrider.model.mail import Content, MailEnvelope, Part

#: Raised when `scan` learns something.
VERSION = 2
#: Header blocks up to this many octets are kept in Content.
MAX_CACHED_HEADER = 16 * 1024
#: Multiparts and messages within each other that are looked into.
MAX_DEPTH = 30
#: Parts of one message; what follows in their multiparts is no part of anything.
MAX_PARTS = 1000
#: Octets of a header block whose fields are read; of a part's that are searched for its end.
MAX_HEADER = 256 * 1024
MAX_PART_HEADER = 64 * 1024
#: Octets of fields that are kept of all parts together; parts behind them are told as plain text.
MAX_KEPT = 512 * 1024
#: RFC 2046 §5.1.1 says 70; more occurs.
MAX_BOUNDARY = 8192
#: Lines are counted by blocks of this many octets.
BLOCK = 1 << 20

_TEXT = (b"text", b"plain")
_MESSAGE = (b"message", b"rfc822")
_MESSAGES = {_MESSAGE, (b"message", b"global")}
# RFC 2045 §5.2: what a part without Content-Type is.
_DEFAULT_PARAMETERS = ((b"charset", b"us-ascii"),)

#: Id, description, MD5, disposition and its parameters, languages, location of a part; and of one that has none.
_Described = tuple[
    bytes | None, bytes | None, bytes | None, bytes | None, Parameters, tuple[bytes, ...], bytes | None
]  # fmt: skip
_NOT_DESCRIBED: _Described = (None, None, None, None, (), (), None)
_DESCRIPTIONS = PART_FIELDS - {b"content-type", b"content-transfer-encoding"}


def scan(data: Octets) -> Content:
    """Find out everything that is cached about a message. Takes any bytes."""
    return examine(data)[0]


def examine(data: Octets, completion: bytes = b"") -> tuple[Content, tuple[bytes, ...]]:
    """What is cached about a message, and its thread keys; `completion` are header fields a prefix adds to its own.

    Offsets count from the first byte of `data`; envelope and thread keys know the completion's Date and Message-ID
    where the message has none.
    """
    scanner = _Scanner(data)
    root, found = scanner.part(_Place(0, 0, _TEXT, message=True))
    header = data[0 : root.body] if root.body <= MAX_CACHED_HEADER else b""
    told = envelope(found, scanner.addresses)
    if completion and (told.date is None or told.message_id is None):
        added = {name: unfold(raw) for name, raw in fields(completion, (b"date", b"message-id"))}
        told = msgspec.structs.replace(
            told,
            date=added.get(b"date") if told.date is None else told.date,
            message_id=added.get(b"message-id") if told.message_id is None else told.message_id,
        )
    content = Content(VERSION, header, told, root, preview(data, root), attributes(root, found))
    return content, thread_keys(told.message_id, told.in_reply_to, found.get(b"references"))


@dataclass(slots=True)
class _Place:
    """Where a part begins and what is expected there."""

    start: int
    depth: int
    default: tuple[bytes, bytes]
    message: bool = False


class _Scanner:
    """One scan; it goes down into parts as deep as MAX_DEPTH lets it."""

    def __init__(self, data: Octets) -> None:
        self.data = data
        self.size = len(data)
        self.delimiters = Delimiters(data)
        self.parts = 0
        self.kept = 0
        self.addresses = AddressParser()
        self._newlines: list[int] = []

    def part(self, place: _Place) -> tuple[Part, Fields]:
        """The part that begins at `place` and ends before the next delimiter of any open multipart."""
        self.parts += 1
        start = place.start
        limit = self.size if not place.depth else min(self.size, start + MAX_PART_HEADER)
        self.delimiters.seek(start)
        body = header_end(self.data, start, min(limit, self.delimiters.at))  # without an empty line all is header
        block = self.data[start : min(body, start + MAX_HEADER)]
        found = first_fields(block, MESSAGE_FIELDS if place.message else PART_FIELDS)
        if place.depth:
            self.kept += sum(map(len, found.values()))
            if self.kept > MAX_KEPT:
                found = {}
        return self._typed(place, body, found), found

    def _typed(self, place: _Place, body: int, found: Fields) -> Part:
        kind, params = _type(found.get(b"content-type"), place.default)
        encoding = b""
        if b"content-transfer-encoding" in found:
            raw = found[b"content-transfer-encoding"]
            encoding = _usual_token(raw) if len(raw) <= _USUAL else token(raw)
        parts: tuple[Part, ...] = ()
        message, told, decoded = None, None, -1
        if kind[0] == b"multipart":
            parts, end = self._multipart(place, body, kind[1], parameter(params, b"boundary"))
        elif kind in _MESSAGES:
            message, told, end = self._message(place, body, encoding)
        else:
            end = self._content_end(body, body)
            decoded = end - body if encoding in IDENTITY else decoded_size(self.data, body, end, encoding)
        lines = self._lines(body, end) if kind[0] == b"text" or message is not None else 0
        described = _NOT_DESCRIBED if _DESCRIPTIONS.isdisjoint(found) else _described(found)
        return Part(
            place.start, body, end, kind[0], kind[1], params, encoding or b"7bit", lines, *described, parts, message,
            told, decoded,
        )  # fmt: skip

    def _multipart(self, place: _Place, body: int, subtype: bytes, boundary: bytes) -> tuple[tuple[Part, ...], int]:
        boundary = boundary.rstrip()  # RFC 2046 §5.1.1: it never ends with white space
        children: list[Part] = []
        position = body
        if boundary and len(boundary) <= MAX_BOUNDARY and place.depth < MAX_DEPTH:
            delimiters = self.delimiters
            level = delimiters.open(boundary)
            # RFC 2046 §5.1.5
            default = _MESSAGE if subtype == b"digest" else _TEXT
            while delimiters.seek(position) == level and not delimiters.closing and self.parts < MAX_PARTS:
                child, _ = self.part(_Place(delimiters.after, place.depth + 1, default))
                children.append(child)
                position = child.end
            if delimiters.seek(position) == level and delimiters.closing:
                position = delimiters.after
            delimiters.close(level)
        end = self._content_end(body, position)
        if children:
            # A last part without anything ends behind the line break that the next delimiter has in common with it.
            end = max(end, children[-1].end)
        else:
            # IMAP has no empty multipart: what there is shows as one text part.
            children.append(Part(body, body, end, lines=self._lines(body, end), decoded=end - body))
        return tuple(children), end

    def _message(self, place: _Place, body: int, encoding: bytes) -> tuple[Part, MailEnvelope, int]:
        if encoding in IDENTITY and place.depth < MAX_DEPTH and self.parts < MAX_PARTS:
            message, found = self.part(_Place(body, place.depth + 1, _TEXT, message=True))
            return message, envelope(found, self.addresses), message.end
        # RFC 2046 §5.2.1 forbids encoding a message: what is encoded stays closed.
        end = self._content_end(body, body)
        return Part(body, body, end, lines=self._lines(body, end), decoded=end - body), MailEnvelope(), end

    def _content_end(self, body: int, position: int) -> int:
        """End of the content that begins at body: the next delimiter's line break at or after position, or the end."""
        if self.delimiters.seek(position) < 0:
            return self.size
        end = self.delimiters.at - 1  # the delimiter's own line break
        if self.data[end - 1 : end] == b"\r":
            end -= 1
        return max(body, end)

    def _lines(self, start: int, end: int) -> int:
        if end - start <= BLOCK:
            count = self.data[start:end].count(b"\n")
        else:
            count = self._newlines_before(end) - self._newlines_before(start)
        # A last line without a line break is a line.
        return count + (1 if end > start and self.data[end - 1 : end] != b"\n" else 0)

    def _newlines_before(self, position: int) -> int:
        """Line breaks before a position; whole blocks are counted once, however deep messages lie in each other."""
        blocks, rest = divmod(position, BLOCK)
        known = self._newlines
        while len(known) < blocks:
            at = len(known) * BLOCK
            known.append((known[-1] if known else 0) + self.data[at : at + BLOCK].count(b"\n"))
        return (known[blocks - 1] if blocks else 0) + self.data[position - rest : position].count(b"\n")


def _described(found: Fields) -> _Described:
    disposition = found.get(b"content-disposition")
    languages = found.get(b"content-language", b"").split(b",", 20)  # RFC 3282: a comma-separated list of tags
    return (
        value(found, b"content-id"),
        value(found, b"content-description"),
        value(found, b"content-md5"),
        (token(disposition) or None) if disposition is not None else None,
        parameters(disposition) if disposition is not None else (),
        tuple(tag for tag in map(token, languages) if tag),
        value(found, b"content-location"),
    )


#: Octets of a field that is worth remembering: it comes with message after message.
_USUAL = 80


def _type(content_type: bytes | None, default: tuple[bytes, bytes]) -> tuple[tuple[bytes, bytes], Parameters]:
    """Media type and parameters; the default where there is none, or none that can be read (RFC 2045 §5.2)."""
    if content_type is not None:
        usual = len(content_type) <= _USUAL and b"oundary" not in content_type
        kind, params = (_usual_type if usual else _read_type)(content_type)
        if kind is not None:
            return kind, params
    return default, _DEFAULT_PARAMETERS if default == _TEXT else ()


def _read_type(content_type: bytes) -> tuple[tuple[bytes, bytes] | None, Parameters]:
    return media_type(content_type), parameters(content_type)


_usual_type = lru_cache(512)(_read_type)
_usual_token = lru_cache(64)(token)
