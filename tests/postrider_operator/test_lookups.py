"""Questions to DNS: a real server on loopback, failures that are no absences, and who is told of changes."""

import asyncio
from collections.abc import Iterator

import pytest
from dnslib import CNAME, MX, QTYPE, RCODE, RR, SRV, TXT, DNSRecord
from dnslib.server import BaseResolver, DNSServer

from postrider_operator.lookups import Dns, Lookups, Rate
from postrider_operator.metrics import Metrics

KEY = ("ns", "default")
ZONE = {
    ("one.test.", "MX"): [MX("mx.one.test", 10)],
    ("one.test.", "TXT"): [TXT("v=spf1 mx ~all")],
    ("long._domainkey.one.test.", "TXT"): [TXT(["v=DKIM1; p=" + "A" * 200, "B" * 100])],
    ("_imaps._tcp.one.test.", "SRV"): [SRV(0, 1, 993, "mx.one.test")],
    ("_pop3._tcp.one.test.", "SRV"): [SRV(0, 0, 0, ".")],
    ("mta-sts.one.test.", "CNAME"): [CNAME("mx.one.test")],
}


class Zone(BaseResolver):
    """Answers from ZONE; names below fails.test get SERVFAIL."""

    def resolve(self, request: DNSRecord, handler: object) -> DNSRecord:
        name, rdtype = str(request.q.qname), QTYPE[request.q.qtype]
        reply = request.reply()
        if name.endswith("fails.test."):
            reply.header.rcode = RCODE.SERVFAIL
        elif not any(known == name for known, _ in ZONE):
            reply.header.rcode = RCODE.NXDOMAIN
        for data in ZONE.get((name, rdtype), ()):
            reply.add_answer(RR(name, request.q.qtype, rdata=data, ttl=60))
        return reply


@pytest.fixture(scope="module")
def nameserver() -> Iterator[str]:
    server = DNSServer(Zone(), address="127.0.0.1", port=0)
    server.start_thread()
    yield f"127.0.0.1:{server.server.server_address[1]}"
    server.stop()
    server.server.server_close()


@pytest.mark.parametrize(
    ("name", "rdtype", "records"),
    [
        ("one.test", "MX", ("10 mx.one.test",)),
        ("one.test", "TXT", ("v=spf1 mx ~all",)),
        ("long._domainkey.one.test", "TXT", ("v=DKIM1; p=" + "A" * 200 + "B" * 100,)),
        ("_imaps._tcp.one.test", "SRV", ("0 1 993 mx.one.test",)),
        ("_pop3._tcp.one.test", "SRV", ("0 0 0 .",)),
        ("mta-sts.one.test", "CNAME", ("mx.one.test",)),
        ("one.test", "SRV", ()),
        ("absent.test", "MX", ()),
        ("fails.test", "MX", None),
    ],
)
async def test_answers_are_written_as_wanted_records_are(
    nameserver: str, name: str, rdtype: str, records: tuple[str, ...] | None
) -> None:
    assert await Dns([nameserver])(name, rdtype) == records


class Script:
    """An asker that gives scripted answers, the last one for ever."""

    def __init__(self, *answers: tuple[str, ...] | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str]] = []

    async def __call__(self, name: str, rdtype: str) -> tuple[str, ...] | None:
        self.asked.append((name, rdtype))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def running(script: Script, told: list[tuple[str, str]]) -> tuple[Lookups, asyncio.Task[None]]:
    lookups = Lookups(script, Rate(interval=0.01, per_second=1000.0), told.append, Metrics())
    return lookups, asyncio.create_task(lookups.run())


async def until(script: Script, times: int) -> None:
    async with asyncio.timeout(30):
        while len(script.asked) < times:
            await asyncio.sleep(0.005)


async def test_a_changed_answer_is_told_and_a_failure_keeps_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postrider_operator.lookups.FIRST", 0.01)
    told: list[tuple[str, str]] = []
    script = Script((), None, None, ("10 mx.one.test",), None, ("10 mx.one.test",))
    lookups, task = await running(script, told)
    lookups.want(KEY, [("one.test", "MX")])
    await until(script, 3)
    assert lookups.answers(KEY) == {("one.test", "MX"): ()}
    await until(script, 9)
    assert lookups.answers(KEY) == {("one.test", "MX"): ("10 mx.one.test",)}
    assert told == [KEY, KEY]
    task.cancel()


async def test_nothing_is_known_before_the_first_answer_and_what_nobody_wants_is_forgotten() -> None:
    script = Script(None)
    lookups, task = await running(script, [])
    lookups.want(KEY, [("one.test", "MX"), ("two.test", "MX")])
    await until(script, 2)
    assert lookups.answers(KEY) == {}
    lookups.want(KEY, [])
    await asyncio.sleep(0.05)  # what was on its way
    count = len(script.asked)
    await asyncio.sleep(0.05)
    assert len(script.asked) == count
    task.cancel()
