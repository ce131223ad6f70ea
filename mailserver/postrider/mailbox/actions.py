"""The only writers of mail state: delivery, append, flags, copy, move, expunge and folders, over the store's writer.

Long work goes in slices, each its own transaction, so that nobody waits behind a STORE on a million messages. What
must be all or nothing (APPEND, COPY: RFC 9051 §6.3.12, §6.4.7) is one transaction, or is staged where nobody looks and
shown by one.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from postrider.accounts.directory import Directory
from postrider.contract.model import Mailbox
from postrider.mailbox.names import normal_name
from postrider.model.runs import Run, follow, runs_of
from postrider.store import transactions as t
from postrider.store.conditions import HasFlags
from postrider.store.names import INBOX_ID
from postrider.store.ports import Reader, Writer
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Flag, MailboxRow

#: Messages that one transaction changes at most: 3 to 4 ms of processor time, measured in a folder of a million.
SLICE = 250
#: Flags that one read looks at.
SCAN = 5000
#: How often, and every how many seconds, a copy asks whether those that were begun before it are finished.
_TURNS, _TURN = 600, 0.5


async def deliver(writer: Writer, intake: t.Intake) -> t.IntakeDone:
    """Commit one message's deliveries, queue rows and settlements together. Raises StoreError; then nothing is kept."""
    return await writer.commit(intake)


