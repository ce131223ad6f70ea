"""Who is at the other end of a connection, and how it is spoken with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

#: Linux has it; elsewhere acknowledgements wait for a while.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


def peer_of(peername: tuple[str, int] | None) -> tuple[str, int]:
    """Address and port of a socket's other end; IPv4 in IPv6 as IPv4, without a zone."""
    if not peername:
        return "", 0
    ip = peername[0].partition("%")[0]
    return (ip.removeprefix("::ffff:") if "." in ip else ip), peername[1]


def reason_of(error: BaseException) -> str:
    """What to log about a handshake that failed."""
    return getattr(error, "reason", None) or type(error).__name__


def tls_of(transport: asyncio.BaseTransport) -> str:
    """Version and cipher as in "TLSv1.3 TLS_AES_256_GCM_SHA384", "" in the clear."""
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return ""
    cipher = tls.cipher()
    return f"{tls.version()} {cipher[0] if cipher else ''}".strip()


def acknowledge(transport: asyncio.BaseTransport) -> None:
    """Have the kernel acknowledge now what has come, not after its usual 40 ms (RFC 9293 §3.8.6.3)."""
    if _QUICKACK is not None:
        with contextlib.suppress(OSError):  # the connection is gone
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
