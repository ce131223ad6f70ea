"""Transactions on messages. Everything is checked before anything changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from postrider.model.runs import runs_of
from postrider.store import names
from postrider.store import transactions as t
from postrider.store.keywords import distinct, edited
from postrider.store.memory import queue
from postrider.store.memory.state import Folder, Held, Kept, Mailstore, Message, State
from postrider.store.names import INBOX_ID
from postrider.store.staged import LAST_UID, no_uids
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Flag, Vanished


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
    stays, refused = _fitting(state, txn)
    for delivery, refusal in refused:
        if not (txn.count and delivery.recipient):
            raise refusal
    waits = [delivery for delivery, _ in refused]
    keywords = {id(delivery): distinct(delivery.keywords) for delivery in stays}
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
    """APPEND: all messages or none; what is there by its key already is not stored again."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    _check(txn.messages)
    known = [_known(account, folder, new.key) for new in txn.messages]
    first = {new.key: at for at, new in reversed(list(enumerate(txn.messages))) if new.key}
    fresh = {at: new for at, new in enumerate(txn.messages) if not known[at] and first.get(new.key, at) == at}
    for new in txn.messages:
        state.read(new.body)
    held = {at: state.hold(new.body) for at, new in fresh.items()}
    check_quota(state, account, sum(new.body.size for new in fresh.values()), (txn.quota_bytes, txn.domain_quota_bytes))
    uids = [
        add(state, account, folder, new, held[at]) if at in fresh else _known(account, folder, new.key)
        for at, new in enumerate(txn.messages)
    ]
    return t.Uids(folder.uidvalidity, tuple(uids), modseq=folder.modseq)


def add(state: State, account: Mailstore, folder: Folder, new: t.NewMessage, held: Held) -> int:
    """Store one message that was checked; returns its UID."""
    arriving = Arriving(held, new.received, new.cached, new.thread_keys, new.flags, distinct(new.keywords))
    uid = _store(state, account, folder, arriving).uid
    if new.key:
        account.keys[new.key] = (folder.id, uid, state.now)
    return uid


def replace_message(state: State, txn: t.Replace) -> t.Uids:
    """REPLACE."""
    account = state.account(txn.account)
    folder, target = account.folder(txn.mailbox_id), account.folder(txn.target_id)
    if txn.uid not in folder.messages:
        raise StoreError(Reason.NO_MESSAGE)
    _check((txn.message,))
    held = state.hold(txn.message.body)
    size = txn.message.body.size - folder.messages[txn.uid].size
    check_quota(state, account, size, (txn.quota_bytes, txn.domain_quota_bytes))
    remove(state, account, folder, (txn.uid,), keep=txn.keep)
    return t.Uids(target.uidvalidity, (add(state, account, target, txn.message, held),), (txn.uid,), target.modseq)


def copy(state: State, txn: t.Copy) -> t.Uids:
    """COPY and MOVE."""
    account = state.account(txn.account)
    source, target = account.folder(txn.mailbox_id), account.folder(txn.target_id)
    found = [source.messages[uid] for uid in sorted(set(txn.uids)) if uid in source.messages]
    state.changed.add(txn.account)
    if not found:
        return t.Uids(target.uidvalidity, (), (), target.modseq)
    if not txn.move:
        size = sum(message.size for message in found)
        check_quota(state, account, size, (txn.quota_bytes, txn.domain_quota_bytes))
    modseq = account.bump()
    made = put_in(state, target, modseq, found)
    uids = tuple(message.uid for message in found)
    if txn.move:
        bury(source, modseq, uids)
    return t.Uids(target.uidvalidity, made, uids, modseq)


def put_in(state: State, target: Folder, modseq: int, messages: Sequence[Message]) -> tuple[int, ...]:
    """Copies of messages get UIDs in a folder, in their order."""
    uids = target.next_uids(len(messages))
    for uid, message in zip(uids, messages, strict=True):
        target.messages[uid] = replace(message, uid=uid, modseq=modseq, created=modseq, saved=state.now)
    target.modseq = modseq
    return tuple(uids)


