"""What kind of message it is, as far as its structure and header tell: bits that search and JMAP ask for."""

from __future__ import annotations

from postrider.mime.envelope import Fields
from postrider.mime.header import parameter, token
from postrider.model.mail import Attribute, Part

# Plain numbers: an IntFlag is ten times as dear.
_ATTACHMENT, _CALENDAR, _LIST, _AUTOMATIC, _ENCRYPTED, _SIGNED, _REPORT = (
    int(bit)
    for bit in (
        Attribute.ATTACHMENT, Attribute.CALENDAR, Attribute.LIST, Attribute.AUTOMATIC, Attribute.ENCRYPTED,
        Attribute.SIGNED, Attribute.REPORT,
    )
)  # fmt: skip
_LIST_FIELDS = frozenset({b"list-id", b"list-post", b"list-unsubscribe"})
#: Precedence is not standardised; these are what lists and machines write.
_PRECEDENCES = {b"list": _LIST, b"bulk": _AUTOMATIC, b"junk": _AUTOMATIC}
_MULTIPARTS = {b"encrypted": _ENCRYPTED, b"signed": _SIGNED, b"report": _REPORT}
_PKCS7 = frozenset({b"pkcs7-mime", b"x-pkcs7-mime"})
#: Part types that clients deal with on their own, unless they are said to be attachments.
_PROCESSED = frozenset({
    (b"application", b"pgp-signature"), (b"application", b"pgp-encrypted"), (b"application", b"pkcs7-signature"),
    (b"application", b"x-pkcs7-signature"), (b"message", b"delivery-status"), (b"message", b"global-delivery-status"),
    (b"message", b"disposition-notification"), (b"message", b"feedback-report"), (b"text", b"rfc822-headers"),
    (b"text", b"calendar"), (b"text", b"x-amp-html"),
})  # fmt: skip
_SHOWN = frozenset({b"plain", b"html"})
_MEDIA = frozenset({b"image", b"audio", b"video"})


def attributes(root: Part, found: Fields) -> int:
    """The bits of model.mail.Attribute for a message and its header fields."""
    bits = _of_part(root, b"", 0)
    if not _LIST_FIELDS.isdisjoint(found):
        bits |= _LIST
    if b"precedence" in found:
        bits |= _PRECEDENCES.get(token(found[b"precedence"]), 0)
    # RFC 3834 §5
    if b"auto-submitted" in found and token(found[b"auto-submitted"]) != b"no":
        bits |= _AUTOMATIC
    return bits


def _of_part(part: Part, within: bytes, position: int) -> int:
    if part.type == b"multipart":
        bits = _MULTIPARTS.get(part.subtype, 0)
        for at, child in enumerate(part.parts):
            bits |= _of_part(child, part.subtype, at)
        return bits
    bits = 0
    if part.type == b"text" and part.subtype == b"calendar":
        bits |= _CALENDAR
    elif part.type == b"application" and part.subtype in _PKCS7:
        # RFC 8551 §3.2.2
        signed = parameter(part.params, b"smime-type").lower() in (b"signed-data", b"certs-only")
        bits |= _SIGNED if signed else _ENCRYPTED
    return bits | (_ATTACHMENT if _offered(part, within, position) else 0)


def _offered(part: Part, within: bytes, position: int) -> bool:
    """True for what a client should offer to download (RFC 8621 §4.1.4 hasAttachment and parseStructure)."""
    if part.disposition == b"attachment":
        return True
    if part.disposition == b"inline" or (part.type, part.subtype) in _PROCESSED:
        return False
    if part.type == b"text" and part.subtype in _SHOWN:
        # A later text with a name is a file; without one it goes on with the body.
        return position > 0 and (within == b"related" or _named(part)) and part.id is None
    if part.type in _MEDIA and within == b"related":
        return part.id is None and position > 0  # one with an id is shown by the text
    return not (part.type == b"application" and part.subtype in _PKCS7)


def _named(part: Part) -> bool:
    return any(name.startswith((b"name", b"filename")) for name, _ in part.params + part.disposition_params)
