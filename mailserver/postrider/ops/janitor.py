"""What becomes of mail with time: legal hold, the end of the undelete window, retention of folders; a slice at a time.

Everything is decided anew from what is declared and what the store says, so that it may be stopped anywhere, begun
anew, and done twice. Under legal hold nothing goes; what cannot be changed now is looked at again in the next round.
"""

from __future__ import annotations

import asyncio
import sys
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from postrider.accounts import released
from postrider.accounts.directory import Directory
from postrider.contract.policy import Effective
from postrider.model.ports import Clock
from postrider.store import transactions as t
from postrider.store.ports import Reader, Store
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, AccountRow
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Messages that one transaction removes at most; transactions that one account gets in a round.
SLICE = 100
MAX_SLICES = 50
#: Accounts that one read looks at.
PAGE = 200
#: After a slice, rest for so many times as long as it took: mail that comes in goes first.
REST = 3.0
_DAY = 24 * 3600
#: Seconds that an APPEND's idempotency key is known, and where in the day it is looked for old ones.
KEYS = 7 * _DAY
_SLOTS = 144
#: Seconds that tombstones are known at least: a client that was away for longer reads everything again. Modseqs are
#: noted once a week, in the ledger.
TOMBSTONES = 60 * _DAY
TOMBSTONES_AT_ONCE = 1000
_NOTED = 7 * _DAY
#: The store refuses for now, or for all: nothing to do but to come again.
_ENDS = frozenset({Reason.UNAVAILABLE, Reason.NO_SPACE, Reason.WRITE_FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What the janitor needs from outside."""

    store: Store
    directory: Callable[[], Directory]
    clock: Clock
    events: Events
    metrics: Metrics
    #: How to wait, in seconds.
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep


async def accounts(reader: Reader) -> AsyncIterator[AccountRow]:
    """All accounts, by name, a page at a time: they may come and go meanwhile."""
    after = ""
    while page := await reader.accounts(after=after, limit=PAGE):
        for row in page:
            yield row
        after = page[-1].name
        await asyncio.sleep(0)  # the embedded reader never waits, and others are at work in this process


@dataclass(frozen=True, slots=True)
class _Visit:
    """One account in one round."""

    row: AccountRow
    now: int
    #: Accounts that go with their Mailbox.
    gone: frozenset[Account] = field(default_factory=frozenset)

    @property
    def keys_due(self) -> bool:
        """Once a day, at another time for each account."""
        return zlib.crc32(self.row.name.encode()) % _SLOTS == self.now * _SLOTS // _DAY % _SLOTS


class Janitor:
    """Sweeps the store. One of them is at work."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def hold(self) -> None:
        """Put accounts under legal hold, or end it, as is declared; a hold outlives the Mailbox that said it."""
        held = 0
        async for row in accounts(self._ports.store.reader):
            held += await self._hold(row)
        self._ports.metrics.observe("postrider_held_accounts", held)

    async def run_once(self, now: float) -> None:
        """One round through all accounts. What fails for one is told, and the others go on.

        Raises StoreError where the store can change nothing at this time.
        """
        held = 0
        gone = released.accounts(self._ports.directory().snapshot)
        async for row in accounts(self._ports.store.reader):
            try:
                held += await self._account(_Visit(row, int(now), gone))
            except StoreError as error:
                if error.reason in _ENDS:
                    raise
                if error.reason is not Reason.HELD:  # it was put under hold this very moment
                    self._ports.events.emit("server.failure", where="janitor", account=row.name, exc_info=True)
        self._ports.metrics.observe("postrider_held_accounts", held)
        self._ports.metrics.observe("postrider_janitor_round_timestamp_seconds", now)

    async def _account(self, visit: _Visit) -> bool:
        """Whatever is due for one account; whether it is held."""
        row, directory = visit.row, self._ports.directory()
        if row.released:
            await self._let_go(visit, directory)
            return row.held
        mailbox = directory.declared(row.name)
        if mailbox is None and row.name in visit.gone:
            await released.release_one(self._ports.store.writer, row.name, directory)
            return row.held
        if await self._hold(row):
            return True
        policy = directory.policy(mailbox) if mailbox else directory.policy_without(row.name)
        if policy.held:  # by its domain: its mailbox is not declared any more
            return True
        await self._collect(visit, policy)
        await self._expire(visit, policy)
        await self._forget(visit)
        return False

    async def _hold(self, row: AccountRow) -> bool:
        """Whether the account is held, after the store was told."""
        directory = self._ports.directory()
        mailbox = directory.declared(row.name)
        if mailbox is None:
            return row.held
        held = directory.policy(mailbox).held
        if held != row.held:
            await self._ports.store.writer.commit(t.SetHold(row.name, held))
            self._ports.events.emit("account.hold", account=row.name, held=held)
        return held

    async def _let_go(self, visit: _Visit, directory: Directory) -> None:
        """A released account is out of sight; after the undelete window it is gone."""
        row, policy = visit.row, directory.policy_without(visit.row.name)
        if row.held or policy.held or row.released > visit.now - policy.undelete:
            return
        await self._ports.store.writer.commit(t.Release(row.name))
        self._ports.events.emit("account.removed", account=row.name, messages=row.messages, bytes=row.bytes)

    async def _collect(self, visit: _Visit, policy: Effective) -> None:
        """The end of the undelete window, and of idempotency keys."""
        row, before = visit.row, visit.now - policy.undelete
        if not (0 < row.oldest_expunged < before or visit.keys_due):
            return
        await self._slices("undelete", t.Collect(row.name, before, SLICE, visit.now - KEYS))

    async def _expire(self, visit: _Visit, policy: Effective) -> None:
        """Retention of folders with a special use."""
        if not policy.retention:
            return
        name = visit.row.name
        for folder in await self._ports.store.reader.mailboxes(name):
            span = policy.retention.get(folder.special_use, 0)
            before = visit.now - span
            if not span or not folder.messages or await self._oldest(name, folder.id) >= before:
                continue
            await self._slices("retention", t.Expire(name, folder.id, before, SLICE, keep=policy.keeps))

    async def _oldest(self, account: Account, mailbox_id: int) -> int:
        """When the oldest message of a folder was saved there: UIDs rise with time."""
        reader = self._ports.store.reader
        first = await reader.flags(account, mailbox_id, limit=1)
        rows = await reader.messages(account, mailbox_id, [row.uid for row in first])
        return rows[0].saved if rows else sys.maxsize

    async def _slices(self, why: str, txn: t.Collect | t.Expire) -> None:
        messages = octets = 0
        for _ in range(MAX_SLICES):
            started = self._ports.clock.monotonic()
            done = await self._ports.store.writer.commit(txn)
            messages, octets = messages + done.messages, octets + done.bytes
            if not done.more:
                break
            await self._ports.rest(REST * (self._ports.clock.monotonic() - started))
        if messages:
            self._ports.metrics.count("postrider_removed_messages_total", messages, why=why)
            self._ports.metrics.count("postrider_removed_bytes_total", octets, why=why)
            self._ports.events.emit("account.swept", account=txn.account, why=why, messages=messages, bytes=octets)

    async def _forget(self, visit: _Visit) -> None:
        """Tombstones that no client needs any more."""
        row, now = visit.row, visit.now
        key = f"modseqs/{row.name}"
        noted = _decoded(await self._ports.store.reader.recall(key, now))
        old = [modseq for at, modseq in noted if at <= now - TOMBSTONES]
        if old and old[-1] > row.floor:
            await self._prune(t.PruneTombstones(row.name, old[-1], TOMBSTONES_AT_ONCE))
        if noted and (noted[-1][0] > now - _NOTED or noted[-1][1] == row.modseq):
            return
        kept = (*noted[max(len(old) - 1, 0) :], (now, row.modseq))
        await self._ports.store.writer.commit(t.Remember(key, msgspec.msgpack.encode(kept), now + 2 * TOMBSTONES))

    async def _prune(self, txn: t.PruneTombstones) -> None:
        """All of them, however many: the next time is a week away. What a crash leaves goes then."""
        more = True
        while more:
            started = self._ports.clock.monotonic()
            more = (await self._ports.store.writer.commit(txn)).more
            await self._ports.rest(REST * (self._ports.clock.monotonic() - started))


def _decoded(noted: bytes | None) -> Sequence[tuple[int, int]]:
    return msgspec.msgpack.decode(noted, type=tuple[tuple[int, int], ...]) if noted else ()
