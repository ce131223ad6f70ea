"""The pipeline: the table of stages by source, and the walk through it that ends in a reply."""

from __future__ import annotations

import enum
import errno
from collections.abc import Mapping, Sequence

from postrider.ingest import stamp
from postrider.ingest.announce import Announcer
from postrider.ingest.authors import author_examiner
from postrider.ingest.commit import NO_SPACE, commit, transaction, when_full
from postrider.ingest.examine import Examiners, Subject, examine
from postrider.ingest.judge import judge
from postrider.ingest.message import Arrival, Message, Prefix
from postrider.ingest.ports import Ports, arrive
from postrider.ingest.receipt import Receipt, receipt_for
from postrider.ingest.redeliver import redeliver
from postrider.ingest.route import NO_RELAY, route
from postrider.ingest.sign import signed
from postrider.ingest.spool import Spool
from postrider.model.envelope import Envelope, Source
from postrider.model.reply import LOCAL_ERROR, Refused, Reply
from postrider.model.verdict import Verdict
from postrider.store.transactions import IntakeDone, Settlement, StoreError
from postrider.store.values import QueueRow


class Stage(enum.Enum):
    """The stages, in order."""

    SPOOL = "spool"
    EXAMINE = "examine"
    JUDGE = "judge"
    ROUTE = "route"
    STAMP = "stamp"
    COMMIT = "commit"
    ANNOUNCE = "announce"


_ALL = frozenset(Source)
_STRANGERS = frozenset({Source.MX, Source.SUBMISSION, Source.WEB})

#: Who goes through which stage. APPEND and import (Source.STORE) spool here and commit through mailbox.actions.
STAGES: Mapping[Stage, frozenset[Source]] = {
    Stage.SPOOL: _ALL,
    Stage.EXAMINE: _STRANGERS,
    Stage.JUDGE: _STRANGERS,
    Stage.ROUTE: _ALL - {Source.STORE},
    Stage.STAMP: _ALL - {Source.STORE},
    Stage.COMMIT: _ALL,
    Stage.ANNOUNCE: _ALL,
}
#: Whose messages bear a trace of their way to us; the others begin here.
_HOPS = frozenset({Source.MX, Source.SUBMISSION})
#: Whose mail we sign and whose missing fields we add; who may send to other servers.
_AUTHORS = frozenset({Source.SUBMISSION, Source.WEB, Source.OWN})


class Ingest:
    """Takes messages in. One object serves all connections of a process."""

    def __init__(self, ports: Ports, examiners: Examiners | None = None) -> None:
        self._ports = ports
        self._announcer = Announcer(ports.events, ports.metrics)
        author = author_examiner(ports.directory)
        self._examiners = examiners or {Source.MX: (), Source.SUBMISSION: (author,), Source.WEB: (author,)}

    def begin(self, source: Source) -> Spool:
        """A new message comes: write its chunks to the spool, then `finish` or `abort`."""
        return Spool(self._ports.spool, drop_return_path=source in (Source.MX, Source.SUBMISSION))

    def abort(self, spool: Spool) -> None:
        """The message will not be completed."""
        spool.close()

    async def finish(self, spool: Spool, source: Source, envelope: Envelope) -> Reply:
        """The message is complete: stages 2 to 7. A 2xx reply means that it is durable; it never raises."""
        arrival = arrive(source, envelope, self._ports)
        try:
            await self._take(spool, arrival)
        except Refused as refused:
            self._announcer.refused(arrival, refused.reply)
            return refused.reply
        except OSError as error:
            self._ports.events.emit("server.failure", where="spool", id=arrival.id, exc_info=True)
            reply = NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else LOCAL_ERROR
            self._announcer.refused(arrival, reply)
            return reply
        except Exception:
            self._ports.events.emit("server.failure", where="ingest", id=arrival.id, exc_info=True)
            self._announcer.refused(arrival, LOCAL_ERROR)
            return LOCAL_ERROR
        return Reply(250, "2.0.0", f"OK, queued as {arrival.id}")

    async def own(self, data: bytes, envelope: Envelope, settle: Sequence[Settlement] = ()) -> IntakeDone:
        """Send a message of our own (a DSN, a report); with it the queue rows it reports are settled.

        Raises Refused or StoreError; then nothing was sent and nothing settled.
        """
        spool = self.begin(Source.OWN)
        await spool.write(data)
        return await self._take(spool, arrive(Source.OWN, envelope, self._ports), settle)

    async def redeliver(self, spool: Spool, row: QueueRow) -> Reply:
        """Deliver a queue row, whose blob was written to `spool`, into our own mailboxes and settle it with that.

        Anything but 2xx changed nothing. Raises StoreError: FENCED when the row is somebody else's by now.
        """
        reply, receipt = await redeliver(self._ports, spool, row)
        await self._send(receipt)
        return reply

    async def _take(self, spool: Spool, arrival: Arrival, settle: Sequence[Settlement] = ()) -> IntakeDone:
        """Walk through the table."""
        started = self._ports.clock.monotonic()
        try:
            message = Message(arrival, spool.finish(), self._ports.directory(), settle=settle)
            if arrival.source in STAGES[Stage.EXAMINE]:
                message.verdict = await self._judged(message)
            self._route(message)
            self._stamp(message)
            done = await commit(self._ports.store.writer, await transaction(message), when_full(message))
            receipt = receipt_for(message, done, self._ports.random)
        finally:
            spool.close()
        self._announcer.accepted(
            arrival,
            size=message.spooled.body.size,
            stored=len(done.stored),
            queued=len(done.queued),
            seconds=self._ports.clock.monotonic() - started,
        )
        await self._send(receipt)
        return done

    async def _send(self, receipt: Receipt | None) -> None:
        """RFC 3461 §4.1 NOTIFY=SUCCESS. The message itself is durable whatever happens here."""
        if receipt is None:
            return
        try:
            await self.own(receipt.data, receipt.envelope)
        except (Refused, StoreError, OSError):
            self._ports.events.emit("server.failure", where="receipt", exc_info=True)

    async def _judged(self, message: Message) -> Verdict:
        subject = Subject(message.spooled, message.arrival.envelope, message.arrival.source)
        facts = await examine(subject, self._examiners, self._ports.events)
        verdict = judge(facts, message.directory.server.limits)
        if verdict.refuse is not None:
            raise Refused(verdict.refuse)
        return verdict

    def _route(self, message: Message) -> None:
        recipients = message.arrival.envelope.recipients
        message.routed = route(recipients, message.directory, may_relay=message.arrival.source in _AUTHORS)
        routed = message.routed
        if not recipients:
            raise Refused(Reply(554, "5.5.1", "No valid recipients"))  # RFC 5321 §3.3
        for dead in routed.dead:
            # A message with somewhere to go is taken, and its sender told about the rest; else nobody needs a DSN.
            if dead.reply is NO_RELAY or not (routed.local or routed.remote or message.arrival.source is Source.OWN):
                raise Refused(dead.reply)

    def _stamp(self, message: Message) -> None:
        arrival, server = message.arrival, message.directory.server
        authored = arrival.source in _AUTHORS
        message.prefix = Prefix(
            return_path=stamp.return_path(arrival.envelope.sender),
            received=stamp.received(arrival, server.hostname) if arrival.source in _HOPS else b"",
            completion=stamp.completion(arrival, message.spooled.header, server.hostname) if authored else b"",
        )
        if authored:
            message.prefix = signed(message)
