"""Transactions: values a front sends to the writer. Each is all or nothing, and done means durable.

Every value has a result type of its own; what goes wrong as a matter of course (over quota, no such mailbox, not
the owner of the claim any more) is in the result or a StoreError, never an exception of the driver.
"""

from __future__ import annotations

import enum

import msgspec

from postrider.store.values import Account, Body, QueueRow, Value


class Txn(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The common shape of transactions: tagged with the class name on the wire."""


class Reason(enum.StrEnum):
    """Why the store said no."""

    NO_MAILBOX = "no-mailbox"
    EXISTS = "exists"
    OVER_QUOTA = "over-quota"
    NO_SPACE = "no-space"  # below the floor of free space: 452 4.3.1
    WRITE_FAILED = "write-failed"  # EIO at write; nothing of this transaction was kept: 451
    FENCED = "fenced"  # the claim belongs to somebody else by now
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"  # the writer is going or gone


class StoreError(Exception):
    """A transaction was refused; `reason` says why, the message says it to an operator."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason = reason


#: Seconds until a delivery that was over quota is tried again.
QUOTA_RETRY = 300
#: A message names at most so many others that it can be threaded by; more of References is noise.
MAX_THREAD_KEYS = 32
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
    #: What a queue row on the local lane gets when this delivery is over quota.
    recipient: str = ""
    notify: int = 0
    orcpt: str = ""


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
    #: settled as delivered, `accepted` does not count them again, and over quota refuses the whole (OVER_QUOTA).
    count: bool = True


class Stored(Value, frozen=True):
    """Where a message came to lie."""

    account: Account
    mailbox_id: int
    uid: int
    modseq: int


class IntakeDone(Value, frozen=True):
    """What an Intake did: stored deliveries, ids of new queue rows, recipients deferred for quota."""

    stored: tuple[Stored, ...]
    queued: tuple[int, ...]
    deferred: tuple[str, ...] = ()


# -- mailbox side --------------------------------------------------------------------------------------------------


class NewMessage(Value, frozen=True):
    """One message of an APPEND or import."""

    body: Body
    received: int
    cached: bytes
    flags: int = 0
    keywords: tuple[str, ...] = ()
    thread_keys: tuple[bytes, ...] = ()


class Append(Txn, frozen=True):
    """Store messages into one mailbox, all or none (RFC 3502). Result: Uids."""

    account: Account
    mailbox_id: int
    messages: tuple[NewMessage, ...]
    quota_bytes: int = 0


class Uids(Value, frozen=True):
    """UIDs that source messages got (source empty for Append), for APPENDUID and COPYUID (RFC 4315)."""

    uidvalidity: int
    target: tuple[int, ...]
    source: tuple[int, ...] = ()
    modseq: int = 0


class Copy(Txn, frozen=True):
    """Copy messages within an account, all or none (RFC 9051 §6.4.7); `move` removes the source (RFC 6851).

    Source UIDs that are gone are passed over. Result: Uids.
    """

    account: Account
    mailbox_id: int
    uids: tuple[int, ...]
    target_id: int
    move: bool = False
    quota_bytes: int = 0


class FlagChange(enum.StrEnum):
    """STORE's three ways."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


class SetFlags(Txn, frozen=True):
    """STORE on a slice of UIDs; messages changed after `unchanged_since` stay (RFC 7162). Result: FlagsSet."""

    account: Account
    mailbox_id: int
    uids: tuple[int, ...]
    change: FlagChange
    flags: int
    keywords: tuple[str, ...] = ()
    unchanged_since: int | None = None


class FlagsSet(Value, frozen=True):
    """`modified`: UIDs left alone because of UNCHANGEDSINCE. Changed rows come by the change feed."""

    modseq: int
    modified: tuple[int, ...] = ()


class Expunge(Txn, frozen=True):
    """Remove those of the UIDs that carry Deleted; tombstones remain. Result: Expunged."""

    account: Account
    mailbox_id: int
    uids: tuple[int, ...]


class Expunged(Value, frozen=True):
    """What is gone now."""

    modseq: int
    uids: tuple[int, ...]


class OpenAccount(Txn, frozen=True):
    """Make the account with its default folders where it is missing. Result: Done."""

    account: Account


class CreateMailbox(Txn, frozen=True):
    """Make a folder and, where missing, its parents ("/" separates). Result: Made. EXISTS when it is there."""

    account: Account
    name: str
    special_use: str = ""


class Made(Value, frozen=True):
    """The id and RFC 8474 MAILBOXID of a new folder."""

    id: int
    object_id: str


class DeleteMailbox(Txn, frozen=True):
    """Remove a folder with its messages; INBOX and folders with children are INVALID. Result: Done."""

    account: Account
    mailbox_id: int


class RenameMailbox(Txn, frozen=True):
    """Rename a folder and those below it; INBOX gives its messages to a new folder (RFC 9051 §6.3.6). Result: Done."""

    account: Account
    mailbox_id: int
    name: str


class Subscribe(Txn, frozen=True):
    """Subscribe or unsubscribe a name. Result: Done."""

    account: Account
    name: str
    subscribed: bool


class TouchRecent(Txn, frozen=True):
    r"""A read-write SELECT takes \Recent: raises the watermark to UIDNEXT. Result: Recent."""

    account: Account
    mailbox_id: int


class Recent(Value, frozen=True):
    """The watermark as it was before, and UIDNEXT."""

    first: int
    uidnext: int


class Release(Txn, frozen=True):
    """Remove an account with all its mail (deletionPolicy: Delete). Result: Done."""

    account: Account


class Done(Value, frozen=True):
    """It is durable."""


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
    Intake | Append | Copy | SetFlags | Expunge | OpenAccount | CreateMailbox | DeleteMailbox | RenameMailbox
    | Subscribe | TouchRecent | Release | Claim | FreeClaims | Renew | Settle | Administer | Remember
)  # fmt: skip
AnyResult = IntakeDone | Uids | FlagsSet | Expunged | Made | Done | Recent | tuple[QueueRow, ...]
