"""Folders: made, renamed, removed, subscribed."""

from __future__ import annotations

from postrider.store import names
from postrider.store import transactions as t
from postrider.store.names import INBOX, INBOX_ID
from postrider.store.sqlite import removal
from postrider.store.sqlite.accounts import ensure_account, find_folder, insert_folder, next_modseq, note
from postrider.store.sqlite.transaction import Running
from postrider.store.transactions import Reason, StoreError

_IS_BELOW = "name >= ? AND name < ?"


def create(run: Running, txn: t.CreateMailbox) -> t.Made:
    """CREATE, with the parents that are missing (RFC 9051 §6.3.4)."""
    account_id = ensure_account(run, txn.account)
    name = names.canonical(txn.name)
    if _find(run, account_id, name):
        raise StoreError(Reason.EXISTS)
    made = _insert_with_parents(run, account_id, name, txn.special_use)
    run.changed.add(txn.account)
    return made


def delete(run: Running, txn: t.DeleteMailbox) -> t.Done:
    """DELETE: the folder goes now, and of its messages a slice; more of them afterwards."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    account_id = folder.account_id
    if folder.id == INBOX_ID:
        raise StoreError(Reason.INVALID, "INBOX cannot be deleted")
    if run.one(f"SELECT 1 FROM mailbox WHERE account_id = ? AND {_IS_BELOW}", account_id, *_below(folder.name)):
        raise StoreError(Reason.HAS_CHILDREN, "the folder has folders below it")
    octets, messages, uidnext = run.one(
        "DELETE FROM mailbox WHERE account_id = ? AND id = ? RETURNING bytes, messages, uidnext", *folder.key
    )
    (modseq,) = run.one(
        "UPDATE account SET modseq = modseq + 1, bytes = bytes - ?, messages = messages - ? WHERE id = ?"
        " RETURNING modseq",
        octets, messages, account_id,
    )  # fmt: skip
    for table in ("rights", "annotation"):
        run.db.execute(f"DELETE FROM {table} WHERE account_id = ? AND mailbox_id = ?", folder.key)
    run.db.execute("DELETE FROM staged WHERE account_id = ? AND target_id = ?", folder.key)
    note(run, account_id, modseq, "mailbox", str(folder.id), gone=True)
    removal.doom(run, folder, modseq, keep=(txn.keep or folder.held) and uidnext > 1)
    run.changed.add(txn.account)
    return t.Done()


def rename(run: Running, txn: t.RenameMailbox) -> t.Done:
    """RENAME, with the folders below; ids, UIDs and UIDVALIDITY go along (RFC 9051 §6.3.6)."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    account_id, old = folder.account_id, folder.name
    new = names.canonical(txn.name)
    if _find(run, account_id, new):
        raise StoreError(Reason.EXISTS)
    if new.startswith(old + names.SEPARATOR) and old != INBOX:
        raise StoreError(Reason.INVALID, "a folder cannot go below itself")
    run.changed.add(txn.account)
    if txn.mailbox_id == INBOX_ID:
        _move_inbox(run, account_id, new)
        return t.Done()
    _insert_parents(run, account_id, new)
    low, high = _below(old)
    moved = run.db.execute(
        f"SELECT id, name FROM mailbox WHERE account_id = ? AND (id = ? OR {_IS_BELOW})",
        (account_id, txn.mailbox_id, low, high),
    ).fetchall()
    modseq = next_modseq(run, account_id)
    for mailbox_id, name in moved:
        longer = names.canonical(new + str(name)[len(old) :])
        run.db.execute(
            "UPDATE mailbox SET name = ?, changed = ? WHERE account_id = ? AND id = ?",
            (longer, modseq, account_id, mailbox_id),
        )
    note(run, account_id, modseq, "mailbox", *(str(mailbox_id) for mailbox_id, _ in moved))
    return t.Done()


