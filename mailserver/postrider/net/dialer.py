"""Outgoing TCP connections with STARTTLS and back-pressure, on an asyncio.Protocol of our own.

Never asyncio streams: they keep bytes that arrived before the TLS handshake and hand them out as if encrypted.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import ssl
from collections import deque
from collections.abc import Mapping
from typing import cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from postrider.model.ports import Stream

#: Bytes received and not yet read at which the peer has to wait.
HIGH_WATER = 256 * 1024
#: Seconds for a TLS handshake, and for saying goodbye.
HANDSHAKE_SECONDS = 30.0
CLOSE_SECONDS = 5.0


class TcpDialer:
    """Implements model.ports.Dialer. `authorities` (PEM) are believed instead of the system's."""

    def __init__(self, authorities: str | None = None, source_address: str | None = None) -> None:
        self._source = (source_address, 0) if source_address else None
        self._verifying = ssl.create_default_context(cadata=authorities)
        # Opportunistic TLS (RFC 7435): any certificate is better than none, and names prove nothing.
        self._encrypting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._encrypting.check_hostname = False
        self._encrypting.verify_mode = ssl.CERT_NONE

    async def dial(self, address: str, port: int, *, seconds: float) -> Stream:
        """Connect to an IP address within `seconds`. Raises OSError (TimeoutError included)."""
        try:
            ipaddress.ip_address(address.partition("%")[0])
        except ValueError as error:
            raise OSError(f"{address!r} is not an IP address") from error
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            _, stream = await loop.create_connection(self._stream, address, port, local_addr=self._source)
        return stream

    def _stream(self) -> TcpStream:
        return TcpStream(self._verifying, self._encrypting)


class TcpStream(asyncio.Protocol):
    """Implements model.ports.Stream; one reader and one writer at a time."""

    def __init__(self, verifying: ssl.SSLContext, encrypting: ssl.SSLContext) -> None:
        self.tls: Mapping[str, str] = {}
        self.local = ""
        self.peer = ""
        self._contexts = {True: verifying, False: encrypting}
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._received: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._blocked = False
        self._lost = self._loop.create_future()

    # -- model.ports.Stream --------------------------------------------------------------------------------------

    async def read(self) -> bytes:
        """The next bytes; b"" at the end of the stream. Raises OSError when the connection breaks."""
        while not self._received:
            if self._error is not None:
                raise _as_os_error(self._error)
            if self._ended:
                return b""
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._received.popleft()
        self._size -= len(data)
        if self._paused and self._size <= HIGH_WATER // 2:
            self._paused = False
            self._alive().resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Send all of data, waiting while the peer does not read. Raises OSError when the connection breaks."""
        self._alive().write(data)
        while self._blocked:
            self._writer = self._loop.create_future()
            try:
                await self._writer
            finally:
                self._writer = None
        self._alive()

    async def start_tls(self, server_name: str, *, verify: bool) -> None:
        """Upgrade to TLS as the client; bytes received before the handshake are discarded. Raises OSError."""
        transport = self._alive()
        name = server_name.rstrip(".")
        if verify and not name:
            raise OSError("a certificate cannot be verified without a name")
        # RFC 3207 §4.2 and CVE-2011-0411: what came in clear is not part of what follows.
        self._received.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            transport.resume_reading()
        try:
            secured = await self._loop.start_tls(
                transport,
                self,
                self._contexts[verify],
                server_hostname=name or None,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except BaseException as error:
            transport.abort()
            if isinstance(error, EOFError | ValueError) and not isinstance(error, OSError):
                raise ConnectionAbortedError(f"no TLS with {server_name!r}: {error}") from error
            raise
        if secured is None:
            raise ConnectionAbortedError("the peer left during the TLS handshake")
        self._transport = secured
        self.tls = _facts(self._transport, verified=verify)

    async def close(self) -> None:
        """Close; never raises. What was written is sent if the peer takes it within CLOSE_SECONDS."""
        if self._transport is None:
            return
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.shield(self._lost)
        except TimeoutError:
            self._transport.abort()
        except asyncio.CancelledError:
            self._transport.abort()
            raise

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)
        self.local = _end(transport.get_extra_info("sockname"))
        self.peer = _end(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        self._received.append(data)
        self._size += len(data)
        if self._size > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """The peer will send no more; we may still write, but not over TLS."""
        self._ended = True
        _wake(self._reader)
        return not self.tls

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._blocked = True

    def resume_writing(self) -> None:
        """It reads again."""
        self._blocked = False
        _wake(self._writer)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._ended = True
        self._error = exc
        self._blocked = False
        _wake(self._reader)
        _wake(self._writer)
        if not self._lost.done():
            self._lost.set_result(None)

    def _alive(self) -> asyncio.Transport:
        """The transport of a connection that stands. Raises OSError."""
        if self._error is not None:
            raise _as_os_error(self._error)
        if self._transport is None or self._lost.done() or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        return self._transport


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _as_os_error(error: Exception) -> OSError:
    return error if isinstance(error, OSError) else ConnectionResetError(str(error))


def _end(name: object) -> str:
    """A socket's end as "address:port", IPv6 in brackets."""
    if not isinstance(name, tuple):
        return ""
    host = f"[{name[0]}]" if ":" in str(name[0]) else name[0]
    return f"{host}:{name[1]}"


def _facts(transport: asyncio.Transport, *, verified: bool) -> Mapping[str, str]:
    """What is known of a TLS connection; digests in hex, as TLSA records have them (RFC 6698 §2.1)."""
    connection: ssl.SSLObject = transport.get_extra_info("ssl_object")
    cipher = connection.cipher()
    facts = {
        "version": connection.version() or "",
        "cipher": cipher[0] if cipher else "",
        "verified": "yes" if verified else "no",
    }
    der = connection.getpeercert(binary_form=True)
    if der:
        facts |= _certificate_facts(der)
    return facts


#: What cryptography raises for a certificate with something in it that it does not know.
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def _certificate_facts(der: bytes) -> Mapping[str, str]:
    facts = {"certificate_sha256": hashlib.sha256(der).hexdigest()}
    try:
        certificate = x509.load_der_x509_certificate(der)
        public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        facts["key_sha256"] = hashlib.sha256(public).hexdigest()
        facts["issuer"] = certificate.issuer.rfc4514_string()
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        facts["names"] = " ".join(names.get_values_for_type(x509.DNSName))
    except _UNREADABLE:
        # Strangers' certificates may be odd; the facts are those that could be read.
        return facts
    return facts
