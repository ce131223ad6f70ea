"""Where a destination's mail goes: DNS answers become the hosts and addresses to try, in order. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from postrider.model.address import AddressError, normal_domain
from postrider.model.ports import Answer, Lookup, Random
from postrider.model.reply import Reply

#: Exchangers of one domain, and addresses of all of them, that one attempt goes through.
MAX_HOSTS = 10
MAX_ADDRESSES = 10

NULL_MX = Reply(556, "5.1.10", "The domain accepts no mail (null MX)")
LOOPS = Reply(554, "5.4.6", "Mail for this domain loops back to us: we are its best mail exchanger and do not serve it")
NO_DOMAIN = Reply(550, "5.1.2", "The domain does not exist")
NO_HOST = Reply(550, "5.4.4", "No mail exchanger of the domain has an address")
DNS_FAILED = Reply(451, "4.4.3", "DNS gave no answer for the domain")


@dataclass(frozen=True, slots=True)
class Host:
    """A server to talk to: its name, which TLS is told and certificates are checked for, and one of its addresses."""

    name: str
    address: str


def literal(domain: str) -> Host | None:
    """The host of an address literal such as [192.0.2.1] (RFC 5321 §5.1), None for a name."""
    if not domain.startswith("["):
        return None
    address = domain.strip("[]").removeprefix("IPv6:")
    return Host(address, address)


def exchangers(domain: str, mx: Lookup, own: frozenset[str], random: Random) -> tuple[str, ...] | Reply:
    """Names of the hosts that take mail for `domain`, best first; or why there is none. `own` are our names."""
    if mx.answer is Answer.TEMPFAIL:
        return DNS_FAILED
    if mx.answer is Answer.NXDOMAIN:
        return NO_DOMAIN
    found = [one for record in mx.records if (one := _exchanger(record)) is not None]
    if not mx.records:
        return (domain,)  # RFC 5321 §5.1: the implicit MX
    if not found:
        return NO_HOST
    # RFC 7505 §3: a null MX stands alone; beside others a "." is no host.
    hosts = [(preference, host) for preference, host in found if host]
    if not hosts:
        return NULL_MX
    # RFC 5321 §5.1: those less preferred than ourselves, and our equals, would only send it back to us.
    limit = min((preference for preference, host in hosts if host in own), default=None)
    # Equals are spread out at random.
    ranked = sorted((preference, random.uniform(0, 1), host) for preference, host in hosts)
    names = dict.fromkeys(host for preference, _, host in ranked if limit is None or preference < limit)
    return tuple(names)[:MAX_HOSTS] if names else LOOPS


def addresses(host: str, aaaa: Lookup, a: Lookup) -> tuple[Host, ...] | Reply:
    """A host's addresses, IPv6 and IPv4 in turn (a broken half costs one dial); or why there is none."""
    pairs = zip_longest(_valid(aaaa), _valid(a))
    found = tuple(Host(host, address) for address in chain.from_iterable(pairs) if address is not None)
    if found:
        return found
    return DNS_FAILED if Answer.TEMPFAIL in (aaaa.answer, a.answer) else NO_HOST


def itinerary(found: Iterable[tuple[Host, ...] | Reply]) -> tuple[Host, ...] | Reply:
    """All addresses of all exchangers in order; without any, the reply that leaves most hope."""
    hosts: list[Host] = []
    why: list[Reply] = []
    for one in found:
        if isinstance(one, Reply):
            why.append(one)
        else:
            hosts.extend(one)
    if hosts:
        return tuple(hosts[:MAX_ADDRESSES])
    return min(why, key=lambda reply: reply.code, default=NO_HOST)


def _exchanger(record: str) -> tuple[int, str] | None:
    """(preference, host) of an MX record; the host "" is the null MX; None for one nobody can use."""
    words = record.split()
    if not words or not (words[0].isascii() and words[0].isdigit()):
        return None
    if words[1:] in ([], ["."]):
        return int(words[0]), ""
    try:
        return int(words[0]), normal_domain(words[1].rstrip("."))
    except AddressError:
        return None


def _valid(lookup: Lookup) -> Sequence[str]:
    return [record for record in lookup.records if _is_address(record)] if lookup.answer is Answer.NOERROR else []


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
