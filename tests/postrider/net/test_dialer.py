"""Outgoing connections against servers on loopback: bytes, back-pressure, STARTTLS and every way to break."""

import asyncio
import datetime
import hashlib
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from postrider.contract import tls
from postrider.contract.model import Certificate
from postrider.model.ports import Stream
from postrider.net.dialer import HIGH_WATER, TcpDialer
from postrider.net.tls import ServerTls

NOW = time.time()
CA = tls.make_ca(NOW)
PAIR = tls.issue(CA, ["mx.example.org"], NOW)
SERVED = ServerTls([Certificate(names=("mx.example.org",), chain=PAIR.certificate, key=PAIR.key)])

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Dial = Callable[[Handler], Awaitable[Stream]]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Serve a handler and connect to it."""
    servers: list[asyncio.Server] = []
    streams: list[Stream] = []

    async def made(handler: Handler) -> Stream:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await handler(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass  # tests end conversations in every way
            finally:
                writer.close()

        servers.append(await asyncio.start_server(accepted, "127.0.0.1", 0))
        port = servers[-1].sockets[0].getsockname()[1]
        streams.append(await TcpDialer(CA.certificate).dial("127.0.0.1", port, seconds=60))
        return streams[-1]

    yield made
    for stream in streams:
        await stream.close()
    for server in servers:
        server.close()


async def all_of(stream: Stream) -> bytes:
    data = b""
    while chunk := await stream.read():
        data += chunk
    return data


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def starttls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says yes to one line, shakes hands, echoes."""
    await reader.readline()
    writer.write(b"220 go\r\n")
    await writer.start_tls(SERVED.context())
    await echo(reader, writer)


async def test_bytes_go_both_ways(dial: Dial) -> None:
    stream = await dial(echo)
    await stream.write(b"hello")
    assert await stream.read() == b"hello"
    assert stream.tls == {}
    assert stream.local.startswith("127.0.0.1:")
    assert stream.peer.startswith("127.0.0.1:")


async def test_the_end_of_the_stream_is_empty_and_stays_so(dial: Dial) -> None:
    async def goodbye(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"221 bye\r\n")

    stream = await dial(goodbye)
    assert await all_of(stream) == b"221 bye\r\n"
    assert await stream.read() == b""


async def test_a_broken_connection_is_an_os_error(dial: Dial) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        # Closing with a linger time of 0 sends RST (socket(7)).
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    stream = await dial(reset)
    await stream.write(b"x" * 100_000)
    with pytest.raises(ConnectionError):
        await all_of(stream)


async def test_writing_waits_for_a_peer_that_does_not_read(dial: Dial) -> None:
    go = asyncio.Event()
    received = 0

    async def slow(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        nonlocal received
        await go.wait()
        while data := await reader.read(1 << 20):
            received += len(data)

    stream = await dial(slow)
    block = b"x" * (1 << 20)
    writing = asyncio.create_task(stream.write(block * 32))
    done, _ = await asyncio.wait([writing], timeout=0.2)
    assert not done
    go.set()
    await writing
    await stream.close()
    async with asyncio.timeout(60):
        while received < len(block) * 32:
            await asyncio.sleep(0.01)
    assert received == len(block) * 32


async def test_a_peer_that_says_too_much_has_to_wait(dial: Dial) -> None:
    sent = 0

    async def flood(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        for _ in range(200):
            writer.write(b"y" * 65536)
            await writer.drain()
            sent += 65536

    stream = await dial(flood)
    await asyncio.sleep(0.3)
    # What the kernel holds on loopback comes on top of what we hold.
    assert sent < 200 * 65536
    assert len(await all_of(stream)) == 200 * 65536
    assert HIGH_WATER < 1 << 20


async def test_the_writer_learns_that_the_connection_is_gone(dial: Dial) -> None:
    async def leave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def write_on() -> None:
        for _ in range(100):
            await stream.write(b"x" * 65536)

    stream = await dial(leave)
    with pytest.raises(ConnectionError):
        await write_on()


@pytest.mark.parametrize("verify", [True, False])
async def test_starttls(dial: Dial, verify: bool) -> None:
    stream = await dial(starttls)
    await stream.write(b"STARTTLS\r\n")
    assert await stream.read() == b"220 go\r\n"
    await stream.start_tls("mx.example.org", verify=verify)
    await stream.write(b"secret" * 100_000)
    data = b""
    while len(data) < 600_000:
        data += await stream.read()
    assert data == b"secret" * 100_000
    assert stream.tls["version"] == "TLSv1.3"
    assert stream.tls["cipher"]
    assert stream.tls["verified"] == ("yes" if verify else "no")
    assert stream.tls["names"] == "mx.example.org"
    assert stream.tls["certificate_sha256"] == hashlib.sha256(ssl.PEM_cert_to_DER_cert(PAIR.certificate)).hexdigest()
    assert len(stream.tls["key_sha256"]) == 64


async def test_a_certificate_that_nobody_can_read_is_no_failure(dial: Dial, tmp_path: Path) -> None:
    key, nobody = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    odd_name = x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, b"\x30\x04\xa3\x02\x05\x00")
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(nobody, nobody, key.public_key(), 5, begins, begins.replace(year=2126))
    certificate = builder.add_extension(odd_name, critical=False).sign(key, hashes.SHA256())
    pair = tmp_path / "pair.pem"
    pair.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair)

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(context)
        await echo(reader, writer)

    stream = await dial(odd)
    await stream.start_tls("mx.example.org", verify=False)
    await stream.write(b"hello")
    assert await stream.read() == b"hello"
    assert len(stream.tls["key_sha256"]) == 64
    assert "names" not in stream.tls


