"""Copies too large for one short transaction: staged where nobody looks, shown all at once (RFC 9051 §6.4.7).

The rows are written into the target, with UIDs some way above UIDNEXT and with modseqs far above the account's. These
UIDs are hidden: no read and no transaction sees rows among them. To finish, the target's UIDNEXT and the account's
modseq are raised above them and nothing is hidden any more. So whoever asks for UIDs or for modseqs above the last one
seen gets them all, and nothing else came later with a lower one: deliveries meanwhile use the UIDs in between, and
where these are used up UIDNEXT passes over the hidden ones and the copy is overtaken. Copies of one account into
several folders have their modseqs in the order in which they were begun, and are finished in it.
"""

from __future__ import annotations

from typing import NamedTuple

from postrider.store import transactions as t
from postrider.store.sqlite import removal
from postrider.store.sqlite.accounts import charge, find_folder
from postrider.store.sqlite.messages import rows_of
from postrider.store.sqlite.removal import weigh
from postrider.store.sqlite.transaction import Running
from postrider.store.staged import first_modseq, first_uid
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account

#: Seconds that others wait for a copy nobody goes on with.
_ALIVE = 60

_FITS = (
    "SELECT 1 FROM account WHERE id = ?2 AND (?3 = 0 OR bytes + ?1 <= ?3) AND (?4 = 0 OR ?1 + (SELECT"
    " domain_usage.bytes FROM domain_usage WHERE domain_usage.domain = account.domain) <= ?4)"
)


def begin(run: Running, txn: t.BeginCopy) -> t.CopyBegun:
    """Set UIDs and modseqs aside."""
    source = find_folder(run, txn.account, txn.mailbox_id)
    target = find_folder(run, txn.account, txn.target_id)
    run.doomed = True  # copies that were left behind are looked for
    if target.hidden_first:
        raise StoreError(Reason.BUSY)
    _check(run, target.account_id, txn.size, (txn.quota_bytes, txn.domain_quota_bytes))
    modseq, uidnext = run.one(
        "SELECT max(account.modseq, (SELECT coalesce(max(modseq_first), 0) FROM staged WHERE account_id = account.id"
        " AND dead = 0)), uidnext FROM account JOIN mailbox ON account_id = account.id AND mailbox.id = ?"
        " WHERE account.id = ?",
        target.id, target.account_id,
    )  # fmt: skip
    uid, first = first_uid(uidnext, txn.messages), first_modseq(modseq)
    run.db.execute(
        "UPDATE mailbox SET hidden_first = ?, hidden_last = ? WHERE account_id = ? AND id = ?",
        (uid, uid + txn.messages - 1, *target.key),
    )
    run.db.execute(
        "INSERT INTO staged (account_id, source_id, target_id, uid, modseq_first, modseq, touched)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        (target.account_id, source.id, target.id, uid, first, run.now),
    )
    return t.CopyBegun(run.db.last_insert_rowid())


def stage(run: Running, txn: t.StageCopy) -> t.Staged:
    """Copy a slice to where nobody sees it."""
    copy = _find(run, txn.account, txn.id)
    source = find_folder(run, txn.account, copy.source_id)
    rows = rows_of(run, source, txn.uids)
    if copy.uid + len(rows) > copy.hidden_last + 1:
        raise StoreError(Reason.INVALID, "more messages than the copy was begun for")
    run.db.executemany(
        "INSERT INTO message (account_id, mailbox_id, uid, email_id, modseq, created, flags, keywords, size, saved)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9)",
        [
            (
                source.account_id, copy.target_id, uid, row.email_id, copy.modseq, row.flags, row.keywords, row.size,
                run.now,
            )
            for uid, row in enumerate(rows, copy.uid)
        ],
    )  # fmt: skip
    run.db.execute(
        "UPDATE staged SET uid = uid + ?2, modseq = modseq + 1, touched = ?3, messages = messages + ?2,"
        " unseen = unseen + ?4, deleted = deleted + ?5, bytes = bytes + ?6, deleted_bytes = deleted_bytes + ?7"
        " WHERE id = ?1",
        (txn.id, len(rows), run.now, *weigh(rows)[1:]),
    )
    (octets,) = run.one("SELECT bytes FROM staged WHERE id = ?", txn.id)
    _check(run, source.account_id, octets, (txn.quota_bytes, txn.domain_quota_bytes))
    return t.Staged(tuple(row.uid for row in rows))


