"""Rows a reader hands out: accounts, mailboxes, messages, changes, queue rows. Frozen values."""

from __future__ import annotations

import enum
import zlib
from typing import NewType

import msgspec

from postrider.model.runs import Run

#: An account: "namespace/address", the address in its normal form. The store makes it at its first use.
Account = NewType("Account", str)


def account_of(namespace: str, address: str) -> Account:
    """The account that belongs to the Mailbox resource of this namespace and normal address."""
    return Account(f"{namespace}/{address}")


class Value(msgspec.Struct, frozen=True, array_like=True):
    """The common shape: immutable, compact on the wire between front and writer."""


class Flag(enum.IntFlag):
    """System flags as bits; keywords are strings beside them (RFC 9051 §2.3.2)."""

    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    DELETED = 8
    DRAFT = 16


class Body(Value, frozen=True):
    """Bytes on their way in: held in `data`, or in an unsynced spool file at `path` (removed by whoever made it).

    `hash` is SHA-256 over the bytes, `size` their number.
    """

    hash: bytes
    size: int
    data: bytes = b""
    path: str = ""


class Blob(Value, frozen=True):
    """Where an immutable body lies. Opaque outside the store, but for `size`."""

    id: int
    size: int


class MailboxRow(Value, frozen=True):
    """An IMAP folder with its counters; SELECT and STATUS read this row and no messages."""

    id: int
    name: str
    uidvalidity: int
    uidnext: int
    modseq: int
    messages: int
    unseen: int
    deleted: int
    bytes: int
    special_use: str = ""
    subscribed: bool = True
    #: RFC 8474 MAILBOXID, kept by RENAME.
    object_id: str = ""
    #: UIDs below it are no longer \Recent to anybody.
    recent: int = 1
    #: Octets of messages that carry \Deleted (RFC 9208 DELETED-STORAGE).
    deleted_bytes: int = 0
    #: Modseq it was made at, and of the last change to its name, special use or rights.
    created: int = 0
    changed: int = 0


class MessageRow(Value, frozen=True):
    """One message in one mailbox. The message's bytes are prefix + blob; `size` counts both."""

    uid: int
    modseq: int
    flags: int
    keywords: tuple[str, ...]
    size: int
    #: INTERNALDATE, seconds since the epoch.
    received: int
    #: SAVEDATE (RFC 8514), seconds since the epoch.
    saved: int
    #: RFC 8474 EMAILID and THREADID.
    email_id: str
    thread_id: str
    prefix: bytes
    blob: Blob
    #: What ingest.content cached at delivery (ENVELOPE, BODYSTRUCTURE, preview ...), encoded by it.
    cached: bytes
    #: It lies encrypted: nothing of it may be written elsewhere in the clear.
    sealed: bool = False


class FlagRow(Value, frozen=True):
    """The small part of a message that changes."""

    uid: int
    modseq: int
    flags: int
    keywords: tuple[str, ...]


class Vanished(Value, frozen=True):
    """UIDs expunged at a modseq (RFC 7162 §3.2.10), as ascending runs: a gap may be wider than what can be counted."""

    modseq: int
    runs: tuple[Run, ...]


class Changes(Value, frozen=True):
    """What happened in one mailbox after a modseq and up to `modseq`; with `more`, ask again from there.

    New or changed messages by UID, and vanished UIDs. These may name some that had vanished before
    (RFC 7162 §3.2.10): all of them, below the account's floor.
    """

    modseq: int
    changed: tuple[FlagRow, ...]
    vanished: tuple[Vanished, ...]
    more: bool = False


class AccountRow(Value, frozen=True):
    """An account as administration sees it."""

    name: Account
    bytes: int
    messages: int
    modseq: int
    #: Changes since before this modseq are not known any more (PruneTombstones).
    floor: int = 0
    #: Under legal hold.
    held: bool = False
    #: When it was released under this other name, seconds since the epoch; 0: it is in use.
    released: int = 0
    #: When the oldest message in the undelete window was expunged, seconds since the epoch; 0: there is none.
    oldest_expunged: int = 0
    #: The number of its key once something of it is encrypted; 0: it has none.
    key_id: int = 0

    @property
    def encrypted(self) -> bool:
        """Whether something of it is encrypted, under a key of its own."""
        return self.key_id > 0


