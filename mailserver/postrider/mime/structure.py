"""What is told about a message beside its structure: the preview, and the keys that thread it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from postrider.mime.encoding import decode_charset, decode_transfer
from postrider.mime.header import Octets, fields, parameter
from postrider.mime.markup import visible_text
from postrider.model.mail import Part

#: RFC 8970 §3.1: 200 characters are recommended, 256 the most.
PREVIEW_CHARACTERS = 200
_PREVIEW_OCTETS = {b"plain": 4096, b"html": 64 * 1024}
#: Ancestors that are remembered for threading; the nearest ones are the last.
MAX_REFERENCES = 50
_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,998}>")
_THREAD_FIELDS = (b"message-id", b"in-reply-to", b"references")


def preview(data: Octets, root: Part) -> str:
    """The first words of the text, white space collapsed (RFC 8970); "" where there is no text."""
    part = _text_part(root)
    if part is None:
        return ""
    raw = data[part.body : min(part.end, part.body + _PREVIEW_OCTETS[part.subtype])]
    # An octet cut off at the limit is no reason for a replacement character: `text` ends where it is whole.
    text = decode_charset(decode_transfer(raw, part.encoding), parameter(part.params, b"charset"))
    if part.subtype == b"html":
        text = visible_text(text, 8 * PREVIEW_CHARACTERS)
    return " ".join(text[: 8 * PREVIEW_CHARACTERS].split())[:PREVIEW_CHARACTERS].rstrip("\ufffd ").replace("\x00", "")


def thread_keys(header: bytes) -> tuple[bytes, ...]:
    """16-octet hashes of the message's own Message-ID (first) and of those it answers to; without duplicates."""
    found: dict[bytes, list[bytes]] = {}
    for name, value in fields(header, _THREAD_FIELDS):
        if name not in found:
            found[name] = _MESSAGE_ID.findall(value)
    own, parent, ancestors = (found.get(name, []) for name in _THREAD_FIELDS)
    ids = dict.fromkeys(own[:1] + parent[:MAX_REFERENCES] + ancestors[-MAX_REFERENCES:])
    return tuple(hashlib.blake2b(one, digest_size=16).digest() for one in ids)


def leaves(part: Part) -> Iterator[Part]:
    """The parts without parts of their own, in order; attached messages are leaves."""
    if part.parts:
        for child in part.parts:
            yield from leaves(child)
    else:
        yield part


def _text_part(root: Part) -> Part | None:
    """The first text/plain that is no attachment, else the first such text/html."""
    markup = None
    for part in leaves(root):
        if part.type != b"text" or part.disposition == b"attachment":
            continue
        if part.subtype == b"plain":
            return part
        if part.subtype == b"html" and markup is None:
            markup = part
    return markup
