"""What sessions do with messages: copy, move, flags, expunge. Each works on the slice of UIDs it was given."""

from __future__ import annotations

import json
from collections.abc import Sequence

from postrider.store import transactions as t
from postrider.store.cells import Cell
from postrider.store.keywords import distinct, edited
from postrider.store.sqlite.accounts import Folder, charge, ensure_account, find_folder, next_modseq
from postrider.store.sqlite.delivery import Coming, add
from postrider.store.sqlite.removal import ROW_COLUMNS, Row, Weights, discard, recount, take_out, weigh
from postrider.store.sqlite.transaction import DELETED, SEEN, Running
from postrider.store.staged import LAST_UID, no_uids
from postrider.store.transactions import FlagChange, Reason, StoreError

#: Of the UIDs in a JSON list those that are there for anybody.
THESE = (
    "account_id = ? AND mailbox_id = ? AND uid IN (SELECT value FROM json_each(?)) AND uid NOT BETWEEN ? AND ?"
)  # fmt: skip


def rows_of(run: Running, folder: Folder, uids: Sequence[int], more: str = "") -> list[Row]:
    """The rows of these UIDs in order, as far as they are there."""
    rows = run.db.execute(f"SELECT {ROW_COLUMNS} FROM message WHERE {THESE} {more} ORDER BY uid", _these(folder, uids))
    return [Row(*row) for row in rows]


def copy(run: Running, txn: t.Copy) -> t.Uids:
    """COPY and MOVE: all or none; EMAILID stays, flags and dates go along (RFC 9051 §6.4.7, RFC 8474 §5.1)."""
    source = find_folder(run, txn.account, txn.mailbox_id)
    target = find_folder(run, txn.account, txn.target_id)
    rows = rows_of(run, source, txn.uids)
    if rows and not txn.move:
        size = sum(row.size for row in rows)
        charge(run, source.account_id, len(rows), size, (txn.quota_bytes, txn.domain_quota_bytes))
    modseq = next_modseq(run, source.account_id) if rows else 0
    done = put_in(run, target, modseq, rows)
    if txn.move and rows:
        take_out(run, source, modseq, rows)
    run.changed.add(txn.account)
    return t.Uids(done.uidvalidity, done.target, tuple(row.uid for row in rows), done.modseq)


def put_in(run: Running, folder: Folder, modseq: int, rows: Sequence[Row]) -> t.Uids:
    """Rows get UIDs in a folder, in their order. Hidden UIDs are passed over: what is hidden there is overtaken."""
    uidvalidity, first, old_modseq = run.one(
        "SELECT uidvalidity, uidnext, modseq FROM mailbox WHERE account_id = ? AND id = ?", *folder.key
    )
    if not rows:
        return t.Uids(uidvalidity, (), (), old_modseq)
    if first < folder.hidden_first < first + len(rows):
        first = folder.hidden_last + 1
    uids = range(first, first + len(rows))
    if uids.stop > LAST_UID:
        raise no_uids()
    run.db.executemany(
        "INSERT INTO message (account_id, mailbox_id, uid, email_id, modseq, created, flags, keywords, size, saved)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9)",
        [
            (*folder.key, uid, row.email_id, modseq, row.flags, row.keywords, row.size, run.now)
            for uid, row in zip(uids, rows, strict=True)
        ],
    )
    uidnext = folder.hidden_last + 1 if uids.stop == folder.hidden_first else uids.stop
    run.db.execute("UPDATE mailbox SET uidnext = ? WHERE account_id = ? AND id = ?", (uidnext, *folder.key))
    recount(run, folder, modseq, weigh(rows))
    return t.Uids(uidvalidity, tuple(uids), (), modseq)


