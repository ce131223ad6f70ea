"""ENVELOPE, BODY and BODYSTRUCTURE out of what the scanner found (RFC 9051 §7.5.2)."""

from __future__ import annotations

from postrider.model.mail import MailAddress, MailEnvelope, Part
from postrider.protocols.imap.responses import nstring, string

#: A multipart must have a part, and IMAP has no way to say otherwise.
_NO_PART = b'("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0)'


def envelope(found: MailEnvelope | None) -> bytes:
    """An ENVELOPE's value."""
    if found is None:
        return b"(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"
    return b"(%b %b %b %b %b %b %b %b %b %b)" % (
        nstring(found.date),
        nstring(found.subject),
        _addresses(found.from_),
        # RFC 9051 §7.5.2: absent or empty Sender and Reply-To are From.
        _addresses(found.sender or found.from_),
        _addresses(found.reply_to or found.from_),
        _addresses(found.to),
        _addresses(found.cc),
        _addresses(found.bcc),
        nstring(found.in_reply_to),
        nstring(found.message_id),
    )


def _addresses(addresses: tuple[MailAddress, ...]) -> bytes:
    if not addresses:
        return b"NIL"
    shown = [b"(%b NIL %b %b)" % (nstring(one.name), nstring(one.mailbox), nstring(one.host)) for one in addresses]
    return b"(%b)" % b"".join(shown)


def body_structure(part: Part, *, extended: bool) -> bytes:
    """BODYSTRUCTURE's value, or BODY's without the extension data."""
    if part.type == b"multipart":
        parts = b"".join(body_structure(inner, extended=extended) for inner in part.parts) or _NO_PART
        words = [parts, string(part.subtype)]
        if extended:
            words.append(_params(part.params))
    else:
        words = _single(part, extended=extended)
    if extended:
        words += [_disposition(part), _languages(part), nstring(part.location)]
    return b"(%b)" % b" ".join(words)


def _single(part: Part, *, extended: bool) -> list[bytes]:
    words = [
        string(part.type),
        string(part.subtype),
        _params(part.params),
        nstring(part.id),
        nstring(part.description),
        string(part.encoding),
        b"%d" % (part.end - part.body),
    ]
    if part.message is not None:  # RFC 9051 §7.5.2: message/rfc822 and message/global
        words += [envelope(part.envelope), body_structure(part.message, extended=extended), b"%d" % part.lines]
    elif part.type == b"text":
        words.append(b"%d" % part.lines)
    elif part.type == b"message" and part.subtype in (b"rfc822", b"global"):
        # Nested too deeply to be looked into: it must have the shape all the same.
        words += [envelope(None), _NO_PART, b"%d" % part.lines]
    if extended:
        words.append(nstring(part.md5))
    return words


def _params(params: tuple[tuple[bytes, bytes], ...]) -> bytes:
    if not params:
        return b"NIL"
    return b"(%b)" % b" ".join(b"%b %b" % (string(name), string(value)) for name, value in params)


def _disposition(part: Part) -> bytes:
    if part.disposition is None:
        return b"NIL"
    return b"(%b %b)" % (string(part.disposition), _params(part.disposition_params))


def _languages(part: Part) -> bytes:
    if not part.language:
        return b"NIL"
    return b"(%b)" % b" ".join(string(language) for language in part.language)
