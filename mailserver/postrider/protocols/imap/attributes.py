"""The items of FETCH: their parser (RFC 9051 §6.4.5, RFC 7162, RFC 8474, RFC 8514, RFC 8970)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from postrider.protocols.imap.events import FetchItem, Section
from postrider.protocols.imap.grammar import Cursor, SyntaxFault

MAX_ITEMS = 200
MAX_PART_DEPTH = 100

#: RFC 9051 §6.4.5: macros stand alone.
MACROS: Mapping[str, tuple[FetchItem, ...]] = {
    "ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    "FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    "FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
#: RFC 3501 §6.4.5: the old names of sections.
RFC822_FORMS: Mapping[str, Section] = {
    "RFC822": Section(b"RFC822"),
    "RFC822.HEADER": Section(b"RFC822.HEADER", text="HEADER", peek=True),
    "RFC822.TEXT": Section(b"RFC822.TEXT", text="TEXT"),
}
PLAIN_ITEMS = frozenset(
    {
        "FLAGS", "UID", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY", "BODYSTRUCTURE", "MODSEQ", "EMAILID",
        "THREADID", "SAVEDATE", "PREVIEW",
    }
)  # fmt: skip
_SECTION_TEXTS = ("HEADER.FIELDS.NOT", "HEADER.FIELDS", "HEADER", "TEXT", "MIME")
_NAME = re.compile(rb"[A-Za-z0-9.]+")
_PART = re.compile(rb"[1-9][0-9]{0,9}(?:\.[1-9][0-9]{0,9})*")
_WORD = re.compile(rb"[^\x00-\x20(){%*\"\\\]\x7f-\xff]+")


def parse_items(cursor: Cursor) -> tuple[FetchItem, ...]:
    """One item, a macro, or a list of items."""
    if cursor.peek(b"("):
        items = tuple(cursor.group(lambda: _item(cursor)))
        if not items:
            raise SyntaxFault("an empty list of items")
        if len(items) > MAX_ITEMS:
            raise SyntaxFault("too many items")
        return items
    match = _NAME.match(cursor.data, cursor.at)
    if match and (macro := MACROS.get(match[0].upper().decode("ascii"))):
        cursor.at = match.end()
        return macro
    return (_item(cursor),)


def _item(cursor: Cursor) -> FetchItem:
    match = _NAME.match(cursor.data, cursor.at)
    if match is None:
        raise SyntaxFault(f"expected an item at octet {cursor.at}")
    cursor.at = match.end()
    name = match[0].upper().decode("ascii")
    if cursor.peek(b"["):
        return _section(cursor, name)
    if name in RFC822_FORMS:
        return RFC822_FORMS[name]
    if name not in PLAIN_ITEMS:
        raise SyntaxFault("unknown item")
    if name == "PREVIEW":
        cursor.skip(b" (LAZY)")  # RFC 8970 §3.2: ours are ready, lazy or not
    return name


def _section(cursor: Cursor, name: str) -> Section:
    kinds = {"BODY", "BODY.PEEK", "BINARY", "BINARY.PEEK", "BINARY.SIZE"}
    if name not in kinds:
        raise SyntaxFault("this item takes no section")
    cursor.take(b"[")
    part = _part(cursor)
    text, fields = "", tuple[bytes, ...]()
    binary = name.startswith("BINARY")
    if not binary and not cursor.peek(b"]"):
        text, fields = _section_text(cursor, part)
    cursor.take(b"]")
    partial = None
    if name != "BINARY.SIZE" and cursor.skip(b"<"):
        start = cursor.number64()
        cursor.take(b".")
        partial = (start, cursor.number64())
        cursor.take(b">")
        if partial[1] == 0:
            raise SyntaxFault("a partial fetch of nothing")
    return Section(
        label=_label(name, part, text, fields, partial),
        part=part,
        text=text,
        fields=fields,
        partial=partial,
        peek=name not in {"BODY", "BINARY"},
        binary=binary,
        size_only=name == "BINARY.SIZE",
    )


def _part(cursor: Cursor) -> tuple[int, ...]:
    match = _PART.match(cursor.data, cursor.at)
    if match is None:
        return ()
    cursor.at = match.end()
    part = tuple(int(number) for number in match[0].split(b"."))
    if len(part) > MAX_PART_DEPTH:
        raise SyntaxFault("a part is nested too deeply")
    return part


def _section_text(cursor: Cursor, part: tuple[int, ...]) -> tuple[str, tuple[bytes, ...]]:
    if part:
        cursor.take(b".")
    for text in _SECTION_TEXTS:
        if cursor.skip(text.encode()):
            break
    else:
        raise SyntaxFault("unknown section")
    if text == "MIME" and not part:
        raise SyntaxFault("MIME needs a part number")
    if not text.startswith("HEADER.FIELDS"):
        return text, ()
    cursor.space()
    fields = tuple(cursor.group(cursor.astring))
    if not fields:
        raise SyntaxFault("an empty list of header fields")
    return text, fields


def _label(
    name: str, part: tuple[int, ...], text: str, fields: tuple[bytes, ...], partial: tuple[int, int] | None
) -> bytes:
    words = [".".join(map(str, part))] if part else []
    section = ".".join([*words, text] if text else words).encode()
    if fields:
        section += b" (" + b" ".join(_shown(field) for field in fields) + b")"
    origin = b"<%d>" % partial[0] if partial else b""
    return b"%b[%b]%b" % (name.replace(".PEEK", "").encode(), section, origin)


def _shown(field: bytes) -> bytes:
    if _WORD.fullmatch(field):
        return field
    if b"\r" in field or b"\n" in field or not field.isascii():
        return b"{%d}\r\n%b" % (len(field), field)
    return b'"%b"' % field.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
