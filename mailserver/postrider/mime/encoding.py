"""Transfer encodings, charsets and encoded words: undone within limits, never raising."""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Protocol

from postrider.mime.header import Octets

#: RFC 2045 §6.2: content is what it looks like. The misspellings occur in the wild.
IDENTITY = frozenset({b"7bit", b"8bit", b"binary", b"", b"7-bit", b"8-bit", b"7bits", b"8bits"})

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET) - {ord("=")})
_CHARSET_FAMILIES = re.compile(
    r"ascii|utf-(?:8|16|32)(?:-[bl]e)?|latin-1|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|gb2312|gbk|gb18030|hz|big5(?:hkscs)?"
    r"|shift_jis\w*|euc_\w+|iso2022_\w+|tis-620|johab|kz1048|ptcp154|hp-roman8"
)
# Written so that only line breaks are looked for.
_SPACE_AT_END = re.compile(rb"\n(?:(?<=[ \t]\n)|(?<=[ \t]\r\n))")
# The white space itself; the look behind keeps a long run from being read again from each of its octets.
_SPACE = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
# A word of the Q encoding may hold spaces: RFC 2047 §4.2 forbids it, some write it.
_WORD = r"=\?([^?\s]{1,40})\?([bB]\?[^?\s]*|[qQ]\?[^?]*)\?="
_ENCODED_WORD = re.compile(_WORD)
_ENCODED_WORDS = re.compile(_WORD.replace("(", "(?:") + r"(?:\s+" + _WORD.replace("(", "(?:") + ")*")
#: Names that mailers write and Python does not know.
_ALIASES = {
    "iso-8859-8-i": "iso8859-8", "iso-8859-8-e": "iso8859-8", "windows-874": "cp874", "x-gbk": "gb18030",
    "x-sjis": "cp932", "x-euc-jp": "euc_jp", "utf8mb4": "utf-8", "cp-850": "cp850",
}  # fmt: skip
#: Charsets that are written where their superset is meant (https://encoding.spec.whatwg.org/#names-and-labels).
_SUPERSETS = {
    "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932",
}  # fmt: skip
#: Charsets that begin with a byte order mark; in pieces they are refused without one.
_MARKED = frozenset({"utf-16", "utf-32"})
#: Octets that are decoded at once: what is hostile takes forty times as much memory meanwhile.
SLICE = 256 * 1024
#: Octets of text that are decoded at once: whatever else the process does waits meanwhile.
PIECE = 64 * 1024
#: Characters of a header value that are decoded.
MAX_DECODED = 256 * 1024


def decode_transfer(data: bytes, encoding: bytes) -> bytes:
    """Undo a Content-Transfer-Encoding; damaged or unknown encodings give what can be had."""
    if encoding not in _DECODERS:
        return data
    if len(data) <= SLICE:
        return _decode_base64(data) if encoding == b"base64" else _decode_quoted(data)
    decoding = decoder(encoding)
    pieces = [decoding.feed(data[at : at + SLICE]) for at in range(0, len(data), SLICE)]
    return b"".join([*pieces, decoding.finish()])


def decoded_size(data: Octets, start: int, end: int, encoding: bytes) -> int:
    """What `decode_transfer` makes of data[start:end], in octets; -1 where a line is too long to find out."""
    if encoding not in _DECODERS:
        return end - start
    if end - start <= SLICE:
        return _size(data[start:end], encoding)
    return _digits(data, start, end) * 6 // 8 if encoding == b"base64" else _quoted_size(data, start, end)


def is_known(encoding: bytes) -> bool:
    """True when `decode_transfer` undoes it, and does not just hand out what it got."""
    return encoding in IDENTITY or encoding in _DECODERS


class Decoder(Protocol):
    """A transfer encoding undone as the octets come."""

    def feed(self, data: bytes) -> bytes:
        """What is complete by now."""
        ...

    def finish(self) -> bytes:
        """The rest, at the end of the content."""
        ...


def decoder(encoding: bytes) -> Decoder:
    """A decoder that gives in pieces what `decode_transfer` gives at once."""
    return _DECODERS.get(encoding, _Identity)()


class _Identity:
    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""


class _Base64:
    def __init__(self) -> None:
        self._held = b""
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        if self._ended:
            return b""
        digits, padding, _ = data.translate(None, _NOT_BASE64).partition(b"=")
        self._ended = bool(padding)
        digits = self._held + digits
        whole = len(digits) & ~3
        self._held = digits[whole:]
        return binascii.a2b_base64(digits[:whole])

    def finish(self) -> bytes:
        return _decode_base64(self._held)