def finish(run: Running, txn: t.FinishCopy) -> t.CopyFinished:
    """Show what was staged."""
    copy = _find(run, txn.account, txn.id)
    target = find_folder(run, txn.account, copy.target_id)
    if run.one(
        "SELECT 1 FROM staged WHERE account_id = ? AND dead = 0 AND touched >= ? AND modseq_first <"
        " (SELECT modseq_first FROM staged WHERE id = ?)",
        target.account_id, run.now - _ALIVE, txn.id,
    ):  # fmt: skip
        raise StoreError(Reason.BUSY, "a copy that was begun before is still under way")
    count, unseen, deleted, octets, deleted_octets = run.one(
        "DELETE FROM staged WHERE id = ? RETURNING messages, unseen, deleted, bytes, deleted_bytes", txn.id
    )
    last_modseq = copy.modseq - 1
    if count:
        charge(run, target.account_id, count, octets, (txn.quota_bytes, txn.domain_quota_bytes))
        run.db.execute("UPDATE account SET modseq = ? WHERE id = ?", (last_modseq, target.account_id))
    uidvalidity, modseq = run.one(
        "UPDATE mailbox SET hidden_first = 0, hidden_last = 0, uidnext = iif(?1, ?2, uidnext),"
        " modseq = iif(?1, ?3, modseq), messages = messages + ?1, unseen = unseen + ?4, deleted = deleted + ?5,"
        " bytes = bytes + ?6, deleted_bytes = deleted_bytes + ?7 WHERE account_id = ?8 AND id = ?9"
        " RETURNING uidvalidity, modseq",
        count, copy.uid, last_modseq, unseen, deleted, octets, deleted_octets, *target.key,
    )  # fmt: skip
    run.changed.add(txn.account)
    return t.CopyFinished(uidvalidity, copy.uid - count, count, modseq)


def drop(run: Running, txn: t.DropCopy) -> t.Done:
    """Give a copy up."""
    run.db.execute(
        "UPDATE staged SET dead = 1 WHERE id = ? AND account_id = (SELECT id FROM account WHERE name = ?)",
        (txn.id, txn.account),
    )
    run.doomed = removal.clear_copy(run)
    return t.Done()


def _check(run: Running, account_id: int, octets: int, quota: tuple[int, int]) -> None:
    """Whether there is room now; nothing is taken of it yet. Raises StoreError(OVER_QUOTA)."""
    if not run.one(_FITS, octets, account_id, *quota):
        raise StoreError(Reason.OVER_QUOTA)


class _Copy(NamedTuple):
    source_id: int
    target_id: int
    uid: int
    modseq: int
    hidden_last: int


def _find(run: Running, account: Account, copy_id: int) -> _Copy:
    """A copy that can still be finished. Raises StoreError(AGAIN)."""
    row = run.one(
        "SELECT source_id, target_id, staged.uid, staged.modseq, hidden_last FROM staged"
        " JOIN account ON account.id = staged.account_id AND account.name = ?"
        " JOIN mailbox ON mailbox.account_id = account.id AND mailbox.id = target_id"
        " WHERE staged.id = ? AND dead = 0 AND uidnext < hidden_first AND account.modseq < modseq_first",
        account, copy_id,
    )  # fmt: skip
    if not row:
        raise StoreError(Reason.AGAIN, "the copy was overtaken or given up")
    return _Copy(*row)
