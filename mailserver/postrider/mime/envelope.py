"""The header fields that are cached about a message, and the ENVELOPE they make."""

from __future__ import annotations

from collections.abc import Mapping

from postrider.mime.addresses import AddressParser
from postrider.mime.header import raw_fields, unfold
from postrider.model.mail import MailEnvelope

#: Raw values by name in lower case, folding included.
Fields = Mapping[bytes, bytes]

#: Octets of one field that are kept.
MAX_VALUE = 64 * 1024

_ADDRESS_FIELDS = frozenset({b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc"})
_MIME_FIELDS = frozenset({
    b"content-type", b"content-transfer-encoding", b"content-id", b"content-description", b"content-md5",
    b"content-disposition", b"content-language", b"content-location",
})  # fmt: skip
#: What is told of a message beside its ENVELOPE: its thread, whether a list or a machine sent it.
_OTHER_FIELDS = frozenset({
    b"references", b"list-id", b"list-post", b"list-unsubscribe", b"precedence", b"auto-submitted",
})  # fmt: skip
#: The fields of a part, and of a message.
PART_FIELDS = _MIME_FIELDS
MESSAGE_FIELDS = _MIME_FIELDS | _ADDRESS_FIELDS | _OTHER_FIELDS | {b"date", b"subject", b"in-reply-to", b"message-id"}


def first_fields(block: bytes, wanted: frozenset[bytes]) -> Fields:
    """The first field of each name; address fields that came several times are one list."""
    found: dict[bytes, bytes] = {}
    again: dict[bytes, list[bytes]] = {}
    for label, value in raw_fields(block):
        name = label.lower()
        if name not in wanted:
            continue
        if name not in found:
            found[name] = value
        elif name in _ADDRESS_FIELDS:
            again.setdefault(name, [found[name]]).append(value)
    for name, values in again.items():
        found[name] = b",".join(values)
    return found


def envelope(found: Fields, parser: AddressParser) -> MailEnvelope:
    """The ENVELOPE of a message with these fields (RFC 9051 §7.5.2)."""
    lists = {name: parser.parse(found[name]) for name in _ADDRESS_FIELDS & found.keys()}
    author = lists.get(b"from", ())
    return MailEnvelope(
        value(found, b"date"),
        value(found, b"subject"),
        author,
        # RFC 9051 §7.5.2: absent or empty, they default to From.
        lists.get(b"sender") or author,
        lists.get(b"reply-to") or author,
        lists.get(b"to", ()),
        lists.get(b"cc", ()),
        lists.get(b"bcc", ()),
        value(found, b"in-reply-to"),
        value(found, b"message-id"),
    )


def value(found: Fields, name: bytes) -> bytes | None:
    """A field's value on one line, None where there is no such field."""
    raw = found.get(name)
    return unfold(raw)[:MAX_VALUE] if raw is not None else None
