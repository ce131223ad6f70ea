"""Transactions: values a front sends to the writer. Each is all or nothing, and done means durable.

Every value has a result type of its own; what goes wrong as a matter of course (over quota, no such mailbox, not
the owner of the claim any more) is in the result or a StoreError, never an exception of the driver. Intake and queue
are here; what is done to an account's mail is in `mailing`, what users own beside it in `owned`, and callers find all
of it under this name.
"""

from __future__ import annotations

import enum

from postrider.store.mailing import (
    Append,
    BeginCopy,
    Collect,
    Collected,
    Copy,
    CopyBegun,
    CopyFinished,
    CreateMailbox,
    DeleteMailbox,
    DropCopy,
    Expire,
    Expunge,
    Expunged,
    FinishCopy,
    FlagChange,
    FlagsSet,
    Made,
    NewMessage,
    OpenAccount,
    Pruned,
    PruneTombstones,
    Recache,
    Recent,
    Reinstate,
    Release,
    RenameMailbox,
    Replace,
    SetFlags,
    SetHold,
    SetRole,
    StageCopy,
    Staged,
    Subscribe,
    TouchRecent,
    Uids,
    Undelete,
)
from postrider.store.owned import (
    ANYONE,
    MAX_ANNOTATION,
    MAX_ANNOTATIONS,
    MAX_RIGHTS,
    MAX_THING,
    MAX_THINGS,
    Annotate,
    Put,
    PutThing,
    SetRights,
)
from postrider.store.shape import Done, Reason, StoreError, Txn
from postrider.store.values import Account, Body, QueueRow, Value

__all__ = [
    "ANYONE", "COUNTERS", "MAX_ANNOTATION", "MAX_ANNOTATIONS", "MAX_KEY", "MAX_LOG", "MAX_RIGHTS", "MAX_THING",
    "MAX_THINGS", "MAX_THREAD_KEYS", "QUOTA_RETRY", "Administer", "Annotate", "AnyResult", "AnyTxn", "Append",
    "BeginCopy", "Claim", "Collect", "Collected", "Copy", "CopyBegun", "CopyFinished", "CreateMailbox",
    "DeleteMailbox", "Deliver", "Done", "DropCopy", "Enqueue", "Expire", "Expunge", "Expunged", "FinishCopy",
    "FlagChange", "FlagsSet", "FreeClaims", "Intake", "IntakeDone", "Made", "NewMessage", "OpenAccount", "Outcome",
    "PruneTombstones", "Pruned", "Put", "PutThing", "QueueAdmin", "Reason", "Recache", "Recent", "Reinstate",
    "Release", "Remember", "RenameMailbox", "Renew", "Replace", "SetFlags", "SetHold", "SetRights", "SetRole",
    "Settle", "Settlement", "StageCopy", "Staged", "StoreError", "Stored", "Subscribe", "TouchRecent", "Txn", "Uids",
    "Undelete", "bodies_of",
]  # fmt: skip

#: Seconds until a delivery that was over quota is tried again.
QUOTA_RETRY = 300
#: A message names at most so many others that it can be threaded by; more of References is noise.
MAX_THREAD_KEYS = 32
#: Keywords that a message may come to have by SetFlags.
MAX_KEYWORDS = 200
#: Entries of an account's change log about what is gone; the oldest of more are forgotten (AccountRow.floor).
MAX_LOG = 500_000
#: Octets of an idempotency key.
MAX_KEY = 64
#: Rows of the counters: the first is the sum of the others, in units of routed deliveries.
COUNTERS = ("accepted", "delivered", "queued", "bounced", "expired", "removed", "discarded")


# -- intake --------------------------------------------------------------------------------------------------------


class Deliver(Value, frozen=True):
    """One local delivery of the message: into `mailbox` by name, else into the one with `special_use`, else INBOX."""

    account: Account
    prefix: bytes
    mailbox: str = ""
    special_use: str = ""
    flags: int = 0
    keywords: tuple[str, ...] = ()
    quota_bytes: int = 0
    #: What a queue row on the local lane gets when this delivery does not fit: over quota, or no UIDs left.
    recipient: str = ""
    notify: int = 0
    orcpt: str = ""
    domain_quota_bytes: int = 0


class Enqueue(Value, frozen=True):
    """One recipient to be sent to. `due` is seconds since the epoch."""

    destination: str
    recipient: str
    prefix: bytes
    due: int
    notify: int = 0
    orcpt: str = ""


class Outcome(enum.StrEnum):
    """How an attempt on a queue row ended, and the counter it moves."""

    DELIVERED = "delivered"
    BOUNCED = "bounced"
    EXPIRED = "expired"
    REMOVED = "removed"
    RETRY = "retry"  # stays; due, attempts and last_reply change


