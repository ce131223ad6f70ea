"""The part of a front's reads that is about whole accounts rather than one folder's messages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import apsw

from postrider.store.sqlite import account_reads as reads
from postrider.store.sqlite.reads import account_id
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import (
    Account,
    AccountChanges,
    AccountRow,
    AnnotationRow,
    ExpungedRow,
    Place,
    RightsRow,
    SeenRow,
    SharedRow,
    ThingRow,
)

#: No account has this row id.
_NOBODY = 0


class AccountReader:
    """`ensure` makes an account that is asked about before anything came for it; without, nothing is found in it."""

    def __init__(self, db: apsw.Connection, ensure: Callable[[Account], Awaitable[object]] | None) -> None:
        self._db = db
        self._ensure = ensure

    async def domain_usage(self, domain: str) -> tuple[int, int]:
        """Bytes and messages stored in the accounts of a domain."""
        return reads.domain_usage(self._db, domain)

    async def accounts(self, *, after: str = "", limit: int = 1000) -> Sequence[AccountRow]:
        """Accounts by name."""
        return reads.accounts(self._db, after, limit)

    async def account(self, account: Account) -> AccountRow | None:
        """One account; None while nothing has made it."""
        return reads.account(self._db, account)

    async def account_changes(self, account: Account, since: int, limit: int = 1000) -> AccountChanges:
        """What happened in the whole account after modseq `since`."""
        return reads.changes(self._db, await self._owner(account), since, limit)

    async def locate(self, account: Account, email_ids: Sequence[str]) -> Sequence[Place]:
        """Where these emails lie."""
        return reads.locate(self._db, await self._owner(account), email_ids)

    async def appended(self, account: Account, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Which of these idempotency keys were seen."""
        return reads.appended(self._db, await self._owner(account), keys)

    async def thread(self, account: Account, thread_id: str) -> Sequence[str]:
        """EMAILIDs of a thread, oldest first."""
        return reads.thread(self._db, await self._owner(account), thread_id)

    async def rights(self, account: Account, mailbox_id: int = 0) -> Sequence[RightsRow]:
        """Rights given on a mailbox, or on all with 0."""
        return reads.rights(self._db, await self._owner(account), mailbox_id)

    async def shared_with(self, grantees: Sequence[str]) -> Sequence[SharedRow]:
        """Mailboxes on which one of these grantees was given rights."""
        return reads.shared_with(self._db, grantees)

    async def seen(self, account: Account, mailbox_id: int, grantee: str, since: int = 0) -> Sequence[SeenRow]:
        r"""A grantee's own \Seen, by UID."""
        return reads.seen(self._db, await self._owner(account), mailbox_id, grantee, since)

    async def annotations(self, account: Account, mailbox_id: int, owners: Sequence[str]) -> Sequence[AnnotationRow]:
        """Annotations of these owners on a mailbox (0: the account)."""
        return reads.annotation_rows(self._db, await self._owner(account), mailbox_id, owners)

    async def things(self, account: Account, kind: str = "") -> Sequence[ThingRow]:
        """What the user owns of a kind, or of all kinds."""
        return reads.things(self._db, await self._owner(account), kind)

    async def expunged(self, account: Account, *, after: int = 0, limit: int = 100) -> Sequence[ExpungedRow]:
        """The undelete window by id."""
        return reads.expunged(self._db, await self._owner(account), after, limit)

    async def _owner(self, account: Account) -> int:
        owner = account_id(self._db, account)
        if owner is None:
            if self._ensure is None:
                return _NOBODY
            await self._ensure(account)
            owner = account_id(self._db, account)
        if owner is None:
            raise StoreError(Reason.UNAVAILABLE, "the account was released meanwhile")
        return owner