def set_flags(state: State, txn: t.SetFlags) -> t.FlagsSet:
    """STORE."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    wanted = distinct(txn.keywords)
    own = Flag.SEEN.value if txn.grantee else 0
    modified: list[int] = []
    changes: list[tuple[Message, int, tuple[str, ...]]] = []
    seen: dict[tuple[str, int], bool] = {}
    for uid in sorted(set(txn.uids) & folder.messages.keys()):
        message = folder.messages[uid]
        was_seen, seen_at = folder.seen.get((txn.grantee, uid), (False, 0))
        if txn.unchanged_since is not None and max(message.modseq, seen_at) > txn.unchanged_since:
            modified.append(uid)
            continue
        before = message.flags & ~own | own * was_seen
        flags = {
            FlagChange.ADD: before | txn.flags,
            FlagChange.REMOVE: before & ~txn.flags,
            FlagChange.REPLACE: txn.flags,
        }[txn.change]
        words = edited(message.keywords, txn.change, wanted)
        if own and bool(flags & own) != was_seen:
            seen[txn.grantee, uid] = not was_seen
        flags = flags & ~own | message.flags & own
        if (flags, words) != (message.flags, message.keywords):
            changes.append((message, flags, words))
    if changes or seen:
        folder.modseq = account.bump()
        state.changed.add(txn.account)
    for message, flags, words in changes:
        message.flags, message.keywords, message.modseq = flags, words, folder.modseq
    folder.seen |= {key: (now, folder.modseq) for key, now in seen.items()}
    return t.FlagsSet(folder.modseq, tuple(modified))


def expunge(state: State, txn: t.Expunge) -> t.Expunged:
    """EXPUNGE and UID EXPUNGE."""
    account = state.account(txn.account)
    folder = account.folder(txn.mailbox_id)
    uids = tuple(
        uid for uid in sorted(set(txn.uids) & folder.messages.keys()) if folder.messages[uid].flags & Flag.DELETED
    )
    remove(state, account, folder, uids, keep=txn.keep)
    return t.Expunged(folder.modseq, uids)


def remove(state: State, account: Mailstore, folder: Folder, uids: tuple[int, ...], *, keep: bool) -> None:
    """Messages leave a folder and the account."""
    if not uids:
        return
    messages = [folder.messages[uid] for uid in uids]
    bury(folder, account.bump(), uids)
    discard(state, account, folder.id, messages, keep=keep)
    state.changed.add(account.name)


def discard(state: State, account: Mailstore, mailbox_id: int, messages: Iterable[Message], *, keep: bool) -> None:
    """What becomes of messages that have left their folder for good."""
    gone = list(messages)
    if keep or account.held:
        for message in gone:
            state.last_kept_id += 1
            account.kept[state.last_kept_id] = Kept(mailbox_id, message, state.now)
    note_destroyed(account, gone)
    account.forget_threads()


def note_destroyed(account: Mailstore, messages: Iterable[Message]) -> None:
    """Into the change log: those that are in no folder any more."""
    shown = {message.id for folder in account.folders.values() for message in folder.messages.values()}
    shown |= {message.id for copy in account.copies.values() for message in copy.messages}
    account.note("email", *(message.id for message in messages if message.id not in shown), gone=True)


def recache(state: State, txn: t.Recache) -> t.Done:
    """Another parse version's result."""
    account = state.account(txn.account)
    cached = dict(txn.cached)
    for message in account.held_messages():
        message.cached = cached.get(message.id, message.cached)
    return t.Done()


def _fitting(state: State, txn: t.Intake) -> tuple[list[t.Deliver], list[tuple[t.Deliver, StoreError]]]:
    """The deliveries that fit, and those that do not, each with why."""
    stays: list[t.Deliver] = []
    waits: list[tuple[t.Deliver, StoreError]] = []
    coming: Counter[str] = Counter()
    folders: Counter[tuple[str, int]] = Counter()
    for delivery in txn.deliver:
        if delivery.mailbox:
            names.canonical(delivery.mailbox)
        account = state.accounts.get(delivery.account) or Mailstore(delivery.account)
        domain = account.domain
        used = account.usage()[0] + coming[delivery.account]
        size = len(delivery.prefix) + txn.body.size
        if _exceeds(used + size, delivery.quota_bytes) or _exceeds(
            state.domain_bytes(domain) + coming[domain] + size, delivery.domain_quota_bytes
        ):
            waits.append((delivery, StoreError(Reason.OVER_QUOTA)))
            continue
        folder = _chosen(account, delivery) if account.folders else None
        if folder and folder.uidnext + folders[account.name, folder.id] >= LAST_UID:
            waits.append((delivery, no_uids()))
        else:
            stays.append(delivery)
            folders[account.name, folder.id if folder else INBOX_ID] += 1
            coming[delivery.account] += size
            coming[domain] += size
    return stays, waits


def _exceeds(octets: int, quota: int) -> bool:
    return 0 < quota < octets


def check_quota(state: State, account: Mailstore, size: int, quota: tuple[int, int]) -> None:
    """Quotas of account and domain. Raises StoreError(OVER_QUOTA)."""
    used = (account.usage()[0], state.domain_bytes(account.domain))
    if any(_exceeds(octets + size, most) for octets, most in zip(used, quota, strict=True)):
        raise StoreError(Reason.OVER_QUOTA)


def _check(messages: Iterable[t.NewMessage]) -> None:
    for new in messages:
        distinct(new.keywords)
        if len(new.key) > t.MAX_KEY:
            raise StoreError(Reason.INVALID, f"a key has at most {t.MAX_KEY} octets")


def _known(account: Mailstore, folder: Folder, key: bytes) -> int:
    mailbox_id, uid, _ = account.keys.get(key, (0, 0, 0))
    return uid if mailbox_id == folder.id else 0


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
        folder.next_uids(1)[0], folder.modseq, new.flags, new.keywords, email_id, thread_id, new.received, state.now,
        new.prefix, new.held, new.cached, folder.modseq,
    )  # fmt: skip
    folder.messages[message.uid] = message
    state.changed.add(account.name)
    return message


def bury(folder: Folder, modseq: int, uids: tuple[int, ...]) -> None:
    """Take messages out and leave tombstones."""
    for uid in uids:
        del folder.messages[uid]
    folder.seen = {key: seen for key, seen in folder.seen.items() if key[1] in folder.messages}
    folder.vanished.append(Vanished(modseq, tuple(runs_of(uids))))
    folder.modseq = modseq
