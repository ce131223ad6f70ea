"""Transactions on what is kept and what goes, and on copies that are staged."""

from __future__ import annotations

from dataclasses import replace

from postrider.store import names
from postrider.store import transactions as t
from postrider.store.memory import mail
from postrider.store.memory.state import Mailstore, Staging, State
from postrider.store.staged import first_modseq, first_uid
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Flag


def begin(state: State, txn: t.BeginCopy) -> t.CopyBegun:
    """Set UIDs and modseqs aside."""
    account = state.account(txn.account)
    source, target = account.folder(txn.mailbox_id), account.folder(txn.target_id)
    if target.hidden:
        raise StoreError(Reason.BUSY)
    mail.check_quota(state, account, txn.size, (txn.quota_bytes, txn.domain_quota_bytes))
    modseq = first_modseq(max([account.modseq, *(copy.first_modseq for copy in account.copies.values())]))
    uid = first_uid(target.uidnext, txn.messages)
    target.hidden = range(uid, uid + txn.messages)
    state.last_copy_id += 1
    account.copies[state.last_copy_id] = Staging(source.id, target.id, modseq, modseq)
    return t.CopyBegun(state.last_copy_id)


def stage(state: State, txn: t.StageCopy) -> t.Staged:
    """Copy a slice to where nobody sees it."""
    account, copy = _copy(state, txn)
    source, target = account.folder(copy.source_id), account.folder(copy.target_id)
    found = [source.messages[uid] for uid in sorted(set(txn.uids)) if uid in source.messages]
    if len(copy.messages) + len(found) > len(target.hidden):
        raise StoreError(Reason.INVALID, "more messages than the copy was begun for")
    size = sum(message.size for message in (*copy.messages, *found))
    mail.check_quota(state, account, size, (txn.quota_bytes, txn.domain_quota_bytes))
    for message in found:
        uid = target.hidden[len(copy.messages)]
        copy.messages.append(replace(message, uid=uid, modseq=copy.modseq, created=copy.modseq, saved=state.now))
    copy.modseq += 1
    return t.Staged(tuple(message.uid for message in found))


def finish(state: State, txn: t.FinishCopy) -> t.CopyFinished:
    """Show what was staged."""
    account, copy = _copy(state, txn)
    target = account.folder(copy.target_id)
    if any(other.first_modseq < copy.first_modseq for other in account.copies.values()):
        raise StoreError(Reason.BUSY)
    if copy.messages:
        size = sum(message.size for message in copy.messages)
        mail.check_quota(state, account, size, (txn.quota_bytes, txn.domain_quota_bytes))
        account.modseq = target.modseq = copy.modseq - 1
        target.uidnext = copy.messages[-1].uid + 1
        target.messages |= {message.uid: message for message in copy.messages}
    first = target.hidden[0]
    target.hidden = range(0)
    del account.copies[txn.id]
    state.changed.add(txn.account)
    return t.CopyFinished(target.uidvalidity, first, len(copy.messages), target.modseq)


def drop(state: State, txn: t.DropCopy) -> t.Done:
    """Give a copy up."""
    account = state.accounts.get(txn.account)
    copy = account.copies.pop(txn.id, None) if account else None
    if account and copy:
        account.folders[copy.target_id].hidden = range(0)
        shown = {message.id for message in account.held_messages()}
        gone = [message.id for message in copy.messages if message.id not in shown]
        if gone:
            account.bump()
            account.note("email", *gone, gone=True)
        account.forget_threads()
    return t.Done()


def undelete(state: State, txn: t.Undelete) -> t.Uids:
    """Expunged messages come back."""
    account = state.account(txn.account)
    target = account.folder(txn.target_id)
    ids = sorted(set(txn.ids) & account.kept.keys())
    if not ids:
        return t.Uids(target.uidvalidity, (), (), target.modseq)
    messages = [account.kept[row_id].message for row_id in ids]
    size = sum(message.size for message in messages)
    mail.check_quota(state, account, size, (txn.quota_bytes, txn.domain_quota_bytes))
    for row_id, message in zip(ids, messages, strict=True):
        message.flags &= ~Flag.DELETED
        del account.kept[row_id]
        account.log.pop(("email", message.id), None)
    modseq = account.bump()
    state.changed.add(txn.account)
    return t.Uids(target.uidvalidity, mail.put_in(state, target, modseq, messages), tuple(ids), modseq)


