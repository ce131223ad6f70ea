"""Settles rows after an attempt: decides with `retry`, writes the outcome, and tells the sender in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from postrider.model.envelope import Notify
from postrider.model.reply import Refused
from postrider.outbound import bounce
from postrider.outbound.attempt import Delivered
from postrider.outbound.bounce import Occasion, Told
from postrider.outbound.parcel import Parcel
from postrider.outbound.ports import Ports
from postrider.outbound.retry import Attempted, Decision, Fate, Row, decide, interval
from postrider.store.transactions import Outcome, Reason, Settle, Settlement, StoreError
from postrider.store.values import QueueRow

#: Seconds between tries to write an outcome: what a server accepted must not be sent again for want of a moment.
PATIENCE = (0.2, 1.0, 5.0)
#: Characters of a server's reply that a row keeps.
MAX_REPLY = 500
#: What the log calls each fate.
_EVENTS = {
    Fate.DELIVERED: "queue.delivered",
    Fate.RETRY: "queue.deferred",
    Fate.BOUNCED: "queue.bounced",
    Fate.EXPIRED: "queue.bounced",
}


class Settler:
    """Ends claims."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def settle(self, parcel: Parcel, results: Sequence[Delivered]) -> None:
        """Write what became of the rows of a parcel. Raises StoreError; then they stay claimed."""
        told = []
        silent = []
        for one in results:
            decision = self._decide(one)
            self._log(one, decision.fate)
            if decision.report is None:
                silent.append(self._settlement(one, decision))
            else:
                told.append(Told(one, decision))
        if told:
            silent += await self._tell(parcel, told)
        if silent:
            await self._commit(silent)

    def delivered_here(self, one: Delivered) -> None:
        """A row that was settled by its delivery into a mailbox of ours."""
        self._log(one, Fate.DELIVERED)

    async def give_back(self, parcel: Parcel) -> None:
        """Rows that were claimed and not begun are due at once for whoever comes next."""
        now = int(self._ports.clock.now())
        await self._commit(
            [Settlement(row.id, row.epoch, Outcome.RETRY, now, row.last_reply, row.delay_told) for row in parcel.rows]
        )

    def _decide(self, one: Delivered) -> Decision:
        ports, row = self._ports, one.row
        facts = Row(row.created, row.attempts, Notify(row.notify), row.delay_told, bool(row.sender))
        attempted = Attempted(int(ports.clock.now()), one.reply, dsn_passed_on=one.dsn)
        return decide(facts, attempted, ports.directory().server.queue, ports.random)

    def _settlement(self, one: Delivered, decision: Decision) -> Settlement:
        row = one.row
        delayed = row.delay_told or (decision.fate is Fate.RETRY and decision.report is not None)
        outcome = Outcome(decision.fate.value)
        return Settlement(row.id, row.epoch, outcome, decision.due, str(one.reply)[:MAX_REPLY], delayed)

    async def _tell(self, parcel: Parcel, told: Sequence[Told]) -> list[Settlement]:
        """Send the notice, which settles its rows; returns what is to be settled without one when that fails."""
        ports = self._ports
        occasion = Occasion(ports.directory().server, ports.clock.now(), ports.random.token(10).hex())
        settle = [self._settlement(one.delivered, one.decision) for one in told]
        try:
            data = await bounce.notice(parcel, told, ports.store.reader, occasion)
            await ports.ingest.own(data, bounce.addressed(parcel.rows[0]), settle)
        except (Refused, StoreError, OSError):
            ports.events.emit("server.failure", where="notice", exc_info=True)
            return [self._untold(one) for one in told]
        return []

    def _untold(self, one: Told) -> Settlement:
        """A row whose notice could not be sent: delivered all the same, else tried again until its sender is told."""
        if one.decision.fate is Fate.DELIVERED:
            return self._settlement(one.delivered, one.decision)
        row: QueueRow = one.delivered.row
        ports = self._ports
        due = int(ports.clock.now()) + interval(row.attempts, ports.directory().server.queue, ports.random)
        reply = str(one.delivered.reply)[:MAX_REPLY]
        return Settlement(row.id, row.epoch, Outcome.RETRY, due, reply, row.delay_told)

    async def _commit(self, settlements: Sequence[Settlement]) -> None:
        """All at once; when one of the claims was lost, each on its own. A store that fails is asked again."""
        for wait in (*PATIENCE, None):
            try:
                await self._ports.store.writer.commit(Settle(tuple(settlements)))
                return
            except StoreError as error:
                if error.reason is Reason.FENCED:
                    break
                if wait is None:
                    raise
                await asyncio.sleep(wait)
        if len(settlements) == 1:
            self._ports.events.emit("queue.lost", ids=[settlements[0].id])
            return
        for one in settlements:
            await self._commit([one])

    def _log(self, one: Delivered, fate: Fate) -> None:
        row = one.row
        self._ports.metrics.count("postrider_delivery_attempts_total", result=fate.value)
        self._ports.events.emit(
            _EVENTS[fate],
            id=row.id,
            destination=row.destination,
            recipient=row.recipient,
            remote=one.remote,
            tls=one.tls,
            reply=str(one.reply)[:MAX_REPLY],
            attempts=row.attempts + 1,
        )
