"""The store in memory behind the ports: a transaction runs at once, and is committed when it returns."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from postrider.model.ports import Clock
from postrider.model.runs import missing, runs_of
from postrider.store import transactions as t
from postrider.store.conditions import Condition, holds
from postrider.store.feed import LocalFeed
from postrider.store.memory import folders, keeping, mail, owned, queue
from postrider.store.memory.account_reader import AccountReader
from postrider.store.memory.state import State
from postrider.store.ports import Feed, Reader, Writer
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import (
    Account,
    Blob,
    Changes,
    FlagRow,
    MailboxRow,
    MessageRow,
    QueueRow,
    QueueState,
    Vanished,
)

_HANDLERS: Mapping[type[t.Txn], Callable[[State, Any], object]] = {
    t.Intake: mail.intake,
    t.Append: mail.append,
    t.Replace: mail.replace_message,
    t.Copy: mail.copy,
    t.BeginCopy: keeping.begin,
    t.StageCopy: keeping.stage,
    t.FinishCopy: keeping.finish,
    t.DropCopy: keeping.drop,
    t.SetFlags: mail.set_flags,
    t.Expunge: mail.expunge,
    t.Recache: mail.recache,
    t.OpenAccount: folders.open_account,
    t.CreateMailbox: folders.create,
    t.DeleteMailbox: folders.delete,
    t.RenameMailbox: folders.rename,
    t.SetRole: folders.set_role,
    t.Subscribe: folders.subscribe,
    t.TouchRecent: folders.touch_recent,
    t.Undelete: keeping.undelete,
    t.Collect: keeping.collect,
    t.Expire: keeping.expire,
    t.PruneTombstones: keeping.prune,
    t.SetHold: keeping.set_hold,
    t.Release: keeping.release,
    t.Reinstate: keeping.reinstate,
    t.SetRights: owned.set_rights,
    t.Annotate: owned.annotate,
    t.PutThing: owned.put_thing,
    t.Claim: queue.claim,
    t.FreeClaims: queue.free_claims,
    t.Renew: queue.renew,
    t.Settle: queue.settle,
    t.Administer: queue.administer,
    t.Remember: queue.remember,
}


class MemoryWriter:
    """Implements ports.Writer."""

    def __init__(self, state: State, feed: LocalFeed, clock: Clock) -> None:
        self._state = state
        self._feed = feed
        self._clock = clock
        self.closed = False

    async def commit(self, txn: t.AnyTxn) -> Any:
        """Run one transaction. Raises StoreError."""
        if self.closed:
            raise StoreError(Reason.UNAVAILABLE, "the store is closed")
        state = self._state
        state.now = int(self._clock.now())
        state.changed, state.queue_changed = set(), False
        before = (dict(state.accounts), state.uidvalidity, state.last_blob_id, state.last_account)
        try:
            result = _HANDLERS[type(txn)](state, txn)
        except StoreError:  # handlers check first, but an account may have come into being
            state.accounts, state.uidvalidity, state.last_blob_id, state.last_account = before
            raise
        for name in state.changed & state.accounts.keys():
            state.accounts[name].trim(t.MAX_LOG)
        self._feed.publish(state.changed, queue=state.queue_changed)
        return result


class MemoryReader(AccountReader):
    """Implements ports.Reader."""

    def __init__(self, state: State, writer: MemoryWriter) -> None:
        super().__init__(state, writer.commit)

    async def mailboxes(self, account: Account) -> Sequence[MailboxRow]:
        """All folders, by name."""
        owner = await self._owner(account)
        rows = [folder.row(subscribed=folder.name in owner.subscriptions) for folder in owner.folders.values()]
        return sorted(rows, key=lambda row: row.name.encode())

    async def subscriptions(self, account: Account) -> Sequence[str]:
        """All subscribed names, in order."""
        return sorted((await self._owner(account)).subscriptions, key=str.encode)

    async def mailbox(self, account: Account, mailbox_id: int) -> MailboxRow | None:
        """One folder."""
        return next((row for row in await self.mailboxes(account) if row.id == mailbox_id), None)

    async def uids(self, account: Account, mailbox_id: int, *, above: int = 0) -> array[int]:
        """All UIDs of a folder from above+1 on, in order."""
        return array("I", (row.uid for row in await self.flags(account, mailbox_id, above=above)))

    async def flags(self, account: Account, mailbox_id: int, *, above: int = 0, limit: int = 0) -> Sequence[FlagRow]:
        """UIDs with their flags in UID order."""
        folder = (await self._owner(account)).folders.get(mailbox_id)
        found = [message for uid, message in folder.messages.items() if uid > above] if folder else []
        rows = [FlagRow(message.uid, message.modseq, message.flags, message.keywords) for message in found]
        return rows[:limit] if limit else rows

    async def select(
        self, account: Account, mailbox_id: int, condition: Condition, first: int, last: int
    ) -> array[int]:
        """UIDs of messages for which a condition holds."""
        folder = (await self._owner(account)).folders.get(mailbox_id)
        rows = [message.row() for uid, message in folder.messages.items() if first <= uid <= last] if folder else []
        return array("I", (row.uid for row in rows if holds(condition, row)))

    async def messages(self, account: Account, mailbox_id: int, uids: Sequence[int]) -> Sequence[MessageRow]:
        """Rows of these UIDs in UID order."""
        folder = (await self._owner(account)).folders.get(mailbox_id)
        wanted = set(uids)
        return [message.row() for uid, message in folder.messages.items() if uid in wanted] if folder else []

    async def changes(self, account: Account, mailbox_id: int, since: int, *, limit: int = 0) -> Changes:
        """What happened in a folder after modseq `since`."""
        folder = (await self._owner(account)).folders.get(mailbox_id)
        if not folder:
            return Changes(since, (), ())
        changed = tuple(row for row in await self.flags(account, mailbox_id) if row.modseq > since)
        vanished = tuple(gone for gone in folder.vanished if gone.modseq > since)
        modseqs = sorted([row.modseq for row in changed] + [gone.modseq for gone in vanished])
        upto = folder.modseq
        if limit and len(modseqs) > limit:
            upto = max((modseq for modseq in modseqs[:limit] if modseq < modseqs[limit]), default=modseqs[limit])
        floor = (await self._owner(account)).floor
        if since < floor and folder.modseq > since and upto >= min(floor, folder.modseq):
            runs = missing(runs_of(sorted(folder.messages)), folder.uidnext)
            vanished = (Vanished(upto, tuple(runs)),) if runs else ()
        return Changes(
            upto, tuple(row for row in changed if row.modseq <= upto),
            tuple(gone for gone in vanished if gone.modseq <= upto), upto < folder.modseq,
        )  # fmt: skip

    async def body(self, account: Account, blob: Blob, start: int = 0, length: int | None = None) -> bytes:
        """A range of a body's bytes."""
        held = self._state.bodies.get(blob.id)
        if not held:
            raise StoreError(Reason.UNAVAILABLE, f"body {blob.id} of {account} is gone")
        return held.data[start : None if length is None else start + length]

    async def file(self, account: Account, blob: Blob) -> str:
        """No body has a file."""
        if blob.id not in self._state.bodies:
            raise StoreError(Reason.UNAVAILABLE, f"body {blob.id} of {account} is gone")
        return ""

    async def usage(self, account: Account) -> tuple[int, int]:
        """Bytes and messages."""
        return (await self._owner(account)).usage()

    async def queue(self, *, after: int = 0, limit: int = 100) -> Sequence[QueueRow]:
        """Queue rows by id."""
        return [waiting.row for row_id, waiting in sorted(self._state.queue.items()) if row_id > after][:limit]

    async def next_due(self, lanes: Sequence[int]) -> int | None:
        """When the next row of these lanes can be claimed."""
        mine = [waiting for waiting in self._state.queue.values() if waiting.row.lane in lanes]
        soon = [waiting.row.due for waiting in mine if waiting.row.state == QueueState.READY]
        soon += [waiting.until for waiting in mine if waiting.row.state == QueueState.CLAIMED]
        return min(soon, default=None)

    async def counters(self) -> Mapping[str, int]:
        """All counters."""
        return {name: self._state.counters[name] for name in t.COUNTERS}

    async def recall(self, key: str, now: int) -> bytes | None:
        """A value of Remember that has not expired."""
        value, expires = self._state.ledger.get(key, (b"", 0))
        return value if expires > now else None


class MemoryStore:
    """Implements ports.Store."""

    def __init__(self, clock: Clock) -> None:
        state, feed = State(), LocalFeed()
        self._writer = MemoryWriter(state, feed, clock)
        self.writer: Writer = self._writer
        self.reader: Reader = MemoryReader(state, self._writer)
        self.feed: Feed = feed

    async def close(self) -> None:
        """Nothing is committed after it."""
        self._writer.closed = True
