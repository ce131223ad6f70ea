"""Header blocks: fields, unfolding, structured values with parameters; tolerant, linear, never raising."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Protocol

#: Lines of one header block that are looked at; a stranger's ten thousand fields cost no more than these.
MAX_LINES = 5000
#: Parameters of one structured field that are kept.
MAX_PARAMETERS = 100

#: RFC 2045 §5.1 token.
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_MEDIA_TYPE = re.compile(rb"\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)\s*/\s*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)")
_PARAMETER = re.compile(rb';\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]+|\\.)*"?|[^;"]*)', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_COMMENT_TOKEN = re.compile(rb'"(?:[^"\\]+|\\.)*"?|\\.|[()]|[^"\\()]+|\\', re.DOTALL)
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
    name = b""
    value: list[bytes] = []
    for line in block.split(b"\n", MAX_LINES)[:MAX_LINES]:
        if line[:1] in (b" ", b"\t"):
            if name:
                value.append(line)
            continue
        if name:
            yield name, b"\n".join(value)
            name = b""
        label, colon, rest = line.partition(b":")
        if colon:
            # RFC 5322 §4.5: obsolete syntax allows white space before the colon.
            label = label.rstrip().lower()
            if label and (wanted is None or label in wanted):
                name, value = label, [rest]
    if name:
        yield name, b"\n".join(value)


def unfold(value: bytes) -> bytes:
    """A field's value on one line, without surrounding white space (RFC 5322 §2.2.3)."""
    if b"\n" in value or b"\r" in value:
        value = _LINE_BREAK.sub(b"", value)
    return value.strip()


def unquote(text: bytes) -> bytes:
    """The content of a quoted-string (RFC 5322 §3.2.4); other text as it is."""
    if text[:1] != b'"':
        return text
    text = text[1:-1] if len(text) > 1 and text.endswith(b'"') else text[1:]
    return _QUOTED_PAIR.sub(rb"\1", text) if b"\\" in text else text


def without_comments(value: bytes) -> bytes:
    """A structured value with its comments (RFC 5322 §3.2.2) taken out."""
    if b"(" not in value:
        return value
    kept: list[bytes] = []
    depth = 0
    for match in _COMMENT_TOKEN.finditer(value):
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
    found = []
    for match in _PARAMETER.finditer(without_comments(unfold(value))):
        found.append((match[1].lower(), unquote(match[2].strip())))
        if len(found) == MAX_PARAMETERS:
            break
    return tuple(found)


def media_type(value: bytes) -> tuple[bytes, bytes] | None:
    """Type and subtype of a Content-Type in lower case; None where RFC 2045 §5.2 says to take the default."""
    match = _MEDIA_TYPE.match(without_comments(value))
    return (match[1].lower(), match[2].lower()) if match else None


def parameter(parameters: Parameters, name: bytes) -> bytes:
    """The first value of that name, b"" where there is none."""
    return next((value for key, value in parameters if key == name), b"")
