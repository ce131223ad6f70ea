"""What is cached about an account's messages; found anew where that is old or damaged, and then written back."""

from __future__ import annotations

import asyncio

from postrider.mime.cached import from_cache, to_cache
from postrider.mime.parse import examine
from postrider.model.mail import Content
from postrider.store.ports import Store
from postrider.store.transactions import Recache, StoreError
from postrider.store.values import Account, MessageRow

#: Messages that are written back at once.
SLICE = 50
#: A larger body is scanned in a thread, so that others run meanwhile.
IN_THREAD = 256 * 1024


class Contents:
    """One account's; whoever asks calls `keep` when it has asked for a while."""

    def __init__(self, store: Store, account: Account) -> None:
        self._store = store
        self._account = account
        self._anew: dict[str, bytes] = {}

    async def of(self, row: MessageRow) -> Content:
        """What is known about a message. Raises StoreError when it has to be scanned anew and cannot be read."""
        cached = from_cache(row.cached)
        if cached is not None:
            return cached
        raw = await self._store.reader.body(self._account, row.blob)
        found, _ = (
            await asyncio.to_thread(examine, raw, row.prefix) if len(raw) > IN_THREAD else examine(raw, row.prefix)
        )
        self._anew[row.email_id] = to_cache(found)
        return found

    async def keep(self) -> None:
        """Write back what was found anew. When the store refuses, whoever reads it next finds it again."""
        anew, self._anew = list(self._anew.items()), {}
        for start in range(0, len(anew), SLICE):
            try:
                await self._store.writer.commit(Recache(self._account, tuple(anew[start : start + SLICE])))
            except StoreError:
                return  # what was asked for has been answered already