def set_role(run: Running, txn: t.SetRole) -> t.Done:
    """A special use is one folder's (RFC 6154 §2 allows more, clients do not expect it)."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    modseq = next_modseq(run, folder.account_id)
    changed = run.db.execute(
        "UPDATE mailbox SET special_use = iif(id = ?2, ?3, ''), changed = ?4 WHERE account_id = ?1"
        " AND (id = ?2 OR (?3 != '' AND special_use = ?3)) RETURNING id",
        (*folder.key, txn.special_use, modseq),
    ).fetchall()
    note(run, folder.account_id, modseq, "mailbox", *(str(mailbox_id) for (mailbox_id,) in changed))
    run.changed.add(txn.account)
    return t.Done()


def subscribe(run: Running, txn: t.Subscribe) -> t.Done:
    """SUBSCRIBE and UNSUBSCRIBE; the folder need not be there (RFC 9051 §6.3.7)."""
    account_id = ensure_account(run, txn.account)
    name = names.canonical(txn.name)
    if txn.subscribed:
        row = run.one("SELECT count(*) FROM subscription WHERE account_id = ?", account_id)
        if row and int(row[0]) >= names.MAX_MAILBOXES:
            raise StoreError(Reason.INVALID, f"at most {names.MAX_MAILBOXES} subscriptions")
        run.db.execute("INSERT OR IGNORE INTO subscription (account_id, name) VALUES (?, ?)", (account_id, name))
    else:
        run.db.execute("DELETE FROM subscription WHERE account_id = ? AND name = ?", (account_id, name))
    if run.db.changes():
        note(run, account_id, next_modseq(run, account_id), "subscription", name, gone=not txn.subscribed)
        run.changed.add(txn.account)
    return t.Done()


def touch_recent(run: Running, txn: t.TouchRecent) -> t.Recent:
    r"""A session takes what is \Recent (RFC 3501 §2.3.2)."""
    folder = find_folder(run, txn.account, txn.mailbox_id)
    row = run.one("SELECT recent, uidnext FROM mailbox WHERE account_id = ? AND id = ?", *folder.key)
    if row[0] != row[1]:
        run.db.execute("UPDATE mailbox SET recent = uidnext WHERE account_id = ? AND id = ?", folder.key)
    return t.Recent(int(row[0]), int(row[1]))


def _find(run: Running, account_id: int, name: str) -> int | None:
    row = run.one("SELECT id FROM mailbox WHERE account_id = ? AND name = ?", account_id, name)
    return int(row[0]) if row else None


def _below(name: str) -> tuple[str, str]:
    """The range of names below a folder: from "name/" up to the character that follows "/"."""
    return name + names.SEPARATOR, name + chr(ord(names.SEPARATOR) + 1)


def _insert_with_parents(run: Running, account_id: int, name: str, special_use: str) -> t.Made:
    _insert_parents(run, account_id, name, more=1)
    return insert_folder(run, account_id, name, special_use)


def _insert_parents(run: Running, account_id: int, name: str, more: int = 0) -> None:
    """Make the parents that are missing, where there is room for them and so many more."""
    for parent in names.parents(name):
        if not _find(run, account_id, parent):
            insert_folder(run, account_id, parent, "")
    if run.one("SELECT count(*) FROM mailbox WHERE account_id = ?", account_id)[0] + more > names.MAX_MAILBOXES:
        raise StoreError(Reason.INVALID, f"at most {names.MAX_MAILBOXES} folders")


def _move_inbox(run: Running, account_id: int, name: str) -> None:
    """RENAME of INBOX: its messages go to a new folder and it stays, empty (RFC 9051 §6.3.6)."""
    made = _insert_with_parents(run, account_id, name, "")
    modseq = next_modseq(run, account_id)
    inbox = (account_id, INBOX_ID)
    hidden = run.one("SELECT hidden_first, hidden_last FROM mailbox WHERE account_id = ? AND id = ?", *inbox)
    # A new UIDVALIDITY comes with the new folder, so the UIDs may stay.
    run.db.execute(
        "UPDATE mailbox SET (uidnext, recent, messages, unseen, deleted, bytes, deleted_bytes) ="
        " (SELECT uidnext, recent, messages, unseen, deleted, bytes, deleted_bytes FROM mailbox"
        " WHERE account_id = ? AND id = ?), modseq = ? WHERE account_id = ? AND id = ?",
        (*inbox, modseq, account_id, made.id),
    )
    run.db.execute(
        "INSERT INTO vanished (account_id, mailbox_id, modseq, first, last)"
        " SELECT ?1, ?2, ?3, min(uid), max(uid) FROM (SELECT uid, uid - row_number() OVER (ORDER BY uid) AS run"
        " FROM message WHERE account_id = ?1 AND mailbox_id = ?2 AND uid NOT BETWEEN ?4 AND ?5) GROUP BY run",
        (*inbox, modseq, *hidden),
    )
    run.db.execute(
        "UPDATE message SET mailbox_id = ?3, modseq = ?4, created = ?4 WHERE account_id = ?1 AND mailbox_id = ?2"
        " AND uid NOT BETWEEN ?5 AND ?6",
        (*inbox, made.id, modseq, *hidden),
    )
    run.db.execute("DELETE FROM seen WHERE account_id = ? AND mailbox_id = ?", inbox)
    run.db.execute(
        "UPDATE mailbox SET messages = 0, unseen = 0, deleted = 0, bytes = 0, deleted_bytes = 0, modseq = ?"
        " WHERE account_id = ? AND id = ?",
        (modseq, *inbox),
    )
