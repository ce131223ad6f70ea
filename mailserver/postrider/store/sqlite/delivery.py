"""Messages on their way in: intake from SMTP and the queue, and APPEND."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from postrider.store import transactions as t
from postrider.store.blobs import Location
from postrider.store.cells import Cell
from postrider.store.keywords import distinct
from postrider.store.names import INBOX_ID, canonical
from postrider.store.sqlite import queue
from postrider.store.sqlite.accounts import Folder, charge, ensure_account, find_folder
from postrider.store.sqlite.transaction import DELETED, SEEN, Running
from postrider.store.staged import LAST_UID, no_uids
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account


class Arriving(msgspec.Struct, frozen=True, gc=False):
    """One message for one folder."""

    blob_id: int
    body_size: int
    received: int
    cached: bytes
    thread_keys: Sequence[bytes]
    flags: int
    keywords: Sequence[str]
    prefix: bytes = b""
    #: Of the account and of its domain, octets; 0 is unlimited.
    quota: tuple[int, int] = (0, 0)

    @property
    def size(self) -> int:
        """Octets of the message as readers see it."""
        return len(self.prefix) + self.body_size


def intake(run: Running, txn: t.Intake) -> t.IntakeDone:
    """Store one message wherever it goes, and settle what it settles."""
    settled = queue.settle_all(run, txn.settle)
    stored: list[t.Stored] = []
    queued: list[int] = []
    deferred: list[str] = []
    if txn.deliver or txn.enqueue:
        blobs = _blobs(run, txn)
        for delivery, blob_id in zip(txn.deliver, blobs, strict=False):
            place = _deliver(run, txn, delivery, blob_id)
            if isinstance(place, t.Stored):
                stored.append(place)
                continue
            if not (txn.count and delivery.recipient):
                raise place
            queued.append(queue.insert(run, txn, blob_id, _waiting(delivery, txn.received)))
            deferred.append(delivery.recipient)
        queued += [queue.insert(run, txn, blobs[-1], row) for row in txn.enqueue]
    _count(run, txn, len(stored), settled)
    return t.IntakeDone(tuple(stored), tuple(queued), tuple(deferred))


def _blobs(run: Running, txn: t.Intake) -> list[int]:
    """Body rows for the deliveries and, last, the queue rows: one for all, or what was written apart (store.meta)."""
    if len(run.places) == 1:
        users = len(txn.deliver) + len(txn.enqueue)
        return [insert_blob(run, run.places[0], users)] * max(len(txn.deliver), 1)
    users_of = [1] * len(txn.deliver) + [len(txn.enqueue)] * bool(txn.enqueue)
    return [insert_blob(run, place, users) for place, users in zip(run.places, users_of, strict=True)]


def append(run: Running, txn: t.Append) -> t.Uids:
    """APPEND: all messages or none (RFC 3502 §6.3.11); what is there by its key already is not stored again."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    quota = (txn.quota_bytes, txn.domain_quota_bytes)
    target: list[int] = []
    for message, place in zip(txn.messages, run.places, strict=True):
        uid = _known(run, folder, message.key)
        if uid:
            run.unused.append(place)
        target.append(uid or add(run, txn.account, folder, Coming(message, place, quota)))
    row = run.one("SELECT uidvalidity, modseq FROM mailbox WHERE account_id = ? AND id = ?", *folder.key)
    return t.Uids(row[0], tuple(target), modseq=row[1])


class Coming(NamedTuple):
    """A message of an APPEND, where its body was written, and the quotas of account and domain."""

    message: t.NewMessage
    place: Location
    quota: tuple[int, int]


def add(run: Running, account: Account, folder: Folder, coming: Coming) -> int:
    """Store one message; returns its UID. Raises StoreError(OVER_QUOTA, LIMIT)."""
    message, place, quota = coming
    stored = _store(
        run, account, folder.id,
        Arriving(
            insert_blob(run, place, 1), message.body.size, message.received, message.cached,
            message.thread_keys, message.flags, message.keywords, quota=quota,
        ),
    )  # fmt: skip
    if isinstance(stored, StoreError):
        raise stored
    if message.key:
        run.db.execute(
            "INSERT INTO append_key (account_id, key, mailbox_id, uid, at) VALUES (?1, ?2, ?3, ?4, ?5)"
            " ON CONFLICT (account_id, key) DO UPDATE SET mailbox_id = ?3, uid = ?4, at = ?5",
            (folder.account_id, message.key, folder.id, stored.uid, run.now),
        )
    return stored.uid


def _known(run: Running, folder: Folder, key: bytes) -> int:
    """The UID that a message with this key got, 0 where it is new."""
    if not key:
        return 0
    if len(key) > t.MAX_KEY:
        raise StoreError(Reason.INVALID, f"a key has at most {t.MAX_KEY} octets")
    row = run.one(
        "SELECT uid FROM append_key WHERE account_id = ? AND key = ? AND mailbox_id = ?",
        folder.account_id, key, folder.id,
    )  # fmt: skip
    return int(row[0]) if row else 0


def insert_blob(run: Running, place: Location, refs: int) -> int:
    """The row of a body that was just written."""
    header = place.header
    run.db.execute(
        "INSERT INTO blob (hash, size, codec, key_id, pack, start, path, stored, refs)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            header.hash, header.size, header.codec, header.key_id, place.pack, place.start, place.path, header.length,
            refs,
        ),
    )  # fmt: skip
    return run.db.last_insert_rowid()


def _waiting(delivery: t.Deliver, received: int) -> t.Enqueue:
    return t.Enqueue(
        f"local/{delivery.account}", delivery.recipient, delivery.prefix, received + t.QUOTA_RETRY,
        delivery.notify, delivery.orcpt,
    )  # fmt: skip