async def test_tls_from_the_first_byte(dial: Dial) -> None:
    async def implicit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await writer.start_tls(SERVED.context())
        await echo(reader, writer)

    stream = await dial(implicit)
    await stream.start_tls("mx.example.org", verify=True)
    await stream.write(b"hello")
    assert await stream.read() == b"hello"


@pytest.mark.parametrize("name", ["other.example.org", "127.0.0.1", "x" * 64 + ".example.org", ".", ""])
async def test_a_certificate_of_another_name_is_not_believed(dial: Dial, name: str) -> None:
    stream = await dial(starttls)
    await stream.write(b"STARTTLS\r\n")
    await stream.read()
    with pytest.raises(OSError):  # noqa: PT011
        await stream.start_tls(name, verify=True)


async def test_a_certificate_of_another_authority_is_not_believed() -> None:
    server = await asyncio.start_server(starttls, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stream = await TcpDialer(tls.make_ca(NOW).certificate).dial("127.0.0.1", port, seconds=60)
    await stream.write(b"STARTTLS\r\n")
    await stream.read()
    with pytest.raises(ssl.SSLCertVerificationError):
        await stream.start_tls("mx.example.org", verify=True)
    await stream.close()
    server.close()


async def test_what_was_said_in_clear_is_discarded_by_the_handshake(dial: Dial) -> None:
    """CVE-2011-0411, the client's side: replies slipped in before the handshake are never read after it."""
    heard, lying_there = asyncio.Event(), asyncio.Event()

    async def slipped_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"220 go\r\n")
        await writer.drain()
        await heard.wait()
        writer.write(b"250 injected\r\n")
        await lying_there.wait()
        await writer.start_tls(SERVED.context())
        await echo(reader, writer)

    stream = await dial(slipped_in)
    await stream.write(b"STARTTLS\r\n")
    assert await stream.read() == b"220 go\r\n"
    heard.set()
    while not stream._received:  # the injected reply lies in our buffer
        await asyncio.sleep(0.01)
    lying_there.set()
    await stream.start_tls("mx.example.org", verify=True)
    await stream.write(b"EHLO")
    assert await stream.read() == b"EHLO"


@pytest.mark.parametrize("answer", [b"", b"454 not now\r\n" * 10])
async def test_a_failed_handshake_is_an_os_error(dial: Dial, answer: bytes) -> None:
    async def no_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(answer)

    stream = await dial(no_tls)
    with pytest.raises(OSError):  # noqa: PT011
        await stream.start_tls("mx.example.org", verify=False)
    await stream.close()


async def test_dialling_failures_are_os_errors() -> None:
    dialer = TcpDialer(CA.certificate)
    with socket.socket() as held:  # nobody listens there, and nobody else can
        held.bind(("127.0.0.1", 0))
        for address in ("127.0.0.1", "mx.example.org", "", "::1"):
            with pytest.raises(OSError):  # noqa: PT011
                await dialer.dial(address, held.getsockname()[1], seconds=60)


async def test_dialling_takes_no_longer_than_asked() -> None:
    """A full backlog drops the SYN: nobody answers."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        began = loop.time()
        with pytest.raises(TimeoutError):
            await TcpDialer(CA.certificate).dial("127.0.0.1", server.getsockname()[1], seconds=0.2)
        assert loop.time() - began < 30
        for filler in fillers:
            filler.close()


async def test_the_source_address_is_used() -> None:
    seen: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(note, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stream = await TcpDialer(CA.certificate, "127.0.0.9").dial("127.0.0.1", port, seconds=60)
    await all_of(stream)
    assert seen == ["127.0.0.9"]
    await stream.close()
    server.close()


async def test_closing_twice_and_using_it_after_is_harmless(dial: Dial) -> None:
    stream = await dial(echo)
    await stream.close()
    await stream.close()
    assert await stream.read() == b""
    with pytest.raises(OSError, match="closed"):
        await stream.write(b"x")
