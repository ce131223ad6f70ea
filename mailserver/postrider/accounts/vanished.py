"""Addresses that were served a moment ago: a mistake in the declaration must not bounce anybody's mail at once."""

from __future__ import annotations

import asyncio

from postrider.contract.model import Snapshot
from postrider.model.ports import Clock
from postrider.store.ports import Store
from postrider.store.transactions import Remember

#: Seconds that a vanished address answers 450 before it answers 550.
GRACE = 3600
_PREFIX = "vanished/"


def addresses(snapshot: Snapshot) -> frozenset[str]:
    """Every address a generation serves, in normal form, catch-alls included."""
    return frozenset(row.address for rows in (snapshot.mailboxes, snapshot.aliases) for row in rows)


class Vanished:
    """Remembers, in the store, what left the snapshot."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def note(self, before: Snapshot, after: Snapshot) -> None:
        """Keep what `after` does not serve any more. Raises StoreError."""
        expires = int(self._clock.now()) + GRACE
        gone = sorted(addresses(before) - addresses(after))
        commit = self._store.writer.commit
        await asyncio.gather(*(commit(Remember(_PREFIX + address, b"\x01", expires)) for address in gone))

    async def recently(self, address: str) -> bool:
        """Whether an address (normal form) that nobody takes was served within GRACE."""
        now = int(self._clock.now())
        catch_all = f"*@{address.rpartition('@')[2]}"
        for key in (address, catch_all):
            if await self._store.reader.recall(_PREFIX + key, now) is not None:
                return True
        return False
