"""Transactions on the queue."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from postrider.store import transactions as t
from postrider.store.memory.state import Held, State, Waiting
from postrider.store.transactions import Outcome, QueueAdmin, Reason, StoreError
from postrider.store.values import QueueRow, QueueState, lane_of


def insert(state: State, txn: t.Intake, held: Held, new: t.Enqueue) -> int:
    """Add one recipient; returns the row's id."""
    state.last_queue_id += 1
    row = QueueRow(
        state.last_queue_id, lane_of(new.destination), new.destination, txn.sender, new.recipient, new.prefix,
        held.blob, txn.received, new.due, 0, notify=new.notify, orcpt=new.orcpt, ret=txn.ret, envid=txn.envid,
        body=txn.body_type, smtputf8=txn.smtputf8, account=txn.account,
    )  # fmt: skip
    state.queue[row.id] = Waiting(row, held)
    state.counters["queued"] += 1
    state.queue_changed = True
    return row.id


def deferred(delivery: t.Deliver, received: int) -> t.Enqueue:
    """The queue row of a delivery that was over quota."""
    return t.Enqueue(
        f"local/{delivery.account}", delivery.recipient, delivery.prefix, received + t.QUOTA_RETRY,
        delivery.notify, delivery.orcpt,
    )  # fmt: skip


def claim(state: State, txn: t.Claim) -> tuple[QueueRow, ...]:
    """Take due rows, oldest first."""
    for waiting in list(state.queue.values()):
        if waiting.row.state == QueueState.CLAIMED and waiting.until <= txn.now:
            _change(state, waiting.row.id, state=QueueState.READY.value)
    due = [
        waiting.row
        for waiting in state.queue.values()
        if waiting.row.state == QueueState.READY
        and waiting.row.due <= txn.now
        and waiting.row.lane in txn.lanes
        and waiting.row.destination not in txn.busy
    ]
    due = sorted(due, key=lambda row: (row.due, row.id))[: txn.limit]
    if due:
        state.lease += 1
    return tuple(
        _change(state, row.id, until=txn.now + txn.seconds, state=QueueState.CLAIMED.value, epoch=state.lease)
        for row in due
    )


def free_claims(state: State, txn: t.FreeClaims) -> t.Done:
    """Claims on these lanes end; a settlement that is still on its way counts until somebody else has the row."""
    for waiting in list(state.queue.values()):
        if waiting.row.state == QueueState.CLAIMED and waiting.row.lane in txn.lanes:
            _change(state, waiting.row.id, state=QueueState.READY.value)
            state.queue_changed = True
    return t.Done()


def renew(state: State, txn: t.Renew) -> t.Done:
    """Extend a claim."""
    waiting = state.queue.get(txn.id)
    if not (waiting and _owns(waiting.row, txn.epoch) and waiting.row.state != QueueState.HELD):
        raise StoreError(Reason.FENCED)
    _change(state, txn.id, until=txn.now + txn.seconds, state=QueueState.CLAIMED.value)
    return t.Done()


def settle(state: State, txn: t.Settle) -> t.Done:
    """End claims."""
    check(state, txn.settlements)
    settle_all(state, txn.settlements)
    return t.Done()


def check(state: State, settlements: Sequence[t.Settlement]) -> None:
    """Raises StoreError(FENCED) when one of the claims was lost."""
    rows = [state.queue.get(one.id) for one in settlements]
    if len({one.id for one in settlements}) < len(settlements) or not all(
        waiting and _owns(waiting.row, one.epoch) for waiting, one in zip(rows, settlements, strict=True)
    ):
        raise StoreError(Reason.FENCED)


def settle_all(state: State, settlements: Sequence[t.Settlement]) -> int:
    """End claims that were checked; returns how many rows were settled as delivered."""
    for one in settlements:
        row = state.queue[one.id].row
        if one.outcome is Outcome.RETRY:
            _change(
                state, row.id, until=0, due=one.due, attempts=row.attempts + 1, last_reply=one.reply, epoch=0,
                delay_told=one.delay_told,
                state=QueueState.HELD.value if row.state == QueueState.HELD else QueueState.READY.value,
            )  # fmt: skip
        else:
            del state.queue[one.id]
            state.counters["queued"] -= 1
            state.counters[one.outcome.value] += 1
        state.queue_changed = True
    return sum(one.outcome is Outcome.DELIVERED for one in settlements)


def administer(state: State, txn: t.Administer) -> t.Done:
    """What an administrator does."""
    for row_id in txn.ids:
        waiting = state.queue.get(row_id)
        if not waiting:
            continue
        ready = waiting.row.state == QueueState.READY
        if txn.action is QueueAdmin.REMOVE:
            del state.queue[row_id]
            state.counters["queued"] -= 1
            state.counters["removed"] += 1
        elif txn.action is QueueAdmin.HOLD:
            _change(state, row_id, state=QueueState.HELD.value)
        elif txn.action is QueueAdmin.RELEASE and waiting.row.state == QueueState.HELD:
            _change(state, row_id, state=QueueState.READY.value)
        elif txn.action is QueueAdmin.RETRY and ready:
            _change(state, row_id, due=txn.now)
    state.queue_changed = True
    return t.Done()


def remember(state: State, txn: t.Remember) -> t.Done:
    """Keep a value until it expires."""
    state.ledger = {key: kept for key, kept in state.ledger.items() if kept[1] > state.now}
    state.ledger[txn.key] = (txn.value, txn.expires)
    return t.Done()


def _owns(row: QueueRow, epoch: int) -> bool:
    return epoch > 0 and row.epoch == epoch


def _change(state: State, row_id: int, /, until: int | None = None, **changes: object) -> QueueRow:
    waiting = state.queue[row_id]
    row = msgspec.structs.replace(waiting.row, **changes)
    state.queue[row_id] = Waiting(row, waiting.held, waiting.until if until is None else until)
    return row
