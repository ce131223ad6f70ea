"""A store in one process: a thread commits, the event loop that asked gets the answers. For tests and tools."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any

from postrider.store import transactions as t
from postrider.store.feed import LocalFeed
from postrider.store.ports import Feed, FileReader, Reader, Writer
from postrider.store.transactions import Reason, StoreError
from postrider.store.writer import MAX_BATCH, Committer

_Waiting = tuple[t.Txn, asyncio.Future[Any], asyncio.AbstractEventLoop]


class LocalWriter:
    """Implements ports.Writer over a Committer in a thread; a batch is what came while the last one was synced."""

    def __init__(self, committer: Committer, feed: LocalFeed) -> None:
        self._committer = committer
        self._feed = feed
        self._waiting: deque[_Waiting] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="store-writer", daemon=True)
        self._thread.start()

    async def commit(self, txn: t.AnyTxn) -> Any:
        """Run one transaction. Raises StoreError."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._wake:
            if self._closing:
                raise StoreError(Reason.UNAVAILABLE, "the store is closed")
            self._waiting.append((txn, future, loop))
            self._wake.notify()
        return await future

    async def close(self) -> None:
        """Finish what was asked for and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        try:
            self._serve()
        finally:  # however it ends, nobody waits for an answer that does not come
            with self._wake:
                self._closing = True
                gone: object = StoreError(Reason.UNAVAILABLE, "the store's writer ended")
                for _, future, loop in self._waiting:
                    loop.call_soon_threadsafe(self._answer, [(future, gone)], (), False)
                self._waiting.clear()

    def _serve(self) -> None:
        rest = 0.0
        while True:
            with self._wake:
                if not self._waiting and rest != 0 and not self._closing:
                    self._wake.wait(rest)
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
                if not batch and self._closing:
                    break
            if batch:
                self._commit(batch)
            rest = self._committer.between()
        self._committer.close()

    def _commit(self, batch: list[_Waiting]) -> None:
        try:
            outcome = self._committer.commit([txn for txn, _, _ in batch])
        except BaseException:
            self._waiting.extendleft(reversed(batch))
            raise
        loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], object]]] = {}
        for (_, future, loop), result in zip(batch, outcome.results, strict=True):
            loops.setdefault(loop, []).append((future, result))
        for loop, answers in loops.items():
            loop.call_soon_threadsafe(self._answer, answers, outcome.accounts, outcome.queue)

    def _answer(self, answers: list[tuple[asyncio.Future[Any], object]], accounts: Any, queue: bool) -> None:
        for future, result in answers:
            if future.cancelled():
                continue
            if isinstance(result, StoreError):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._feed.publish(accounts, queue=queue)


class LocalStore:
    """Implements ports.Store."""

    def __init__(self, writer: LocalWriter, reader: FileReader, feed: LocalFeed) -> None:
        self._local = writer
        self._files = reader
        self.writer: Writer = writer
        self.reader: Reader = reader
        self.feed: Feed = feed

    async def close(self) -> None:
        """Finish transactions, release files."""
        await self._local.close()
        self._files.close()
