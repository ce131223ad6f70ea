"""The part of the reads that is about whole accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from postrider.store import transactions as t
from postrider.store.memory.state import Mailstore, State
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import (
    Account,
    AccountChanges,
    AccountRow,
    AnnotationRow,
    ExpungedRow,
    MessageChange,
    OtherChange,
    Place,
    RightsRow,
    SeenRow,
    SharedRow,
    ThingRow,
    VanishedChange,
)


class AccountReader:
    """`commit` makes an account that is asked about before anything came for it."""

    def __init__(self, state: State, commit: Callable[[t.OpenAccount], Awaitable[object]]) -> None:
        self._state = state
        self._commit = commit

    async def domain_usage(self, domain: str) -> tuple[int, int]:
        """Bytes and messages stored in the accounts of a domain."""
        usages = [account.usage() for account in self._state.accounts.values() if account.domain == domain]
        return sum(octets for octets, _ in usages), sum(messages for _, messages in usages)

    async def accounts(self, *, after: str = "", limit: int = 1000) -> Sequence[AccountRow]:
        """Accounts by name."""
        names = sorted((name for name in self._state.accounts if name.encode() > after.encode()), key=str.encode)
        return [_account_row(self._state.accounts[name]) for name in names[:limit]]

    async def account(self, account: Account) -> AccountRow | None:
        """One account; None while nothing has made it."""
        found = self._state.accounts.get(account)
        return _account_row(found) if found else None

    async def account_changes(self, account: Account, since: int, limit: int = 1000) -> AccountChanges:
        """What happened in the whole account after modseq `since`."""
        owner = await self._owner(account)
        if since < owner.floor or since >= owner.modseq:
            return AccountChanges(owner.modseq, owner.floor)
        messages, vanished, others = _log(owner, since)
        modseqs = sorted(
            [each.modseq for each in messages] + [each.modseq for each in vanished] + [each.modseq for each in others]
        )
        upto = owner.modseq
        if len(modseqs) > limit:  # the transaction that does not fit begins the next answer, or is the whole of this
            upto = max((modseq for modseq in modseqs[:limit] if modseq < modseqs[limit]), default=modseqs[limit])
        return AccountChanges(
            upto, owner.floor, upto < owner.modseq,
            tuple(change for change in messages if change.modseq <= upto),
            tuple(change for change in vanished if change.modseq <= upto),
            tuple(change for change in others if change.modseq <= upto),
        )  # fmt: skip

    async def locate(self, account: Account, email_ids: Sequence[str]) -> Sequence[Place]:
        """Where these emails lie."""
        owner = await self._owner(account)
        places = [
            (message.email_id, folder.id, message.uid)
            for folder in owner.folders.values()
            for message in folder.messages.values()
            if message.id in email_ids
        ]
        return [Place(f"M{email_id:x}", mailbox_id, uid) for email_id, mailbox_id, uid in sorted(places)]

    async def appended(self, account: Account, keys: Sequence[bytes]) -> frozenset[bytes]:
        """Which of these idempotency keys were seen."""
        return frozenset(keys) & (await self._owner(account)).keys.keys()

    async def thread(self, account: Account, thread_id: str) -> Sequence[str]:
        """EMAILIDs of a thread, oldest first."""
        owner = await self._owner(account)
        found = {
            (message.received, message.email_id)
            for folder in owner.folders.values()
            for message in folder.messages.values()
            if f"T{message.thread_id:x}" == thread_id
        }
        return [f"M{email_id:x}" for _, email_id in sorted(found)]

    async def rights(self, account: Account, mailbox_id: int = 0) -> Sequence[RightsRow]:
        """Rights given on a mailbox, or on all with 0."""
        rows = [RightsRow(*key, given) for key, given in sorted((await self._owner(account)).rights.items())]
        return [row for row in rows if mailbox_id in (0, row.mailbox_id)]

    async def shared_with(self, grantees: Sequence[str]) -> Sequence[SharedRow]:
        """Mailboxes on which one of these grantees was given rights."""
        found = []
        for owner in self._state.accounts.values():
            for (mailbox_id, grantee), given in owner.rights.items():
                if grantee in grantees and not owner.released:
                    folder = owner.folders[mailbox_id]
                    row = folder.row(subscribed=folder.name in owner.subscriptions)
                    found.append(SharedRow(owner.name, row, grantee, given))
        return sorted(found, key=lambda row: (row.account, row.mailbox.name, row.grantee))

    async def seen(self, account: Account, mailbox_id: int, grantee: str, since: int = 0) -> Sequence[SeenRow]:
        r"""A grantee's own \Seen, by UID."""
        folder = (await self._owner(account)).folders.get(mailbox_id)
        rows = sorted(folder.seen.items()) if folder else []
        return [SeenRow(uid, seen, modseq) for (who, uid), (seen, modseq) in rows if who == grantee and modseq > since]

    async def annotations(self, account: Account, mailbox_id: int, owners: Sequence[str]) -> Sequence[AnnotationRow]:
        """Annotations of these owners on a mailbox (0: the account)."""
        rows = sorted((await self._owner(account)).annotations.items())
        return [AnnotationRow(*key, value) for key, value in rows if key[0] == mailbox_id and key[1] in owners]

    async def things(self, account: Account, kind: str = "") -> Sequence[ThingRow]:
        """What the user owns of a kind, or of all kinds."""
        rows = sorted((await self._owner(account)).things.items())
        return [ThingRow(*key, *thing) for key, thing in rows if kind in ("", key[0])]

    async def expunged(self, account: Account, *, after: int = 0, limit: int = 100) -> Sequence[ExpungedRow]:
        """The undelete window by id."""
        owner = await self._owner(account)
        rows = [
            kept.row(row_id, _name(owner, kept.mailbox_id)) for row_id, kept in owner.kept.items() if row_id > after
        ]
        return rows[:limit]

    async def _owner(self, account: Account) -> Mailstore:
        if account not in self._state.accounts:
            await self._commit(t.OpenAccount(account))
        if account not in self._state.accounts:
            raise StoreError(Reason.UNAVAILABLE, "the account was released meanwhile")
        return self._state.accounts[account]


def _account_row(account: Mailstore) -> AccountRow:
    oldest = min(account.kept, default=0)
    return AccountRow(
        account.name, *account.usage(), account.modseq, account.floor, account.held, account.released,
        account.kept[oldest].at if oldest else 0,
    )  # fmt: skip


def _name(account: Mailstore, mailbox_id: int) -> str:
    folder = account.folders.get(mailbox_id)
    return folder.name if folder else account.former.get(mailbox_id, ("", 0))[0]


def _log(account: Mailstore, since: int) -> tuple[list[MessageChange], list[VanishedChange], list[OtherChange]]:
    messages: list[MessageChange] = []
    vanished: list[VanishedChange] = []
    for folder in account.folders.values():
        messages += [
            MessageChange(folder.id, message.uid, message.id, message.modseq, message.created > since)
            for message in folder.messages.values()
            if message.modseq > since
        ]
        vanished += [
            VanishedChange(folder.id, gone.modseq, first, last)
            for gone in folder.vanished
            if gone.modseq > since
            for first, last in gone.runs
        ]
    others = [
        OtherChange(one.kind, one.key, one.modseq, one.gone, _created(account, one) > since)
        for one in account.log.values()
        if one.modseq > since
    ]
    return messages, vanished, others


def _created(account: Mailstore, change: OtherChange) -> int:
    folder = account.folders.get(int(change.key)) if change.kind == "mailbox" else None
    return folder.created if folder else 0
