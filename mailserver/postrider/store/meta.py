"""Whom a body's record belongs to, as the record itself says: enough to deliver it again. Pure.

Written into `meta` of body records (`postrider.store.records`), as MessagePack maps with short names, so that fields
can be added; what is the default is left out.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from postrider.store import transactions as t
from postrider.store.keys import DataKey
from postrider.store.values import Account, Body


class Numbered(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the meta of every record begins with: the journal's number for the batch it came with."""

    batch: int = msgspec.field(name="n", default=0)


class Placed(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One delivery into an account's folder, which is named by its name, its special use, or is INBOX."""

    account: Account = msgspec.field(name="a")
    prefix: bytes = msgspec.field(name="p", default=b"")
    mailbox: str = msgspec.field(name="m", default="")
    special_use: str = msgspec.field(name="s", default="")
    flags: int = msgspec.field(name="f", default=0)
    keywords: tuple[str, ...] = msgspec.field(name="k", default=())
    recipient: str = msgspec.field(name="r", default="")
    notify: int = msgspec.field(name="n", default=0)
    orcpt: str = msgspec.field(name="o", default="")


class Queued(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One recipient that it is to be sent to."""

    destination: str = msgspec.field(name="d")
    recipient: str = msgspec.field(name="r")
    prefix: bytes = msgspec.field(name="p", default=b"")
    due: int = msgspec.field(name="t", default=0)
    notify: int = msgspec.field(name="n", default=0)
    orcpt: str = msgspec.field(name="o", default="")


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What the queue rows of one message have in common."""

    sender: str = msgspec.field(name="s", default="")
    account: str = msgspec.field(name="a", default="")
    ret: str = msgspec.field(name="r", default="")
    envid: str = msgspec.field(name="i", default="")
    body_type: str = msgspec.field(name="b", default="7BIT")
    smtputf8: bool = msgspec.field(name="u", default=False)


class Belongs(Numbered, frozen=True, omit_defaults=True, gc=False):
    """All deliveries of one body."""

    received: int = msgspec.field(name="t", default=0)
    placed: tuple[Placed, ...] = msgspec.field(name="p", default=())
    queued: tuple[Queued, ...] = msgspec.field(name="q", default=())
    envelope: Envelope | None = msgspec.field(name="e", default=None)


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """A body that is to be written, and whom it belongs to; `meta` is the same as bytes, for its record.

    With a `seal` the record is sealed under that key.
    """

    body: Body
    belongs: Belongs
    meta: bytes
    seal: DataKey | None = None

    @property
    def holder(self) -> str:
        """The account that has it alone (bodies apart); "" is the queue."""
        return self.belongs.placed[0].account if self.belongs.placed else ""


#: Tells the name of an account's folder, "" when it is not there.
NameOf = Callable[[Account, int], str]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Belongs).decode


#: Of a record whose rows the journal knows: it is delivered to nobody again.
KNOWN = _encode(Belongs())


def coming(body: Body, belongs: Belongs) -> Incoming:
    """A body with whom it belongs to."""
    return Incoming(body, belongs, _encode(belongs))


def unpack_belongs(meta: bytes) -> Belongs:
    """What a record's meta says; nothing for a record of the first release. Raises msgspec.DecodeError."""
    return _decode(meta) if meta else Belongs()


def incoming(txn: t.Txn, batch: int, name_of: NameOf, *, apart: bool = False) -> tuple[Incoming, ...]:
    """The bodies of a transaction, in the order of `bodies_of`, each with whom it belongs to.

    `apart`: each delivery of a message has a body of its own, and its queue rows one together, behind those.
    """
    if isinstance(txn, t.Intake):
        return tuple(coming(txn.body, _of_intake(part, batch)) for part in _parts(txn, apart=apart))
    if isinstance(txn, t.Append):
        folder = name_of(txn.account, txn.mailbox_id)
        return tuple(_of_message(message, txn.account, folder, batch) for message in txn.messages)
    if isinstance(txn, t.Replace):
        return (_of_message(txn.message, txn.account, name_of(txn.account, txn.target_id), batch),)
    return ()


def intake_again(belongs: Belongs, body: Body, cached: bytes, thread_keys: tuple[bytes, ...]) -> t.Intake:
    """The transaction that delivers a body to all it belongs to."""
    envelope = belongs.envelope or Envelope()
    return t.Intake(
        body, envelope.sender, belongs.received, cached, thread_keys,
        tuple(
            t.Deliver(
                row.account, row.prefix, row.mailbox, row.special_use, row.flags, row.keywords,
                recipient=row.recipient, notify=row.notify, orcpt=row.orcpt,
            )
            for row in belongs.placed
        ),
        tuple(
            t.Enqueue(row.destination, row.recipient, row.prefix, row.due, row.notify, row.orcpt)
            for row in belongs.queued
        ),
        account=envelope.account, ret=envelope.ret, envid=envelope.envid, body_type=envelope.body_type,
        smtputf8=envelope.smtputf8,
    )  # fmt: skip


def _parts(txn: t.Intake, *, apart: bool) -> list[t.Intake]:
    if not apart:
        return [txn] if txn.deliver or txn.enqueue else []
    parts = [msgspec.structs.replace(txn, deliver=(delivery,), enqueue=()) for delivery in txn.deliver]
    return [*parts, msgspec.structs.replace(txn, deliver=())] if txn.enqueue else parts


def _of_intake(txn: t.Intake, batch: int) -> Belongs:
    placed = tuple(
        [
            Placed(
                row.account, row.prefix, row.mailbox, row.special_use, row.flags, row.keywords,
                row.recipient, row.notify, row.orcpt,
            )
            for row in txn.deliver
        ]
    )  # fmt: skip
    queued = tuple(
        [
            Queued(row.destination, row.recipient, row.prefix, row.due, row.notify, row.orcpt)
            for row in txn.enqueue
        ]
    )  # fmt: skip
    envelope = Envelope(txn.sender, txn.account, txn.ret, txn.envid, txn.body_type, txn.smtputf8)
    return Belongs(batch, txn.received, placed, queued, envelope)


def _of_message(message: t.NewMessage, account: Account, folder: str, batch: int) -> Incoming:
    placed = Placed(account, b"", folder, "", message.flags, message.keywords)
    return coming(message.body, Belongs(batch, message.received, (placed,)))
