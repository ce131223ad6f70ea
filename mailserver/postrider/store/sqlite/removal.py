"""What goes away: messages out of their folder, emails in no folder, blobs nobody needs; large things in slices."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from postrider.model.runs import runs_of
from postrider.store.sqlite.accounts import Folder, next_modseq, note, trim_log
from postrider.store.sqlite.transaction import DELETED, SEEN, Running

#: Messages of a removed folder that are cleared away at once, with it; the others go between batches.
SLICE = 200
#: Seconds after which a copy that nobody stages for is given up.
STALE = 3600

_LISTED = "(SELECT value FROM json_each(?))"


class Row(NamedTuple):
    """A row of `message`, the columns that go along when it leaves its folder."""

    uid: int
    email_id: int
    flags: int
    keywords: str
    size: int
    saved: int


ROW_COLUMNS = "uid, email_id, flags, keywords, size, saved"


class Weights(NamedTuple):
    """What rows count for in a folder's counters."""

    messages: int
    unseen: int
    deleted: int
    bytes: int
    deleted_bytes: int

    def negative(self) -> Weights:
        """The same, going."""
        return Weights(*(-weight for weight in self))


def weigh(rows: Iterable[Row]) -> Weights:
    """What these rows count for."""
    messages = unseen = deleted = octets = deleted_octets = 0
    for row in rows:
        messages += 1
        unseen += not row.flags & SEEN
        octets += row.size
        if row.flags & DELETED:
            deleted += 1
            deleted_octets += row.size
    return Weights(messages, unseen, deleted, octets, deleted_octets)


def recount(run: Running, folder: Folder, modseq: int, weights: Weights) -> None:
    """Change a folder's counters and its modseq."""
    run.db.execute(
        "UPDATE mailbox SET modseq = ?, messages = messages + ?, unseen = unseen + ?, deleted = deleted + ?,"
        " bytes = bytes + ?, deleted_bytes = deleted_bytes + ? WHERE account_id = ? AND id = ?",
        (modseq, *weights, *folder.key),
    )


def take_out(run: Running, folder: Folder, modseq: int, rows: Sequence[Row]) -> None:
    """Rows in ascending order leave a folder: tombstones, counters. What becomes of their emails is another matter."""
    uids = [row.uid for row in rows]
    run.db.execute(
        f"DELETE FROM message WHERE account_id = ? AND mailbox_id = ? AND uid IN {_LISTED}",
        (*folder.key, json.dumps(uids)),
    )
    runs = runs_of(uids)
    run.db.executemany(
        "INSERT INTO vanished (account_id, mailbox_id, modseq, first, last) VALUES (?, ?, ?, ?, ?)",
        [(*folder.key, modseq, first, last) for first, last in runs],
    )
    run.db.executemany(
        "DELETE FROM seen WHERE account_id = ? AND mailbox_id = ? AND uid BETWEEN ? AND ?",
        [(*folder.key, first, last) for first, last in runs],
    )
    recount(run, folder, modseq, weigh(rows).negative())
    trim_log(run, folder.account_id)


def discard(run: Running, folder: Folder, modseq: int, rows: Sequence[Row], *, keep: bool) -> None:
    """Rows that have left a folder for good: their emails are kept for the undelete window, or go."""
    emails = [row.email_id for row in rows]
    _note_destroyed(run, folder.account_id, modseq, emails)
    if keep or folder.held:
        keep_rows(run, folder.key, rows, run.now)
    else:
        release_emails(run, folder.account_id, emails)


def keep_rows(run: Running, key: tuple[int, int], rows: Iterable[Row], at: int) -> None:
    """Into the undelete window, as of a time."""
    run.db.executemany(
        f"INSERT INTO expunged (account_id, mailbox_id, {ROW_COLUMNS}, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(*key, *row, at) for row in rows],
    )


def release_emails(run: Running, account_id: int, emails: Sequence[int]) -> None:
    """Emails that no folder and no undelete window needs go, with their bodies and the thread keys they brought."""
    gone: Any = run.db.execute(
        f"DELETE FROM email WHERE id IN {_LISTED} AND account_id = ?"
        " AND NOT EXISTS (SELECT 1 FROM message WHERE message.account_id = email.account_id AND email_id = email.id)"
        " AND NOT EXISTS (SELECT 1 FROM expunged WHERE expunged.account_id = email.account_id AND email_id = email.id)"
        " RETURNING blob_id, thread_keys",
        (json.dumps(emails), account_id),
    ).fetchall()
    release_blobs(run, [blob_id for blob_id, _ in gone])
    run.db.executemany(
        "DELETE FROM thread_key WHERE account_id = ? AND key = ?",
        [(account_id, key) for _, keys in gone if keys for key in msgspec.msgpack.decode(keys)],
    )


def release_blobs(run: Running, blob_ids: Sequence[int]) -> None:
    """One user less each; those without any are dead weight in their packs."""
    run.db.executemany("UPDATE blob SET refs = refs - 1 WHERE id = ?", [(blob_id,) for blob_id in blob_ids])
    dead: Any = run.db.execute(
        f"DELETE FROM blob WHERE id IN {_LISTED} AND refs <= 0 RETURNING pack, stored", (json.dumps(blob_ids),)
    ).fetchall()
    weights: Counter[int] = Counter()
    for pack, stored in dead:
        weights[pack] += stored
    run.db.executemany("UPDATE pack SET dead = dead + ?2 WHERE id = ?1", list(weights.items()))


# -- in slices -----------------------------------------------------------------------------------------------------


