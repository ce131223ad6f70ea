"""A runner over a real store, servers on loopback that speak to it, and a DNS zone as a table."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
import trustme
from steady import Dice, Time

from postrider.accounts.directory import Directory
from postrider.contract import model as c
from postrider.ingest.pipeline import Ingest
from postrider.ingest.ports import Ports as IngestPorts
from postrider.model.address import parse_address
from postrider.model.envelope import Envelope, Notify, Peer, Recipient, Source
from postrider.model.ports import Answer, Lookup, Stream
from postrider.net.dialer import TcpDialer
from postrider.outbound.ports import Ports
from postrider.outbound.runner import Runner
from postrider.store.open import open_local
from postrider.store.ports import Store
from postrider.store.values import LANES, QueueRow, account_of
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

MESSAGE = (
    b"From: alice@one.test\r\nTo: x@far.test\r\nSubject: hello\r\nMessage-ID: <m@one.test>\r\n\r\nbody\r\n.dot\r\n"
)


@dataclass
class Zone:
    """Implements model.ports.Resolver over a table; a name exists when it or a child of it does."""

    records: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    failing: set[str] = field(default_factory=set)

    async def lookup(self, name: str, rdtype: str) -> Lookup:
        name = name.lower().rstrip(".")
        if name in self.failing:
            return Lookup(Answer.TEMPFAIL)
        if (name, rdtype) in self.records:
            return Lookup(Answer.NOERROR, self.records[name, rdtype])
        exists = any(one == name or one.endswith("." + name) for one, _ in self.records)
        return Lookup(Answer.NODATA if exists else Answer.NXDOMAIN)


@dataclass
class Net:
    """Implements model.ports.Dialer: addresses of the zone lead to servers on loopback, others to nothing."""

    dialer: TcpDialer
    ports: dict[str, int] = field(default_factory=dict)
    dialled: list[str] = field(default_factory=list)

    async def dial(self, address: str, port: int, *, seconds: float) -> Stream:
        self.dialled.append(address)
        if address not in self.ports:
            raise OSError("no route")
        return await self.dialer.dial("127.0.0.1", self.ports[address], seconds=seconds)


@dataclass
class Letter:
    """One message as a sink got it."""

    mail: str
    rcpt: list[str]
    data: bytes


@dataclass
class Sink:
    """A mail server that keeps what it gets; `says` may answer any line in its place, None closes the connection."""

    name: str
    says: Callable[[str], str | None] = lambda line: ""
    offers: Sequence[str] = ("PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "SIZE 50000000")
    tls: ssl.SSLContext | None = None
    before_final: Callable[[], Awaitable[None]] | None = None
    letters: list[Letter] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._talk(reader, writer)
        self.open_now -= 1
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line, letter = "CONNECT", Letter("", [], b"")
        while True:
            self.lines.append(line)
            reply = self.says(line)
            if reply is None:
                return
            verb = line.partition(" ")[0].upper()
            reply = reply or (
                "554 5.5.1 no valid recipients" if line == "DATA" and not letter.rcpt else self._usual(verb)
            )
            writer.write(reply.encode() + b"\r\n")
            good = reply[:1] in "23"
            if verb == "MAIL" and good:
                letter = Letter(line[5:], [], b"")
            elif verb == "RCPT" and good:
                letter.rcpt.append(line[5:])
            elif verb == "DATA" and good:
                await writer.drain()
                letter.data = await self._message(reader)
                if self.before_final:
                    await self.before_final()
                final = self.says("FINAL")
                if final is None:
                    return
                if not final or final[0] == "2":
                    self.letters.append(letter)
                writer.write((final or "250 2.0.0 got it").encode() + b"\r\n")
            elif verb == "STARTTLS" and good:
                await writer.drain()
                await writer.start_tls(self.tls)
            elif verb == "QUIT":
                return
            await writer.drain()
            line = (await reader.readuntil(b"\r\n")).decode()[:-2]

    async def _message(self, reader: asyncio.StreamReader) -> bytes:
        lines: list[bytes] = []
        while (line := await reader.readuntil(b"\r\n")) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def _usual(self, verb: str) -> str:
        if verb == "EHLO":
            words = [self.name, *self.offers, *(["STARTTLS"] if self.tls else []), "HELP"]
            return "\r\n".join(f"250-{word}" for word in words[:-1]) + f"\r\n250 {words[-1]}"
        usual = {"CONNECT": f"220 {self.name} ESMTP", "DATA": "354 go", "STARTTLS": "220 go", "AUTH": "235 2.7.0 in"}
        return usual.get(verb, "221 bye" if verb == "QUIT" else "250 2.1.0 fine")


@dataclass
class Post:
    """Everything a test looks at."""

    store: Store
    ingest: Ingest
    ports: Ports
    zone: Zone
    net: Net
    clock: Time
    log: io.StringIO
    snapshot: c.Snapshot
    servers: list[asyncio.Server] = field(default_factory=list)

    def settings(self, **changes: object) -> None:
        """Change what the server's row says."""
        server = msgspec.structs.replace(self.snapshot.server, **changes)
        self.snapshot = msgspec.structs.replace(self.snapshot, server=server)

    async def sink(self, address: str, sink: Sink | None = None, domain: str = "") -> Sink:
        """A server at an address; as the only exchanger of a domain where that is named."""
        sink = sink or Sink(f"mx{len(self.servers)}.far.test")
        server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
        self.servers.append(server)
        self.net.ports[address] = server.sockets[0].getsockname()[1]
        self.zone.records[sink.name, "A"] = (address,)
        if domain:
            self.zone.records[domain, "MX"] = (f"10 {sink.name}",)
        return sink

    async def submit(self, *recipients: str | Recipient, data: bytes = MESSAGE, **envelope: object) -> None:
        to = Envelope(
            parse_address("alice@one.test"),
            tuple(one if isinstance(one, Recipient) else Recipient(parse_address(one)) for one in recipients),
            peer=Peer("192.0.2.7", 4000, "laptop", account="default/alice@one.test", login="alice@one.test"),
        )
        to = msgspec.structs.replace(to, **envelope)
        spool = self.ingest.begin(Source.SUBMISSION)
        await spool.write(data)
        reply = await self.ingest.finish(spool, Source.SUBMISSION, to)
        assert reply.code == 250, reply

    async def settled(self, enough: Callable[[Sequence[QueueRow]], bool] | None = None) -> list[QueueRow]:
        """Let the runner work until nothing is due, or the queue is as asked for; the rows that are left."""
        runner = Runner(self.ports, range(LANES))
        running = asyncio.create_task(runner.run())
        try:
            async with asyncio.timeout(60):
                while True:
                    rows = list(await self.store.reader.queue(limit=10_000))
                    if enough(rows) if enough else all(self._waits(row) for row in rows):
                        break
                    await asyncio.sleep(0.005)
                await runner.drain()
                await running
        finally:
            running.cancel()
        return list(await self.store.reader.queue(limit=10_000))

    def _waits(self, row: QueueRow) -> bool:
        return row.state == "held" or (row.state == "ready" and row.due > self.clock.at)

    async def mail(self, address: str) -> list[bytes]:
        account = account_of("default", address)
        (inbox,) = [one for one in await self.store.reader.mailboxes(account) if one.name == "INBOX"]
        uids = [row.uid for row in await self.store.reader.flags(account, inbox.id)]
        rows = await self.store.reader.messages(account, inbox.id, uids)
        return [row.prefix + await self.store.reader.body(account, row.blob) for row in rows]

    async def counters(self) -> dict[str, int]:
        """The counters; nothing accepted may be missing in them, and the queue is as long as they say."""
        counters = dict(await self.store.reader.counters())
        assert counters["accepted"] == sum(counters.values()) - counters["accepted"], counters
        assert counters["queued"] == len(await self.store.reader.queue(limit=10_000))
        return counters


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("mx.far.test", "smart.test").configure_cert(context)
    return context


