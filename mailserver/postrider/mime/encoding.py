"""Transfer encodings, charsets and encoded words: undone within limits, never raising."""

from __future__ import annotations

import binascii
import codecs
import re

#: RFC 2045 §6.2: content is what it looks like. The misspellings occur in the wild.
IDENTITY = frozenset({b"7bit", b"8bit", b"binary", b"", b"7-bit", b"8-bit", b"7bits", b"8bits"})

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_BASE64 = bytes(set(range(256)) - set(_ALPHABET) - {ord("=")})
_CHARSET_FAMILIES = re.compile(
    r"ascii|utf-(?:8|16|32)(?:-[bl]e)?|latin-1|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|gb2312|gbk|gb18030|hz|big5(?:hkscs)?"
    r"|shift_jis\w*|euc_\w+|iso2022_\w+|tis-620|johab|kz1048|ptcp154|hp-roman8"
)
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,40})\?([bBqQ])\?([^?\s]*)\?=(?:\s+(?==\?[^?\s]{1,40}\?[bBqQ]\?))?")
#: Characters of a header value in which encoded words are looked for.
MAX_DECODED = 8192


def decode_transfer(data: bytes, encoding: bytes) -> bytes:
    """Undo a Content-Transfer-Encoding; damaged or unknown encodings give what can be had."""
    if encoding == b"base64":
        return _decode_base64(data)
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(_without_trailing_space(data))
    return data


def decoded_size(data: bytes, encoding: bytes) -> int:
    """len(decode_transfer(...)) without making it."""
    if encoding == b"base64":
        return len(data.translate(None, _NOT_BASE64).partition(b"=")[0]) * 6 // 8
    if encoding == b"quoted-printable":
        return len(decode_transfer(data, encoding))
    return len(data)


def decode_charset(data: bytes, charset: bytes) -> str:
    """Text of a charset; unknown charsets and damaged octets give replacement characters, not errors."""
    return data.decode(known_charset(charset), "replace")


def known_charset(name: bytes) -> str:
    """The codec for a charset name out of a message, ASCII where it is unknown.

    Python's registry also holds codecs that are no charsets (punycode, unicode_escape ...): those are not used.
    """
    text = name.decode("ascii", "ignore").strip().lower()
    if not text or text in ("us-ascii", "utf-8"):
        return "utf-8"
    try:
        found = codecs.lookup(text).name if len(text) <= 40 else ""
    except (LookupError, ValueError):
        return "ascii"
    return found if _CHARSET_FAMILIES.fullmatch(found) else "ascii"


def decode_words(value: bytes) -> str:
    """A header value for people: encoded words (RFC 2047) decoded, raw UTF-8 (RFC 6532) kept, within MAX_DECODED."""
    text = value.decode("utf-8", "replace")[:MAX_DECODED]
    return _ENCODED_WORD.sub(_word, text) if "=?" in text else text


def _word(match: re.Match[str]) -> str:
    # RFC 2231 §5: a language may follow the charset.
    charset = match[1].partition("*")[0].encode("utf-8", "replace")
    content = match[3].encode("utf-8", "replace")
    data = _decode_base64(content) if match[2] in "bB" else binascii.a2b_qp(content, header=True)
    return decode_charset(data, charset)


def _decode_base64(data: bytes) -> bytes:
    # RFC 2045 §6.8: characters outside the alphabet are ignored, padding ends the data.
    digits = data.translate(None, _NOT_BASE64).partition(b"=")[0]
    if len(digits) % 4 == 1:
        digits = digits[:-1]  # six bits make no octet
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def _without_trailing_space(data: bytes) -> bytes:
    # RFC 2045 §6.7 (3): white space before a line break was added on the way.
    if b" \r\n" in data or b" \n" in data or b"\t\r\n" in data or b"\t\n" in data:
        return b"\n".join(_trimmed(line) for line in data.split(b"\n"))
    return data


def _trimmed(line: bytes) -> bytes:
    return line[:-1].rstrip(b" \t") + b"\r" if line.endswith(b"\r") else line.rstrip(b" \t")
