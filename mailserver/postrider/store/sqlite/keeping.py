"""The undelete window and retention: brought back, collected, expired; tombstones that are forgotten."""

from __future__ import annotations

import json
from typing import Any

from postrider.store import transactions as t
from postrider.store.sqlite.accounts import charge, find_folder, next_modseq
from postrider.store.sqlite.messages import put_in, remove
from postrider.store.sqlite.removal import ROW_COLUMNS, Row, release_emails
from postrider.store.sqlite.transaction import DELETED, Running
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account


def undelete(run: Running, txn: t.Undelete) -> t.Uids:
    r"""Expunged messages come back, in the order they went, without \Deleted."""
    target = find_folder(run, txn.account, txn.target_id)
    found: Any = run.db.execute(
        "DELETE FROM expunged WHERE account_id = ? AND id IN (SELECT value FROM json_each(?))"
        f" RETURNING id, {ROW_COLUMNS}",
        (target.account_id, json.dumps(txn.ids)),
    ).fetchall()
    found.sort()
    rows = [row._replace(flags=row.flags & ~DELETED) for row in (Row(*columns) for _, *columns in found)]
    modseq = 0
    if rows:
        size = sum(row.size for row in rows)
        charge(run, target.account_id, len(rows), size, (txn.quota_bytes, txn.domain_quota_bytes))
        modseq = next_modseq(run, target.account_id)
        run.db.executemany(
            "DELETE FROM change WHERE account_id = ? AND kind = 'email' AND key = ?",
            [(target.account_id, f"M{row.email_id:x}") for row in rows],
        )
        run.changed.add(txn.account)
    done = put_in(run, target, modseq, rows)
    return t.Uids(done.uidvalidity, done.target, tuple(row[0] for row in found), done.modseq)


def collect(run: Running, txn: t.Collect) -> t.Collected:
    """The undelete window ends for what was expunged before a time."""
    account_id = _not_held(run, txn.account)
    run.doomed = True  # large copies whose session is gone are looked for
    rows: Any = run.db.execute(
        "SELECT id, email_id, size, at FROM expunged WHERE account_id = ? ORDER BY id LIMIT ?", (account_id, txn.limit)
    ).fetchall()
    due = [row for row in rows if row[3] < txn.before]
    run.db.executemany("DELETE FROM expunged WHERE id = ?", [row[:1] for row in due])
    release_emails(run, account_id, [row[1] for row in due])
    more = bool(due) and len(due) == txn.limit
    if not more:
        run.db.execute(
            "DELETE FROM former WHERE account_id = ?1 AND at < ?2 AND mailbox_id NOT IN"
            " (SELECT mailbox_id FROM expunged WHERE account_id = ?1 UNION SELECT mailbox_id FROM doomed"
            " WHERE account_id = ?1)",
            (account_id, txn.before),
        )
    run.db.execute(
        "DELETE FROM append_key WHERE account_id = ?1 AND key IN"
        " (SELECT key FROM append_key WHERE account_id = ?1 AND at < ?2 ORDER BY at LIMIT ?3)",
        (account_id, txn.keys_before, txn.limit),
    )
    more |= run.db.changes() == txn.limit
    return t.Collected(len(due), sum(row[2] for row in due), more)


def expire(run: Running, txn: t.Expire) -> t.Collected:
    """Retention of a folder. UIDs rise with the time of saving, so the oldest come first."""
    _not_held(run, txn.account)
    folder = find_folder(run, txn.account, txn.mailbox_id)
    oldest = [
        Row(*row)
        for row in run.db.execute(
            f"SELECT {ROW_COLUMNS} FROM message WHERE account_id = ? AND mailbox_id = ? AND uid NOT BETWEEN ? AND ?"
            " ORDER BY uid LIMIT ?",
            (*folder.key, folder.hidden_first, folder.hidden_last, txn.limit),
        )
    ]
    rows = [row for row in oldest if row.saved < txn.before]
    remove(run, folder, rows, keep=txn.keep)
    if rows:
        run.changed.add(txn.account)
    return t.Collected(len(rows), sum(row.size for row in rows), bool(rows) and len(rows) == txn.limit)


def prune(run: Running, txn: t.PruneTombstones) -> t.Pruned:
    """Forget tombstones; who asks for older changes is told that they are not known."""
    row = run.one(
        "UPDATE account SET floor = max(floor, min(?, modseq)) WHERE name = ? RETURNING id, floor",
        txn.before, txn.account,
    )  # fmt: skip
    if not row:
        return t.Pruned(more=False)
    account_id, floor = row
    run.db.execute(
        "DELETE FROM vanished WHERE account_id = ?1 AND (mailbox_id, modseq, first) IN"
        " (SELECT mailbox_id, modseq, first FROM vanished WHERE account_id = ?1 AND modseq < ?2 LIMIT ?3)",
        (account_id, floor, txn.limit),
    )
    more = run.db.changes() == txn.limit
    run.db.execute(
        "DELETE FROM change WHERE account_id = ?1 AND (kind, key) IN (SELECT kind, key FROM change"
        " WHERE account_id = ?1 AND modseq < ?2 AND gone LIMIT ?3)",
        (account_id, floor, txn.limit),
    )
    return t.Pruned(more or run.db.changes() == txn.limit)


def _not_held(run: Running, account: Account) -> int:
    row = run.one("SELECT id, held FROM account WHERE name = ?", account)
    if row and row[1]:
        raise StoreError(Reason.HELD, f"{account} is under legal hold")
    return int(row[0]) if row else 0
