"""The driver, with the smallest engine there is: it must carry any protocol."""

from __future__ import annotations

import asyncio
import contextlib
import io
import ssl
from collections.abc import Awaitable, Callable

import pytest

from postrider.contract.model import Limits
from postrider.edge import driver
from postrider.edge.driver import Connection
from postrider.edge.listener import Admission, Bind, Listener, Surroundings
from postrider.protocols.buffer import Buffer
from postrider.protocols.engine import NEED_DATA, Closed, StartTls


class Echo:
    """Says every line back; `tls`, `quit`, and lines its session decides on."""

    timeout = 20.0

    def __init__(self) -> None:
        self.buffer = Buffer()
        self.output = [b"hello\r\n"]
        self.over = False

    def feed(self, data: bytes) -> None:
        self.buffer.feed(data)

    def next_event(self) -> object:
        if self.over:
            return Closed()
        line = self.buffer.line(1000)
        if line is None:
            return Closed() if self.buffer.eof else NEED_DATA
        if line == b"quit":
            self.drain()
            return Closed()
        if line == b"tls":
            self.buffer.discard()
            self.output.append(b"go\r\n")
            return StartTls()
        return line

    def take_output(self) -> bytes:
        output, self.output = b"".join(self.output), []
        return output

    def timed_out(self) -> None:
        self.output.append(b"too slow\r\n")
        self.over = True

    def tls_started(self) -> None:
        self.output.append(b"tls hello\r\n")

    def drain(self) -> None:
        self.output.append(b"bye\r\n")
        self.over = True


class EchoSession:
    def __init__(self, link: Connection, service: EchoService) -> None:
        self.engine = Echo()
        self.speechless = False
        self.link = link
        self.service = service

    def handle(self, event: object) -> Awaitable[None] | None:
        assert isinstance(event, bytes)
        self.service.seen.append(event)
        match event:
            case b"slow":
                return self.slow()
            case b"fail":
                raise ValueError("secret detail")
            case b"fail twice":
                self.speechless = True
                return self.fail()
            case b"fail later":
                return self.fail()
            case b"big":
                return self.big()
            case b"who":
                self.engine.output.append(f"{self.link.ip} {self.link.tls}\r\n".encode())
            case _:
                self.engine.output.append(event + b"\r\n")
        return None

    async def slow(self) -> None:
        self.service.started.set()
        await self.service.gate.wait()
        self.engine.output.append(b"slow\r\n")

    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise ValueError("secret detail")

    async def big(self) -> None:
        for _ in range(200):
            self.engine.output.append(b"x" * 65536)
            await self.link.send()
            self.service.sent += 65536
        self.engine.output.append(b"\r\n")

    def failed(self) -> None:
        if self.speechless:
            raise ValueError("nothing to say")
        self.engine.output.append(b"sorry\r\n")

    def lost(self) -> None:
        self.service.lost += 1


class EchoService:
    name = "echo"
    busy = b"full\r\n"

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.gate = asyncio.Event()
        self.started = asyncio.Event()
        self.lost = 0
        self.sent = 0

    def open(self, link: Connection) -> EchoSession:
        return EchoSession(link, self)


type_of_make = Callable[..., Surroundings]


class Running:
    def __init__(self, listener: Listener, service: EchoService) -> None:
        self.listener = listener
        self.service = service

    async def connect(self, **options: object) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self.listener.address, **options)  # type: ignore[arg-type]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.005)


@pytest.fixture
async def running(make_surroundings: type_of_make, server_tls: ssl.SSLContext):
    listeners = []

    async def run(limits: Limits | None = None, *, implicit_tls: bool = False) -> Running:
        service = EchoService()
        bind = Bind("127.0.0.1", 0, lambda: server_tls, implicit_tls=implicit_tls)
        listener = Listener(bind, service, make_surroundings(limits))
        await listener.start()
        listeners.append(listener)
        return Running(listener, service)

    yield run
    for listener in listeners:
        await listener.drain(0.2)


