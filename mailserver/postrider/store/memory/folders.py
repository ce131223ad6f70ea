"""Transactions on folders. Everything is checked before anything changes."""

from __future__ import annotations

from postrider.model.runs import runs_of
from postrider.store import names
from postrider.store import transactions as t
from postrider.store.memory import mail
from postrider.store.memory.state import Folder, Mailstore, State
from postrider.store.names import INBOX_ID
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Vanished


def open_account(state: State, txn: t.OpenAccount) -> t.Done:
    """Make the account where it is missing."""
    state.account(txn.account)
    return t.Done()


def create(state: State, txn: t.CreateMailbox) -> t.Made:
    """CREATE."""
    account = state.account(txn.account)
    name = names.canonical(txn.name)
    if account.named(name):
        raise StoreError(Reason.EXISTS)
    folder = _add_with_parents(state, account, name, txn.special_use)
    return t.Made(folder.id, folder.object_id)


def delete(state: State, txn: t.DeleteMailbox) -> t.Done:
    """DELETE."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    if folder.id == INBOX_ID:
        raise StoreError(Reason.INVALID, "INBOX cannot be deleted")
    if _below(account, folder.name):
        raise StoreError(Reason.HAS_CHILDREN, "the folder has folders below it")
    del account.folders[folder.id]
    account.bump()
    account.note("mailbox", str(folder.id), gone=True)
    account.rights = {key: given for key, given in account.rights.items() if key[0] != folder.id}
    account.annotations = {key: value for key, value in account.annotations.items() if key[0] != folder.id}
    staged = [copy for copy in account.copies.values() if copy.target_id == folder.id]
    account.copies = {number: copy for number, copy in account.copies.items() if copy not in staged}
    if (txn.keep or account.held) and folder.uidnext > 1:
        account.former[folder.id] = (folder.name, state.now)
    mail.discard(state, account, folder.id, folder.messages.values(), keep=txn.keep)
    mail.note_destroyed(account, (message for copy in staged for message in copy.messages))
    state.changed.add(txn.account)
    return t.Done()


def rename(state: State, txn: t.RenameMailbox) -> t.Done:
    """RENAME."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    new = names.canonical(txn.name)
    if account.named(new):
        raise StoreError(Reason.EXISTS)
    if folder.id == INBOX_ID:
        _move_inbox(state, account, folder, new)
        return t.Done()
    old = folder.name
    if new.startswith(old + names.SEPARATOR):
        raise StoreError(Reason.INVALID, "a folder cannot go below itself")
    moved = {each.id: names.canonical(new + each.name[len(old) :]) for each in [folder, *_below(account, old)]}
    _add_parents(state, account, new)
    account.bump()
    for mailbox_id, name in moved.items():
        account.folders[mailbox_id].name = name
        account.folders[mailbox_id].changed = account.modseq
    account.note("mailbox", *map(str, moved))
    state.changed.add(txn.account)
    return t.Done()


def set_role(state: State, txn: t.SetRole) -> t.Done:
    """A special use is one folder's."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    account.bump()
    for each in account.folders.values():
        if each is folder or (txn.special_use and each.special_use == txn.special_use):
            each.special_use = txn.special_use if each is folder else ""
            each.changed = account.modseq
            account.note("mailbox", str(each.id))
    state.changed.add(txn.account)
    return t.Done()


def subscribe(state: State, txn: t.Subscribe) -> t.Done:
    """SUBSCRIBE and UNSUBSCRIBE."""
    account = state.account(txn.account)
    name = names.canonical(txn.name)
    before = name in account.subscriptions
    if txn.subscribed:
        if len(account.subscriptions) >= names.MAX_MAILBOXES:
            raise StoreError(Reason.INVALID, f"at most {names.MAX_MAILBOXES} subscriptions")
        account.subscriptions.add(name)
    else:
        account.subscriptions.discard(name)
    if before is not txn.subscribed:
        account.bump()
        account.note("subscription", name, gone=not txn.subscribed)
        state.changed.add(txn.account)
    return t.Done()


def touch_recent(state: State, txn: t.TouchRecent) -> t.Recent:
    r"""A session takes what is \Recent."""
    folder = state.account(txn.account).folder(txn.mailbox_id)
    first, folder.recent = folder.recent, folder.uidnext
    return t.Recent(first, folder.uidnext)


def _below(account: Mailstore, name: str) -> list[Folder]:
    return [folder for folder in account.folders.values() if folder.name.startswith(name + names.SEPARATOR)]


def _add_with_parents(state: State, account: Mailstore, name: str, special_use: str) -> Folder:
    _add_parents(state, account, name, more=1)
    return state.add_folder(account, name, special_use)


def _add_parents(state: State, account: Mailstore, name: str, more: int = 0) -> None:
    missing = [parent for parent in names.parents(name) if not account.named(parent)]
    if len(account.folders) + len(missing) + more > names.MAX_MAILBOXES:
        raise StoreError(Reason.INVALID, f"at most {names.MAX_MAILBOXES} folders")
    for parent in missing:
        state.add_folder(account, parent)


def _move_inbox(state: State, account: Mailstore, inbox: Folder, name: str) -> None:
    made = _add_with_parents(state, account, name, "")
    made.modseq = inbox.modseq = account.bump()
    made.uidnext, made.recent, made.messages = inbox.uidnext, inbox.recent, inbox.messages
    inbox.messages = {}
    inbox.seen = {}
    for message in made.messages.values():
        message.modseq = message.created = made.modseq
    if made.messages:
        inbox.vanished.append(Vanished(inbox.modseq, tuple(runs_of(made.messages))))