class Settlement(Value, frozen=True):
    """The end of one claim. With another epoch than the row's it is refused (FENCED) and changes nothing."""

    id: int
    epoch: int
    outcome: Outcome
    due: int = 0
    reply: str = ""
    delay_told: bool = False


class Intake(Txn, frozen=True):
    """One message: blob, local deliveries, queue rows and settlements, all or nothing.

    Deliveries over quota become queue rows on the local lane in the same transaction. With `settle` it is how a
    delivery from the queue, or a DSN, commits together with the outcome it reports.
    """

    body: Body
    sender: str
    received: int
    cached: bytes
    #: Message-ID and References hashes that put the message into a thread.
    thread_keys: tuple[bytes, ...] = ()
    deliver: tuple[Deliver, ...] = ()
    enqueue: tuple[Enqueue, ...] = ()
    settle: tuple[Settlement, ...] = ()
    account: str = ""
    ret: str = ""
    envid: str = ""
    body_type: str = "7BIT"
    smtputf8: bool = False
    #: Routed deliveries that go nowhere on purpose; counted as accepted and discarded.
    discarded: int = 0
    #: False for what was accepted before already (a retry of a queue row): its deliveries take the place of the rows
    #: settled as delivered, `accepted` does not count them again, and one that does not fit refuses the whole
    #: (OVER_QUOTA; LIMIT where the folder has no more UIDs).
    count: bool = True


class Stored(Value, frozen=True):
    """Where a message came to lie."""

    account: Account
    mailbox_id: int
    uid: int
    modseq: int


class IntakeDone(Value, frozen=True):
    """What an Intake did: stored deliveries, ids of new queue rows, recipients whose delivery did not fit."""

    stored: tuple[Stored, ...]
    queued: tuple[int, ...]
    deferred: tuple[str, ...] = ()


# -- queue ---------------------------------------------------------------------------------------------------------


class Claim(Txn, frozen=True):
    """Take up to `limit` due rows of these lanes for `seconds`. Result: Claimed, each row with its epoch.

    Destinations in `busy` are passed over (their concurrency is used up).
    """

    lanes: tuple[int, ...]
    now: int
    seconds: int
    limit: int
    busy: tuple[str, ...] = ()


class FreeClaims(Txn, frozen=True):
    """Whoever held claims on rows of these lanes is dead: they are free at once. Result: Done."""

    lanes: tuple[int, ...]


class Renew(Txn, frozen=True):
    """Extend a claim before the final dot is sent. FENCED when it was lost. Result: Done."""

    id: int
    epoch: int
    now: int
    seconds: int


class Settle(Txn, frozen=True):
    """End claims without a message of their own (delivered, retry). Result: Done; FENCED when one was lost."""

    settlements: tuple[Settlement, ...]


class QueueAdmin(enum.StrEnum):
    """What an administrator may do with queue rows."""

    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"
    REMOVE = "remove"


class Administer(Txn, frozen=True):
    """Hold, release, retry now or remove queue rows. Result: Done."""

    ids: tuple[int, ...]
    action: QueueAdmin
    now: int


# -- limits that are one per pod -----------------------------------------------------------------------------------


class Remember(Txn, frozen=True):
    """Keep a small value for a while (vanished addresses, login failures, later greylist). Result: Done."""

    key: str
    value: bytes
    expires: int


AnyTxn = (
    Intake | Append | Replace | Copy | BeginCopy | StageCopy | FinishCopy | DropCopy | SetFlags | Expunge | Recache
    | OpenAccount | CreateMailbox | DeleteMailbox | RenameMailbox | SetRole | Subscribe | TouchRecent
    | Undelete | Collect | Expire | SetHold | Release | Reinstate | PruneTombstones
    | SetRights | Annotate | PutThing
    | Claim | FreeClaims | Renew | Settle | Administer | Remember
)  # fmt: skip
AnyResult = (
    IntakeDone | Uids | CopyBegun | Staged | CopyFinished | FlagsSet | Expunged | Made | Done | Recent | Collected
    | Pruned | Put | tuple[QueueRow, ...]
)  # fmt: skip


def bodies_of(txn: Txn) -> tuple[Body, ...]:
    """The bodies a transaction brings, in the order its handler wants their places."""
    if isinstance(txn, Intake):
        return (txn.body,) if txn.deliver or txn.enqueue else ()
    if isinstance(txn, Append):
        return tuple(message.body for message in txn.messages)
    if isinstance(txn, Replace):
        return (txn.message.body,)
    return ()
