"""What a handler works with while its transaction runs: the connection, the time, where bodies lie, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw

from postrider.store.blobs import Location
from postrider.store.values import Account, Flag

#: As plain numbers: arithmetic on enum members costs ten times as much, and every message needs it.
SEEN, DELETED = Flag.SEEN.value, Flag.DELETED.value


@dataclass(slots=True)
class Running:
    """One transaction under way. What it notes here is forgotten when it is rolled back."""

    db: apsw.Connection
    #: Seconds since the epoch.
    now: int
    #: Where the bodies of the transaction were written, in its order.
    places: Sequence[Location] = ()
    #: Added to the rows of `counter` when the transaction is kept.
    counts: Counter[str] = field(default_factory=Counter)
    changed: set[Account] = field(default_factory=set)
    queue_changed: bool = False
    #: Rows were left to be cleared away later.
    doomed: bool = False

    def one(self, sql: str, *values: Any) -> Any:
        """The first row, or None."""
        return self.db.execute(sql, values).fetchone()
