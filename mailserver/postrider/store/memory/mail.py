"""Transactions on accounts, folders and messages. Everything is checked before anything changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from postrider.store import names
from postrider.store import transactions as t
from postrider.store.memory import queue
from postrider.store.memory.state import Folder, Held, Mailstore, Message, State
from postrider.store.names import INBOX_ID
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Account, Flag, Vanished


@dataclass(frozen=True, slots=True)
class Arriving:
    """One message for one folder."""

    held: Held
    received: int
    cached: bytes
    thread_keys: tuple[bytes, ...]
    flags: int
    keywords: tuple[str, ...]
    prefix: bytes = b""


def intake(state: State, txn: t.Intake) -> t.IntakeDone:
    """Store one message wherever it goes, and settle what it settles."""
    queue.check(state, txn.settle)
    held = state.hold(txn.body) if txn.deliver or txn.enqueue else None
    stays, waits = _within_quota(state, txn)
    if waits and not (txn.count and all(delivery.recipient for delivery in waits)):
        raise StoreError(Reason.OVER_QUOTA)
    keywords = {id(delivery): _words(delivery.keywords) for delivery in stays}
    settled = queue.settle_all(state, txn.settle)
    stored: list[t.Stored] = []
    queued: list[int] = []
    if held:
        for delivery in stays:
            account = state.account(delivery.account)
            arriving = Arriving(
                held, txn.received, txn.cached, txn.thread_keys, delivery.flags, keywords[id(delivery)],
                delivery.prefix,
            )  # fmt: skip
            folder = _chosen(account, delivery)
            message = _store(state, account, folder, arriving)
            stored.append(t.Stored(delivery.account, folder.id, message.uid, message.modseq))
        queued += [queue.insert(state, txn, held, queue.deferred(delivery, txn.received)) for delivery in waits]
        queued += [queue.insert(state, txn, held, row) for row in txn.enqueue]
    replaced = 0 if txn.count else settled
    state.counters["accepted"] += len(txn.deliver) + len(txn.enqueue) + txn.discarded - replaced
    state.counters["delivered"] += len(stored) - replaced
    state.counters["discarded"] += txn.discarded
    return t.IntakeDone(tuple(stored), tuple(queued), tuple(delivery.recipient for delivery in waits))


def append(state: State, txn: t.Append) -> t.Uids:
    """APPEND: all messages or none."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    held = [state.hold(message.body) for message in txn.messages]
    keywords = [_words(message.keywords) for message in txn.messages]
    _check_quota(account, sum(message.body.size for message in txn.messages), txn.quota_bytes)
    stored = [
        _store(
            state, account, folder,
            Arriving(body, new.received, new.cached, new.thread_keys, new.flags, words),
        )
        for new, body, words in zip(txn.messages, held, keywords, strict=True)
    ]  # fmt: skip
    return t.Uids(
        folder.uidvalidity, tuple(message.uid for message in stored), modseq=stored[-1].modseq if stored else 0
    )


def copy(state: State, txn: t.Copy) -> t.Uids:
    """COPY and MOVE."""
    account = state.account(txn.account)
    source, target = account.folder(txn.mailbox_id), account.folder(txn.target_id)
    found = [source.messages[uid] for uid in sorted(set(txn.uids)) if uid in source.messages]
    if not found:
        return t.Uids(target.uidvalidity, (), (), target.modseq)
    if not txn.move:
        _check_quota(account, sum(message.size for message in found), txn.quota_bytes)
    modseq = account.bump()
    made: list[int] = []
    for message in found:
        target.messages[target.uidnext] = replace(message, uid=target.uidnext, modseq=modseq, saved=state.now)
        made.append(target.uidnext)
        target.uidnext += 1
    target.modseq = modseq
    uids = tuple(message.uid for message in found)
    if txn.move:
        _bury(source, modseq, uids)
    state.changed.add(txn.account)
    return t.Uids(target.uidvalidity, tuple(made), uids, modseq)


def set_flags(state: State, txn: t.SetFlags) -> t.FlagsSet:
    """STORE."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    wanted = set(_words(txn.keywords))
    modified: list[int] = []
    changes: list[tuple[Message, int, tuple[str, ...]]] = []
    for uid in sorted(set(txn.uids) & folder.messages.keys()):
        message = folder.messages[uid]
        if txn.unchanged_since is not None and message.modseq > txn.unchanged_since:
            modified.append(uid)
            continue
        flags, new = {
            FlagChange.ADD: (message.flags | txn.flags, set(message.keywords) | wanted),
            FlagChange.REMOVE: (message.flags & ~txn.flags, set(message.keywords) - wanted),
            FlagChange.REPLACE: (txn.flags, wanted),
        }[txn.change]
        if (flags, new) != (message.flags, set(message.keywords)):
            changes.append((message, flags, tuple(sorted(new))))
    if changes:
        folder.modseq = account.bump()
        state.changed.add(txn.account)
    for message, flags, words in changes:
        message.flags, message.keywords, message.modseq = flags, words, folder.modseq
    return t.FlagsSet(folder.modseq, tuple(modified))


def expunge(state: State, txn: t.Expunge) -> t.Expunged:
    """EXPUNGE and UID EXPUNGE."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    uids = tuple(
        uid for uid in sorted(set(txn.uids) & folder.messages.keys()) if folder.messages[uid].flags & Flag.DELETED
    )
    if uids:
        _bury(folder, account.bump(), uids)
        account.forget_threads()
        state.changed.add(txn.account)
    return t.Expunged(folder.modseq, uids)


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
        raise StoreError(Reason.INVALID, "the folder has folders below it")
    del account.folders[folder.id]
    account.bump()
    account.forget_threads()
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
    for parent in names.parents(new):
        if not account.named(parent):
            state.add_folder(account, parent)
    for mailbox_id, name in moved.items():
        account.folders[mailbox_id].name = name
    account.bump()
    state.changed.add(txn.account)
    return t.Done()