def set_flags(run: Running, txn: t.SetFlags) -> t.FlagsSet:
    """STORE: messages whose flags do not change keep their modseq (RFC 7162 §3.1.3)."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    change = _Change(txn)
    seen_by = _seen_by(run, folder, txn) if txn.grantee else {}
    modified: list[int] = []
    updates: list[tuple[int, str, int]] = []
    own: list[tuple[int, bool]] = []
    unseen = deleted = deleted_bytes = 0
    for uid, modseq, flags, keywords, size in run.db.execute(
        f"SELECT uid, modseq, flags, keywords, size FROM message WHERE {THESE} ORDER BY uid", _these(folder, txn.uids)
    ):
        seen, seen_modseq = seen_by.get(uid, (False, 0))
        if txn.unchanged_since is not None and max(modseq, seen_modseq) > txn.unchanged_since:
            modified.append(uid)
            continue
        if txn.grantee and change.seen(seen=seen) != seen:
            own.append((uid, not seen))
        new_flags, new_keywords = change.apply(flags, keywords)
        if (new_flags, new_keywords) == (flags, keywords):
            continue
        updates.append((new_flags, new_keywords, uid))
        unseen += (not new_flags & SEEN) - (not flags & SEEN)
        moved = bool(new_flags & DELETED) - bool(flags & DELETED)
        deleted += moved
        deleted_bytes += moved * size
    if not updates and not own:
        row = run.one("SELECT modseq FROM mailbox WHERE account_id = ? AND id = ?", *folder.key)
        return t.FlagsSet(row[0], tuple(modified))
    modseq = next_modseq(run, folder.account_id)
    run.db.executemany(
        "UPDATE message SET flags = ?, keywords = ?, modseq = ? WHERE account_id = ? AND mailbox_id = ? AND uid = ?",
        [(flags, keywords, modseq, *folder.key, uid) for flags, keywords, uid in updates],
    )
    run.db.executemany(
        "INSERT INTO seen (account_id, mailbox_id, uid, grantee, seen, modseq) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
        " ON CONFLICT (account_id, mailbox_id, uid, grantee) DO UPDATE SET seen = ?5, modseq = ?6",
        [(*folder.key, uid, txn.grantee, seen, modseq) for uid, seen in own],
    )
    recount(run, folder, modseq, Weights(0, unseen, deleted, 0, deleted_bytes))
    run.changed.add(txn.account)
    return t.FlagsSet(modseq, tuple(modified))


class _Change:
    r"""What a STORE does to flags. A grantee's \Seen is not the message's (RFC 4314 §4)."""

    def __init__(self, txn: t.SetFlags) -> None:
        self._way = txn.change
        self._seen = bool(txn.flags & SEEN)
        flags = int(txn.flags)  # a plain number: arithmetic on enum members costs ten times as much
        self._flags = flags & ~SEEN if txn.grantee else flags
        self._stays = SEEN if txn.grantee else 0
        self._wanted = distinct(txn.keywords)
        self._keywords = " ".join(self._wanted)

    def seen(self, *, seen: bool) -> bool:
        r"""A grantee's \Seen after it."""
        if self._way is FlagChange.REPLACE:
            return self._seen
        return self._way is FlagChange.ADD if self._seen else seen

    def apply(self, flags: int, keywords: str) -> tuple[int, str]:
        """A message's flags and keywords after it."""
        if self._way is FlagChange.REPLACE:
            flags = self._flags | flags & self._stays
        elif self._way is FlagChange.ADD:
            flags |= self._flags
        else:
            flags &= ~self._flags
        return flags, self._words(keywords)

    def _words(self, keywords: str) -> str:
        if self._keywords == (keywords if self._way is FlagChange.REPLACE else ""):
            return keywords
        return " ".join(edited(keywords.split(), self._way, self._wanted))


def _seen_by(run: Running, folder: Folder, txn: t.SetFlags) -> dict[int, tuple[bool, int]]:
    rows = run.db.execute(
        "SELECT uid, seen, modseq FROM seen WHERE account_id = ? AND mailbox_id = ? AND grantee = ?"
        " AND uid IN (SELECT value FROM json_each(?))",
        (*folder.key, txn.grantee, json.dumps(txn.uids)),
    )
    return {uid: (bool(seen), modseq) for uid, seen, modseq in rows}


def replace(run: Running, txn: t.Replace) -> t.Uids:
    """REPLACE: the new message is there and the old one gone, at once (RFC 8508 §3.3)."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    target = find_folder(run, txn.account, txn.target_id)
    rows = rows_of(run, folder, (txn.uid,))
    if not rows:
        raise StoreError(Reason.NO_MESSAGE, "the message to be replaced is gone")
    remove(run, folder, rows, keep=txn.keep)
    coming = Coming(txn.message, run.places[0], (txn.quota_bytes, txn.domain_quota_bytes))
    uid = add(run, txn.account, target, coming)
    row = run.one("SELECT uidvalidity, modseq FROM mailbox WHERE account_id = ? AND id = ?", *target.key)
    return t.Uids(row[0], (uid,), (txn.uid,), row[1])


def expunge(run: Running, txn: t.Expunge) -> t.Expunged:
    r"""EXPUNGE and UID EXPUNGE: those of the UIDs that carry \Deleted."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    rows = rows_of(run, folder, txn.uids, f"AND flags & {DELETED}")
    modseq = remove(run, folder, rows, keep=txn.keep)
    if rows:
        run.changed.add(txn.account)
    return t.Expunged(modseq, tuple(row.uid for row in rows))


def remove(run: Running, folder: Folder, rows: Sequence[Row], *, keep: bool) -> int:
    """Rows in ascending order leave a folder and the account; returns the folder's modseq."""
    if not rows:
        return int(run.one("SELECT modseq FROM mailbox WHERE account_id = ? AND id = ?", *folder.key)[0])
    modseq = next_modseq(run, folder.account_id)
    take_out(run, folder, modseq, rows)
    charge(run, folder.account_id, -len(rows), -sum(row.size for row in rows), (0, 0))
    discard(run, folder, modseq, rows, keep=keep)
    return modseq


def recache(run: Running, txn: t.Recache) -> t.Done:
    """Another parse version's result; ids that are gone are passed over."""
    account_id = ensure_account(run, txn.account)
    (key_id,) = run.one("SELECT key_id FROM account WHERE id = ?", account_id)
    for email_id, cached in txn.cached:
        row = run.one("SELECT blob_id FROM email WHERE id = ? AND account_id = ?", number(email_id), account_id)
        if row:
            kept = run.sealed(txn.account, Cell.CACHED, row[0], cached) if key_id else cached
            run.db.execute("UPDATE email SET cached = ? WHERE id = ?", (kept, number(email_id)))
    return t.Done()


def number(object_id: str) -> int:
    """The number in an EMAILID or THREADID, -1 for what is none."""
    try:
        found = int(object_id[1:], 16)
    except ValueError:
        return -1
    return found if found < 1 << 63 else -1


def _these(folder: Folder, uids: Sequence[int]) -> tuple[object, ...]:
    return *folder.key, json.dumps(uids), folder.hidden_first, folder.hidden_last
