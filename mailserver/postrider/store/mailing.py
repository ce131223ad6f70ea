"""Transactions on an account's mail: append, replace, copy, flags, expunge, folders; what is kept, and what goes."""

from __future__ import annotations

import enum

from postrider.store.shape import Txn
from postrider.store.values import Account, Body, Value

# -- messages ------------------------------------------------------------------------------------------------------


class NewMessage(Value, frozen=True):
    """One message of an APPEND or import.

    With a `key` it is stored once: a key that this folder has seen answers with the UID it got then. Keys are up to
    MAX_KEY octets and are kept until Collect forgets them.
    """

    body: Body
    received: int
    cached: bytes
    flags: int = 0
    keywords: tuple[str, ...] = ()
    thread_keys: tuple[bytes, ...] = ()
    key: bytes = b""


class Append(Txn, frozen=True):
    """Store messages into one mailbox, all or none (RFC 3502). Result: Uids."""

    account: Account
    mailbox_id: int
    messages: tuple[NewMessage, ...]
    quota_bytes: int = 0
    domain_quota_bytes: int = 0


class Uids(Value, frozen=True):
    """UIDs that source messages got (source empty for Append), for APPENDUID and COPYUID (RFC 4315)."""

    uidvalidity: int
    target: tuple[int, ...]
    source: tuple[int, ...] = ()
    modseq: int = 0


class Replace(Txn, frozen=True):
    r"""Store a message and expunge the one it takes the place of, at once (RFC 8508), \Deleted or not.

    NO_MESSAGE when that one is gone. Only the difference in size counts for quotas. Result: Uids, `source` the UID
    that is gone. `keep` as in Expunge.
    """

    account: Account
    mailbox_id: int
    uid: int
    message: NewMessage
    target_id: int
    quota_bytes: int = 0
    domain_quota_bytes: int = 0
    keep: bool = False


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
    domain_quota_bytes: int = 0


class BeginCopy(Txn, frozen=True):
    """Begin a copy of more messages than one short transaction can hold: all or none for everybody who looks.

    `messages` and `size` are what is expected: UIDs are set aside for them, quotas are looked at (OVER_QUOTA) and
    decided in FinishCopy. One copy into a folder at a time (BUSY). Result: CopyBegun.
    """

    account: Account
    mailbox_id: int
    target_id: int
    messages: int
    size: int = 0
    quota_bytes: int = 0
    domain_quota_bytes: int = 0


class CopyBegun(Value, frozen=True):
    """The number that the other steps name."""

    id: int


class StageCopy(Txn, frozen=True):
    """Copy a slice, in ascending order of UIDs from slice to slice; nobody sees it yet. Result: Staged.

    AGAIN when deliveries have used up what was set aside, or nobody staged for an hour: begin anew. OVER_QUOTA when
    what is staged by now would not fit, so that nobody copies a million to hear it in the end.
    """

    account: Account
    id: int
    uids: tuple[int, ...]
    quota_bytes: int = 0
    domain_quota_bytes: int = 0


class Staged(Value, frozen=True):
    """The UIDs that were still there."""

    source: tuple[int, ...]


class FinishCopy(Txn, frozen=True):
    """Show everything that was staged, in one short transaction. Result: CopyFinished.

    AGAIN as in StageCopy; OVER_QUOTA leaves the copy for DropCopy; BUSY while a copy of the account that was begun
    before is under way, which is finished first: stage nothing to say that somebody is still there, and ask again.
    """

    account: Account
    id: int
    quota_bytes: int = 0
    domain_quota_bytes: int = 0


class CopyFinished(Value, frozen=True):
    """The staged messages, in their order, have the UIDs from `first` on."""

    uidvalidity: int
    first: int
    messages: int
    modseq: int


class DropCopy(Txn, frozen=True):
    """Give a copy up; its rows go a slice at a time. One that is gone already is no error. Result: Done."""

    account: Account
    id: int


