"""Stage 5, stamp: the fields we put in front of a message, for each delivery. The blob itself is never touched."""

from __future__ import annotations

import functools
import ipaddress
import re

from postrider.ingest.message import Arrival
from postrider.mime.compose import date
from postrider.mime.header import fields
from postrider.model.address import Address

#: What a Received clause may hold of what a stranger says: no comment ends early, no field begins.
_UNSAFE = re.compile(r"[^\x21-\x27\x2a-\x3a\x3c-\x7e]")


def return_path(sender: Address | None) -> bytes:
    """RFC 5321 §4.4: the reverse-path, added by whoever delivers at last."""
    return b"Return-Path: <" + (str(sender).encode() if sender else b"") + b">\r\n"


def received(arrival: Arrival, hostname: str) -> bytes:
    """The trace field of this hop (RFC 5321 §4.4, RFC 3848, RFC 8314 §4.3), ready to be put in front."""
    envelope, peer = arrival.envelope, arrival.envelope.peer
    literal = _literal(peer.ip)
    tls = f" ({_safe(peer.tls, keep_space=True)})" if peer.tls else ""
    lines = [
        f"Received: from {_safe(peer.helo) or literal} ({literal})",
        f"by {hostname} with {_safe(peer.protocol)}{tls}",
        f"id {arrival.id}",
    ]
    # RFC 5321 §7.6: with several recipients "for" would tell each about the others.
    if len(envelope.recipients) == 1:
        lines.append(f"for <{envelope.recipients[0].address}>")
    return ("\r\n\t".join(lines) + f";\r\n\t{_date(int(arrival.at))}\r\n").encode()


def completion(arrival: Arrival, header: bytes, hostname: str) -> bytes:
    """Date, Message-ID and From where a submitted message lacks them (RFC 6409 §8.1, §8.2; RFC 5322 §3.6)."""
    present = {name for name, _ in fields(header, (b"date", b"message-id", b"from"))}
    lines = []
    if b"from" not in present and arrival.envelope.sender is not None:
        lines.append(f"From: <{arrival.envelope.sender}>")
    if b"date" not in present:
        lines.append(f"Date: {_date(int(arrival.at))}")
    if b"message-id" not in present:
        lines.append(f"Message-ID: <{arrival.id}@{hostname}>")
    return "".join(f"{line}\r\n" for line in lines).encode()


@functools.lru_cache(maxsize=4)
def _date(at: int) -> str:
    return date(at)


@functools.lru_cache(maxsize=1024)
def _literal(ip: str) -> str:
    """RFC 5321 §4.1.3."""
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return "unknown"
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


# The same few servers come again and again.
@functools.lru_cache(maxsize=1024)
def _safe(text: str, *, keep_space: bool = False) -> str:
    words = text.split() if keep_space else [text]
    return " ".join(_UNSAFE.sub("", word) for word in words)[:255]
