"""Mail we write ourselves: letters to users, and delivery status notifications (RFC 3461, 3464, 3834, 6533)."""

from __future__ import annotations

import email.utils
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postrider.mime.encoding import decode_words

#: Characters of a server's reply that are passed on; no line of ours comes near 998 octets (RFC 5322 §2.1.1).
MAX_DIAGNOSTIC = 700
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class Status:
    """What became of one recipient (RFC 3464 §2.3); times are seconds since the epoch, 0 where they do not apply."""

    recipient: str
    action: str  # failed, delayed, delivered or relayed
    #: Enhanced status code, "5.1.1".
    status: str
    #: ORCPT as it was received, "rfc822;..." in xtext, or "".
    orcpt: str = ""
    #: The reply of the server that gave it, or our own words.
    diagnostic: str = ""
    #: Name of that server; "" where nobody but us spoke.
    remote: str = ""
    last_attempt: float = 0
    retry_until: float = 0


@dataclass(frozen=True, slots=True)
class Returned:
    """The message that is reported on: all of it (`full`), or its header block."""

    data: bytes
    full: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A delivery status notification to be written."""

    #: Our name, and the address it comes from.
    hostname: str
    author: str
    #: The reverse-path of the message: who is told.
    to: str
    statuses: Sequence[Status]
    returned: Returned
    #: When the message came to us, and when this is written, seconds since the epoch.
    arrived: float
    at: float
    #: Unique, for Message-ID and boundary.
    token: str
    envid: str = ""
    #: The reader may be shown UTF-8 addresses and header fields (RFC 6533).
    smtputf8: bool = False
    #: Message-ID of the message, for the reader's threads.
    about: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A few plain words to a user of ours."""

    #: Our name, and the address it comes from.
    hostname: str
    author: str
    to: str
    #: ASCII, one line.
    subject: str
    #: Each is wrapped for reading.
    paragraphs: Sequence[str]
    #: When this is written, seconds since the epoch.
    at: float
    #: Unique, for Message-ID.
    token: str


@dataclass(frozen=True, slots=True)
class _Wording:
    """How one kind of notice speaks to people."""

    subject: str
    text: str


_WORDING = {
    "failed": _Wording(
        "Undeliverable: your message could not be delivered",
        "Your message could not be delivered to the following recipients. We have given up on them; "
        "nobody will try again.",
    ),
    "delayed": _Wording(
        "Delayed: your message has not been delivered yet",
        "Your message has not been delivered to the following recipients yet. We keep trying; "
        "you need not send it again.",
    ),
    "delivered": _Wording(
        "Delivered: your message has arrived", "Your message was delivered to the following recipients."
    ),
    "relayed": _Wording(
        "Relayed: your message is on its way",
        "Your message was handed to the next server for the following recipients. That server sends no receipts, "
        "so this is the last you hear.",
    ),
}
_ORDER = ("failed", "delayed", "delivered", "relayed")


def delivery_status(notice: Notice) -> bytes:
    """The notice as a whole message: multipart/report with words for people, for machines, and what was returned."""
    boundary = f"=_{notice.token}"
    kind = "global-" if notice.smtputf8 else ""
    actions = [action for action in _ORDER if any(one.action == action for one in notice.statuses)]
    head = [
        f"From: Mail Delivery System <{notice.author}>",
        f"To: <{notice.to}>",
        f"Subject: {_WORDING[actions[0]].subject}",
        f"Date: {date(notice.at)}",
        f"Message-ID: <{notice.token}@{notice.hostname}>",
        "Auto-Submitted: auto-replied",  # RFC 3834 §5
        "MIME-Version: 1.0",
        f"Content-Type: multipart/report; report-type={kind}delivery-status;\r\n\tboundary=\"{boundary}\"",
    ]  # fmt: skip
    if about := _message_id(notice.about):
        head[5:5] = [f"In-Reply-To: {about}", f"References: {about}"]
    machine = _machine_text(notice)
    returned = _octets(notice.returned.data)
    parts = (
        ("text/plain; charset=utf-8", _people_text(notice, actions)),
        (f"message/{kind}delivery-status", machine),
        (_returned_type(notice), returned),
    )
    pieces = ["\r\n".join(head).encode() + b"\r\n\r\n"]
    for content_type, content in parts:
        encoding = "7bit" if content.isascii() else "8bit"
        pieces.append(
            f"--{boundary}\r\nContent-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode()
        )
        pieces.append(content + b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces)


