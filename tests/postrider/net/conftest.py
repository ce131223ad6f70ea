"""Servers on loopback: DNS by dnslib with a zone map, TCP and TLS by asyncio."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest
from dnslib import QTYPE, RCODE, RR, DNSRecord


@dataclass
class DnsServer:
    """Answers from a zone map; a name exists if it or any child exists. Counts what it was asked."""

    zone: str = ""
    #: Names whose questions end in SERVFAIL, and those that get no answer at all.
    broken: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    #: Answers over UDP are cut for these, so that TCP has to be used.
    truncated: set[str] = field(default_factory=set)
    authentic: bool = False
    asked: list[str] = field(default_factory=list)
    delay: float = 0.0
    port: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def records(self) -> list[RR]:
        return RR.fromZone(self.zone)

    def reply(self, data: bytes, *, tcp: bool) -> bytes | None:
        request = DNSRecord.parse(data)
        name = str(request.q.qname).lower().rstrip(".")
        self.asked.append(f"{name} {QTYPE[request.q.qtype]}{' tcp' if tcp else ''}")
        reply = request.reply(aa=0)
        reply.header.ad = int(self.authentic)
        if name in self.silent:
            return None
        if name in self.broken:
            reply.header.rcode = RCODE.SERVFAIL
        elif name in self.truncated and not tcp:
            reply.header.tc = 1
        else:
            self._answer(reply, name, request.q.qtype)
        return reply.pack()

    def _answer(self, reply: DNSRecord, name: str, qtype: int) -> None:
        records = self.records()
        found: list[RR] = []
        for _ in range(20):
            here = [rr for rr in records if str(rr.rname).lower().rstrip(".") == name]
            found += [rr for rr in here if rr.rtype in (qtype, QTYPE.CNAME)]
            alias = next((rr for rr in here if rr.rtype == QTYPE.CNAME and qtype != QTYPE.CNAME), None)
            if alias is None:
                break
            name = str(alias.rdata.label).lower().rstrip(".")
        reply.add_answer(*found)
        exists = any(f".{rr.rname}".lower().rstrip(".").endswith(f".{name}") for rr in records)
        if not any(rr.rtype == qtype for rr in found):
            reply.header.rcode = RCODE.NOERROR if exists else RCODE.NXDOMAIN
            reply.add_auth(*(rr for rr in records if rr.rtype == QTYPE.SOA))


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self.server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self.server.reply(data, tcp=False)
        if reply is not None:
            asyncio.get_running_loop().call_later(self.server.delay, self._send, reply, addr)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(reply, addr)


@pytest.fixture
async def dns_server() -> AsyncIterator[DnsServer]:
    server = DnsServer()
    loop = asyncio.get_running_loop()

    async def tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2))
            reply = server.reply(await reader.readexactly(size), tcp=True)
            if reply is not None:
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()
        finally:
            writer.close()

    transport, listener = await _same_port(loop, server, tcp)
    yield server
    transport.close()
    listener.close()
    await listener.wait_closed()


async def _same_port(loop, server, tcp):  # type: ignore[no-untyped-def]
    """UDP and TCP on one free port."""
    for _ in range(20):
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=("127.0.0.1", 0))
        server.port = transport.get_extra_info("sockname")[1]
        try:
            return transport, await asyncio.start_server(tcp, "127.0.0.1", server.port)
        except OSError:
            transport.close()
    raise OSError("no port is free for both UDP and TCP")


@dataclass
class FakeClock:
    """Time that stands still until it is moved."""

    at: float = 1000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
