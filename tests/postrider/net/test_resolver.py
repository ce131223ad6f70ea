"""The resolver against a DNS server on loopback: kinds of answers, forms of records, cache and single flight."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from postrider.model.ports import Answer, Lookup
from postrider.net import resolver as module
from postrider.net.resolver import DnsResolver

ZONE = """
example.org.         600 IN SOA ns.example.org. admin.example.org. 1 3600 600 86400 120
example.org.         600 IN MX 10 MX1.example.org.
example.org.         300 IN MX 20 mx2.example.org.
example.org.         600 IN TXT "v=spf1 " "mx ~all"
null.example.org.    600 IN MX 0 .
mx1.example.org.     600 IN A 192.0.2.1
mx1.example.org.     600 IN AAAA 2001:db8::1
www.example.org.      60 IN CNAME web.example.org.
web.example.org.     600 IN A 192.0.2.9
deep.below.example.org. 600 IN A 192.0.2.3
_imaps._tcp.example.org. 600 IN SRV 0 1 993 mx1.example.org.
1.2.0.192.in-addr.arpa. 600 IN PTR mx1.example.org.
_25._tcp.mx1.example.org. 600 IN TLSA 3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971
loop.example.org.    600 IN CNAME loop2.example.org.
loop2.example.org.   600 IN CNAME loop.example.org.
xn--bcher-kva.example.org. 600 IN A 192.0.2.4
"""


@pytest.fixture
async def resolver(dns_server, clock) -> AsyncIterator[DnsResolver]:  # type: ignore[no-untyped-def]
    dns_server.zone = ZONE
    made = DnsResolver(clock, [dns_server.address])
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("name", "rdtype", "records", "ttl"),
    [
        ("mx1.example.org", "A", {"192.0.2.1"}, 600),
        ("MX1.Example.ORG.", "a", {"192.0.2.1"}, 600),
        ("mx1.example.org", "AAAA", {"2001:db8::1"}, 600),
        ("example.org", "MX", {"10 mx1.example.org", "20 mx2.example.org"}, 300),
        ("null.example.org", "MX", {"0 ."}, 600),
        ("example.org", "TXT", {"v=spf1 mx ~all"}, 600),
        ("www.example.org", "A", {"192.0.2.9"}, 60),
        ("www.example.org", "CNAME", {"web.example.org"}, 60),
        ("_imaps._tcp.example.org", "SRV", {"0 1 993 mx1.example.org"}, 600),
        ("1.2.0.192.in-addr.arpa", "PTR", {"mx1.example.org"}, 600),
        (
            "_25._tcp.mx1.example.org",
            "TLSA",
            {"3 1 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"},
            600,
        ),
        ("bücher.example.org", "A", {"192.0.2.4"}, 600),
    ],
)
async def test_records(resolver: DnsResolver, name: str, rdtype: str, records: set[str], ttl: int) -> None:
    found = await resolver.lookup(name, rdtype)
    assert (found.answer, set(found.records), found.ttl) == (Answer.NOERROR, records, ttl)
    assert len(found.records) == len(records)


@pytest.mark.parametrize(
    ("name", "rdtype", "answer", "ttl"),
    [
        ("mx1.example.org", "MX", Answer.NODATA, 120),
        ("below.example.org", "A", Answer.NODATA, 120),  # it has a child, so it exists (RFC 8020)
        ("www.example.org", "MX", Answer.NODATA, 120),
        ("nowhere.example.org", "A", Answer.NXDOMAIN, 120),
        ("broken.example.org", "A", Answer.TEMPFAIL, module.FAILURE_TTL),
        ("loop.example.org", "A", Answer.TEMPFAIL, module.FAILURE_TTL),
        ("a..b", "A", Answer.NXDOMAIN, module.LONGEST_NEGATIVE_TTL),
        ("x" * 64 + ".example.org", "A", Answer.NXDOMAIN, module.LONGEST_NEGATIVE_TTL),
        ("ä b", "A", Answer.NXDOMAIN, module.LONGEST_NEGATIVE_TTL),
    ],
)
async def test_absences_and_failures_are_told_apart(  # type: ignore[no-untyped-def]
    resolver: DnsResolver, dns_server, name: str, rdtype: str, answer: Answer, ttl: int
) -> None:
    dns_server.broken.add("broken.example.org")
    assert await resolver.lookup(name, rdtype) == Lookup(answer, ttl=ttl)


async def test_no_answer_is_a_failure(resolver: DnsResolver, dns_server, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "LIFETIME", 0.3)
    dns_server.silent.add("mx1.example.org")
    assert (await resolver.lookup("mx1.example.org", "A")).answer is Answer.TEMPFAIL


async def test_no_server_is_a_failure(clock, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "LIFETIME", 0.3)
    resolver = DnsResolver(clock, [f"127.0.0.1:{unused_tcp_port}"])
    assert (await resolver.lookup("mx1.example.org", "A")).answer is Answer.TEMPFAIL


async def test_the_second_server_is_asked_when_the_first_fails(  # type: ignore[no-untyped-def]
    dns_server, clock, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    dns_server.zone = ZONE
    resolver = DnsResolver(clock, [f"127.0.0.1:{unused_tcp_port}", dns_server.address])
    assert (await resolver.lookup("mx1.example.org", "A")).records == ("192.0.2.1",)


async def test_a_truncated_answer_is_fetched_over_tcp(resolver: DnsResolver, dns_server) -> None:  # type: ignore[no-untyped-def]
    dns_server.truncated.add("mx1.example.org")
    assert (await resolver.lookup("mx1.example.org", "A")).records == ("192.0.2.1",)
    assert dns_server.asked == ["mx1.example.org A", "mx1.example.org A tcp"]


async def test_answers_and_absences_are_kept_for_their_time(resolver: DnsResolver, dns_server, clock) -> None:  # type: ignore[no-untyped-def]
    for name in ("mx1.example.org", "nowhere.example.org"):
        await resolver.lookup(name, "A")
        await resolver.lookup(name.upper() + ".", "a")
    assert len(dns_server.asked) == 2
    clock.at += 100
    assert (await resolver.lookup("mx1.example.org", "A")).ttl == 500
    clock.at += 30
    await resolver.lookup("mx1.example.org", "A")
    await resolver.lookup("nowhere.example.org", "A")
    assert dns_server.asked[2:] == ["nowhere.example.org A"]
    clock.at += 500
    await resolver.lookup("mx1.example.org", "A")
    assert dns_server.asked[3:] == ["mx1.example.org A"]


async def test_a_failure_is_not_asked_again_at_once_but_soon(resolver: DnsResolver, dns_server, clock) -> None:  # type: ignore[no-untyped-def]
    dns_server.broken.add("mx1.example.org")
    await resolver.lookup("mx1.example.org", "A")
    asked = len(dns_server.asked)
    dns_server.broken.clear()
    assert (await resolver.lookup("mx1.example.org", "A")).answer is Answer.TEMPFAIL
    assert len(dns_server.asked) == asked
    clock.at += module.FAILURE_TTL
    assert (await resolver.lookup("mx1.example.org", "A")).answer is Answer.NOERROR


async def test_the_cache_is_bounded(resolver: DnsResolver, dns_server, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(module, "CACHED", 2)
    for name in ("mx1", "web", "deep.below", "mx1"):
        await resolver.lookup(f"{name}.example.org", "A")
    assert len(dns_server.asked) == 4


async def test_many_who_ask_the_same_ask_once(resolver: DnsResolver, dns_server) -> None:  # type: ignore[no-untyped-def]
    dns_server.delay = 0.05
    answers = await asyncio.gather(*(resolver.lookup("mx1.example.org", "A") for _ in range(50)))
    assert {answer.records for answer in answers} == {("192.0.2.1",)}
    assert dns_server.asked == ["mx1.example.org A"]


async def test_who_gives_up_leaves_the_others_their_answer(resolver: DnsResolver, dns_server) -> None:  # type: ignore[no-untyped-def]
    dns_server.delay = 0.05
    first = asyncio.create_task(resolver.lookup("mx1.example.org", "A"))
    second = asyncio.create_task(resolver.lookup("mx1.example.org", "A"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).records == ("192.0.2.1",)
    assert first.cancelled()


async def test_a_validated_answer_is_secure(resolver: DnsResolver, dns_server) -> None:  # type: ignore[no-untyped-def]
    assert not (await resolver.lookup("web.example.org", "A")).secure
    dns_server.authentic = True
    assert (await resolver.lookup("mx1.example.org", "A")).secure


@pytest.mark.parametrize("text", ["", "localhost", "127.0.0.1:x", "[::1"])
def test_a_nameserver_is_an_address(clock, text: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"."):
        DnsResolver(clock, [text])


def test_nameservers_with_and_without_ports(clock) -> None:  # type: ignore[no-untyped-def]
    resolver = DnsResolver(clock, ["127.0.0.1", "127.0.0.1:5353", "[::1]:5353", "::1", "[::1]"])
    asked = [(server.address, server.port) for server in resolver._resolver.nameservers]
    assert asked == [("127.0.0.1", 53), ("127.0.0.1", 5353), ("::1", 5353), ("::1", 53), ("::1", 53)]