def _deliver(run: Running, txn: t.Intake, delivery: t.Deliver, blob_id: int) -> t.Stored | StoreError:
    arriving = Arriving(
        blob_id, txn.body.size, txn.received, txn.cached, txn.thread_keys,
        delivery.flags, delivery.keywords, delivery.prefix, (delivery.quota_bytes, delivery.domain_quota_bytes),
    )  # fmt: skip
    mailbox_id = INBOX_ID
    if delivery.mailbox or delivery.special_use:
        mailbox_id = _chosen(run, ensure_account(run, delivery.account), delivery)
    return _store(run, delivery.account, mailbox_id, arriving)


def _chosen(run: Running, account_id: int, delivery: t.Deliver) -> int:
    if delivery.mailbox:
        name = canonical(delivery.mailbox)
        row = run.one("SELECT id FROM mailbox WHERE account_id = ? AND name = ?", account_id, name)
        if row:
            return int(row[0])
    if delivery.special_use:
        row = run.one(
            "SELECT id FROM mailbox WHERE account_id = ? AND special_use = ?", account_id, delivery.special_use
        )
        if row:
            return int(row[0])
    return INBOX_ID


def _store(run: Running, account: Account, mailbox_id: int, new: Arriving) -> t.Stored | StoreError:
    """Put one message into one folder: UID and modseq come with the row. Or says why it does not fit there."""
    for _ in range(2):
        row = run.one(
            "UPDATE account SET modseq = modseq + 1, messages = messages + 1, bytes = bytes + ?1"
            " WHERE name = ?2 AND (?3 = 0 OR bytes + ?1 <= ?3) AND (?4 = 0 OR ?1 +"
            " (SELECT domain_usage.bytes FROM domain_usage WHERE domain_usage.domain = account.domain) <= ?4)"
            " RETURNING id, modseq",
            new.size, account, *new.quota,
        )  # fmt: skip
        if row:
            break
        if run.one("SELECT 1 FROM account WHERE name = ?", account):
            return StoreError(Reason.OVER_QUOTA)
        ensure_account(run, account)
    else:
        return StoreError(Reason.OVER_QUOTA)
    account_id, modseq = row
    deleted = bool(new.flags & DELETED)
    row = run.one(  # UIDNEXT jumps over hidden UIDs, and then the UID is not the one before it
        "UPDATE mailbox SET uidnext = iif(uidnext + 1 = hidden_first, hidden_last, uidnext) + 1, modseq = ?,"
        " messages = messages + 1, unseen = unseen + ?, deleted = deleted + ?, bytes = bytes + ?,"
        " deleted_bytes = deleted_bytes + ? WHERE account_id = ? AND id = ? AND uidnext < ?"
        " RETURNING iif(hidden_first > 0 AND uidnext = hidden_last + 1, hidden_first, uidnext) - 1",
        modseq, not new.flags & SEEN, deleted, new.size, deleted * new.size, account_id, mailbox_id, LAST_UID,
    )  # fmt: skip
    if not row:
        charge(run, account_id, -1, -new.size, (0, 0))
        return no_uids()
    uid = row[0]
    thread_id, brought = _thread(run, account_id, run.keyed(account, new.thread_keys[: t.MAX_THREAD_KEYS]))
    run.db.execute(
        "INSERT INTO email (account_id, thread_id, blob_id, refs, size, received, prefix, cached, thread_keys)"
        " VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?)",
        (
            account_id, thread_id, new.blob_id, new.size, new.received,
            run.sealed(account, Cell.PREFIX, new.blob_id, new.prefix),
            run.sealed(account, Cell.CACHED, new.blob_id, new.cached),
            msgspec.msgpack.encode(brought) if brought else None,
        ),
    )  # fmt: skip
    email_id = run.db.last_insert_rowid()
    for key in brought:
        run.db.execute(
            "INSERT INTO thread_key (account_id, key, thread_id) VALUES (?, ?, ?)",
            (account_id, key, thread_id or email_id),
        )
    run.db.execute(
        "INSERT INTO message (account_id, mailbox_id, uid, email_id, modseq, created, flags, keywords, size, saved)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9)",
        (account_id, mailbox_id, uid, email_id, modseq, new.flags, joined(new.keywords), new.size, run.now),
    )
    run.changed.add(account)
    return t.Stored(account, mailbox_id, uid, modseq)


def joined(keywords: Sequence[str]) -> str:
    """Keywords as the row has them: each once, in order, with spaces between, which no keyword can contain."""
    return " ".join(distinct(keywords)) if keywords else ""


def _thread(run: Running, account_id: int, keys: Sequence[bytes]) -> tuple[int | None, list[bytes]]:
    """The thread that one of the keys belongs to, None for a new one, and the keys that nobody brought before."""
    thread_id = None
    brought: list[bytes] = []
    for key in dict.fromkeys(keys):
        row = run.one("SELECT thread_id FROM thread_key WHERE account_id = ? AND key = ?", account_id, key)
        if row is None:
            brought.append(key)
        elif thread_id is None:
            thread_id = row[0]
    return thread_id, brought


def _count(run: Running, txn: t.Intake, stored: int, settled: int) -> None:
    """Keep accepted = delivered + queued + ... : every routed delivery of this transaction is in one of them.

    With `count` false the deliveries take the place of the rows that were settled as delivered.
    """
    new = len(txn.deliver) + len(txn.enqueue) + txn.discarded
    replaced = 0 if txn.count else settled
    run.counts["accepted"] += new - replaced
    run.counts["delivered"] += stored - replaced
    run.counts["discarded"] += txn.discarded