async def test_lines_are_answered_in_order_however_they_arrive(running) -> None:
    server = await running()
    reader, writer = await server.connect()
    assert await reader.readline() == b"hello\r\n"
    writer.write(b"one\r\ntw")
    assert await reader.readline() == b"one\r\n"
    writer.write(b"o\r\nthree\r\nquit\r\nignored\r\n")
    assert await reader.read() == b"two\r\nthree\r\nbye\r\n"
    writer.close()
    await server.until(lambda: server.service.lost == 1)


async def test_nothing_is_handled_while_a_handler_waits(running) -> None:
    server = await running()
    reader, writer = await server.connect()
    await reader.readline()
    writer.write(b"slow\r\nnext\r\n")
    await server.service.started.wait()
    writer.write(b"more\r\n")
    await asyncio.sleep(0.05)
    assert server.service.seen == [b"slow"]
    server.service.gate.set()
    assert await reader.readexactly(18) == b"slow\r\nnext\r\nmore\r\n"
    writer.close()


async def test_what_a_client_sends_in_advance_of_the_handshake_is_never_seen(running, client_tls) -> None:
    server = await running()
    reader, writer = await server.connect()
    await reader.readline()
    writer.write(b"tls\r\ninjected\r\n")
    assert await reader.readline() == b"go\r\n"
    await writer.start_tls(client_tls, server_hostname="localhost")
    assert await reader.readline() == b"tls hello\r\n"
    writer.write(b"who\r\nquit\r\n")
    answer = await reader.readline()
    assert answer.startswith(b"127.0.0.1 TLSv1.")
    assert b"injected" not in server.service.seen
    writer.close()


async def test_tls_from_the_first_byte(running, client_tls) -> None:
    server = await running(implicit_tls=True)
    reader, writer = await server.connect(ssl=client_tls, server_hostname="localhost")
    assert await reader.readline() == b"hello\r\n"
    writer.write(b"who\r\nslow\r\n")
    assert b"TLSv1.3" in await reader.readline()
    server.service.gate.set()
    assert await reader.readline() == b"slow\r\n"
    writer.close()
    await server.until(lambda: server.service.lost == 1)


async def test_a_failed_handshake_ends_the_connection_and_is_logged(running, log: io.StringIO) -> None:
    server = await running(implicit_tls=True)
    reader, writer = await server.connect()
    writer.write(b"EHLO this is not tls\r\n")
    await reader.read()
    writer.close()
    await server.until(lambda: "tls.failed" in log.getvalue())
    assert server.service.seen == []


async def test_an_unexpected_failure_is_logged_with_its_stack_and_never_told(running, log: io.StringIO) -> None:
    server = await running()
    reader, writer = await server.connect()
    await reader.readline()
    writer.write(b"fail\r\nfail later\r\nstill here\r\n")
    assert await reader.readexactly(26) == b"sorry\r\nsorry\r\nstill here\r\n"
    assert log.getvalue().count("server.failure") == 2
    assert "ValueError" in log.getvalue()
    writer.close()


async def test_a_session_that_cannot_even_apologise_is_cut(running, log: io.StringIO) -> None:
    server = await running()
    reader, writer = await server.connect()
    await reader.readline()
    writer.write(b"fail twice\r\n")
    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 30) == b""
    await server.until(lambda: server.service.lost == 1)
    assert log.getvalue().count("server.failure") == 2
    writer.close()


async def test_silence_ends_in_the_engines_own_words(running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Echo, "timeout", 0.05)
    server = await running()
    reader, writer = await server.connect()
    assert await reader.read() == b"hello\r\ntoo slow\r\n"
    writer.close()


async def test_a_command_that_does_not_come_to_its_end_is_silence_too(running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Echo, "timeout", 0.2)
    server = await running()
    reader, writer = await server.connect()

    async def trickle() -> None:
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    task = asyncio.create_task(trickle())
    assert await reader.readline() == b"hello\r\n"
    await server.until(lambda: server.service.lost == 1)  # what it said may be lost: we go on sending
    task.cancel()
    writer.close()


