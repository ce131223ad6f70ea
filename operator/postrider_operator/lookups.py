"""DNS as the world sees it: the records of our domains asked for again and again, at a bounded rate.

A failure to get an answer never looks like a missing record: what was last known stays.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdata
import dns.resolver
from dns.rdtypes.ANY.TXT import TXT

from postrider_operator.metrics import Metrics

log = logging.getLogger(__name__)

#: (name, type) without the final dot.
Question = tuple[str, str]
Key = tuple[str, str]

#: Seconds until a question is asked again the first time; doubles up to the interval while the answer stays.
FIRST = 15.0
#: Questions under way at the same time.
AT_ONCE = 8


class Asker(Protocol):
    """Asks one question; () when there is no such record, None when nobody could tell."""

    async def __call__(self, name: str, rdtype: str) -> tuple[str, ...] | None:
        """Never raises for DNS failures."""
        ...


class Dns:
    """Asks the configured servers, or those of the system."""

    def __init__(self, nameservers: Sequence[str]) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        except dns.resolver.NoResolverConfiguration as error:
            log.warning("no DNS servers known: records are not checked", extra={"error": str(error)})
            self._resolver = dns.asyncresolver.Resolver(configure=False)
        if nameservers:
            self._resolver.nameservers = [nameserver(text) for text in nameservers]
        self._resolver.lifetime = 6.0
        self._resolver.cache = None

    async def __call__(self, name: str, rdtype: str) -> tuple[str, ...] | None:
        """Records in presentation form, as contract.dns.Record writes them."""
        try:
            answer = await self._resolver.resolve(name, rdtype, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return ()
        except (dns.exception.DNSException, OSError) as error:
            log.debug("no answer", extra={"question": f"{name} {rdtype}", "error": str(error)})
            return None
        return tuple(sorted(_text(rdata) for rdata in answer.rrset or ()))


@dataclass(slots=True)
class _Asked:
    keys: set[Key] = field(default_factory=set)
    due: float = 0.0
    pause: float = FIRST
    answer: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Seconds between two askings of the same question in the long run, and questions a second in all."""

    interval: float
    per_second: float


class Lookups:
    """Knows which records matter to whom, and tells them when the answer changes."""

    def __init__(self, ask: Asker, rate: Rate, changed: Callable[[Key], None], metrics: Metrics) -> None:
        self._ask = ask
        self._rate = rate
        self._changed = changed
        self._metrics = metrics
        self._asked: dict[Question, _Asked] = {}
        self._news = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def want(self, key: Key, questions: Iterable[Question]) -> None:
        """From now on `key` depends on just these questions."""
        wanted = set(questions)
        for question in wanted:
            row = self._asked.setdefault(question, _Asked())
            if key not in row.keys:
                row.keys.add(key)
                self._news.set()
        for question in [q for q, row in self._asked.items() if key in row.keys and q not in wanted]:
            self._asked[question].keys.discard(key)
            if not self._asked[question].keys:
                del self._asked[question]

    def answers(self, key: Key) -> Mapping[Question, tuple[str, ...]]:
        """What is known of the questions `key` depends on."""
        return {q: row.answer for q, row in self._asked.items() if row.answer is not None and key in row.keys}

    async def run(self) -> None:
        """Ask until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._news.clear()
                question = min(self._asked, key=lambda q: self._asked[q].due, default=None)
                wait = None if question is None else self._asked[question].due - loop.time()
                if question is None or wait is None or wait > 0:
                    await _at_most(self._news, wait)
                    continue
                self._asked[question].due = loop.time() + self._rate.interval
                await self._slots.acquire()
                tasks.create_task(self._look(question))
                await asyncio.sleep(1.0 / self._rate.per_second)

    async def _look(self, question: Question) -> None:
        try:
            answer = await self._ask(*question)
        finally:
            self._slots.release()
        said = "none" if answer is None else "records" if answer else "nothing"
        self._metrics.count("postrider_operator_dns_questions_total", answer=said)
        row = self._asked.get(question)
        if row is None:
            return
        changed = answer is not None and answer != row.answer
        if changed:
            row.answer = answer
        row.pause = FIRST if changed else min(row.pause * 2, self._rate.interval)
        row.due = asyncio.get_running_loop().time() + row.pause
        for key in row.keys if changed else ():
            self._changed(key)


async def _at_most(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def nameserver(text: str) -> dns.nameserver.Nameserver:
    """ "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or "[2001:db8::1]:5353". Raises ValueError."""
    host, port = text, 53
    if text.startswith("[") or text.count(":") == 1:
        host, _, number = text.rpartition(":")
        host, port = host.strip("[]"), int(number)
    return dns.nameserver.Do53Nameserver(str(ipaddress.ip_address(host)), port)


def _text(rdata: dns.rdata.Rdata) -> str:
    if isinstance(rdata, TXT):
        return b"".join(rdata.strings).decode("utf-8", "replace")
    text = rdata.to_text()
    return text if text.endswith(" .") else text.removesuffix(".")  # "." is the root: no such service (RFC 2782)
