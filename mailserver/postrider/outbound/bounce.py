"""Writes the notices that decisions ask for: which rows, with which words, and how much of the message goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from postrider.contract.model import Server
from postrider.mime.compose import Notice, Returned, Status, delivery_status
from postrider.mime.header import fields, header_end, unfold
from postrider.model.address import Address
from postrider.model.envelope import Envelope, Notify, Recipient
from postrider.outbound.attempt import Delivered
from postrider.outbound.parcel import Parcel
from postrider.outbound.retry import Decision, Fate, Report
from postrider.store.ports import Reader
from postrider.store.values import Account, QueueRow

#: A failed message of up to this many octets goes back whole where the sender did not say; with RET=FULL up to that.
FULL_UNASKED = 64 * 1024
FULL_ASKED = 1024 * 1024
#: Octets in which a header block is looked for.
MAX_HEADER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Told:
    """One row whose sender is to be told."""

    delivered: Delivered
    decision: Decision


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a notice is written for, besides its rows: who writes it, when, and a unique token."""

    server: Server
    now: float
    token: str


def addressed(row: QueueRow) -> Envelope:
    """The envelope of a notice about a row: from nobody, so that it never begets another (RFC 5321 §6.1)."""
    sender = Address.of(row.sender)
    return Envelope(None, (Recipient(sender, Notify.NEVER),), body="8BITMIME", smtputf8=_international(row))


async def notice(parcel: Parcel, told: Sequence[Told], reader: Reader, occasion: Occasion) -> bytes:
    """The notice about rows of one parcel. Raises StoreError when the message cannot be read."""
    first, server = parcel.rows[0], occasion.server
    failed = any(one.decision.report is Report.FAILED for one in told)
    returned = await _returned(parcel, reader, failed=failed)
    about = next((unfold(value) for _, value in fields(returned.data, (b"message-id",))), b"")
    return delivery_status(
        Notice(
            hostname=server.hostname,
            author=server.postmaster or f"postmaster@{server.hostname}",
            to=first.sender,
            statuses=[_status(one, occasion) for one in told],
            returned=returned,
            arrived=first.created,
            at=occasion.now,
            token=occasion.token,
            envid=first.envid,
            smtputf8=_international(first),
            about=about,
        )
    )


def _status(one: Told, occasion: Occasion) -> Status:
    row, reply = one.delivered.row, one.delivered.reply
    delayed = one.decision.report is Report.DELAYED
    return Status(
        row.recipient,
        str(one.decision.report),
        # RFC 3463 §3.5: delivery time expired.
        "4.4.7" if one.decision.fate is Fate.EXPIRED else reply.enhanced or f"{reply.code // 100}.0.0",
        row.orcpt,
        str(reply),
        one.delivered.remote,
        last_attempt=occasion.now,
        retry_until=row.created + occasion.server.queue.lifetime if delayed else 0,
    )


async def _returned(parcel: Parcel, reader: Reader, *, failed: bool) -> Returned:
    """RFC 3461 §4.3: RET counts for failures; anything else returns the header alone."""
    first = parcel.rows[0]
    limit = {"FULL": FULL_ASKED, "": FULL_UNASKED}.get(first.ret, 0)
    full = failed and parcel.size <= limit
    length = first.blob.size if full else min(first.blob.size, MAX_HEADER)
    blob = await reader.body(Account(first.account), first.blob, 0, length)
    data = first.prefix + blob
    return Returned(data if full else data[: header_end(data, 0, len(data))], full)


def _international(row: QueueRow) -> bool:
    return row.smtputf8 or not (row.sender.isascii() and row.recipient.isascii())
