"""The runner of one process: claims rows of its lanes, sends them, and settles what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence

from postrider.ingest.route import LOCAL, RELAY
from postrider.model.envelope import Source
from postrider.model.reply import LOCAL_ERROR, Reply
from postrider.outbound.attempt import Courier, Delivered, Means, Route
from postrider.outbound.limits import Concurrency
from postrider.outbound.locate import addresses_of, exchangers_of
from postrider.outbound.parcel import CHUNK, Parcel, parcels
from postrider.outbound.ports import Ports
from postrider.outbound.settle import Settler
from postrider.protocols.smtp.client import Credentials, Tls
from postrider.store.transactions import Claim, FreeClaims, Reason, Renew, StoreError
from postrider.store.values import Account, QueueRow

#: Seconds a claim lasts, and what must be left of it when a message is begun and when its final dot is sent: the server
#: has 10 minutes for its answer (RFC 5321 §4.5.3.2.6).
CLAIM_SECONDS = 900
BEGIN_SECONDS = 300
FINAL_SECONDS = 660
#: Rows taken at once, and connections open at once, in one process.
CLAIM_LIMIT = 100
MAX_CONNECTIONS = 100
#: Seconds to wait at most before looking again; hints come earlier.
POLL_SECONDS = 5.0


class Runner:
    """Sends the queue. One object in each process that has lanes."""

    def __init__(self, ports: Ports, lanes: Sequence[int]) -> None:
        self._ports = ports
        self._lanes = tuple(lanes)
        self._concurrency = Concurrency()
        self._waiting: dict[str, deque[Parcel]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._draining = False
        self._settler = Settler(ports)

    def wake(self) -> None:
        """Look for due rows now."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled, or until drain() is done."""
        watching = asyncio.create_task(self._watch())
        inherited = True
        try:
            while not self._draining:
                self._wake.clear()
                due = None
                try:
                    if inherited:  # what a process before us, which had these lanes and died, was about to send
                        await self._ports.store.writer.commit(FreeClaims(self._lanes))
                        inherited = False
                    due = 0 if await self._claim() else await self._ports.store.reader.next_due(self._lanes)
                except Exception:  # whatever it is, the lanes have nobody else
                    self._ports.events.emit("server.failure", where="queue", exc_info=True)
                await self._pause(due)
            await self._finish()
        finally:
            ending = [watching, *self._workers]
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)

    async def drain(self) -> None:
        """Claim nothing more, finish what is being sent, give back what was not begun."""
        self._draining = True
        self.wake()
        await self._finish()

    async def _finish(self) -> None:
        waiting = [parcel for queue in self._waiting.values() for parcel in queue]
        self._waiting.clear()
        await asyncio.gather(*(self._give_back(parcel) for parcel in waiting))
        if self._workers:
            await asyncio.wait(self._workers)

    async def _give_back(self, parcel: Parcel) -> None:
        try:
            await self._settler.give_back(parcel)
        except StoreError:  # its rows stay claimed until the next start
            self._ports.events.emit("server.failure", where="settling", exc_info=True)

    async def _watch(self) -> None:
        async for _ in self._ports.store.feed.watch_queue():
            self.wake()

    async def _pause(self, due: int | None) -> None:
        """Until a hint comes, a connection ends, or the next row is due."""
        seconds = POLL_SECONDS
        if due is not None:
            # A row that is due and was not claimed waits for a connection to end, which wakes us too.
            seconds = min(POLL_SECONDS, max(1.0, due - self._ports.clock.now())) if due else 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    async def _claim(self) -> bool:
        """Take due rows and set workers to them; True when there may be more at once."""
        free = min(CLAIM_LIMIT, MAX_CONNECTIONS - len(self._workers))
        if free <= 0 or self._draining:
            return False
        now = int(self._ports.clock.now())
        busy = tuple({*self._concurrency.busy(), *self._waiting})
        rows = await self._ports.store.writer.commit(Claim(self._lanes, now, CLAIM_SECONDS, free, busy))
        for parcel in parcels(rows, now + CLAIM_SECONDS):
            self._waiting.setdefault(parcel.destination, deque()).append(parcel)
        for destination in list(self._waiting):
            self._employ(destination)
        return len(rows) == free

    def _employ(self, destination: str) -> None:
        """As many workers for a destination as it may have and has work for."""
        wanted = min(self._concurrency.free(destination), len(self._waiting[destination]))
        for _ in range(wanted):
            self._concurrency.take(destination)
            worker = asyncio.create_task(self._work(destination))
            self._workers.add(worker)
            worker.add_done_callback(self._ended)

    def _ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        self.wake()

    async def _work(self, destination: str) -> None:
        """Carry parcels to one destination until there are none; a connection is kept for all of them."""
        courier: Courier | None = None
        down: Reply | None = None
        try:
            while parcel := self._next(destination):
                try:
                    if not await self._hold(parcel, BEGIN_SECONDS):
                        continue
                    parcel = await self._deliver_here(parcel)
                    if not parcel.rows:
                        continue
                    if courier is None and down is None:
                        courier, down = await self._courier(destination)
                    results = await courier.carry(parcel) if courier and not down else _all(parcel, down)
                    down = down or (courier.unreachable if courier else None)
                    self._learn(destination, results, down)
                    await self._settler.settle(parcel, results)
                except Exception:
                    self._ports.events.emit("server.failure", where="delivery", destination=destination, exc_info=True)
                    await self._try_later(parcel)
        finally:
            self._concurrency.release(destination)
            if courier is not None:
                await courier.close()

    async def _try_later(self, parcel: Parcel) -> None:
        """After something unexpected. Rows that were settled already are FENCED, which harms nobody."""
        try:
            await self._settler.settle(parcel, _all(parcel, LOCAL_ERROR))
        except StoreError:
            # They stay claimed until the claim ends, then they are tried again: nothing is lost.
            self._ports.events.emit("server.failure", where="settling", exc_info=True)

    def _next(self, destination: str) -> Parcel | None:
        queue = self._waiting.get(destination)
        if not queue:
            return None
        parcel = queue.popleft()
        if not queue:
            del self._waiting[destination]
        return parcel

    def _learn(self, destination: str, results: Sequence[Delivered], down: Reply | None) -> None:
        if down is not None:
            self._concurrency.failed(destination)
        elif any(one.remote for one in results):
            self._concurrency.succeeded(destination)

    async def _hold(self, parcel: Parcel, seconds: int) -> bool:
        """Make sure that the claims last that long; False when one was lost."""
        now = int(self._ports.clock.now())
        if parcel.until - now >= seconds:
            return True
        try:
            for row in parcel.rows:
                await self._ports.store.writer.commit(Renew(row.id, row.epoch, now, CLAIM_SECONDS))
        except StoreError as error:
            if error.reason is not Reason.FENCED:
                raise
            self._ports.events.emit("queue.lost", ids=[row.id for row in parcel.rows])
            return False
        return True

    async def _courier(self, destination: str) -> tuple[Courier | None, Reply | None]:
        route = await self._route(destination)
        if isinstance(route, Reply):
            return None, route
        reader, dialer = self._ports.store.reader, self._ports.dialer
        return Courier(route, Means(dialer, reader, lambda parcel: self._hold(parcel, FINAL_SECONDS))), None

    async def _route(self, destination: str) -> Route | Reply:
        directory = self._ports.directory()
        server, relay = directory.server, directory.server.relay
        if destination != RELAY:
            own = frozenset({server.hostname.lower()})
            hosts = await exchangers_of(destination, own, self._ports.resolver, self._ports.random)
            if isinstance(hosts, Reply):
                return hosts
            return Route(hosts=hosts, port=server.queue.smtp_port, hostname=server.hostname)
        if relay is None:
            return Reply(451, "4.3.5", "No smarthost is configured any more")
        hosts = await addresses_of(relay.host, self._ports.resolver)
        if isinstance(hosts, Reply):
            return Reply(451, "4.4.3", "The smarthost has no address")
        password = directory.secret(relay.password_key) if relay.username else None
        return Route(
            hosts=hosts,
            port=relay.port,
            hostname=server.hostname,
            tls=_RELAY_TLS[relay.tls],
            verify=relay.tls != "none",
            smarthost=True,
            credentials=Credentials(relay.username, password) if password is not None else None,
        )

    async def _deliver_here(self, parcel: Parcel) -> Parcel:
        """Rows for our own mailboxes are delivered and settled; what is left goes elsewhere."""
        directory = self._ports.directory()
        ours = [
            row
            for row in parcel.rows
            if row.destination.startswith(LOCAL) or directory.is_local(row.recipient.rpartition("@")[2])
        ]
        for row in ours:
            reply = await self._redeliver(row)
            if reply is not None and reply.ok:
                self._settler.delivered_here(Delivered(row, reply))
            elif reply is not None:
                await self._settler.settle(parcel.only([row]), [Delivered(row, reply)])
        return parcel.only(row for row in parcel.rows if row not in ours)

    async def _redeliver(self, row: QueueRow) -> Reply | None:
        """Into a mailbox of ours; None when the claim was lost."""
        spool = self._ports.ingest.begin(Source.OWN)
        try:
            for start in range(0, row.blob.size, CHUNK):
                await spool.write(await self._ports.store.reader.body(Account(row.account), row.blob, start, CHUNK))
            return await self._ports.ingest.redeliver(spool, row)
        except StoreError as error:
            if error.reason is Reason.FENCED:
                self._ports.events.emit("queue.lost", ids=[row.id])
                return None
            self._ports.events.emit("server.failure", where="redelivery", id=row.id, exc_info=True)
            return LOCAL_ERROR
        finally:
            self._ports.ingest.abort(spool)


_RELAY_TLS = {"starttls": Tls.REQUIRED, "tls": Tls.IMPLICIT, "none": Tls.NEVER}


def _all(parcel: Parcel, reply: Reply | None) -> list[Delivered]:
    return [Delivered(row, reply or LOCAL_ERROR) for row in parcel.rows]
