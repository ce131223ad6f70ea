"""What a message consists of, as the scanner found it and IMAP tells it: values, made by `mime`, cached by the store.

Header text is kept as the bytes that came; decoding is the reader's matter. Offsets count from the first byte of the
blob: the prefix a delivery adds is header fields in front of it and shifts nothing here.
"""

from __future__ import annotations

import enum

import msgspec


class MailValue(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The common shape: immutable, compact when cached; without cycles, so the garbage collector passes them over."""


class MailAddress(MailValue, frozen=True):
    """One address of a header field, as IMAP's ENVELOPE has it (RFC 9051 §7.5.2).

    A group begins with host None and mailbox its name, and ends with both None.
    """

    name: bytes | None
    mailbox: bytes | None
    host: bytes | None


class MailEnvelope(MailValue, frozen=True):
    """The fields of ENVELOPE; None where the header field is absent."""

    date: bytes | None = None
    subject: bytes | None = None
    from_: tuple[MailAddress, ...] = ()
    sender: tuple[MailAddress, ...] = ()  # falls back to from_
    reply_to: tuple[MailAddress, ...] = ()  # falls back to from_
    to: tuple[MailAddress, ...] = ()
    cc: tuple[MailAddress, ...] = ()
    bcc: tuple[MailAddress, ...] = ()
    in_reply_to: bytes | None = None
    message_id: bytes | None = None


class Part(MailValue, frozen=True):
    """One MIME part. [header, body) is its header with the empty line, [body, end) its content, undecoded."""

    header: int
    body: int
    end: int
    type: bytes = b"text"
    subtype: bytes = b"plain"
    params: tuple[tuple[bytes, bytes], ...] = ()
    encoding: bytes = b"7bit"
    lines: int = 0
    id: bytes | None = None
    description: bytes | None = None
    md5: bytes | None = None
    disposition: bytes | None = None
    disposition_params: tuple[tuple[bytes, bytes], ...] = ()
    language: tuple[bytes, ...] = ()
    location: bytes | None = None
    parts: tuple[Part, ...] = ()
    #: For message/rfc822 and message/global: what is inside; its offsets count from the same first byte.
    message: Part | None = None
    #: Envelope of that inner message.
    envelope: MailEnvelope | None = None
    #: Size after decoding the transfer encoding (RFC 3516 BINARY.SIZE), -1 where unknown.
    decoded: int = -1


class Attribute(enum.IntFlag):
    """What kind of message it is, as structure and header tell at delivery."""

    #: A part that a client should offer to download (RFC 8621 §4.1.4 hasAttachment).
    ATTACHMENT = 1
    #: A text/calendar part.
    CALENDAR = 2
    #: Sent by a mailing list (RFC 2919, RFC 2369).
    LIST = 4
    #: Sent by a machine (RFC 3834).
    AUTOMATIC = 8
    #: OpenPGP or S/MIME (RFC 3156, RFC 8551).
    ENCRYPTED = 16
    SIGNED = 32
    #: multipart/report: a bounce, a receipt, a complaint (RFC 6522).
    REPORT = 64


class Content(MailValue, frozen=True):
    """Everything cached about a message at delivery."""

    #: Raised when the scanner learns something; older rows are made anew when they are read. Fields only add.
    version: int
    #: The raw header block with its empty line, at most mime.parse.MAX_CACHED_HEADER octets, else b"".
    header: bytes
    envelope: MailEnvelope
    root: Part
    #: First words of the text (RFC 8970), UTF-8.
    preview: str = ""
    #: Bits of Attribute.
    attributes: int = 0