class FlagChange(enum.StrEnum):
    """STORE's three ways."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"


class SetFlags(Txn, frozen=True):
    r"""STORE on a slice of UIDs; messages changed after `unchanged_since` stay (RFC 7162). Result: FlagsSet.

    LIMIT when a message would get more keywords and have more than MAX_KEYWORDS.
    With a `grantee` \Seen is that user's own and the message keeps its (RFC 4314 §4); other flags are everybody's.
    """

    account: Account
    mailbox_id: int
    uids: tuple[int, ...]
    change: FlagChange
    flags: int
    keywords: tuple[str, ...] = ()
    unchanged_since: int | None = None
    grantee: str = ""


class FlagsSet(Value, frozen=True):
    """`modified`: UIDs left alone because of UNCHANGEDSINCE. Changed rows come by the change feed."""

    modseq: int
    modified: tuple[int, ...] = ()


class Expunge(Txn, frozen=True):
    """Remove those of the UIDs that carry Deleted; tombstones remain. Result: Expunged.

    With `keep`, and under legal hold, the messages stay out of sight until Collect takes them (undelete window).
    """

    account: Account
    mailbox_id: int
    uids: tuple[int, ...]
    keep: bool = False


class Expunged(Value, frozen=True):
    """What is gone now."""

    modseq: int
    uids: tuple[int, ...]


class Recache(Txn, frozen=True):
    """Replace what is cached about emails (EMAILID, bytes): another parse version. No modseq moves. Result: Done."""

    account: Account
    cached: tuple[tuple[str, bytes], ...]


# -- folders -------------------------------------------------------------------------------------------------------


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
    """Remove a folder with its messages; INBOX and folders with children are INVALID. Result: Done.

    `keep` as in Expunge; the folder's name is kept with them.
    """

    account: Account
    mailbox_id: int
    keep: bool = False


class RenameMailbox(Txn, frozen=True):
    """Rename a folder and those below it; INBOX gives its messages to a new folder (RFC 9051 §6.3.6). Result: Done."""

    account: Account
    mailbox_id: int
    name: str


class SetRole(Txn, frozen=True):
    """Give a folder a special use (RFC 6154), "" for none; a folder that had that one loses it. Result: Done."""

    account: Account
    mailbox_id: int
    special_use: str


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


# -- what is kept, and what goes -----------------------------------------------------------------------------------


class Undelete(Txn, frozen=True):
    """Bring expunged messages (ExpungedRow.id) back into a folder: new UIDs, the same EMAILIDs. Result: Uids.

    `source` of the result are the ids; those that are gone are passed over.
    """

    account: Account
    ids: tuple[int, ...]
    target_id: int
    quota_bytes: int = 0
    domain_quota_bytes: int = 0


class Collect(Txn, frozen=True):
    """Release up to `limit` messages that were expunged before a time, and idempotency keys older than another.

    Under legal hold HELD, and nothing goes. Result: Collected.
    """

    account: Account
    before: int
    limit: int
    keys_before: int = 0


class Expire(Txn, frozen=True):
    """Remove up to `limit` messages saved before a time (retention of Trash and Junk); tombstones remain.

    `keep` as in Expunge. Under legal hold HELD. Result: Collected.
    """

    account: Account
    mailbox_id: int
    before: int
    limit: int
    keep: bool = False


class Collected(Value, frozen=True):
    """What went, and whether a limit left something for another turn."""

    messages: int
    bytes: int
    more: bool


class SetHold(Txn, frozen=True):
    """Put an account under legal hold, or end it: nothing that is expunged or expires goes meanwhile. Result: Done."""

    account: Account
    held: bool


class Release(Txn, frozen=True):
    """Remove an account with all its mail (deletionPolicy: Delete). HELD under legal hold. Result: Done.

    With `keep` it only gets another name (released_name), and the old one is free: Reinstate brings it back, a
    Release of the other name removes it. Accounts that are not there are no error.
    """

    account: Account
    keep: bool = False


class Reinstate(Txn, frozen=True):
    """Give a released account (AccountRow.name) a name again; EXISTS when an account has it. Result: Done."""

    account: Account
    name: Account


class PruneTombstones(Txn, frozen=True):
    """Forget up to `limit` tombstones of changes before a modseq; from then on it is the account's floor.

    Who asks for changes since before the floor is told that they are not known. Result: Pruned.
    """

    account: Account
    before: int
    limit: int


class Pruned(Value, frozen=True):
    """Whether there is more to forget."""

    more: bool
