"""Transactions that nobody waits for: committed without a sync of their own, durable with the next that has one.

In between a loss of power takes them back, all of the later ones with the earlier. So nothing outside the database may
go by what they did: no file goes, and no pack is sealed behind their journal records, before it is durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from postrider.store.pack_files import sync_data


class Settling:
    """What of one database's last transactions is durable. `path` is the database's."""

    def __init__(self, db: apsw.Connection, path: Path) -> None:
        self._db = db
        self._wal = path.with_name(f"{path.name}-wal")
        self._pending = False

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """The transaction in here is committed without a sync."""
        self._db.pragma("synchronous", "normal")
        try:
            yield
        finally:
            self._db.pragma("synchronous", "full")

    def committed(self, *, synced: bool) -> None:
        """A transaction was; with a sync those before it are durable, too."""
        self._pending = not synced

    def settle(self) -> None:
        """Make durable what is not. Raises SyncFailed."""
        if self._pending:
            sync_data(self._wal)
            self._pending = False