def collect(state: State, txn: t.Collect) -> t.Collected:
    """The undelete window ends."""
    account = _not_held(state, txn.account)
    if not account:
        return t.Collected(0, 0, more=False)
    due = [row_id for row_id in sorted(account.kept)[: txn.limit] if account.kept[row_id].at < txn.before]
    octets = sum(account.kept.pop(row_id).message.size for row_id in due)
    account.forget_threads()
    more = bool(due) and len(due) == txn.limit
    if not more:
        needed = {kept.mailbox_id for kept in account.kept.values()}
        account.former = {
            folder: gone for folder, gone in account.former.items() if folder in needed or gone[1] >= txn.before
        }
    old = sorted((at, key) for key, (_, _, at) in account.keys.items() if at < txn.keys_before)[: txn.limit]
    for _, key in old:
        del account.keys[key]
    return t.Collected(len(due), octets, more or len(old) == txn.limit)


def expire(state: State, txn: t.Expire) -> t.Collected:
    """Retention of a folder."""
    _not_held(state, txn.account)
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    oldest = sorted(folder.messages)[: txn.limit]
    uids = tuple(uid for uid in oldest if folder.messages[uid].saved < txn.before)
    octets = sum(folder.messages[uid].size for uid in uids)
    mail.remove(state, account, folder, uids, keep=txn.keep)
    return t.Collected(len(uids), octets, bool(uids) and len(uids) == txn.limit)


def prune(state: State, txn: t.PruneTombstones) -> t.Pruned:
    """Forget tombstones."""
    account = state.accounts.get(txn.account)
    if account:
        account.forget(txn.before)
    return t.Pruned(more=False)


def set_hold(state: State, txn: t.SetHold) -> t.Done:
    """Legal hold begins or ends."""
    state.account(txn.account).held = txn.held
    state.changed.add(txn.account)
    return t.Done()


def release(state: State, txn: t.Release) -> t.Done:
    """Remove an account, or keep it under another name."""
    account = _not_held(state, txn.account)
    if not account:
        return t.Done()
    for owner in state.accounts.values():
        for mailbox_id, grantee in [key for key in owner.rights if key[1] == txn.account]:
            del owner.rights[mailbox_id, grantee]
            owner.take_private(mailbox_id, grantee)
            owner.folders[mailbox_id].changed = owner.bump()
            owner.note("rights", f"{mailbox_id}/{grantee}", gone=True)
            state.changed.add(owner.name)
        for mailbox_id, _ in [key for key in owner.rights if key[1] == t.ANYONE]:
            owner.take_private(mailbox_id, txn.account)
    if not (txn.keep and account.released):
        del state.accounts[txn.account]
    if txn.keep and not account.released:
        account.name = names.released(txn.account, account.number)
        account.released = state.now
        state.accounts[account.name] = account
    state.changed.add(txn.account)
    return t.Done()


def reinstate(state: State, txn: t.Reinstate) -> t.Done:
    """A released account has a name again."""
    account = state.accounts.get(txn.account)
    if txn.name in state.accounts:
        raise StoreError(Reason.EXISTS)
    if not account or not account.released:
        raise StoreError(Reason.INVALID, "no released account")
    del state.accounts[txn.account]
    account.name, account.released = txn.name, 0
    state.accounts[txn.name] = account
    state.changed.add(txn.name)
    return t.Done()


def _copy(state: State, txn: t.StageCopy | t.FinishCopy) -> tuple[Mailstore, Staging]:
    account = state.accounts.get(txn.account)
    copy = account.copies.get(txn.id) if account else None
    if not account or not copy:
        raise StoreError(Reason.AGAIN)
    target = account.folder(copy.target_id)
    if target.uidnext >= target.hidden[0] or account.modseq >= copy.first_modseq:
        raise StoreError(Reason.AGAIN)
    return account, copy


def _not_held(state: State, name: Account) -> Mailstore | None:
    account = state.accounts.get(name)
    if account and account.held:
        raise StoreError(Reason.HELD)
    return account
