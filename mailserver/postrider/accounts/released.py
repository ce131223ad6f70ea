"""Accounts whose mail goes with their Mailbox: `deletionPolicy: Delete`, carried out once the Mailbox is gone."""

from __future__ import annotations

import asyncio

from postrider.contract.model import Snapshot
from postrider.store.ports import Store
from postrider.store.transactions import Release
from postrider.store.values import Account, account_of


def accounts(snapshot: Snapshot) -> frozenset[Account]:
    """Accounts a snapshot wants removed; never one that a Mailbox of the snapshot has."""
    served = {account_of(row.namespace, row.address) for row in snapshot.mailboxes}
    gone = {
        account_of(claim.namespace, claim.key)
        for claim in snapshot.claims
        if claim.kind == "Mailbox" and claim.gone and claim.release
    }
    return frozenset(gone - served)


async def release(store: Store, before: Snapshot | None, after: Snapshot) -> None:
    """Remove what `after` wants removed and `before` did not; all of it at a start. Raises StoreError.

    Removing an account that is not there does nothing.
    """
    known = accounts(before) if before is not None else frozenset()
    gone = sorted(accounts(after) - known)
    await asyncio.gather(*(store.writer.commit(Release(account)) for account in gone))
