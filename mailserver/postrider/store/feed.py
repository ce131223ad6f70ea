"""The change feed inside one process: who watches an account or the queue is woken after each batch that changed it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Iterable

from postrider.store.values import Account


class Watch:
    """One watcher. Hints that come while it is busy are one hint; it watches from its making until it is dropped."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def __aiter__(self) -> Watch:
        return self

    async def __anext__(self) -> None:
        await self._event.wait()
        self._event.clear()

    def wake(self) -> None:
        """Something changed."""
        self._event.set()


class LocalFeed:
    """Hands hints to the watchers of this process; used from one event loop."""

    def __init__(self) -> None:
        #: Called when somebody begins to watch an account, and when a hint came for one that nobody watches any more.
        self.told: Callable[[Account, bool], None] | None = None
        self._accounts: dict[Account, weakref.WeakSet[Watch]] = {}
        self._queue: weakref.WeakSet[Watch] = weakref.WeakSet()

    def watch(self, account: Account) -> Watch:
        """A watcher of one account."""
        watch = Watch()
        watchers = self._accounts.get(account)
        if watchers is None:
            watchers = self._accounts[account] = weakref.WeakSet()
            self._tell(account, watched=True)
        watchers.add(watch)
        return watch

    def watch_queue(self) -> Watch:
        """A watcher of the queue."""
        watch = Watch()
        self._queue.add(watch)
        return watch

    def publish(self, accounts: Iterable[Account], *, queue: bool) -> None:
        """Wake those whom it concerns."""
        for account in accounts:
            watchers = self._accounts.get(account)
            if watchers is None:
                continue
            if not watchers:
                del self._accounts[account]
                self._tell(account, watched=False)
            for watch in list(watchers):
                watch.wake()
        if queue:
            for watch in list(self._queue):
                watch.wake()

    def _tell(self, account: Account, *, watched: bool) -> None:
        if self.told is not None:
            self.told(account, watched)
