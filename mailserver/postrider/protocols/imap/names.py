"""Mailbox names on the wire: modified UTF-7 for IMAP4rev1 (RFC 3501 §5.1.3), UTF-8 for IMAP4rev2 (RFC 9051 §5.1)."""

from __future__ import annotations

import binascii
import re

_SHIFTED = re.compile(rb"&([A-Za-z0-9+,]*)-")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+|&")


def decode_name(raw: bytes, *, utf8: bool) -> str:
    """A name as it came, or ValueError. Clients that send raw UTF-8 without having enabled it are understood too."""
    if utf8 or not raw.isascii():
        return raw.decode("utf-8")
    if b"&" not in raw:
        return raw.decode("ascii")
    text, end = "", 0
    for match in _SHIFTED.finditer(raw):
        text += _plain(raw[end : match.start()]) + _unshift(match[1])
        end = match.end()
    return text + _plain(raw[end:])


def encode_name(name: str, *, utf8: bool) -> bytes:
    """A name as the client understands it; not quoted yet."""
    if utf8:
        return name.encode()
    return _UNPRINTABLE.sub(_shift, name).encode("ascii")


def _plain(raw: bytes) -> str:
    if b"&" in raw:
        raise ValueError("an & in a mailbox name begins a shifted sequence (RFC 3501 section 5.1.3)")
    return raw.decode("ascii")


def _unshift(encoded: bytes) -> str:
    if not encoded:
        return "&"
    padded = encoded.replace(b",", b"/") + b"=" * (-len(encoded) % 4)
    try:
        return binascii.a2b_base64(padded).decode("utf-16-be")
    except binascii.Error as error:
        raise ValueError("not modified UTF-7") from error


def _shift(match: re.Match[str]) -> str:
    if match[0] == "&":
        return "&-"
    encoded = binascii.b2a_base64(match[0].encode("utf-16-be"), newline=False)
    return f"&{encoded.rstrip(b'=').replace(b'/', b',').decode('ascii')}-"
