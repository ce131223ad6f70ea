"""Accounts whose mail goes with their Mailbox: `deletionPolicy: Delete`, carried out once the Mailbox is gone."""

from __future__ import annotations

import asyncio

from postrider.accounts.directory import Directory
from postrider.contract.model import Snapshot
from postrider.store.ports import Store, Writer
from postrider.store.transactions import Reason, Release, StoreError
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


async def release(store: Store, before: Snapshot | None, after: Directory) -> None:
    """Remove what `after` wants removed and `before` did not; all of it at a start. Raises StoreError.

    Removing an account that is not there does nothing. What is under legal hold stays; ops.janitor asks again.
    """
    known = accounts(before) if before is not None else frozenset()
    gone = sorted(accounts(after.snapshot) - known)
    await asyncio.gather(*(release_one(store.writer, account, after) for account in gone))


async def release_one(writer: Writer, account: Account, directory: Directory) -> bool:
    """Remove one account, at first out of sight where its domain has an undelete window; whether it may go.

    Raises StoreError.
    """
    policy = directory.policy_without(account)
    if policy.held:
        return False
    try:
        await writer.commit(Release(account, keep=policy.keeps))
    except StoreError as error:
        if error.reason is Reason.HELD:
            return False
        raise
    return True
