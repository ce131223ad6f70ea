"""What sessions do with messages: copy, move, flags, expunge. Each works on the slice of UIDs it was given."""

from __future__ import annotations

import json
from typing import Any

from postrider.store import transactions as t
from postrider.store.sqlite import folders, removal
from postrider.store.sqlite.delivery import joined
from postrider.store.sqlite.transaction import DELETED, SEEN, Running
from postrider.store.transactions import FlagChange, Reason, StoreError

_THESE = "account_id = ? AND mailbox_id = ? AND uid IN (SELECT value FROM json_each(?))"


def copy(run: Running, txn: t.Copy) -> t.Uids:
    """COPY and MOVE: all or none; EMAILID stays, flags and dates go along (RFC 9051 §6.4.7, RFC 8474 §5.1)."""
    account_id, _ = folders.named(run, txn.account, txn.mailbox_id)
    folders.named(run, txn.account, txn.target_id)
    rows: Any = run.db.execute(
        f"SELECT uid, email_id, flags, keywords, size FROM message WHERE {_THESE} ORDER BY uid",
        (account_id, txn.mailbox_id, json.dumps(txn.uids)),
    ).fetchall()
    target = run.one(
        "SELECT uidvalidity, uidnext, modseq FROM mailbox WHERE account_id = ? AND id = ?", account_id, txn.target_id
    )
    if not rows:
        return t.Uids(target[0], (), (), target[2])
    size = sum(row[4] for row in rows)
    if not txn.move:
        _charge(run, account_id, len(rows), size, txn.quota_bytes)
    modseq = folders.next_modseq(run, account_id)
    first = target[1]
    run.db.executemany(
        "INSERT INTO message (account_id, mailbox_id, uid, email_id, modseq, flags, keywords, size, saved)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (account_id, txn.target_id, first + at, email_id, modseq, flags, keywords, octets, run.now)
            for at, (_, email_id, flags, keywords, octets) in enumerate(rows)
        ],
    )
    run.db.execute(
        "UPDATE mailbox SET uidnext = uidnext + ? WHERE account_id = ? AND id = ?",
        (len(rows), account_id, txn.target_id),
    )
    _recount(run, account_id, txn.target_id, modseq, _weights(row[2:] for row in rows))
    source = tuple(row[0] for row in rows)
    if txn.move:
        _take_away(run, account_id, txn.mailbox_id, modseq, source)
        _recount(run, account_id, txn.mailbox_id, modseq, [-n for n in _weights(row[2:] for row in rows)])
    else:
        run.db.executemany("UPDATE email SET refs = refs + 1 WHERE id = ?", [(row[1],) for row in rows])
    run.changed.add(txn.account)
    return t.Uids(target[0], tuple(range(first, first + len(rows))), source, modseq)


def set_flags(run: Running, txn: t.SetFlags) -> t.FlagsSet:
    """STORE: messages whose flags do not change keep their modseq (RFC 7162 §3.1.3)."""
    account_id, _ = folders.named(run, txn.account, txn.mailbox_id)
    wanted = set(joined(txn.keywords).split())
    modified: list[int] = []
    updates: list[tuple[int, str, int]] = []
    unseen = deleted = 0
    for uid, modseq, flags, keywords in run.db.execute(
        f"SELECT uid, modseq, flags, keywords FROM message WHERE {_THESE} ORDER BY uid",
        (account_id, txn.mailbox_id, json.dumps(txn.uids)),
    ):
        if txn.unchanged_since is not None and modseq > txn.unchanged_since:
            modified.append(uid)
            continue
        new_flags, words = _changed(txn, flags, set(keywords.split()), wanted)
        new_keywords = " ".join(sorted(words))
        if (new_flags, new_keywords) == (flags, keywords):
            continue
        updates.append((new_flags, new_keywords, uid))
        unseen += (not new_flags & SEEN) - (not flags & SEEN)
        deleted += bool(new_flags & DELETED) - bool(flags & DELETED)
    if not updates:
        row = run.one("SELECT modseq FROM mailbox WHERE account_id = ? AND id = ?", account_id, txn.mailbox_id)
        return t.FlagsSet(row[0], tuple(modified))
    modseq = folders.next_modseq(run, account_id)
    run.db.executemany(
        "UPDATE message SET flags = ?, keywords = ?, modseq = ? WHERE account_id = ? AND mailbox_id = ? AND uid = ?",
        [(flags, keywords, modseq, account_id, txn.mailbox_id, uid) for flags, keywords, uid in updates],
    )
    _recount(run, account_id, txn.mailbox_id, modseq, [0, unseen, deleted, 0])
    run.changed.add(txn.account)
    return t.FlagsSet(modseq, tuple(modified))


