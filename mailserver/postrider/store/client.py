"""A front's half of the store: transactions over the writer's socket, many under way at once; hints into the feed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec

from postrider.store import transactions as t
from postrider.store import wire
from postrider.store.feed import LocalFeed
from postrider.store.ports import Feed, FileReader, Reader, Writer
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account

_GONE = "the connection to the store's writer ended"
_RETRY = 0.05


class RemoteWriter(asyncio.Protocol):
    """Implements ports.Writer. When the connection ends, what is under way is UNAVAILABLE: kept or not, unknown."""

    def __init__(self, feed: LocalFeed) -> None:
        self._feed = feed
        feed.told = self._watch
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._frames = wire.Frames()
        self._under_way: dict[int, tuple[asyncio.Future[Any], t.Txn]] = {}
        self._last = 0
        self._unsent: list[bytes] = []
        self._flowing = asyncio.Event()
        self._flowing.set()
        #: Set when the connection has ended, for whatever reason.
        self.lost = asyncio.Event()

    async def commit(self, txn: t.AnyTxn) -> Any:
        """Run one transaction. Raises StoreError."""
        if not self._flowing.is_set():
            await self._flowing.wait()
        if self.lost.is_set():
            raise StoreError(Reason.UNAVAILABLE, _GONE)
        self._last += 1
        data = wire.frame(wire.Asked(self._last, txn))
        if len(data) > wire.MAX_FRAME:
            raise StoreError(Reason.INVALID, "hand large bodies over as spool files")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._under_way[self._last] = (future, txn)
        self._send(data)
        return await future

    async def close(self) -> None:
        """Wait for what is under way, then close the connection."""
        if self._under_way:
            await asyncio.wait([future for future, _ in self._under_way.values()])
        if self._transport:
            self._transport.close()
        await self.lost.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.set_write_buffer_limits(high=4 * 1024 * 1024)

    def data_received(self, data: bytes) -> None:
        """Answers and hints."""
        try:
            for raw in self._frames.feed(data):
                self._hear(wire.told.decode(raw))
        except (wire.BadFrame, msgspec.DecodeError):
            if self._transport:
                self._transport.abort()
            raise

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was under way is unknown now."""
        self.lost.set()
        self._flowing.set()
        for future, _ in self._under_way.values():
            if not future.done():
                future.set_exception(StoreError(Reason.UNAVAILABLE, _GONE))
        self._under_way.clear()

    def pause_writing(self) -> None:
        """The writer does not keep up."""
        self._flowing.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._flowing.set()

    def _watch(self, account: Account, watched: bool) -> None:
        self._send(wire.frame(wire.Watched(account, watched)))

    def _send(self, data: bytes) -> None:
        self._unsent.append(data)
        if len(self._unsent) == 1:  # what this turn of the loop asks for leaves as one write
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._transport and not self.lost.is_set():
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _hear(self, told: wire.Answered | wire.Refused | wire.Hinted) -> None:
        if isinstance(told, wire.Hinted):
            self._feed.publish(told.accounts, queue=told.queue)
            return
        future, txn = self._under_way.pop(told.id)
        if future.done():  # whoever asked was cancelled
            return
        if isinstance(told, wire.Refused):
            future.set_exception(StoreError(told.reason, told.text))
        else:
            future.set_result(wire.result_of(txn, told.result))


class RemoteStore:
    """Implements ports.Store for a front."""

    def __init__(self, writer: RemoteWriter, reader: FileReader, feed: LocalFeed) -> None:
        self._remote = writer
        self._files = reader
        self.writer: Writer = writer
        self.reader: Reader = reader
        self.feed: Feed = feed
        #: Set when the writer is gone: the front cannot go on.
        self.lost = writer.lost

    async def close(self) -> None:
        """Finish transactions, release socket and files."""
        await self._remote.close()
        self._files.close()


async def dial(socket_path: Path, feed: LocalFeed, seconds: float) -> RemoteWriter:
    """Connect to the writer, which may still be starting. Raises OSError after `seconds`."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while True:
        try:
            _, writer = await loop.create_unix_connection(lambda: RemoteWriter(feed), str(socket_path))
        except OSError:
            if loop.time() >= give_up:
                raise
            await asyncio.sleep(_RETRY)
        else:
            return writer
