"""RFC 3461 NOTIFY=SUCCESS: the sender of a message that lies in our mailboxes is told so."""

from __future__ import annotations

from dataclasses import dataclass

from postrider.ingest.message import Message
from postrider.mime.compose import Notice, Returned, Status, delivery_status
from postrider.model.envelope import Envelope, Notify, Recipient
from postrider.model.ports import Random
from postrider.store.transactions import IntakeDone


@dataclass(frozen=True, slots=True)
class Receipt:
    """A notice of success, and whom it goes to."""

    data: bytes
    envelope: Envelope


def receipt_for(message: Message, done: IntakeDone, random: Random) -> Receipt | None:
    """What the sender of a message that was just committed is to get.

    None where nobody asked, or there is nobody to tell (RFC 5321 §6.1).
    """
    arrival, envelope = message.arrival, message.arrival.envelope
    told = [
        Status(str(one.recipient.address), "delivered", "2.1.5", one.recipient.orcpt, last_attempt=arrival.at)
        for one in message.routed.local
        if Notify.SUCCESS in one.recipient.notify and str(one.recipient.address) not in done.deferred
    ]
    if not told or envelope.sender is None:
        return None
    server = message.directory.server
    notice = Notice(
        hostname=server.hostname,
        author=server.postmaster or f"postmaster@{server.hostname}",
        to=str(envelope.sender),
        statuses=told,
        returned=Returned(message.prefix.local + message.spooled.header, full=False),
        arrived=arrival.at,
        at=arrival.at,
        token=random.token(10).hex(),
        envid=envelope.envid,
        smtputf8=envelope.smtputf8,
    )
    to = (Recipient(envelope.sender, Notify.NEVER),)
    return Receipt(delivery_status(notice), Envelope(None, to, smtputf8=envelope.smtputf8))
