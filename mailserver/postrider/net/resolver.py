"""Asks DNS over dnspython: one question at a time for each name, a small cache, failures told from absences."""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.resolver

from postrider.model.address import AddressError, normal_domain
from postrider.model.ports import Answer, Clock, Lookup

#: Seconds for a question with all its repetitions, and for one server's answer.
LIFETIME = 10.0
TIMEOUT = 3.0
#: Seconds an answer is kept at most; an absence; and a failure, so that a queue does not ask a dead server in a row.
LONGEST_TTL = 3600
LONGEST_NEGATIVE_TTL = 300
FAILURE_TTL = 5
#: Answers kept, and questions under way.
CACHED = 10_000
ABREAST = 200
#: RFC 9715 §3.2: what passes every path without fragments.
PAYLOAD = 1232

_TEMPFAIL = Lookup(Answer.TEMPFAIL, ttl=FAILURE_TTL)
_NOWHERE = Lookup(Answer.NXDOMAIN, ttl=LONGEST_NEGATIVE_TTL)

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Kept:
    lookup: Lookup
    until: float


class DnsResolver:
    """Implements model.ports.Resolver.

    `nameservers` are "address" or "address:port" ("[v6]:port"); None takes those of /etc/resolv.conf. The AD bit is
    believed of a server on this machine only: on the way from any other it could have been set by anybody.
    """

    def __init__(self, clock: Clock, nameservers: Sequence[str] | None = None) -> None:
        self._clock = clock
        self._resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
        if nameservers is not None:
            self._resolver.nameservers = [nameserver(text) for text in nameservers]
        self._resolver.cache = None
        self._resolver.lifetime = LIFETIME
        self._resolver.timeout = TIMEOUT
        self._resolver.use_edns(0, 0, PAYLOAD)
        # RFC 6840 §5.7: with AD in the question a validating server says so in its answer.
        self._resolver.flags = dns.flags.RD | dns.flags.AD
        self._cache: OrderedDict[_Key, _Kept] = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[Lookup]] = {}
        self._turn = asyncio.Semaphore(ABREAST)

    async def lookup(self, name: str, rdtype: str) -> Lookup:
        """Ask for `name` (any case, final dot or not) and a type such as "MX"; never raises for DNS failures."""
        key = (name.rstrip(".").lower(), rdtype.upper())
        kept = self._cache.get(key)
        now = self._clock.monotonic()
        if kept is not None and kept.until > now:
            self._cache.move_to_end(key)
            return replace(kept.lookup, ttl=int(kept.until - now))
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(key))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task)  # who gives up waiting leaves the others their answer

    async def close(self) -> None:
        """Give up the questions under way."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, key: _Key) -> Lookup:
        async with self._turn:
            lookup = await self._question(*key)
        self._cache[key] = _Kept(lookup, self._clock.monotonic() + lookup.ttl)
        self._cache.move_to_end(key)
        while len(self._cache) > CACHED:
            self._cache.popitem(last=False)
        return lookup

    async def _question(self, name: str, rdtype: str) -> Lookup:
        question = _question_name(name)
        if question is None:
            return _NOWHERE
        try:
            answer = await self._resolver.resolve(
                question, rdtype, raise_on_no_answer=False, search=False, lifetime=LIFETIME
            )
        except dns.resolver.NXDOMAIN as error:
            return Lookup(Answer.NXDOMAIN, ttl=min(map(_negative_ttl, error.kwargs["responses"].values())))
        except (dns.exception.DNSException, OSError):
            # SERVFAIL from all servers, time-outs, loops of aliases, answers that cannot be read.
            return _TEMPFAIL
        if answer.rrset is None:
            return Lookup(Answer.NODATA, ttl=_negative_ttl(answer.response))
        ttl = min(LONGEST_TTL, answer.chaining_result.minimum_ttl)
        records = tuple(_shown(rdata) for rdata in answer.rrset)
        return Lookup(Answer.NOERROR, records, ttl, self._believed(answer))

    def _believed(self, answer: dns.resolver.Answer) -> bool:
        authentic = bool(answer.response.flags & dns.flags.AD)
        return authentic and answer.nameserver is not None and _is_here(answer.nameserver)


def nameserver(text: str) -> dns.nameserver.Nameserver:
    """ "address", "address:port" or "[v6]:port". Raises ValueError."""
    host, port = text, "53"
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(host)), int(port))


def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _question_name(name: str) -> dns.name.Name | None:
    """None for what cannot be a name: it does not exist, and no server needs to be asked."""
    try:
        ascii_name = name if name.isascii() else normal_domain(name)
        return dns.name.from_text(ascii_name or ".", dns.name.root)
    except (dns.exception.DNSException, AddressError, UnicodeError):
        return None


def _negative_ttl(response: dns.message.Message) -> int:
    """How long an absence may be remembered: the lesser of the SOA's TTL and its minimum (RFC 2308 §5)."""
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            minimum: int = rrset[0].minimum
            return min(LONGEST_NEGATIVE_TTL, rrset.ttl, minimum)
    return 0  # without an SOA it is not to be cached


def _host(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()


#: Presentation forms, where ours are not dnspython's: names without the final dot, TXT in one piece, plain hex.
_FORMS: Mapping[str, Callable[..., str]] = {
    "MX": lambda r: f"{r.preference} {_host(r.exchange)}",
    "TXT": lambda r: b"".join(r.strings).decode("latin-1"),  # octets as they are; RFC 7208 §3.1 expects ASCII
    "SRV": lambda r: f"{r.priority} {r.weight} {r.port} {_host(r.target)}",
    "CNAME": lambda r: _host(r.target),
    "NS": lambda r: _host(r.target),
    "PTR": lambda r: _host(r.target),
    "TLSA": lambda r: f"{r.usage} {r.selector} {r.mtype} {r.cert.hex()}",
}


def _shown(rdata: dns.rdata.Rdata) -> str:
    form = _FORMS.get(dns.rdatatype.to_text(rdata.rdtype))
    return form(rdata) if form is not None else rdata.to_text()
