"""Stage 6, commit: deliveries, queue rows and settlements become one transaction; its end decides the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from postrider.accounts import room
from postrider.ingest.content import content
from postrider.ingest.message import Message
from postrider.ingest.route import LOCAL
from postrider.ingest.spool import IN_MEMORY
from postrider.mailbox import actions
from postrider.model.envelope import Recipient, Source
from postrider.model.reply import LOCAL_ERROR, Refused, Reply
from postrider.store.ports import Writer
from postrider.store.transactions import Deliver, Enqueue, Intake, IntakeDone, Reason, StoreError
from postrider.store.values import account_of

NO_SPACE = Reply(452, "4.3.1", "Insufficient system storage, try again later")

#: What the other side hears when the store says no; every other reason is unexpected here.
REPLIES: Mapping[Reason, Reply] = {
    Reason.NO_SPACE: NO_SPACE,
    Reason.WRITE_FAILED: LOCAL_ERROR,
    Reason.LIMIT: Reply(452, "4.2.0", "The mailbox's folder can take no more messages: its owner needs a new one"),
    Reason.UNAVAILABLE: Reply(451, "4.3.0", "The mail store is not available, try again later"),
}


async def commit(writer: Writer, intake: Intake, when_full: Reply) -> IntakeDone:
    """Make it durable. Raises Refused with the reply to give; then nothing was kept. Other StoreErrors pass through."""
    try:
        return await actions.deliver(writer, intake)
    except StoreError as error:
        reply = when_full if error.reason is Reason.OVER_QUOTA else REPLIES.get(error.reason)
        if reply is None:
            raise
        raise Refused(reply) from error


def when_full(message: Message) -> Reply:
    """What is said of a message that has one mailbox to go to, which is full."""
    local = message.routed.local
    return room.full(message.directory, local[0].mailbox) if local else room.DEFERRED


async def transaction(message: Message) -> Intake:
    """As `intake`; a large message is scanned in a thread, so that others are served meanwhile."""
    if message.spooled.body.size <= IN_MEMORY:
        return intake(message)
    return await asyncio.to_thread(intake, message)


def intake(message: Message) -> Intake:
    """The one transaction a message is."""
    arrival, spooled, prefix = message.arrival, message.spooled, message.prefix
    envelope = arrival.envelope
    with spooled.octets() as octets:
        cached, keys = content(octets, prefix.completion)
    eight_bit = envelope.body == "7BIT" and spooled.eight_bit
    return Intake(
        body=spooled.body,
        sender=str(envelope.sender or ""),
        received=int(arrival.at),
        cached=cached,
        thread_keys=keys,
        deliver=tuple(_deliver(message)),
        enqueue=tuple(
            Enqueue(destination, str(to.address), prefix.outgoing, int(arrival.at), to.notify.value, to.orcpt)
            for destination, to in _outgoing(message)
        ),
        settle=tuple(message.settle),
        account=envelope.peer.account,
        ret=envelope.ret,
        envid=envelope.envid,
        body_type="8BITMIME" if eight_bit else envelope.body,
        smtputf8=envelope.smtputf8 and _needs_smtputf8(message),
    )


def _deliver(message: Message) -> Iterator[Deliver]:
    directory, routed = message.directory, message.routed
    # Where it is all there is, and the sender still listens, a full mailbox is said to him; else the queue tries again.
    alone = message.arrival.source is not Source.OWN and len(routed.local + routed.remote + routed.dead) == 1
    for one in routed.local:
        yield Deliver(
            account_of(one.mailbox.namespace, one.mailbox.address),
            message.prefix.local,
            special_use=message.verdict.special_use,
            quota_bytes=directory.policy(one.mailbox).quota_bytes,
            recipient="" if alone else str(one.recipient.address),
            notify=one.recipient.notify.value,
            orcpt=one.recipient.orcpt,
            domain_quota_bytes=directory.domain_quota(one.mailbox),
        )


def _outgoing(message: Message) -> Iterator[tuple[str, Recipient]]:
    for one in message.routed.remote:
        yield one.destination, one.recipient
    for dead in message.routed.dead:
        # The queue finds out once more, and tells the sender: the message was accepted for its other recipients.
        yield LOCAL + dead.recipient.address.key, dead.recipient


def _needs_smtputf8(message: Message) -> bool:
    """True when addresses or header hold more than ASCII, so that the next hop must know SMTPUTF8 (RFC 6531 §3.4)."""
    envelope = message.arrival.envelope
    paths = [envelope.sender, *(one.address for one in envelope.recipients)]
    return not (message.spooled.header.isascii() and all(path is None or path.is_ascii for path in paths))
