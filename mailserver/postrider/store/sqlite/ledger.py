"""Counters, and small values that expire."""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from postrider.store import transactions as t
from postrider.store.sqlite.transaction import Running

#: Expired values that each new one clears away: more than one, so that the table shrinks.
_SWEEP = 8


def remember(run: Running, txn: t.Remember) -> t.Done:
    """Keep a value until it expires."""
    run.db.execute(
        "DELETE FROM ledger WHERE key IN (SELECT key FROM ledger WHERE expires <= ? ORDER BY expires LIMIT ?)",
        (run.now, _SWEEP),
    )
    run.db.execute(
        "INSERT OR REPLACE INTO ledger (key, value, expires) VALUES (?, ?, ?)", (txn.key, txn.value, txn.expires)
    )
    return t.Done()


def add_counts(db: apsw.Connection, counts: Mapping[str, int]) -> None:
    """Change the counter rows, in the transaction of what they count."""
    for name, amount in counts.items():
        if amount:
            db.execute("UPDATE counter SET value = value + ? WHERE name = ?", (amount, name))