def doom(run: Running, folder: Folder, modseq: int, *, keep: bool) -> None:
    """A folder's row is gone: its messages go too, a slice of them now."""
    if keep:
        run.db.execute(
            "INSERT INTO former (account_id, mailbox_id, name, at) VALUES (?, ?, ?, ?)",
            (*folder.key, folder.name, run.now),
        )
    kept = run.now if keep else 0
    run.db.execute(
        "INSERT INTO doomed (account_id, mailbox_id, kept, hidden_first, hidden_last) VALUES (?, ?, ?, ?, ?)",
        (*folder.key, kept, folder.hidden_first, folder.hidden_last),
    )
    run.doomed |= _clear_folder(run, folder, kept, modseq, SLICE)


def clear_slice(run: Running, size: int) -> bool:
    """Clear away about `size` rows of what was removed; False when there was nothing to do."""
    doomed = run.one("SELECT account_id, mailbox_id, kept, hidden_first, hidden_last FROM doomed LIMIT 1")
    if not doomed:
        return clear_copy(run, size)
    account_id, mailbox_id, kept, *hidden = doomed
    if mailbox_id:
        _clear_folder(run, Folder(account_id, mailbox_id, "", False, *hidden), kept, 0, size)
    else:
        _clear_account(run, account_id, size)
    return True


def _clear_folder(run: Running, folder: Folder, kept: int, modseq: int, size: int) -> bool:
    """A slice of a removed folder's rows, messages in the undelete window from `kept` on if not 0; true for more."""
    rows = [
        Row(*row)
        for row in run.db.execute(
            "DELETE FROM message WHERE account_id = ?1 AND mailbox_id = ?2 AND uid IN"
            f" (SELECT uid FROM message WHERE account_id = ?1 AND mailbox_id = ?2 LIMIT ?3) RETURNING {ROW_COLUMNS}",
            (*folder.key, size),
        )
    ]
    emails = [row.email_id for row in rows]
    _note_destroyed(run, folder.account_id, modseq, emails)
    if kept:
        rows.sort()
        seen = (row for row in rows if not folder.hidden_first <= row.uid <= folder.hidden_last)
        keep_rows(run, folder.key, seen, kept)
    release_emails(run, folder.account_id, emails)
    if len(rows) == size:
        return True
    for table, rest in (("vanished", "modseq, first"), ("seen", "uid, grantee")):
        run.db.execute(
            f"DELETE FROM {table} WHERE account_id = ?1 AND mailbox_id = ?2 AND ({rest}) IN"
            f" (SELECT {rest} FROM {table} WHERE account_id = ?1 AND mailbox_id = ?2 LIMIT ?3)",
            (*folder.key, size),
        )
        if run.db.changes() == size:
            return True
    run.db.execute("DELETE FROM doomed WHERE account_id = ? AND mailbox_id = ?", folder.key)
    return False


def _clear_account(run: Running, account_id: int, size: int) -> None:
    """A slice of what a removed account had beside its folders."""
    gone: Any = run.db.execute(
        "DELETE FROM expunged WHERE id IN (SELECT id FROM expunged WHERE account_id = ? LIMIT ?) RETURNING email_id",
        (account_id, size),
    ).fetchall()
    release_emails(run, account_id, [email_id for (email_id,) in gone])
    left = len(gone) == size
    for table, rest in (("change", "kind, key"), ("append_key", "key")):
        run.db.execute(
            f"DELETE FROM {table} WHERE account_id = ?1 AND ({rest}) IN"
            f" (SELECT {rest} FROM {table} WHERE account_id = ?1 LIMIT ?2)",
            (account_id, size),
        )
        left |= run.db.changes() == size
    if not left:
        run.db.execute("DELETE FROM doomed WHERE account_id = ? AND mailbox_id = 0", (account_id,))


def clear_copy(run: Running, size: int = SLICE) -> bool:
    """A slice of a large copy that was given up."""
    run.db.execute("UPDATE staged SET dead = 1 WHERE dead = 0 AND touched < ?", (run.now - STALE,))
    dead = run.one(
        "SELECT staged.id, account_id, target_id, hidden_first, hidden_last FROM staged JOIN mailbox"
        " USING (account_id) WHERE mailbox.id = target_id AND dead = 1 LIMIT 1"
    )
    if not dead:
        return False
    copy_id, account_id, target_id, *hidden = dead
    gone: Any = run.db.execute(
        "DELETE FROM message WHERE account_id = ?1 AND mailbox_id = ?2 AND uid IN (SELECT uid FROM message"
        " WHERE account_id = ?1 AND mailbox_id = ?2 AND uid BETWEEN ?3 AND ?4 LIMIT ?5) RETURNING email_id",
        (account_id, target_id, *hidden, size),
    ).fetchall()
    emails = [email_id for (email_id,) in gone]
    _note_destroyed(run, account_id, 0, emails)
    release_emails(run, account_id, emails)
    if len(gone) < size:
        run.db.execute("DELETE FROM staged WHERE id = ?", (copy_id,))
        run.db.execute(
            "UPDATE mailbox SET hidden_first = 0, hidden_last = 0 WHERE account_id = ? AND id = ?",
            (account_id, target_id),
        )
    return True


def _note_destroyed(run: Running, account_id: int, modseq: int, emails: Sequence[int]) -> None:
    """Into the change log: those that no folder holds any more. With modseq 0 they get one of their own."""
    destroyed = run.db.execute(
        "SELECT value FROM json_each(?1) WHERE NOT EXISTS"
        " (SELECT 1 FROM message WHERE account_id = ?2 AND email_id = value)",
        (json.dumps(emails), account_id),
    ).fetchall()
    if not destroyed:
        return
    if not modseq:
        if not run.one("SELECT 1 FROM account WHERE id = ?", account_id):
            return  # its log went with the account
        modseq = next_modseq(run, account_id)
    note(run, account_id, modseq, "email", *(f"M{email_id:x}" for (email_id,) in destroyed), gone=True)
