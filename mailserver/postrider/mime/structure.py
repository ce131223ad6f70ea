"""What is told about a message beside its structure: the preview, and the keys that thread it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from postrider.mime.encoding import decode_charset, decode_transfer
from postrider.mime.header import Octets, parameter
from postrider.mime.markup import visible_text
from postrider.model.mail import Part

#: RFC 8970 §3.1: 200 characters are recommended, 256 the most.
PREVIEW_CHARACTERS = 200
#: Octets that are looked at: little, and when they give too few words, more.
_PLAIN_OCTETS = (1024, 8192)
_HTML_OCTETS = (4096, 64 * 1024)
#: Ancestors that are remembered for threading; the nearest ones are the last.
MAX_REFERENCES = 50
_MESSAGE_ID = re.compile(rb"<[^<>\s]{1,998}>")


def preview(data: Octets, root: Part) -> str:
    """The first words of the text, white space collapsed (RFC 8970); "" where there is no text."""
    part = _text_part(root)
    if part is None:
        return ""
    html = part.subtype == b"html"
    found = ""
    for octets in _HTML_OCTETS if html else _PLAIN_OCTETS:
        raw = data[part.body : min(part.end, part.body + octets)]
        # An octet cut off at the limit is no reason for a replacement character.
        text = decode_charset(decode_transfer(raw, part.encoding), parameter(part.params, b"charset"))
        if html:
            text = visible_text(text, 8 * PREVIEW_CHARACTERS)
        found = " ".join(text[: 8 * PREVIEW_CHARACTERS].split())
        if len(found) > PREVIEW_CHARACTERS or part.body + octets >= part.end:
            break
    return found[:PREVIEW_CHARACTERS].rstrip("\ufffd ").replace("\x00", "")


def thread_keys(own: bytes | None, parent: bytes | None, ancestors: bytes | None) -> tuple[bytes, ...]:
    """16-octet hashes of a message's Message-ID (first) and of those it answers to; without duplicates.

    Takes the values of its Message-ID, In-Reply-To and References.
    """
    ids = _MESSAGE_ID.findall(own)[:1] if own else []
    if parent:
        ids += _MESSAGE_ID.findall(parent)[:MAX_REFERENCES]
    if ancestors:
        ids += _MESSAGE_ID.findall(ancestors)[-MAX_REFERENCES:]
    return tuple([hashlib.blake2b(one, digest_size=16).digest() for one in dict.fromkeys(ids)])


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
