"""The queue: rows enter, are claimed under a fenced lease, renewed and settled; administration."""

from __future__ import annotations

import heapq
import json
from collections.abc import Sequence
from typing import Any

from postrider.store import transactions as t
from postrider.store.cells import Cell
from postrider.store.codecs import BadFrame
from postrider.store.keys import QUEUE, KeyMissing
from postrider.store.sqlite import removal
from postrider.store.sqlite.rows import QUEUE_COLUMNS, queue_row
from postrider.store.sqlite.transaction import Running
from postrider.store.transactions import Outcome, QueueAdmin, Reason, StoreError
from postrider.store.values import QueueRow, lane_of


def insert(run: Running, txn: t.Intake, blob_id: int, row: t.Enqueue) -> int:
    """Add one recipient; returns the row's id."""
    run.db.execute(
        "INSERT INTO queue (lane, destination, sender, recipient, prefix, blob_id, created, due, notify, orcpt, ret,"
        " envid, body, smtputf8, account) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            lane_of(row.destination), row.destination, txn.sender, row.recipient,
            run.sealed(QUEUE, Cell.QUEUED, blob_id, row.prefix), blob_id, txn.received, row.due, row.notify,
            row.orcpt, txn.ret, txn.envid, txn.body_type, txn.smtputf8, txn.account,
        ),
    )  # fmt: skip
    run.counts["queued"] += 1
    run.queue_changed = True
    return run.db.last_insert_rowid()


def claim(run: Running, txn: t.Claim) -> tuple[QueueRow, ...]:
    """Take due rows, oldest first; claims that ran out are free again. Each gets an epoch of its own.

    One that is damaged is held, and says why.
    """
    run.db.execute("UPDATE queue SET state = 'ready' WHERE state = 'claimed' AND claimed_until <= ?", (txn.now,))
    ids = _due(run, txn)
    if not ids:
        return ()
    epoch = _next_epoch(run)
    rows = []
    for row_id in ids:
        run.db.execute(
            "UPDATE queue SET state = 'claimed', epoch = ?, claimed_until = ? WHERE id = ?",
            (epoch, txn.now + txn.seconds, row_id),
        )
        row = run.one(f"SELECT {QUEUE_COLUMNS} FROM queue JOIN blob ON blob.id = blob_id WHERE queue.id = ?", row_id)
        try:
            rows.append(queue_row(row, run.key))
        except BadFrame as error:  # it never can be: no other row waits for it
            reason = f"the row cannot be read: {error}"
            run.db.execute("UPDATE queue SET state = 'held', last_reply = ? WHERE id = ?", (reason, row_id))
        except KeyMissing as error:
            raise StoreError(Reason.UNAVAILABLE, f"queue row {row_id} cannot be read: {error}") from error
    return tuple(rows)


def _due(run: Running, txn: t.Claim) -> list[int]:
    """Rows that are due by time, as many as are wanted: those of destinations, each in order, merged.

    What waits for busy destinations is not looked at, however much it is.
    """
    destinations: Any = run.db.execute(
        "SELECT due, first, name FROM destination WHERE due <= ? AND lane IN (SELECT value FROM json_each(?))"
        " AND name NOT IN (SELECT value FROM json_each(?)) ORDER BY due, first LIMIT ?",
        (txn.now, json.dumps(txn.lanes), json.dumps(txn.busy), txn.limit),
    ).fetchall()
    ids: list[int] = []
    while destinations and len(ids) < txn.limit:  # the first of each: a list in order is a heap
        due, row_id, name = destinations[0]
        ids.append(row_id)
        following = run.one(
            "SELECT due, id, destination FROM queue INDEXED BY queue_destination WHERE destination = ?"
            " AND state = 'ready' AND (due, id) > (?, ?) AND due <= ? ORDER BY due, id LIMIT 1",
            name, due, row_id, txn.now,
        )  # fmt: skip
        if following:
            heapq.heapreplace(destinations, following)
        else:
            heapq.heappop(destinations)
    return ids


