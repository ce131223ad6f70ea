"""An examiner: whom the From field names as author, and whether that may be said here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from postrider.accounts.directory import Directory
from postrider.ingest.examine import Examiner, Subject
from postrider.mime.addresses import parse_addresses
from postrider.mime.header import fields
from postrider.model.address import AddressError, normal_domain
from postrider.model.facts import Fact


def author_domains(header: bytes) -> tuple[str, ...]:
    """The domains of all authors (RFC 5322 §3.6.2) as A-labels; "" for one that is no domain."""
    return tuple(
        _domain(address.host)
        for _, value in fields(header, (b"from",))
        for address in parse_addresses(value)
        if address.host is not None
    )


def author_examiner(directory: Callable[[], Directory]) -> Examiner:
    """Finds `pass` when every author's domain is ours, `fail` when one is not, `none` without a From field."""

    async def examine(subject: Subject) -> Sequence[Fact]:
        domains = author_domains(subject.spooled.header)
        here = directory()
        foreign = next((domain for domain in domains if not domain or not here.is_local(domain)), None)
        if foreign is not None:
            return (Fact("author", "fail", foreign or "not a mail address"),)
        return (Fact("author", "pass" if domains else "none"),)

    return Examiner("author", examine, seconds=5)


def _domain(host: bytes) -> str:
    try:
        return normal_domain(host.decode("utf-8", "replace"))
    except AddressError:
        return ""
