"""Queue rows that belong into our own mailboxes (over quota at first, or local by now): through the stages again."""

from __future__ import annotations

import msgspec

from postrider.ingest import stamp
from postrider.ingest.commit import commit, transaction, when_full
from postrider.ingest.message import Message, Prefix
from postrider.ingest.ports import Ports, arrive
from postrider.ingest.receipt import Receipt, receipt_for
from postrider.ingest.route import route
from postrider.ingest.spool import Spool
from postrider.model.address import Address
from postrider.model.envelope import Envelope, Notify, Recipient, Source
from postrider.model.reply import Refused, Reply
from postrider.store.transactions import Outcome, Settlement
from postrider.store.values import QueueRow

DELIVERED = Reply(250, "2.1.5", "Delivered")


async def redeliver(ports: Ports, spool: Spool, row: QueueRow) -> tuple[Reply, Receipt | None]:
    """Deliver a row whose blob was written to `spool`, and settle the row with that in one transaction; or say why not.

    With it the receipt that the sender may have asked for. Raises StoreError: FENCED when the row is somebody else's
    by now.
    """
    try:
        message = _message(ports, spool, row)
        if message.routed.dead:
            return message.routed.dead[0].reply, None
        # Accepted and counted before: the deliveries take the place of the row.
        once_more = msgspec.structs.replace(
            await transaction(message),
            count=False,
            account=row.account,
            body_type=row.body,
            smtputf8=row.smtputf8,
        )
        done = await commit(ports.store.writer, once_more, when_full(message))
        return DELIVERED, receipt_for(message, done, ports.random)
    except Refused as refused:
        return refused.reply, None
    finally:
        spool.close()


def _message(ports: Ports, spool: Spool, row: QueueRow) -> Message:
    recipient = Recipient(Address.of(row.recipient), Notify(row.notify), row.orcpt)
    envelope = Envelope(Address.of(row.sender) if row.sender else None, (recipient,), ret=row.ret, envid=row.envid)
    directory = ports.directory()
    # The prefix was made when the message came; where it was made for another server it lacks the Return-Path.
    missing = b"" if row.prefix.startswith(b"Return-Path:") else stamp.return_path(envelope.sender)
    return Message(
        arrive(Source.OWN, envelope, ports),
        spool.finish(),
        directory,
        settle=(Settlement(row.id, row.epoch, Outcome.DELIVERED),),
        routed=route((recipient,), directory, may_relay=True),
        prefix=Prefix(return_path=missing, completion=row.prefix),
    )