def plain(letter: Letter) -> bytes:
    """The letter as a whole message."""
    text = "\r\n\r\n".join("\r\n".join(textwrap.wrap(paragraph, 76)) for paragraph in letter.paragraphs)
    head = [
        f"From: Mail System <{letter.author}>",
        f"To: <{letter.to}>",
        f"Subject: {letter.subject}",
        f"Date: {date(letter.at)}",
        f"Message-ID: <{letter.token}@{letter.hostname}>",
        "Auto-Submitted: auto-generated",  # RFC 3834 §5
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {'7bit' if text.isascii() else '8bit'}",
    ]
    return "\r\n".join([*head, "", text, ""]).encode()


def decode_xtext(text: str) -> str:
    """RFC 3461 §4: "+2B" stands for "+"."""
    return _XTEXT.sub(lambda match: chr(int(match[1], 16)), text)


def _returned_type(notice: Notice) -> str:
    if notice.returned.full:
        return "message/global" if notice.smtputf8 else "message/rfc822"
    return "message/global-headers" if notice.smtputf8 else "text/rfc822-headers"


def _people_text(notice: Notice, actions: Iterable[str]) -> bytes:
    paragraphs = [f"This is the mail server {notice.hostname}."]
    for action in actions:
        paragraphs.append("\r\n".join(textwrap.wrap(_WORDING[action].text, 76)))
        for one in notice.statuses:
            if one.action == action:
                said = f"{_line(one.remote)} said: " if one.remote else ""
                why = textwrap.wrap(said + _line(one.diagnostic), 76, initial_indent="    ", subsequent_indent="    ")
                paragraphs.append("\r\n".join([f"<{_line(one.recipient)}>", *why]))
    return ("\r\n\r\n".join(paragraphs) + "\r\n").encode()


def _machine_text(notice: Notice) -> bytes:
    groups = [
        _fields(
            ("Reporting-MTA", f"dns; {notice.hostname}"),
            ("Original-Envelope-Id", _line(decode_xtext(notice.envid))),
            ("Arrival-Date", date(notice.arrived)),
        )
    ]
    for one in notice.statuses:
        diagnostic = _line(one.diagnostic)
        groups.append(
            _fields(
                ("Original-Recipient", _original(one.orcpt)),
                ("Final-Recipient", f"{_address_type(one.recipient)}; {_line(one.recipient)}"),
                ("Action", one.action),
                ("Status", one.status),
                ("Remote-MTA", f"dns; {_line(one.remote)}" if one.remote else ""),
                ("Diagnostic-Code", f"smtp; {diagnostic}" if diagnostic else ""),
                ("Last-Attempt-Date", date(one.last_attempt) if one.last_attempt else ""),
                ("Will-Retry-Until", date(one.retry_until) if one.retry_until else ""),
            )
        )
    text = "\r\n".join(groups)
    # RFC 3464 §2.1: ASCII only; RFC 6533 §3 makes it UTF-8.
    return text.encode() if notice.smtputf8 else text.encode("ascii", "replace")


def _fields(*pairs: tuple[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in pairs if value)


def _original(orcpt: str) -> str:
    kind, semicolon, address = orcpt.partition(";")
    return f"{_line(kind)}; {_line(decode_xtext(address))}" if semicolon else ""


def _address_type(recipient: str) -> str:
    # RFC 6533 §3
    return "rfc822" if recipient.isascii() else "utf-8"


def _message_id(raw: bytes) -> str:
    text = _line(decode_words(raw))
    return text if re.fullmatch(r"<[\x21-\x7e]{1,250}>", text) else ""


def _octets(data: bytes) -> bytes:
    """Returned bytes with CRLF line ends, so that the notice itself can be sent."""
    data = data.replace(b"\0", b"")
    if data.count(b"\n") == data.count(b"\r\n") == data.count(b"\r"):
        return data
    return b"\r\n".join(data.splitlines()) + b"\r\n"


def _line(text: str) -> str:
    """Whatever a stranger said, as one line that can stand in a field."""
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:MAX_DIAGNOSTIC]


def date(at: float) -> str:
    """A moment, in seconds since the epoch, as a Date field has it (RFC 5322 §3.3), in UTC."""
    return email.utils.formatdate(at, localtime=False).replace("-0000", "+0000")
