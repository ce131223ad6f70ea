"""FETCH responses: items rendered message by message (RFC 9051 §7.5.2). The session puts in the bodies."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from postrider.model.mail import Content
from postrider.protocols.imap.events import FetchItem, Section
from postrider.protocols.imap.flags import flag_list
from postrider.protocols.imap.responses import string
from postrider.protocols.imap.structure import body_structure, envelope

#: The first and the last second that a date-time can name; INTERNALDATE may lie beyond (a zone, a file's odd date).
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")


class Flagged(Protocol):
    """The small part of a message."""

    @property
    def uid(self) -> int:
        """UID."""
        ...

    @property
    def modseq(self) -> int:
        """Its last change (RFC 7162)."""
        ...

    @property
    def flags(self) -> int:
        """System flags as bits."""
        ...

    @property
    def keywords(self) -> tuple[str, ...]:
        """Keywords."""
        ...


class Row(Flagged, Protocol):
    """A message without its content."""

    @property
    def size(self) -> int:
        """Octets of prefix and blob."""
        ...

    @property
    def received(self) -> int:
        """INTERNALDATE, seconds since the epoch."""
        ...

    @property
    def saved(self) -> int:
        """SAVEDATE, seconds since the epoch."""
        ...

    @property
    def email_id(self) -> str:
        """EMAILID (RFC 8474)."""
        ...

    @property
    def thread_id(self) -> str:
        """THREADID (RFC 8474)."""
        ...


class Depth(enum.IntEnum):
    """How much of a message has to be read for an item."""

    FLAGS = 0
    ROW = 1
    CONTENT = 2
    BODY = 3


#: Items of each depth; sections are BODY.
_FLAG_ITEMS: Mapping[str, Callable[[Flagged], bytes]] = {
    "UID": lambda row: b"UID %d" % row.uid,
    "FLAGS": lambda row: b"FLAGS (%b)" % flag_list(row.flags, row.keywords),
    "MODSEQ": lambda row: b"MODSEQ (%d)" % row.modseq,
}
_ROW_ITEMS: Mapping[str, Callable[[Row], bytes]] = {
    "INTERNALDATE": lambda row: b"INTERNALDATE " + date_time(row.received),
    "RFC822.SIZE": lambda row: b"RFC822.SIZE %d" % row.size,
    "SAVEDATE": lambda row: b"SAVEDATE " + date_time(row.saved),
    "EMAILID": lambda row: b"EMAILID (%b)" % row.email_id.encode(),
    "THREADID": lambda row: b"THREADID (%b)" % row.thread_id.encode() if row.thread_id else b"THREADID NIL",
}
_CONTENT_ITEMS: Mapping[str, Callable[[Content], bytes]] = {
    "ENVELOPE": lambda content: b"ENVELOPE " + envelope(content.envelope),
    "BODY": lambda content: b"BODY " + body_structure(content.root, extended=False),
    "BODYSTRUCTURE": lambda content: b"BODYSTRUCTURE " + body_structure(content.root, extended=True),
    "PREVIEW": lambda content: b"PREVIEW " + string(content.preview.encode()),
}


def depth(items: Sequence[FetchItem]) -> Depth:
    """How much these items need."""
    deepest = Depth.FLAGS
    for item in items:
        if isinstance(item, Section):
            return Depth.BODY
        if item in _CONTENT_ITEMS:
            deepest = max(deepest, Depth.CONTENT)
        elif item in _ROW_ITEMS:
            deepest = max(deepest, Depth.ROW)
    return deepest


def flag_lines(items: Sequence[FetchItem], numbered: Sequence[tuple[int, Flagged]], recent: int) -> list[bytes]:
    r"""Whole responses for items of depth FLAGS. UIDs from `recent` on are \Recent (0: none)."""
    if tuple(items) in {("UID", "FLAGS"), ("FLAGS", "UID")} and not recent:
        return [
            b"* %d FETCH (UID %d FLAGS (%b))\r\n" % (number, row.uid, flag_list(row.flags, row.keywords))
            for number, row in numbered
        ]
    names = [item for item in items if isinstance(item, str)]
    return [
        b"* %d FETCH (%b)\r\n" % (number, b" ".join([_flag_item(name, row, recent) for name in names]))
        for number, row in numbered
    ]


def _flag_item(name: str, row: Flagged, recent: int) -> bytes:
    if name == "FLAGS" and 0 < recent <= row.uid:
        return b"FLAGS (%b)" % flag_list(row.flags, row.keywords, recent=True)
    return _FLAG_ITEMS[name](row)


def item_text(name: str, row: Row, content: Content | None, recent: int) -> bytes:
    """One item that is not a section. `content` is needed for items of depth CONTENT."""
    if name in _FLAG_ITEMS:
        return _flag_item(name, row, recent)
    if name in _ROW_ITEMS:
        return _ROW_ITEMS[name](row)
    if content is None:
        raise ValueError(f"{name} needs the content")
    return _CONTENT_ITEMS[name](content)


def date_time(seconds: int) -> bytes:
    """A date-time in quotes, UTC; the nearest there is."""
    moment = datetime.fromtimestamp(min(max(seconds, _FIRST), _LAST), UTC)
    return b'"%02d-%b-%04d %02d:%02d:%02d +0000"' % (
        moment.day, _MONTHS[moment.month - 1], moment.year, moment.hour, moment.minute, moment.second,
    )  # fmt: skip