class MessageChange(Value, frozen=True):
    """A message that came or changed. `created`: it came to this mailbox after the asked modseq."""

    mailbox_id: int
    uid: int
    #: RFC 8474 EMAILID.
    email_id: str
    modseq: int
    created: bool


class VanishedChange(Value, frozen=True):
    """UIDs `first` to `last` of a mailbox that are gone since `modseq`; some may have gone before."""

    mailbox_id: int
    modseq: int
    first: int
    last: int


class OtherChange(Value, frozen=True):
    """Something else that changed, or is gone, and the modseq of its last change.

    Kinds and their keys: "mailbox": its id; "subscription": the name; "rights": "mailbox id/grantee"; "annotation":
    "mailbox id/owner/entry"; "thing": "kind/name"; "email": the EMAILID of one in no mailbox any more.
    """

    kind: str
    key: str
    modseq: int
    gone: bool
    #: Of a mailbox: made after the asked modseq.
    created: bool = False


class AccountChanges(Value, frozen=True):
    """What happened in an account after a modseq and up to `modseq`; with `more`, ask again from there.

    When `floor` is above the modseq asked for, it is not known any more and nothing is told: read everything.
    """

    modseq: int
    floor: int = 0
    more: bool = False
    messages: tuple[MessageChange, ...] = ()
    vanished: tuple[VanishedChange, ...] = ()
    others: tuple[OtherChange, ...] = ()


class Place(Value, frozen=True):
    """One mailbox that holds an email (RFC 8474 EMAILID), and under which UID."""

    email_id: str
    mailbox_id: int
    uid: int


class RightsRow(Value, frozen=True):
    """What a grantee may do with a mailbox (RFC 4314)."""

    mailbox_id: int
    grantee: str
    rights: str


class SharedRow(Value, frozen=True):
    """A mailbox of somebody else, and what the asking grantees may do with it: one row for each grantee named."""

    account: Account
    mailbox: MailboxRow
    grantee: str
    rights: str


class SeenRow(Value, frozen=True):
    r"""A user's own \Seen on a message of somebody else's mailbox (RFC 4314 §4)."""

    uid: int
    seen: bool
    modseq: int


class AnnotationRow(Value, frozen=True):
    """An annotation (RFC 5464); mailbox_id 0 is the account, owner "" is shared."""

    mailbox_id: int
    owner: str
    entry: str
    value: bytes


class ThingRow(Value, frozen=True):
    """Something a user owns: a script, an app password, an identity."""

    kind: str
    name: str
    value: bytes
    modseq: int


class ExpungedRow(Value, frozen=True):
    """A message in the undelete window."""

    #: What Undelete names.
    id: int
    mailbox_id: int
    #: The mailbox's name: the present one, or the last of one that is gone.
    mailbox: str
    uid: int
    email_id: str
    flags: int
    keywords: tuple[str, ...]
    size: int
    saved: int
    #: When it was expunged, seconds since the epoch.
    at: int


class QueueState(enum.StrEnum):
    """State of one queue row."""

    READY = "ready"
    CLAIMED = "claimed"
    HELD = "held"


class QueueRow(Value, frozen=True):
    """One recipient of one message on its way out. The message is prefix + blob."""

    id: int
    lane: int
    #: What the lane hashes: recipient domain in A-labels, "relay" for a smarthost, "local/<account>" for our own.
    destination: str
    sender: str  # "" is the null reverse-path
    recipient: str
    prefix: bytes
    blob: Blob
    created: int
    due: int
    attempts: int
    #: Fencing token of the present claim; settle and renew name it.
    epoch: int = 0
    notify: int = 0  # model.envelope.Notify
    orcpt: str = ""
    ret: str = ""
    envid: str = ""
    body: str = "7BIT"
    smtputf8: bool = False
    #: Account the message came from ("" for mail that is not our users').
    account: str = ""
    delay_told: bool = False
    last_reply: str = ""
    state: str = QueueState.READY


#: Lanes that queue rows are spread over.
LANES = 256


def lane_of(destination: str) -> int:
    """The lane of a destination; the same in every process and release."""
    return zlib.crc32(destination.encode("utf-8", "surrogatepass")) % LANES
