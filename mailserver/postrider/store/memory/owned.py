"""Transactions on what users own beside their mail."""

from __future__ import annotations

from collections.abc import Sized

from postrider.store import transactions as t
from postrider.store.memory.state import State
from postrider.store.owned import annotation, grant, thing
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account


def set_rights(state: State, txn: t.SetRights) -> t.Done:
    """Rights of one grantee."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    rights = grant(txn)
    key = (folder.id, txn.grantee)
    if rights:
        _limit({other for other in account.rights if other[0] == folder.id} | {key}, t.MAX_RIGHTS)
        account.rights[key] = rights
    else:
        account.rights.pop(key, None)
    folder.changed = account.bump()
    account.note("rights", f"{folder.id}/{txn.grantee}", gone=not rights)
    state.changed |= {txn.account, Account(txn.grantee)}
    return t.Done()


def annotate(state: State, txn: t.Annotate) -> t.Done:
    """Annotations of a folder or of the account."""
    account = state.account(txn.account)
    if txn.mailbox_id:
        account.folder(txn.mailbox_id)
    kept = dict(account.annotations)
    entries = annotation(txn)
    for entry, value in entries:
        if value is None:
            kept.pop((txn.mailbox_id, txn.owner, entry), None)
        else:
            kept[txn.mailbox_id, txn.owner, entry] = value
    _limit([key for key in kept if key[:2] == (txn.mailbox_id, txn.owner)], t.MAX_ANNOTATIONS)
    account.annotations = kept
    account.bump()
    for entry, value in entries:
        account.note("annotation", f"{txn.mailbox_id}/{txn.owner}{entry}", gone=value is None)
    state.changed.add(txn.account)
    return t.Done()


def put_thing(state: State, txn: t.PutThing) -> t.Put:
    """A script, a password, an identity."""
    account = state.account(txn.account)
    thing(txn)
    key = (txn.kind, txn.name)
    if txn.expected is not None and account.things.get(key, (b"", 0))[1] != txn.expected:
        raise StoreError(Reason.CONFLICT)
    if txn.value is None:
        account.things.pop(key, None)
        account.bump()
    else:
        _limit({other for other in account.things if other[0] == txn.kind} | {key}, t.MAX_THINGS)
        account.things[key] = (txn.value, account.bump())
    account.note("thing", f"{txn.kind}/{txn.name}", gone=txn.value is None)
    state.changed.add(txn.account)
    return t.Put(account.modseq)


def _limit(those: Sized, most: int) -> None:
    if len(those) > most:
        raise StoreError(Reason.LIMIT, f"at most {most} of them")