@pytest.fixture
def make_sink() -> type[Sink]:
    return Sink


@pytest.fixture
async def post(tmp_path: Path, authority: trustme.CA) -> AsyncIterator[Post]:
    (tmp_path / "spool").mkdir()
    store, log, clock, dice = open_local(tmp_path / "store"), io.StringIO(), Time(), Dice()
    snapshot = c.Snapshot(
        server=c.Server(hostname="mx.one.test"),
        domains=(c.Domain(name="one.test"),),
        mailboxes=(c.Mailbox(address="alice@one.test"), c.Mailbox(address="small@one.test", quota_bytes=1000)),
        aliases=(c.Alias(address="out@one.test", targets=("x@far.test",)),),
    )
    events, metrics = Events(log), Metrics()
    post: Post

    def directory() -> Directory:
        return Directory(post.snapshot)

    ingest = Ingest(
        IngestPorts(
            store=store, directory=directory, clock=clock, random=dice, events=events, metrics=metrics,
            spool=tmp_path / "spool",
        )
    )  # fmt: skip
    zone, net = Zone(), Net(TcpDialer(authority.cert_pem.bytes().decode()))
    ports = Ports(
        store=store, ingest=ingest, directory=directory, resolver=zone, dialer=net, clock=clock, random=dice,
        events=events, metrics=metrics,
    )  # fmt: skip
    post = Post(store, ingest, ports, zone, net, clock, log, snapshot)
    yield post
    await post.counters()
    assert "server.failure" not in log.getvalue() or "expected" in log.getvalue(), log.getvalue()
    for server in post.servers:
        server.close()
    await store.close()


@pytest.fixture
def notify() -> type[Notify]:
    return Notify
