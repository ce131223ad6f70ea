"""What a handler works with while its transaction runs: the connection, the time, where bodies lie, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from postrider.store.blobs import Location
from postrider.store.cells import Cell
from postrider.store.keys import DataKey, KeyMissing, none
from postrider.store.sqlite.sealing import Sealing
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Flag

#: As plain numbers: arithmetic on enum members costs ten times as much, and every message needs it.
SEEN, DELETED = Flag.SEEN.value, Flag.DELETED.value


class Running(msgspec.Struct):
    """One transaction under way. What it notes here is forgotten when it is rolled back."""

    db: apsw.Connection
    #: Seconds since the epoch.
    now: int
    #: Where the bodies of the transaction were written, in its order.
    places: Sequence[Location] = ()
    #: Those of them that no row needs: what they hold was there already.
    unused: list[Location] = msgspec.field(default_factory=list)
    #: Added to the rows of `counter` when the transaction is kept.
    counts: Counter[str] = msgspec.field(default_factory=Counter)
    changed: set[Account] = msgspec.field(default_factory=set)
    queue_changed: bool = False
    #: Rows were left to be cleared away later.
    doomed: bool = False
    #: What rows of accounts are sealed with; None: they lie in the clear.
    sealing: Sealing | None = None
    #: Keys that are to be shredded once this is durable.
    shredded: list[int] = msgspec.field(default_factory=list)

    def one(self, sql: str, *values: Any) -> Any:
        """The first row, or None."""
        return self.db.execute(sql, values).fetchone()

    def key(self, id_: int) -> DataKey:
        """A key by its number. Raises KeyMissing."""
        return self.sealing.key(id_) if self.sealing else none(id_)

    def sealed(self, account: str, cell: Cell, blob_id: int, data: bytes) -> bytes:
        """A value of an account's as its row is to have it. Raises StoreError(UNAVAILABLE)."""
        if self.sealing is None:
            return data
        try:
            return self.sealing.cell(account, cell, blob_id, data)
        except KeyMissing as error:
            raise StoreError(Reason.UNAVAILABLE, str(error)) from error

    def keyed(self, account: str, values: Sequence[bytes]) -> Sequence[bytes]:
        """Values that are only compared, as rows are to have them. Raises StoreError(UNAVAILABLE)."""
        if self.sealing is None or not values:
            return values
        try:
            return self.sealing.keyed(account, values)
        except KeyMissing as error:
            raise StoreError(Reason.UNAVAILABLE, str(error)) from error
