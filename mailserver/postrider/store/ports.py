"""The store's interface: one writer that commits values, readers for snapshots, and a feed of what changed.

Both halves are async so that a remote database fits behind them; the embedded reader answers without waiting.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, overload

from postrider.store import transactions as t
from postrider.store.conditions import Condition
from postrider.store.values import (
    Account,
    AccountChanges,
    AccountRow,
    AnnotationRow,
    Blob,
    Changes,
    ExpungedRow,
    FlagRow,
    MailboxRow,
    MessageRow,
    Place,
    QueueRow,
    RightsRow,
    SeenRow,
    SharedRow,
    ThingRow,
)


class Writer(Protocol):
    """Commits transactions. What it returns is durable; what it refuses has changed nothing."""

    @overload
    async def commit(self, txn: t.Intake) -> t.IntakeDone: ...
    @overload
    async def commit(self, txn: t.Append | t.Copy | t.Replace | t.Undelete) -> t.Uids: ...
    @overload
    async def commit(self, txn: t.BeginCopy) -> t.CopyBegun: ...
    @overload
    async def commit(self, txn: t.StageCopy) -> t.Staged: ...
    @overload
    async def commit(self, txn: t.FinishCopy) -> t.CopyFinished: ...
    @overload
    async def commit(self, txn: t.Collect | t.Expire) -> t.Collected: ...
    @overload
    async def commit(self, txn: t.PruneTombstones) -> t.Pruned: ...
    @overload
    async def commit(self, txn: t.PutThing) -> t.Put: ...
    @overload
    async def commit(self, txn: t.SetFlags) -> t.FlagsSet: ...
    @overload
    async def commit(self, txn: t.Expunge) -> t.Expunged: ...
    @overload
    async def commit(self, txn: t.CreateMailbox) -> t.Made: ...
    @overload
    async def commit(self, txn: t.TouchRecent) -> t.Recent: ...
    @overload
    async def commit(self, txn: t.Claim) -> tuple[QueueRow, ...]: ...
    @overload
    async def commit(
        self,
        txn: t.OpenAccount
        | t.DeleteMailbox
        | t.RenameMailbox
        | t.Subscribe
        | t.SetRole
        | t.DropCopy
        | t.Recache
        | t.SetHold
        | t.Release
        | t.Reinstate
        | t.SetRights
        | t.Annotate
        | t.FreeClaims
        | t.Renew
        | t.Settle
        | t.Administer
        | t.Remember,
    ) -> t.Done: ...
    async def commit(self, txn: t.AnyTxn) -> object:
        """Run one transaction. Raises StoreError; nothing of a refused transaction is kept."""
        ...


class Reader(Protocol):
    """Reads committed state. Each call but `uids` sees one consistent state; none holds a transaction afterwards."""

    async def mailboxes(self, account: Account) -> Sequence[MailboxRow]:
        """All folders, by name. An account that never stored anything has its default folders all the same."""
        ...

    async def subscriptions(self, account: Account) -> Sequence[str]:
        """All subscribed names, in order; not each is a folder's (RFC 9051 §6.3.7)."""
        ...

    async def mailbox(self, account: Account, mailbox_id: int) -> MailboxRow | None:
        """One folder, None when it is gone."""
        ...

    async def uids(self, account: Account, mailbox_id: int, *, above: int = 0) -> array[int]:
        """All UIDs of a folder from above+1 on, in order, compact ("I"): a million take a tenth of a second.

        Of what comes or goes meanwhile some may be in it: they are read a slice at a time.
        """
        ...

    async def flags(self, account: Account, mailbox_id: int, *, above: int = 0, limit: int = 0) -> Sequence[FlagRow]:
        """UIDs with their flags in UID order, from UID above+1 on; limit 0 is all."""
        ...

    async def select(
        self, account: Account, mailbox_id: int, condition: Condition, first: int, last: int
    ) -> array[int]:
        """UIDs from `first` to `last` of messages for which a condition holds, rising: callers ask in slices."""
        ...

    async def messages(self, account: Account, mailbox_id: int, uids: Sequence[int]) -> Sequence[MessageRow]:
        """Rows of these UIDs in UID order; UIDs that are gone are missing. Callers ask in slices of a few hundred."""
        ...

    async def changes(self, account: Account, mailbox_id: int, since: int, *, limit: int = 0) -> Changes:
        """What happened in a folder after modseq `since`, in the order of modseqs.

        About `limit` changed messages and as many runs of vanished UIDs, never a part of one transaction's; 0 is all.
        """
        ...

    async def body(self, account: Account, blob: Blob, start: int = 0, length: int | None = None) -> bytes:
        """A range of a body's bytes. Raises StoreError(UNAVAILABLE) when the record is damaged."""
        ...

    async def file(self, account: Account, blob: Blob) -> str:
        """The file that is a message, where bodies are files in Maildirs: what we added and the body; else "".

        StoreError(UNAVAILABLE) when the body is gone.
        """
        ...

    async def usage(self, account: Account) -> tuple[int, int]:
        """Bytes and messages stored in the account; what is in the undelete window does not count."""
        ...

    async def domain_usage(self, domain: str) -> tuple[int, int]:
        """Bytes and messages stored in the accounts of a domain ("namespace/domain"), released ones included."""
        ...

    async def accounts(self, *, after: str = "", limit: int = 1000) -> Sequence[AccountRow]:
        """Accounts by name, from the one that follows `after` on."""
        ...

    async def account(self, account: Account) -> AccountRow | None:
        """One account; None while nothing has made it."""
        ...

    async def account_changes(self, account: Account, since: int, limit: int = 1000) -> AccountChanges:
        """What happened in the whole account after modseq `since`, in the order of modseqs.

        About `limit` changes: never a part of one transaction's.
        """
        ...

    async def locate(self, account: Account, email_ids: Sequence[str]) -> Sequence[Place]:
        """Where these emails (RFC 8474 EMAILID) lie, by EMAILID, mailbox, UID; those in no mailbox are missing."""
        ...

    async def appended(self, account: Account, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Which of these idempotency keys (NewMessage.key) an Append of the account has brought already."""
        ...

    async def thread(self, account: Account, thread_id: str) -> Sequence[str]:
        """EMAILIDs of a thread, oldest first (RFC 8621 §3)."""
        ...

    async def rights(self, account: Account, mailbox_id: int = 0) -> Sequence[RightsRow]:
        """Rights given on a mailbox, or on all of the account's with 0, by mailbox and grantee."""
        ...

    async def shared_with(self, grantees: Sequence[str]) -> Sequence[SharedRow]:
        """Mailboxes on which one of these grantees was given rights, by account and name."""
        ...

    async def seen(self, account: Account, mailbox_id: int, grantee: str, since: int = 0) -> Sequence[SeenRow]:
        r"""A grantee's own \Seen, by UID: where it was ever set and changed after modseq `since`."""
        ...

    async def annotations(self, account: Account, mailbox_id: int, owners: Sequence[str]) -> Sequence[AnnotationRow]:
        """Annotations of these owners on a mailbox (0: the account), by owner and entry."""
        ...

    async def things(self, account: Account, kind: str = "") -> Sequence[ThingRow]:
        """What the user owns of a kind, or of all kinds, by kind and name."""
        ...

    async def expunged(self, account: Account, *, after: int = 0, limit: int = 100) -> Sequence[ExpungedRow]:
        """Messages in the undelete window by id, which is the order they were expunged in."""
        ...

    async def queue(self, *, after: int = 0, limit: int = 100) -> Sequence[QueueRow]:
        """Queue rows by id, for administration."""
        ...

    async def next_due(self, lanes: Sequence[int]) -> int | None:
        """When the next ready row of these lanes is due, seconds since the epoch; None for an empty queue."""
        ...

    async def counters(self) -> Mapping[str, int]:
        """accepted, delivered, queued, bounced, expired, removed, discarded: accepted is the sum of the others."""
        ...

    async def recall(self, key: str, now: int) -> bytes | None:
        """A value of Remember that has not expired."""
        ...


class FileReader(Reader, Protocol):
    """A reader that holds files."""

    def close(self) -> None:
        """Release them."""
        ...


class Feed(Protocol):
    """Tells what changed, after it is durable. Hints are coalesced; losing one is harmless because modseq tells."""

    def watch(self, account: Account) -> AsyncIterator[None]:
        """Yields once after each batch of changes to this account (its folders or messages)."""
        ...

    def watch_queue(self) -> AsyncIterator[None]:
        """Yields when queue rows were added or became ready."""
        ...


class Store(Protocol):
    """The three together, as a front holds them."""

    writer: Writer
    reader: Reader
    feed: Feed

    async def close(self) -> None:
        """Release files and sockets; transactions under way are finished first."""
        ...