def expunge(run: Running, txn: t.Expunge) -> t.Expunged:
    r"""EXPUNGE and UID EXPUNGE: those of the UIDs that carry \Deleted."""
    account_id, _ = folders.named(run, txn.account, txn.mailbox_id)
    rows: Any = run.db.execute(
        f"SELECT uid, email_id, flags, keywords, size FROM message WHERE {_THESE} AND flags & {DELETED} ORDER BY uid",
        (account_id, txn.mailbox_id, json.dumps(txn.uids)),
    ).fetchall()
    if not rows:
        row = run.one("SELECT modseq FROM mailbox WHERE account_id = ? AND id = ?", account_id, txn.mailbox_id)
        return t.Expunged(row[0], ())
    modseq = folders.next_modseq(run, account_id)
    uids = tuple(row[0] for row in rows)
    _take_away(run, account_id, txn.mailbox_id, modseq, uids)
    for row in rows:
        removal.release_email(run, account_id, row[1])
    weights = [-n for n in _weights(row[2:] for row in rows)]
    _recount(run, account_id, txn.mailbox_id, modseq, weights)
    run.db.execute(
        "UPDATE account SET messages = messages + ?, bytes = bytes + ? WHERE id = ?",
        (weights[0], weights[3], account_id),
    )
    run.changed.add(txn.account)
    return t.Expunged(modseq, uids)


def _changed(txn: t.SetFlags, flags: int, has: set[str], wanted: set[str]) -> tuple[int, set[str]]:
    match txn.change:
        case FlagChange.ADD:
            return flags | txn.flags, has | wanted
        case FlagChange.REMOVE:
            return flags & ~txn.flags, has - wanted
        case FlagChange.REPLACE:
            return txn.flags, wanted


def _charge(run: Running, account_id: int, count: int, size: int, quota_bytes: int) -> None:
    if not run.one(
        "UPDATE account SET messages = messages + ?1, bytes = bytes + ?2 WHERE id = ?3"
        " AND (?4 = 0 OR bytes + ?2 <= ?4) RETURNING id",
        count, size, account_id, quota_bytes,
    ):  # fmt: skip
        raise StoreError(Reason.OVER_QUOTA)


def _weights(rows: Any) -> list[int]:
    """What rows of (flags, keywords, size) count for: messages, unseen, deleted, bytes."""
    total = [0, 0, 0, 0]
    for flags, _, size in rows:
        total[0] += 1
        total[1] += not flags & SEEN
        total[2] += bool(flags & DELETED)
        total[3] += size
    return total


def _recount(run: Running, account_id: int, mailbox_id: int, modseq: int, weights: list[int]) -> None:
    run.db.execute(
        "UPDATE mailbox SET modseq = ?, messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?,"
        " bytes = bytes + ? WHERE account_id = ? AND id = ?",
        (modseq, *weights, account_id, mailbox_id),
    )


def _take_away(run: Running, account_id: int, mailbox_id: int, modseq: int, uids: tuple[int, ...]) -> None:
    run.db.execute(f"DELETE FROM message WHERE {_THESE}", (account_id, mailbox_id, json.dumps(uids)))
    removal.bury(run, account_id, mailbox_id, modseq, uids)