async def test_much_of_a_command_gives_new_time(running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_PROGRESS", 100)
    server = await running()
    reader, writer = await server.connect()
    await reader.readline()
    (link,) = server.listener._connections
    deadlines = [link._deadline]
    for size in (99, 1, 99, 1):
        heard = link._heard
        writer.write(b"x" * size)
        await server.until(lambda before=heard: link._heard != before)
        deadlines.append(link._deadline)
    writer.write(b"\r\n")
    assert await reader.readline() == b"x" * 200 + b"\r\n"
    first, second, third, fourth, fifth = deadlines
    assert first == second < third == fourth < fifth < link._deadline
    writer.close()


async def test_a_client_that_only_sends_gets_its_answers_after_its_end_of_stream(running) -> None:
    server = await running()
    reader, writer = await server.connect()
    writer.write(b"one\r\ntwo\r\n")
    writer.write_eof()
    assert await reader.read() == b"hello\r\none\r\ntwo\r\n"
    writer.close()


async def test_a_slow_reader_stops_the_handler_and_gets_everything(running) -> None:
    server = await running()
    reader, writer = await server.connect(limit=65536)
    await reader.readline()
    writer.write(b"big\r\n")
    await asyncio.sleep(0.1)
    assert server.service.sent < 200 * 65536
    received = 0
    while received < 200 * 65536:
        received += len(await reader.read(1 << 20))
    assert server.service.sent == 200 * 65536
    writer.close()


async def test_a_peer_that_never_reads_is_cut(running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "STALL_SECONDS", 0.05)
    server = await running()
    _, writer = await server.connect(limit=1024)
    writer.write(b"big\r\n")
    await server.until(lambda: server.service.lost == 1)
    writer.close()


async def test_a_flood_of_commands_without_reading_answers_is_held_back(running) -> None:
    server = await running()
    reader, writer = await server.connect(limit=1024)
    line = b"y" * 900 + b"\r\n"
    writer.write(line * 20_000)
    await asyncio.sleep(0.2)
    assert len(server.service.seen) < 20_000
    await reader.readline()
    for _ in range(20_000):
        assert await reader.readline() == line
    writer.close()


async def test_one_connection_too_many_for_an_address_is_told_so(running) -> None:
    server = await running(Limits(connections_per_ip=2))
    first, second, third = [await server.connect() for _ in range(3)]
    assert await first[0].readline() == await second[0].readline() == b"hello\r\n"
    assert await third[0].read() == b"full\r\n"
    first[1].close()
    await server.until(lambda: server.service.lost == 1)
    fourth = await server.connect()
    assert await fourth[0].readline() == b"hello\r\n"
    for _, writer in (second, third, fourth):
        writer.close()


def test_processes_share_the_total_and_a_network_is_one_client() -> None:
    admission = Admission(lambda: Limits(connections=5, connections_per_ip=2), processes=2)
    assert [admission.enter(ip) for ip in ("2001:db8::1", "2001:db8::2", "2001:db8::3")] == [True, True, False]
    assert admission.enter("192.0.2.1")
    assert not admission.enter("192.0.2.2")
    admission.leave("2001:db8::2")
    assert admission.enter("2001:db8:0:0:ffff::")


async def greeted(server: Running) -> bytes:
    try:
        reader, writer = await server.connect()
        writer.close()
        return await reader.readline()
    except OSError:  # refused or reset
        return b""


async def test_draining_lets_a_handler_finish_and_says_goodbye(running) -> None:
    server = await running()
    idle, busy = await server.connect(), await server.connect()
    await idle[0].readline()
    await busy[0].readline()
    busy[1].write(b"slow\r\n")
    await server.service.started.wait()
    draining = asyncio.create_task(server.listener.drain(60))
    assert await idle[0].read() == b"bye\r\n"
    assert not await greeted(server)
    server.service.gate.set()
    # The goodbye was said when it was asked for; what was under way is finished before the end.
    assert b"slow\r\n" in await busy[0].read()
    await asyncio.wait_for(draining, 30)
    assert server.service.lost == 2
    idle[1].close()
    busy[1].close()


async def test_what_does_not_finish_in_time_is_cut(running) -> None:
    server = await running()
    reader, writer = await server.connect()
    await reader.readline()
    writer.write(b"slow\r\n")
    await server.service.started.wait()
    await asyncio.wait_for(server.listener.drain(0.05), 30)
    assert server.service.lost == 1
    writer.close()
