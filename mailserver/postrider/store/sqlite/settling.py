"""Transactions that nobody waits for: committed without a sync of their own, durable with the next that has one.

In between a loss of power takes them back, all of the later ones with the earlier. So nothing outside the database may
go by what they did: files that nobody needs any more stay until it is durable, and no pack is sealed behind their
journal records before it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw

from postrider.store.blobs import BlobWriter, Place
from postrider.store.pack_files import sync_data


class Settling:
    """What of one database's last transactions is durable. `path` is the database's."""

    def __init__(self, db: apsw.Connection, path: Path, blobs: BlobWriter) -> None:
        self._db = db
        self._wal = path.with_name(f"{path.name}-wal")
        self._blobs = blobs
        self._freed: list[Place] = []
        self._open = False

    @contextmanager
    def unsynced(self) -> Iterator[None]:
        """The transaction in here is committed without a sync."""
        self._db.pragma("synchronous", "normal")
        try:
            yield
        finally:
            self._db.pragma("synchronous", "full")

    def committed(self, freed: Sequence[Place] = (), *, synced: bool) -> None:
        """A transaction was, and with a sync those before it are durable too; it left these bodies to nobody."""
        self._freed += freed
        self._open = not synced
        if synced and self._freed:
            gone, self._freed = self._freed, []
            self._blobs.dropped(gone)

    def settle(self) -> None:
        """Make durable what is not. Raises SyncFailed."""
        if not self._open:
            return
        sync_data(self._wal)
        self.committed(synced=True)