@dataclass(frozen=True, slots=True)
class FlagEdit:
    """What a STORE asks for; messages with a modseq above `unchanged_since` are left alone (RFC 7162 §3.1.3)."""

    change: t.FlagChange
    flags: int
    keywords: tuple[str, ...] = ()
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class FlagsStored:
    """`modseqs`: those that our own slices got, so that a session knows its own changes; `modified`: left alone."""

    modseqs: frozenset[int]
    modified: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How much one account may hold, and what becomes of what it expunges."""

    #: Of the account and of its whole domain; 0 is unlimited.
    quota_bytes: int = 0
    domain_quota_bytes: int = 0
    #: What is expunged stays for a while, hidden (undelete window, legal hold).
    keep: bool = False


def allowance(directory: Directory, mailbox: Mailbox) -> Allowance:
    """What is declared for a mailbox."""
    policy = directory.policy(mailbox)
    return Allowance(policy.quota_bytes, directory.domain_quota(mailbox), policy.keeps)


@dataclass(slots=True)
class Transferred:
    """What a COPY or MOVE did: the UIDs here, and those there in the same order. A million are a few runs."""

    uidvalidity: int = 0
    source: list[Run] = field(default_factory=list)
    target: list[Run] = field(default_factory=list)

    def add(self, done: t.Uids) -> None:
        """A slice of it."""
        self.uidvalidity = done.uidvalidity
        follow(self.source, runs_of(done.source))
        follow(self.target, runs_of(done.target))


class MovedInPart(StoreError):
    """A move that was refused midway; `done` says what was moved before."""

    def __init__(self, error: StoreError, done: Transferred) -> None:
        super().__init__(error.reason, str(error))
        self.done = done


@dataclass(frozen=True, slots=True)
class Actions:
    """Changes one account's mail. Every method raises StoreError when the store refuses; then its slice is undone."""

    writer: Writer
    account: Account
    allowed: Allowance = Allowance()

    async def open(self) -> None:
        """Make the account with its default folders where nothing made it yet."""
        await self.writer.commit(t.OpenAccount(self.account))

    async def append(self, mailbox_id: int, messages: Sequence[t.NewMessage]) -> t.Uids:
        """Store messages, all or none (RFC 3502)."""
        limits = self.allowed
        return await self.writer.commit(
            t.Append(self.account, mailbox_id, tuple(messages), limits.quota_bytes, limits.domain_quota_bytes)
        )

    async def copy(self, mailbox_id: int, uids: Sequence[int], target_id: int) -> Transferred:
        """Copy messages, all or none; UIDs (ascending) that are gone are passed over.

        Many are staged in slices and then shown at once; AGAIN and BUSY as BeginCopy and FinishCopy say.
        """
        limits = self.allowed
        quotas = (limits.quota_bytes, limits.domain_quota_bytes)
        commit, account = self.writer.commit, self.account
        copied = Transferred()
        if len(uids) <= SLICE:
            copied.add(await commit(t.Copy(account, mailbox_id, tuple(uids), target_id, False, *quotas)))
            return copied
        begun = await commit(t.BeginCopy(account, mailbox_id, target_id, len(uids), 0, *quotas))
        try:
            for start in range(0, len(uids), SLICE):
                some = tuple(uids[start : start + SLICE])
                staged = await commit(t.StageCopy(account, begun.id, some, *quotas))
                follow(copied.source, runs_of(staged.source))
            done = await self._finish(t.FinishCopy(account, begun.id, *quotas))
        except BaseException:
            await commit(t.DropCopy(account, begun.id))
            raise
        copied.uidvalidity = done.uidvalidity
        if done.messages:
            copied.target.append((done.first, done.first + done.messages - 1))
        return copied

    async def _finish(self, txn: t.FinishCopy) -> t.CopyFinished:
        """Large copies into several folders of an account are shown in the order they were begun in."""
        for _ in range(_TURNS):
            try:
                return await self.writer.commit(txn)
            except StoreError as error:
                if error.reason is not Reason.BUSY:
                    raise
            await asyncio.sleep(_TURN)
            await self.writer.commit(t.StageCopy(self.account, txn.id, ()))
        return await self.writer.commit(txn)

    async def move(self, mailbox_id: int, uids: Sequence[int], target_id: int) -> Transferred:
        """Move messages; each is in exactly one folder at every moment (RFC 6851 §3.3). Raises MovedInPart."""
        moved = Transferred()
        for start in range(0, max(len(uids), 1), SLICE):
            some = tuple(uids[start : start + SLICE])
            try:
                moved.add(await self.writer.commit(t.Copy(self.account, mailbox_id, some, target_id, move=True)))
            except StoreError as error:
                if not moved.source:
                    raise
                raise MovedInPart(error, moved) from error
        return moved

    async def set_flags(self, mailbox_id: int, uids: Sequence[int], edit: FlagEdit) -> FlagsStored:
        """Change flags of messages, slice by slice."""
        modseqs: set[int] = set()
        modified: list[int] = []
        for start in range(0, len(uids), SLICE):
            done = await self.writer.commit(
                t.SetFlags(
                    self.account,
                    mailbox_id,
                    tuple(uids[start : start + SLICE]),
                    edit.change,
                    edit.flags,
                    edit.keywords,
                    edit.unchanged_since,
                )
            )
            modseqs.add(done.modseq)
            modified.extend(done.modified)
        return FlagsStored(frozenset(modseqs), tuple(modified))

    async def expunge(self, mailbox_id: int, uids: Sequence[int]) -> tuple[int, ...]:
        r"""Remove those of the UIDs that carry \Deleted, slice by slice; returns what is gone."""
        gone: list[int] = []
        for start in range(0, len(uids), SLICE):
            some = tuple(uids[start : start + SLICE])
            done = await self.writer.commit(t.Expunge(self.account, mailbox_id, some, self.allowed.keep))
            gone.extend(done.uids)
        return tuple(gone)

    async def expunge_deleted(self, reader: Reader, mailbox_id: int) -> tuple[int, ...]:
        r"""Remove all that carry \Deleted; returns what is gone."""
        row = await reader.mailbox(self.account, mailbox_id)
        if row is None or not row.deleted:
            return ()
        deleted = array("I")
        uids = await reader.uids(self.account, mailbox_id)
        for start in range(0, len(uids), SCAN):
            first, last = uids[start], uids[min(start + SCAN, len(uids)) - 1]
            deleted += await reader.select(self.account, mailbox_id, HasFlags(Flag.DELETED), first, last)
            await asyncio.sleep(0)  # the embedded reader never waits, and others are at work in this process
        return await self.expunge(mailbox_id, deleted)

    async def undelete(self, ids: Sequence[int], target_id: int) -> t.Uids:
        """Bring expunged messages (ExpungedRow.id) back into a folder; those that are gone are passed over."""
        limits = self.allowed
        return await self.writer.commit(
            t.Undelete(self.account, tuple(ids), target_id, limits.quota_bytes, limits.domain_quota_bytes)
        )

    async def create(self, name: str, special_use: str = "") -> t.Made:
        """Make a folder and its missing parents. Raises StoreError(INVALID) for a name no folder may have."""
        return await self.writer.commit(t.CreateMailbox(self.account, normal_name(name), special_use))

    async def delete(self, mailbox_id: int) -> None:
        """Remove a folder with its messages."""
        await self.writer.commit(t.DeleteMailbox(self.account, mailbox_id, self.allowed.keep))

    async def rename(self, reader: Reader, folder: MailboxRow, name: str) -> None:
        """Rename a folder and those below it. Raises StoreError(INVALID) for a name no folder may have.

        INBOX stays and gives its messages away (RFC 9051 §6.3.6): many of them slice by slice, each in one of the two.
        """
        if folder.id == INBOX_ID and folder.messages > SLICE:
            made = await self.create(name)
            await self.move(INBOX_ID, await reader.uids(self.account, INBOX_ID), made.id)
            return
        await self.writer.commit(t.RenameMailbox(self.account, folder.id, normal_name(name)))

    async def subscribe(self, name: str, *, subscribed: bool) -> None:
        """Subscribe or unsubscribe a name."""
        await self.writer.commit(t.Subscribe(self.account, normal_name(name), subscribed))

    async def take_recent(self, mailbox_id: int) -> t.Recent:
        r"""Claim \Recent for one session (RFC 3501 §2.3.2)."""
        return await self.writer.commit(t.TouchRecent(self.account, mailbox_id))
