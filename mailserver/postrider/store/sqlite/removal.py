"""What goes away: blobs nobody needs, emails in no folder, and the rows of removed folders, a slice at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from postrider.store import transactions as t
from postrider.store.sqlite.transaction import Running

#: Messages of a removed folder that are cleared away between two batches.
SLICE = 200


def release_blob(run: Running, blob_id: int) -> None:
    """One user less; without any the record is dead weight in its pack."""
    row = run.one("UPDATE blob SET refs = refs - 1 WHERE id = ? RETURNING refs, pack, stored", blob_id)
    if row and row[0] <= 0:
        run.db.execute("DELETE FROM blob WHERE id = ?", (blob_id,))
        run.db.execute("UPDATE pack SET dead = dead + ? WHERE id = ?", (row[2], row[1]))


def release_email(run: Running, account_id: int, email_id: int) -> None:
    """One folder less that holds it; in none, it goes with its body and the thread keys it brought."""
    row = run.one("UPDATE email SET refs = refs - 1 WHERE id = ? RETURNING refs, blob_id, thread_keys", email_id)
    if not row or row[0] > 0:
        return
    run.db.execute("DELETE FROM email WHERE id = ?", (email_id,))
    release_blob(run, row[1])
    for key in msgspec.msgpack.decode(row[2]) if row[2] else ():
        run.db.execute("DELETE FROM thread_key WHERE account_id = ? AND key = ?", (account_id, key))


def ranges(uids: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending UIDs as (first, last) runs."""
    found: list[tuple[int, int]] = []
    for uid in uids:
        if found and uid == found[-1][1] + 1:
            found[-1] = (found[-1][0], uid)
        else:
            found.append((uid, uid))
    return found


def bury(run: Running, account_id: int, mailbox_id: int, modseq: int, uids: Sequence[int]) -> None:
    """Tombstones for UIDs in ascending order."""
    run.db.executemany(
        "INSERT INTO vanished (account_id, mailbox_id, modseq, first, last) VALUES (?, ?, ?, ?, ?)",
        [(account_id, mailbox_id, modseq, first, last) for first, last in ranges(uids)],
    )


def release_account(run: Running, txn: t.Release) -> t.Done:
    """Remove an account; its name is free at once, its rows go a slice at a time."""
    row = run.one("DELETE FROM account WHERE name = ? RETURNING id", txn.account)
    if row:
        run.db.execute(
            "INSERT INTO doomed (account_id, mailbox_id) SELECT account_id, id FROM mailbox WHERE account_id = ?", row
        )
        for table in ("mailbox", "subscription"):
            run.db.execute(f"DELETE FROM {table} WHERE account_id = ?", row)
        run.doomed = True
        run.changed.add(txn.account)
    return t.Done()


def clear_slice(run: Running) -> bool:
    """Clear away some rows of removed folders; False when there was nothing to do."""
    doomed = run.one("SELECT account_id, mailbox_id FROM doomed LIMIT 1")
    if not doomed:
        return False
    gone: Any = run.db.execute(
        "DELETE FROM message WHERE account_id = ?1 AND mailbox_id = ?2 AND uid IN"
        " (SELECT uid FROM message WHERE account_id = ?1 AND mailbox_id = ?2 LIMIT ?3) RETURNING email_id",
        (*doomed, SLICE),
    ).fetchall()
    for (email_id,) in gone:
        release_email(run, doomed[0], email_id)
    if len(gone) < SLICE:
        run.db.execute("DELETE FROM vanished WHERE account_id = ? AND mailbox_id = ?", doomed)
        run.db.execute("DELETE FROM doomed WHERE account_id = ? AND mailbox_id = ?", doomed)
    return True
