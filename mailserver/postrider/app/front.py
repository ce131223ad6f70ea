"""A front's process: listeners, logins, ingest, and its share of the queue's lanes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Sequence
from pathlib import Path

from postrider.accounts import released
from postrider.accounts.directory import Directory
from postrider.accounts.login import Login
from postrider.accounts.room import Room
from postrider.accounts.vanished import Vanished
from postrider.app import child, keys
from postrider.contract.model import Certificate
from postrider.contract.tls import BadCertificate
from postrider.edge.imap import ImapDeps, ImapService
from postrider.edge.listener import Admission, Bind, Listener, Surroundings
from postrider.edge.session import Service
from postrider.edge.smtp import SmtpDeps, SmtpService
from postrider.ingest.pipeline import Ingest
from postrider.ingest.ports import Ports
from postrider.net.dialer import TcpDialer
from postrider.net.resolver import DnsResolver
from postrider.net.system import SystemClock, SystemRandom
from postrider.net.tls import ServerTls
from postrider.outbound import ports as outbound
from postrider.outbound.runner import Runner
from postrider.roles import LISTENERS, Role, Tls
from postrider.store import open as stores
from postrider.store.client import RemoteStore
from postrider.store.search.lookup import IndexLookup
from postrider.store.transactions import StoreError
from postrider.store.values import LANES
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics


def run(settings: Settings, index: int, end: socket.socket) -> int:
    """The process, from its first line to its exit status."""
    return child.serve(f"front-{index}", settings, end, lambda events: FrontWork(settings, index, events))


class FrontWork:
    """One front. `index` of Settings.fronts: the lanes of the queue are shared out by it."""

    def __init__(self, settings: Settings, index: int, events: Events) -> None:
        self._settings = settings
        self._index = index
        self._events = events
        self._clock, self._random, self._metrics = SystemClock(), SystemRandom(), Metrics()
        self._directory = Directory(child.kept(settings))
        self._tls = ServerTls(self._directory.snapshot.certificates)
        self._resolver = DnsResolver(self._clock, (settings.resolver,) if settings.resolver else None)
        self._login = Login(self._present, self._clock, self._random)
        self._texts: IndexLookup | None = None
        self._keys = keys.Followed(settings, self._directory.snapshot, self._clock)
        self._store: RemoteStore | None = None
        self._listeners: list[Listener] = []
        self._runner: Runner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect to the writer, then listen."""
        settings = self._settings
        self._store = await stores.connect(
            settings.data, settings.socket, seconds=child.START_SECONDS, keys=self._keys.ring
        )
        self._texts = IndexLookup(Path(settings.data), self._events, self._store.reader, self._keys.ring.key)
        self._texts.prepare()
        self._vanished = Vanished(self._store, self._clock)
        if self._index == 0:
            await self._if_stored(released.release(self._store, None, self._directory))
        spool = Path(settings.data) / "spool" / str(self._index)
        child.make_empty(spool)
        ingest = Ingest(
            Ports(
                store=self._store,
                directory=self._present,
                clock=self._clock,
                random=self._random,
                events=self._events,
                metrics=self._metrics,
                spool=spool,
            )
        )
        self._tasks.append(asyncio.create_task(child.end_with_the_writer(self._store)))
        self._start_queue(self._store, ingest)
        await self._listen(self._services(self._store, ingest, spool))

    async def load(self, generation: int) -> None:
        """Serve the kept generation: new connections and new commands see it at once."""
        snapshot = child.kept(self._settings, generation)
        before = self._directory.snapshot
        self._keys.follow(snapshot)
        if self._index == 0 and self._store:
            await self._if_stored(self._vanished.note(before, snapshot))
        self._directory = Directory(snapshot)
        if self._index == 0 and self._store:
            await self._if_stored(released.release(self._store, before, self._directory))
        if snapshot.certificates != before.certificates:
            self._reload(snapshot.certificates)

    async def drain(self, seconds: float) -> None:
        """Stop listening, finish conversations and deliveries under way, close."""
        ends = [listener.drain(seconds) for listener in self._listeners]
        if self._runner:
            ends.append(self._drain_queue(self._runner, seconds))
        await asyncio.gather(*ends)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._login.close()
        await self._resolver.close()
        if self._texts:
            self._texts.close()
        if self._store:
            await self._store.close()

    # -- what start builds ---------------------------------------------------------------------------------------

    def _services(self, store: RemoteStore, ingest: Ingest, spool: Path) -> dict[str, Service]:
        """A service for each listener that clients connect to."""
        smtp = SmtpDeps(
            ingest=ingest,
            login=self._login,
            directory=self._present,
            recently=self._vanished.recently,
            room=Room(store.reader, self._clock),
            events=self._events,
            metrics=self._metrics,
        )
        imap = ImapDeps(
            store=store,
            login=self._login,
            directory=self._present,
            events=self._events,
            metrics=self._metrics,
            clock=self._clock,
            spool=spool,
            index=self._texts,
        )
        services: dict[str, Service] = {}
        for name in self._settings.ports:
            row = LISTENERS[name]
            if row.role is Role.IMAP:
                services[name] = ImapService(name, imap, secure=row.tls is Tls.IMPLICIT)
            elif row.role is not None:
                services[name] = SmtpService(name, smtp)
        return services

    async def _listen(self, services: dict[str, Service]) -> None:
        admission = Admission(lambda: self._directory.server.limits, self._settings.fronts)
        around = Surroundings(self._events, self._metrics, admission)
        for name, service in services.items():
            bind = Bind(
                self._settings.address,
                self._settings.ports[name],
                tls=self._tls.context,
                implicit_tls=LISTENERS[name].tls is Tls.IMPLICIT,
                reuse_port=True,
            )
            listener = Listener(bind, service, around)
            await listener.start()
            self._listeners.append(listener)

    def _start_queue(self, store: RemoteStore, ingest: Ingest) -> None:
        if Role.QUEUE not in self._settings.roles:
            return
        ports = outbound.Ports(
            store=store,
            ingest=ingest,
            directory=self._present,
            resolver=self._resolver,
            dialer=TcpDialer(),
            clock=self._clock,
            random=self._random,
            events=self._events,
            metrics=self._metrics,
        )
        self._runner = Runner(ports, range(self._index, LANES, self._settings.fronts))
        self._tasks.append(asyncio.create_task(self._runner.run()))

    # -- the rest ------------------------------------------------------------------------------------------------

    def _present(self) -> Directory:
        return self._directory

    async def _if_stored(self, change: Awaitable[None]) -> None:
        """A store that cannot write now (a full disk, say) is no reason to stop serving; a start releases again."""
        try:
            await change
        except StoreError:
            self._events.emit("server.failure", where="snapshot", exc_info=True)

    def _reload(self, certificates: Sequence[Certificate]) -> None:
        try:
            self._tls.reload(certificates)
        except BadCertificate:  # the present ones go on
            self._events.emit("server.failure", where="tls", exc_info=True)
        else:
            self._events.emit("tls.loaded", certificates=len(certificates))

    async def _drain_queue(self, runner: Runner, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await runner.drain()
        except TimeoutError:
            # Claims not settled are free again when the writer starts: nothing is lost, at worst sent twice.
            self._events.emit("queue.cut", seconds=seconds)