class _QuotedPrintable:
    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> bytes:
        whole = data.rfind(b"\n") + 1
        if not whole:
            self._held += data
            return b""
        lines = bytes(self._held) + data[:whole]
        self._held = bytearray(data[whole:])
        return _decode_quoted(lines)

    def finish(self) -> bytes:
        return _decode_quoted(bytes(self._held))


_DECODERS: Mapping[bytes, Callable[[], Decoder]] = {b"base64": _Base64, b"quoted-printable": _QuotedPrintable}


def _size(data: bytes, encoding: bytes) -> int:
    if encoding == b"base64":
        return len(data.translate(None, _NOT_BASE64).partition(b"=")[0]) * 6 // 8
    return len(_decode_quoted(data))


def _digits(data: Octets, start: int, end: int) -> int:
    """Base64 digits before the padding."""
    count = 0
    for at in range(start, end, SLICE):
        digits, padding, _ = data[at : min(at + SLICE, end)].translate(None, _NOT_BASE64).partition(b"=")
        count += len(digits)
        if padding:
            break
    return count


def _quoted_size(data: Octets, start: int, end: int) -> int:
    """The size of quoted-printable text that is decoded a slice of whole lines at a time."""
    size = 0
    while start < end:
        piece = data[start : min(start + SLICE, end)]
        if start + SLICE < end:
            piece = piece[: piece.rfind(b"\n") + 1]
            if not piece:
                return -1
        size += len(_decode_quoted(piece))
        start += len(piece)
    return size


def decode_charset(data: bytes, charset: bytes) -> str:
    """Text of a charset; unknown charsets and damaged octets give replacement characters, not errors."""
    codec = known_charset(charset)
    if len(data) <= PIECE or codec in _MARKED:
        return data.decode(codec, "replace")
    decoding = codecs.getincrementaldecoder(codec)("replace")
    pieces = [decoding.decode(data[at : at + PIECE]) for at in range(0, len(data), PIECE)]
    return "".join([*pieces, decoding.decode(b"", final=True)])


def known_charset(name: bytes) -> str:
    """The codec for a charset name out of a message, ASCII where it is unknown.

    Python's registry also holds codecs that are no charsets (punycode, unicode_escape ...): those are not used.
    """
    return _codec(name) if len(name) <= 40 else "ascii"


@lru_cache(128)
def _codec(name: bytes) -> str:
    text = name.decode("ascii", "ignore").strip().lower()
    if not text or text in ("us-ascii", "utf-8"):
        return "utf-8"
    try:
        found = codecs.lookup(_ALIASES.get(text, text)).name
    except (LookupError, ValueError):
        return "ascii"
    return _SUPERSETS.get(found, found) if _CHARSET_FAMILIES.fullmatch(found) else "ascii"


def decode_words(value: bytes) -> str:
    """A header value for people: encoded words (RFC 2047) decoded, raw UTF-8 (RFC 6532) kept, within MAX_DECODED."""
    text = value.decode("utf-8", "replace")[:MAX_DECODED]
    return _ENCODED_WORDS.sub(_words, text) if "=?" in text else text


def _words(match: re.Match[str]) -> str:
    """Adjacent encoded words; the white space between them is not text (RFC 2047 §6.2)."""
    decoded: list[str] = []
    before, octets = b"", bytearray()
    for word in _ENCODED_WORD.finditer(match[0]):
        # RFC 2231 §5: a language may follow the charset.
        charset = word[1].partition("*")[0].lower().encode("utf-8", "replace")
        content = word[2][2:].encode("utf-8", "replace")
        data = _decode_base64(content) if word[2][0] in "bB" else binascii.a2b_qp(content, header=True)
        if charset != before:
            decoded.append(decode_charset(bytes(octets), before))
            before, octets = charset, bytearray()
        # A character may be cut in two between words of one charset: §5 forbids it, it is common.
        octets += data
    decoded.append(decode_charset(bytes(octets), before))
    return "".join(decoded)


def _decode_base64(data: bytes) -> bytes:
    # RFC 2045 §6.8: characters outside the alphabet are ignored, padding ends the data.
    digits = data.translate(None, _NOT_BASE64).partition(b"=")[0]
    if len(digits) % 4 == 1:
        digits = digits[:-1]  # six bits make no octet
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _decode_quoted(data: bytes) -> bytes:
    # RFC 2045 §6.7 (3): white space before a line break was added on the way.
    if _SPACE_AT_END.search(data) or data[-1:] in (b" ", b"\t"):
        data = _SPACE.sub(b"", data)
    return binascii.a2b_qp(data)
