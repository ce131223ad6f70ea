"""The SMTP envelope: who sends, to whom, with which parameters, and from where it came (RFC 5321, RFC 3461)."""

from __future__ import annotations

import enum

import msgspec

from postrider.model.address import Address


class Source(enum.Enum):
    """How a message came to us; says which stages it goes through (ingest.pipeline.STAGES)."""

    MX = "mx"
    SUBMISSION = "submission"
    WEB = "web"  # webmail and JMAP
    OWN = "own"  # DSNs, reports, warnings
    STORE = "store"  # APPEND and import: into one mailbox, no routing


class Peer(msgspec.Struct, frozen=True):
    """The other end of a connection and what it has shown so far."""

    ip: str
    port: int
    helo: str = ""
    #: "", or the TLS version with the cipher, as in "TLSv1.3 TLS_AES_256_GCM_SHA384".
    tls: str = ""
    #: The Received `with` keyword: SMTP, ESMTP, ESMTPS, ESMTPSA, UTF8SMTP ... (RFC 3848, RFC 6531 §4.3).
    protocol: str = "ESMTP"
    #: Account of the authenticated user (store.values.Account), "" where nobody logged in.
    account: str = ""
    #: The address of the login.
    login: str = ""


class Notify(enum.Flag):
    """RFC 3461 §4.1. DEFAULT: the sender said nothing, so failures and (our choice) delays are reported."""

    DEFAULT = 0
    NEVER = enum.auto()
    SUCCESS = enum.auto()
    FAILURE = enum.auto()
    DELAY = enum.auto()


class Recipient(msgspec.Struct, frozen=True):
    """One RCPT TO."""

    address: Address
    notify: Notify = Notify.DEFAULT
    #: ORCPT exactly as received, "rfc822;..." (RFC 3461 §4.2), or "".
    orcpt: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """MAIL FROM, its parameters, and the recipients."""

    #: None is the null reverse-path <>.
    sender: Address | None
    recipients: tuple[Recipient, ...] = ()
    size: int = 0
    body: str = "7BIT"  # 7BIT, 8BITMIME or BINARYMIME
    smtputf8: bool = False
    ret: str = ""  # "", FULL or HDRS (RFC 3461 §4.3)
    envid: str = ""  # exactly as received (RFC 3461 §4.4)
    peer: Peer = msgspec.field(default_factory=lambda: Peer("127.0.0.1", 0))
