"""Certificates by name, and exchanged while a listener stands."""

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from postrider.contract import tls
from postrider.contract.model import Certificate
from postrider.net.tls import ServerTls

NOW = 1_790_000_000.0
CA = tls.make_ca(NOW)


def certificate(*names: str, ca: tls.Pair = CA) -> Certificate:
    pair = tls.issue(ca, names, NOW)
    return Certificate(names=names, chain=pair.certificate, key=pair.key)


ONE = certificate("mx.example.org", "imap.example.org")
TWO = certificate("*.example.com")


class Handshakes:
    """A TLS server that asks for its context at each handshake, and a client that looks at what it is shown."""

    def __init__(self, served: ServerTls) -> None:
        self._served = served
        self.port = 0

    async def serve(self) -> asyncio.Server:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await writer.start_tls(self._served.context())
                await reader.read()
            finally:
                writer.close()

        server = await asyncio.start_server(accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def connect(self, name: str | None) -> tuple[asyncio.StreamWriter, bytes]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        await writer.start_tls(context, server_hostname=name)
        return writer, writer.get_extra_info("ssl_object").getpeercert(binary_form=True)

    async def shown(self, name: str | None) -> bytes:
        writer, der = await self.connect(name)
        writer.close()
        await writer.wait_closed()
        return der


def der(row: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(row.chain)


@pytest.fixture
def served() -> ServerTls:
    return ServerTls([ONE, TWO])


@pytest.fixture
async def handshakes(served: ServerTls) -> AsyncIterator[Handshakes]:
    made = Handshakes(served)
    server = await made.serve()
    yield made
    server.close()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("mx.example.org", ONE),
        ("IMAP.Example.ORG", ONE),
        ("any.example.com", TWO),
        ("two.levels.example.com", ONE),
        ("example.com", ONE),
        ("unknown.example", ONE),
        (None, ONE),
    ],
)
async def test_the_name_chooses_the_certificate(handshakes: Handshakes, name: str | None, row: Certificate) -> None:
    assert await handshakes.shown(name) == der(row)


async def test_reload_is_for_new_connections_and_leaves_the_others(handshakes: Handshakes, served: ServerTls) -> None:
    writer, before = await handshakes.connect("mx.example.org")
    renewed = certificate("mx.example.org")
    served.reload([renewed])
    assert await handshakes.shown("mx.example.org") == der(renewed) != before
    assert await handshakes.shown("any.example.com") == der(renewed)
    writer.write(b"still here")
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_bad_reload_changes_nothing(handshakes: Handshakes, served: ServerTls) -> None:
    swapped = Certificate(names=("mx.example.org",), chain=ONE.chain, key=TWO.key)
    for bad in ([swapped], [certificate("a.example"), swapped], []):
        with pytest.raises(tls.BadCertificate):
            served.reload(bad)
    assert await handshakes.shown("mx.example.org") == der(ONE)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_old_versions_are_refused(handshakes: Handshakes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    _, writer = await asyncio.open_connection("127.0.0.1", handshakes.port)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await writer.start_tls(context)
    writer.close()


def test_without_any_certificate_there_is_no_tls_until_one_comes() -> None:
    served = ServerTls()
    with pytest.raises(tls.BadCertificate, match="no certificate"):
        served.context()
    served.reload([ONE])
    assert isinstance(served.context(), ssl.SSLContext)
