"""Transactions on what users own beside their mail."""

from __future__ import annotations

from collections.abc import Sized

from postrider.store import transactions as t
from postrider.store.memory.state import Folder, Mailstore, State
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
    elif account.rights.pop(key, None) is None:
        return t.Done()
    else:
        for user in _shut_out(account, folder, txn.grantee):
            account.take_private(folder.id, user)
    folder.changed = account.bump()
    account.note("rights", f"{folder.id}/{txn.grantee}", gone=not rights)
    state.changed |= {txn.account, Account(txn.grantee)}
    return t.Done()


def _shut_out(account: Mailstore, folder: Folder, grantee: str) -> set[str]:
    """Users who may not see a folder any more since a grantee's rights on it are gone."""
    able = {other for mailbox_id, other in account.rights if mailbox_id == folder.id}
    if t.ANYONE in able:
        return set()
    if grantee != t.ANYONE:
        return {grantee}
    private = {owner for mailbox_id, owner, _ in account.annotations if mailbox_id == folder.id}
    return ({user for user, _ in folder.seen} | private - {"", account.name}) - able


def annotate(state: State, txn: t.Annotate) -> t.Done:
    """Annotations of a folder or of the account."""
    account = state.account(txn.account)
    if txn.mailbox_id:
        account.folder(txn.mailbox_id)
    kept = dict(account.annotations)
    changed: list[tuple[str, bool]] = []
    for entry, value in annotation(txn):
        key = (txn.mailbox_id, txn.owner, entry)
        if value is not None:
            kept[key] = value
        if value is not None or kept.pop(key, None) is not None:
            changed.append((entry, value is None))
    _limit([key for key in kept if key[:2] == (txn.mailbox_id, txn.owner)], t.MAX_ANNOTATIONS)
    account.annotations = kept
    if changed:
        account.bump()
        state.changed.add(txn.account)
    for entry, gone in changed:
        account.note("annotation", f"{txn.mailbox_id}/{txn.owner}{entry}", gone=gone)
    return t.Done()


def put_thing(state: State, txn: t.PutThing) -> t.Put:
    """A script, a password, an identity."""
    account = state.account(txn.account)
    thing(txn)
    key = (txn.kind, txn.name)
    if txn.expected is not None and account.things.get(key, (b"", 0))[1] != txn.expected:
        raise StoreError(Reason.CONFLICT)
    if txn.value is None:
        if account.things.pop(key, None) is None:
            return t.Put(account.modseq)
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