def free_claims(run: Running, txn: t.FreeClaims) -> t.Done:
    """Claims on these lanes end; a settlement that is still on its way counts until somebody else has the row."""
    freed = run.one(
        "UPDATE queue SET state = 'ready' WHERE state = 'claimed' AND lane IN (SELECT value FROM json_each(?))"
        " RETURNING id",
        json.dumps(txn.lanes),
    )
    run.queue_changed |= freed is not None
    return t.Done()


def renew(run: Running, txn: t.Renew) -> t.Done:
    """Extend a claim; one that ran out may be had back as long as nobody else took the row."""
    row = run.one(
        "UPDATE queue SET state = 'claimed', claimed_until = ? WHERE id = ? AND epoch = ? AND epoch > 0"
        " AND state IN ('claimed', 'ready') RETURNING id",
        txn.now + txn.seconds, txn.id, txn.epoch,
    )  # fmt: skip
    if not row:
        raise StoreError(Reason.FENCED)
    return t.Done()


def settle(run: Running, txn: t.Settle) -> t.Done:
    """End claims."""
    settle_all(run, txn.settlements)
    return t.Done()


def settle_all(run: Running, settlements: Sequence[t.Settlement]) -> int:
    """End claims; returns how many rows were settled as delivered. Raises StoreError(FENCED).

    The epoch alone decides: it is given out once, so a claim that ran out is still good while nobody else has one.
    """
    delivered = 0
    for one in settlements:
        if one.outcome is Outcome.RETRY:
            _put_back(run, one)
            continue
        row = run.one("DELETE FROM queue WHERE id = ? AND epoch = ? AND epoch > 0 RETURNING blob_id", one.id, one.epoch)
        if not row:
            raise StoreError(Reason.FENCED)
        removal.release_blobs(run, [row[0]])
        run.counts["queued"] -= 1
        run.counts[one.outcome.value] += 1
        run.queue_changed = True
        delivered += one.outcome is Outcome.DELIVERED
    return delivered


def administer(run: Running, txn: t.Administer) -> t.Done:
    """What an administrator does with rows; ids that are gone are passed over."""
    for row_id in txn.ids:
        if txn.action is QueueAdmin.REMOVE:
            row = run.one("DELETE FROM queue WHERE id = ? RETURNING blob_id", row_id)
            if row:
                removal.release_blobs(run, [row[0]])
                run.counts["queued"] -= 1
                run.counts["removed"] += 1
        elif txn.action is QueueAdmin.HOLD:
            run.db.execute("UPDATE queue SET state = 'held' WHERE id = ?", (row_id,))
        elif txn.action is QueueAdmin.RELEASE:
            run.db.execute("UPDATE queue SET state = 'ready' WHERE id = ? AND state = 'held'", (row_id,))
        else:
            run.db.execute("UPDATE queue SET due = ? WHERE id = ? AND state = 'ready'", (txn.now, row_id))
    run.queue_changed = True
    return t.Done()


def free_all_claims(run: Running) -> None:
    """At the start of a writer nobody holds a claim any more: epochs go on above all that were given out."""
    run.db.execute("UPDATE sequence SET value = value + 1 WHERE name = 'lease'")
    run.db.execute("UPDATE queue SET state = 'ready' WHERE state = 'claimed'")
    run.db.execute("UPDATE staged SET dead = 1")  # nor is anybody left who would go on with a copy
    run.queue_changed = True


def _next_epoch(run: Running) -> int:
    row = run.one("UPDATE sequence SET value = value + 1 WHERE name = 'lease' RETURNING value")
    return int(row[0])


def _put_back(run: Running, one: t.Settlement) -> None:
    row = run.one(
        "UPDATE queue SET state = iif(state = 'held', 'held', 'ready'), due = ?, attempts = attempts + 1,"
        " last_reply = ?, delay_told = ?, claimed_until = 0, epoch = 0 WHERE id = ? AND epoch = ? AND epoch > 0"
        " RETURNING id",
        one.due, one.reply, one.delay_told, one.id, one.epoch,
    )  # fmt: skip
    if not row:
        raise StoreError(Reason.FENCED)
    run.queue_changed = True
