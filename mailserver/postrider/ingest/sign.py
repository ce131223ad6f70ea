"""DKIM for what our users and we ourselves write: one signature for each key of the author's domain."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from postrider.ingest.authors import author_domains
from postrider.ingest.message import Message, Prefix
from postrider.ingest.spool import IN_MEMORY, Spooled
from postrider.mailauth.dkim import SigningKey, body_hash, sign


def signed(message: Message) -> Prefix:
    """The message's prefix with signatures on top; as it was where the author's domain has no keys.

    A header block that does not fit into memory is not signed.
    """
    keys = _keys(message)
    if not keys or not message.spooled.header_complete:
        return message.prefix
    header = message.prefix.unsigned + message.spooled.header
    digest = body_hash(_body(message.spooled))
    return replace(message.prefix, signatures=b"".join(sign(header, digest, key, message.arrival.at) for key in keys))


def _keys(message: Message) -> tuple[SigningKey, ...]:
    """Those of the From field's domain, so that DMARC finds them aligned; else of the sender's (RFC 9989 §3.1)."""
    sender = message.arrival.envelope.sender
    domains = author_domains(message.prefix.completion + message.spooled.header)[:1]
    if not domains and sender is not None:
        domains = (sender.domain,)
    return message.directory.signing_keys(domains[0]) if domains and domains[0] else ()


def _body(spooled: Spooled) -> Iterator[bytes]:
    with spooled.octets() as octets:
        for start in range(len(spooled.header), spooled.body.size, IN_MEMORY):
            yield octets[start : min(start + IN_MEMORY, spooled.body.size)]
