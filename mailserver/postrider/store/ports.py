"""The store's interface: one writer that commits values, readers for snapshots, and a feed of what changed.

Both halves are async so that a remote database fits behind them; the embedded reader answers without waiting.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, overload

from postrider.store import transactions as t
from postrider.store.values import Account, Blob, Changes, FlagRow, MailboxRow, MessageRow, QueueRow


class Writer(Protocol):
    """Commits transactions. What it returns is durable; what it refuses has changed nothing."""

    @overload
    async def commit(self, txn: t.Intake) -> t.IntakeDone: ...
    @overload
    async def commit(self, txn: t.Append | t.Copy) -> t.Uids: ...
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
        | t.Release
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
    """Reads committed state. Each call sees one consistent state and holds no transaction when it returns."""

    async def mailboxes(self, account: Account) -> Sequence[MailboxRow]:
        """All folders, by name. An account that never stored anything has its default folders all the same."""
        ...

    async def subscriptions(self, account: Account) -> Sequence[str]:
        """All subscribed names, in order; not each is a folder's (RFC 9051 §6.3.7)."""
        ...

    async def mailbox(self, account: Account, mailbox_id: int) -> MailboxRow | None:
        """One folder, None when it is gone."""
        ...

    async def uids(self, account: Account, mailbox_id: int) -> array[int]:
        """All UIDs of a folder in order, compact ("I"): what a SELECT of a million messages can afford."""
        ...

    async def flags(self, account: Account, mailbox_id: int, *, above: int = 0, limit: int = 0) -> Sequence[FlagRow]:
        """UIDs with their flags in UID order, from UID above+1 on; limit 0 is all."""
        ...

    async def messages(self, account: Account, mailbox_id: int, uids: Sequence[int]) -> Sequence[MessageRow]:
        """Rows of these UIDs in UID order; UIDs that are gone are missing. Callers ask in slices of a few hundred."""
        ...

    async def changes(self, account: Account, mailbox_id: int, since: int) -> Changes:
        """What happened in a folder after modseq `since`."""
        ...

    async def body(self, account: Account, blob: Blob, start: int = 0, length: int | None = None) -> bytes:
        """A range of a body's bytes. Raises StoreError(UNAVAILABLE) when the record is damaged."""
        ...

    async def usage(self, account: Account) -> tuple[int, int]:
        """Bytes and messages stored in the account."""
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