def subscribe(state: State, txn: t.Subscribe) -> t.Done:
    """SUBSCRIBE and UNSUBSCRIBE."""
    account = state.account(txn.account)
    name = names.canonical(txn.name)
    if txn.subscribed:
        if len(account.subscriptions) >= names.MAX_MAILBOXES:
            raise StoreError(Reason.INVALID, f"at most {names.MAX_MAILBOXES} subscriptions")
        account.subscriptions.add(name)
    else:
        account.subscriptions.discard(name)
    account.bump()
    state.changed.add(txn.account)
    return t.Done()


def touch_recent(state: State, txn: t.TouchRecent) -> t.Recent:
    r"""A session takes what is \Recent."""
    folder = state.account(txn.account).folder(txn.mailbox_id)
    first, folder.recent = folder.recent, folder.uidnext
    return t.Recent(first, folder.uidnext)


def release(state: State, txn: t.Release) -> t.Done:
    """Remove an account."""
    if state.accounts.pop(txn.account, None):
        state.changed.add(txn.account)
    return t.Done()


def _within_quota(state: State, txn: t.Intake) -> tuple[list[t.Deliver], list[t.Deliver]]:
    stays: list[t.Deliver] = []
    waits: list[t.Deliver] = []
    coming: Counter[Account] = Counter()
    for delivery in txn.deliver:
        account = state.accounts.get(delivery.account)
        used = (account.usage()[0] if account else 0) + coming[delivery.account]
        size = len(delivery.prefix) + txn.body.size
        if delivery.quota_bytes and used + size > delivery.quota_bytes:
            waits.append(delivery)
        else:
            stays.append(delivery)
            coming[delivery.account] += size
        if delivery.mailbox:
            names.canonical(delivery.mailbox)
    return stays, waits


def _check_quota(account: Mailstore, size: int, quota_bytes: int) -> None:
    if quota_bytes and account.usage()[0] + size > quota_bytes:
        raise StoreError(Reason.OVER_QUOTA)


def _chosen(account: Mailstore, delivery: t.Deliver) -> Folder:
    by_name = account.named(names.canonical(delivery.mailbox)) if delivery.mailbox else None
    if by_name:
        return by_name
    special = (each for each in account.folders.values() if each.special_use == delivery.special_use)
    return (next(special, None) if delivery.special_use else None) or account.folders[INBOX_ID]


def _store(state: State, account: Mailstore, folder: Folder, new: Arriving) -> Message:
    folder.modseq = account.bump()
    state.last_email_id += 1
    email_id = state.last_email_id
    keys = tuple(dict.fromkeys(new.thread_keys[: t.MAX_THREAD_KEYS]))
    thread_id = next((account.threads[key][0] for key in keys if key in account.threads), email_id)
    for key in keys:
        account.threads.setdefault(key, (thread_id, email_id))
    message = Message(
        folder.uidnext, folder.modseq, new.flags, new.keywords, email_id, thread_id, new.received, state.now,
        new.prefix, new.held, new.cached,
    )  # fmt: skip
    folder.messages[message.uid] = message
    folder.uidnext += 1
    state.changed.add(account.name)
    return message


def _bury(folder: Folder, modseq: int, uids: tuple[int, ...]) -> None:
    for uid in uids:
        del folder.messages[uid]
    folder.vanished.append(Vanished(modseq, uids))
    folder.modseq = modseq


def _below(account: Mailstore, name: str) -> list[Folder]:
    return [folder for folder in account.folders.values() if folder.name.startswith(name + names.SEPARATOR)]


def _add_with_parents(state: State, account: Mailstore, name: str, special_use: str) -> Folder:
    missing = [parent for parent in names.parents(name) if not account.named(parent)]
    if len(account.folders) + len(missing) >= names.MAX_MAILBOXES:
        raise StoreError(Reason.INVALID, f"at most {names.MAX_MAILBOXES} folders")
    for parent in missing:
        state.add_folder(account, parent)
    return state.add_folder(account, name, special_use)


def _move_inbox(state: State, account: Mailstore, inbox: Folder, name: str) -> None:
    made = _add_with_parents(state, account, name, "")
    made.modseq = inbox.modseq = account.bump()
    made.uidnext, made.recent, made.messages = inbox.uidnext, inbox.recent, inbox.messages
    inbox.messages = {}
    for message in made.messages.values():
        message.modseq = made.modseq
    if made.messages:
        inbox.vanished.append(Vanished(inbox.modseq, tuple(made.messages)))


def _words(keywords: Iterable[str]) -> tuple[str, ...]:
    words = tuple(sorted(set(keywords)))
    if any(not word or " " in word for word in words):
        raise StoreError(Reason.INVALID, "a keyword is empty or contains a space")
    return words
