"""Listening sockets: who is let in, and how everybody is sent home."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from postrider.contract.model import Limits
from postrider.edge.driver import HANDSHAKE_SECONDS, LINGER_SECONDS, Connection
from postrider.edge.peer import peer_of, reason_of
from postrider.edge.session import Service
from postrider.model.network import network_of
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

_BACKLOG = 1024
#: Seconds a peer has to take the last word.
_LAST_WORDS = 1.0
#: Seconds to wait when accepting failed.
_ACCEPT_PAUSE = 0.1


class Admission:
    """Counts the connections of all listeners of a process, together and per client.

    The kernel spreads connections over the `processes` that share the ports: each takes its part of the total. A
    client's own limit is not divided, for a few connections may well meet in one process.
    """

    def __init__(self, limits: Callable[[], Limits], processes: int = 1) -> None:
        self._limits = limits
        self._processes = processes
        self._total = 0
        self._per_client: Counter[str] = Counter()

    def enter(self, ip: str) -> bool:
        """Count one more, unless it is one too many."""
        limits, client = self._limits(), network_of(ip)
        most = -(-limits.connections // self._processes)
        if self._total >= most or self._per_client[client] >= limits.connections_per_ip:
            return False
        self._total += 1
        self._per_client[client] += 1
        return True

    def leave(self, ip: str) -> None:
        """One less."""
        self._total -= 1
        client = network_of(ip)
        self._per_client[client] -= 1
        if not self._per_client[client]:
            del self._per_client[client]


@dataclass(frozen=True, slots=True)
class Bind:
    """Where to listen, and how TLS begins. `tls` is asked at each handshake: certificates change at run time."""

    host: str
    #: 0 takes a free one.
    port: int
    tls: Callable[[], ssl.SSLContext] | None = None
    #: TLS from the first byte (465, 993); else STARTTLS where `tls` is given.
    implicit_tls: bool = False
    #: Several processes accept on the same port.
    reuse_port: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every listener of a process shares."""

    events: Events
    metrics: Metrics
    admission: Admission


class Listener:
    """One service on one address."""

    def __init__(self, bind: Bind, service: Service, surroundings: Surroundings) -> None:
        self.bind = bind
        self.service = service
        self.surroundings = surroundings
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()  # accepting, and handshakes
        self._connections: set[Connection] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._draining = False

    @property
    def address(self) -> tuple[str, int]:
        """Host and port we listen on."""
        if self._socket is None:
            raise RuntimeError("not started")
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    async def start(self) -> None:
        """Begin to accept. Raises OSError where the address cannot be had."""
        loop = asyncio.get_running_loop()
        self._socket = _listen(self.bind)
        if self.bind.implicit_tls:
            self._spawn(self._accept(self._socket))
        else:
            self._server = await loop.create_server(lambda: Connection(self), sock=self._socket, backlog=_BACKLOG)

    async def drain(self, seconds: float) -> None:
        """Stop accepting; connections finish what is under way and say goodbye; cut what is left after `seconds`."""
        self._draining = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
        for connection in tuple(self._connections):
            connection.drain()
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            tasks = [connection.cut() for connection in tuple(self._connections)]
            await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
            await self._abort_rest()

    async def _abort_rest(self) -> None:
        try:
            await asyncio.wait_for(self._empty.wait(), _LAST_WORDS)
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
            await asyncio.sleep(0)

    # -- TLS from the first byte: who is let in is settled before the costly handshake ---------------------------

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listening)
            except OSError:  # the peer is gone already, or we are out of descriptors
                await asyncio.sleep(_ACCEPT_PAUSE)
                continue
            connection = Connection(self)
            connection.ip, connection.port = peer_of(_peername(client))
            if self.admitted(connection):
                self._spawn(self._handshake(connection, client))
            else:
                client.close()

    async def _handshake(self, connection: Connection, client: socket.socket) -> None:
        done = False
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self.bind.tls() if self.bind.tls is not None else None,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=LINGER_SECONDS,
            )
            done = True
        except (OSError, EOFError) as error:
            self.surroundings.events.emit(
                "tls.failed", listener=self.service.name, ip=connection.ip, reason=reason_of(error)
            )
        except Exception:
            self.surroundings.events.emit("server.failure", listener=self.service.name, ip=connection.ip, exc_info=True)
        finally:
            if not done:
                client.close()
                self.forget(connection)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- for connections -----------------------------------------------------------------------------------------

    def admitted(self, connection: Connection) -> bool:
        """May this one come in? If so, forget() is called when it is over."""
        if connection in self._connections:
            return True
        if self._draining or not self.surroundings.admission.enter(connection.ip):
            return False
        self._connections.add(connection)
        self._empty.clear()
        self.surroundings.metrics.count("postrider_connections_total", listener=self.service.name)
        self.surroundings.metrics.count("postrider_open_connections", listener=self.service.name)
        return True

    def forget(self, connection: Connection) -> None:
        """It is over; unknown ones are no matter."""
        if connection not in self._connections:
            return
        self._connections.discard(connection)
        self.surroundings.admission.leave(connection.ip)
        self.surroundings.metrics.count("postrider_open_connections", -1, listener=self.service.name)
        if not self._connections:
            self._empty.set()


def _listen(bind: Bind) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        bind.host or None, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if bind.reuse_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # "::" takes IPv4 too.
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _peername(client: socket.socket) -> tuple[str, int] | None:
    try:
        name = client.getpeername()
    except OSError:  # gone already
        return None
    return str(name[0]), int(name[1])
