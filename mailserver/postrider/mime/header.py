"""Header blocks: fields, unfolding, structured values with parameters; tolerant, linear, never raising."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Protocol

#: Lines of one header block that are looked at; a stranger's ten thousand fields cost no more than these.
MAX_LINES = 5000
#: Parameters of one structured field that are kept; words, comments and quoted strings that are looked at.
MAX_PARAMETERS = 100
MAX_TOKENS = 1000
#: Octets of one field that parameters are read from.
MAX_STRUCTURED = 32 * 1024

#: RFC 2045 §5.1 token.
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MEDIA_TYPE = re.compile(rb"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*/\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)")
_PARAMETER = re.compile(rb';\s*+([^\s=;"]++)\s*+=\s*+("(?:[^"\\]++|\\.)*+"?|[^;"]*+)', re.DOTALL)
# Possessive throughout: what was read is never read again. RFC 5322 §4.5 allows white space before the colon.
_FIELD = re.compile(rb"\n([^\s:]++)[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)")
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|\\.|[()]|[^"\\()]++|\\', re.DOTALL)
_LINE_BREAK = re.compile(rb"[\r\n]+")

Parameters = tuple[tuple[bytes, bytes], ...]


class Octets(Protocol):
    """What is scanned: bytes, or an mmap of a spool file."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: slice, /) -> bytes: ...
    def find(self, sub: bytes, start: int, end: int, /) -> int:
        """As bytes.find."""
        ...


def header_end(data: Octets, start: int, limit: int) -> int:
    """Where the body begins: behind the first empty line, or `limit` where there is none before it."""
    if data[start : start + 1] == b"\n":
        return min(start + 1, limit)
    if data[start : start + 2] == b"\r\n":
        return min(start + 2, limit)
    crlf = data.find(b"\n\r\n", start, limit)
    bare = data.find(b"\n\n", start, limit if crlf < 0 else crlf + 1)
    if bare >= 0:
        return bare + 2
    return crlf + 3 if crlf >= 0 else limit


def fields(block: bytes, wanted: Collection[bytes] | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Names (lower case) and raw values, folding included, in order; only those in `wanted` where it is given.

    Lines that are no field (RFC 5322 §2.2) are passed over; a NUL or 8-bit octet is kept as it came.
    """
    for label, value in raw_fields(block):
        name = label.lower()
        if wanted is None or name in wanted:
            yield name, value


def raw_fields(block: bytes) -> list[tuple[bytes, bytes]]:
    """As `fields`, all of them, the names as they came."""
    if block.count(b"\n") >= MAX_LINES:
        block = b"\n".join(block.split(b"\n", MAX_LINES)[:MAX_LINES])
    found: list[tuple[bytes, bytes]] = _FIELD.findall(b"\n" + block)
    return found


def unfold(value: bytes) -> bytes:
    """A field's value on one line, without surrounding white space (RFC 5322 §2.2.3)."""
    return joined(value.strip())


def joined(text: bytes) -> bytes:
    """Folded text on one line: the line breaks go, the white space stays."""
    return _LINE_BREAK.sub(b"", text) if b"\n" in text or b"\r" in text else text


def unquote(text: bytes) -> bytes:
    """The content of a quoted-string (RFC 5322 §3.2.4); other text as it is."""
    if text[:1] != b'"':
        return text
    text = text[1:-1] if len(text) > 1 and text.endswith(b'"') else text[1:]
    return _QUOTED_PAIR.sub(rb"\1", text) if b"\\" in text else text


def without_comments(value: bytes) -> bytes:
    """A structured value with its comments (RFC 5322 §3.2.2) taken out; what follows MAX_TOKENS tokens is lost."""
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    depth = 0
    for match in islice(_COMMENT_TOKEN.finditer(value), MAX_TOKENS):
        token = match[0]
        if token == b"(":
            depth += 1
        elif token == b")":
            depth = max(0, depth - 1)
        elif not depth:
            kept.append(token)
    return b"".join(kept)


def token(value: bytes) -> bytes:
    """The first token of a structured value in lower case, b"" where there is none."""
    match = TOKEN.match(without_comments(value).lstrip())
    return match[0].lower() if match else b""


def parameters(value: bytes) -> Parameters:
    """The `; name=value` pairs: names in lower case, values unquoted; RFC 2231 pieces stay as they came."""
    if b";" not in value:
        return ()
    pairs = _PARAMETER.findall(without_comments(unfold(value[:MAX_STRUCTURED])))
    return tuple([(name.lower(), unquote(text.strip())) for name, text in pairs[:MAX_PARAMETERS]])


def media_type(value: bytes) -> tuple[bytes, bytes] | None:
    """Type and subtype of a Content-Type in lower case; None where RFC 2045 §5.2 says to take the default."""
    match = _MEDIA_TYPE.match(without_comments(value))
    return (match[1].lower(), match[2].lower()) if match else None


def parameter(parameters: Parameters, name: bytes) -> bytes:
    """The first value of that name, b"" where there is none."""
    return next((value for key, value in parameters if key == name), b"")
