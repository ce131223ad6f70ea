"""Accounts and folders: made, renamed, removed, subscribed."""

from __future__ import annotations

from postrider.store import names
from postrider.store import transactions as t
from postrider.store.names import INBOX, INBOX_ID
from postrider.store.sqlite.transaction import Running
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account

_IS_BELOW = "name >= ? AND name < ?"


def ensure_account(run: Running, account: Account) -> int:
    """The account's row id; the account and its default folders are made where it is new."""
    row = run.one("SELECT id FROM account WHERE name = ?", account)
    if row:
        return int(row[0])
    run.db.execute("INSERT INTO account (name) VALUES (?)", (account,))
    account_id = run.db.last_insert_rowid()
    for name, special_use in names.DEFAULT_FOLDERS:
        _insert(run, account_id, name, special_use)
        run.db.execute("INSERT INTO subscription (account_id, name) VALUES (?, ?)", (account_id, name))
    run.changed.add(account)
    return account_id


def open_account(run: Running, txn: t.OpenAccount) -> t.Done:
    """Make the account where it is missing."""
    ensure_account(run, txn.account)
    return t.Done()


def next_modseq(run: Running, account_id: int) -> int:
    """Allocate a modseq of the account."""
    row = run.one("UPDATE account SET modseq = modseq + 1 WHERE id = ? RETURNING modseq", account_id)
    return int(row[0])


def next_uidvalidity(run: Running) -> int:
    """A UIDVALIDITY no folder ever had: later than the last one given, and near the clock (RFC 9051 §2.3.1.1)."""
    row = run.one("UPDATE sequence SET value = max(value + 1, ?) WHERE name = 'uidvalidity' RETURNING value", run.now)
    return int(row[0])


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
    """DELETE: the row goes now, the messages a slice at a time afterwards."""
    account_id, name = named(run, txn.account, txn.mailbox_id)
    if txn.mailbox_id == INBOX_ID:
        raise StoreError(Reason.INVALID, "INBOX cannot be deleted")
    if run.one(f"SELECT 1 FROM mailbox WHERE account_id = ? AND {_IS_BELOW}", account_id, *_below(name)):
        raise StoreError(Reason.INVALID, "the folder has folders below it")
    row = run.one(
        "DELETE FROM mailbox WHERE account_id = ? AND id = ? RETURNING bytes, messages", account_id, txn.mailbox_id
    )
    run.db.execute(
        "UPDATE account SET modseq = modseq + 1, bytes = bytes - ?, messages = messages - ? WHERE id = ?",
        (*row, account_id),
    )
    run.db.execute("INSERT INTO doomed (account_id, mailbox_id) VALUES (?, ?)", (account_id, txn.mailbox_id))
    run.doomed = True
    run.changed.add(txn.account)
    return t.Done()


def rename(run: Running, txn: t.RenameMailbox) -> t.Done:
    """RENAME, with the folders below; ids, UIDs and UIDVALIDITY go along (RFC 9051 §6.3.6)."""
    account_id, old = named(run, txn.account, txn.mailbox_id)
    new = names.canonical(txn.name)
    if _find(run, account_id, new):
        raise StoreError(Reason.EXISTS)
    if new.startswith(old + names.SEPARATOR) and old != INBOX:
        raise StoreError(Reason.INVALID, "a folder cannot go below itself")
    run.changed.add(txn.account)
    if txn.mailbox_id == INBOX_ID:
        _move_inbox(run, account_id, new)
        return t.Done()
    for parent in names.parents(new):
        if not _find(run, account_id, parent):
            _insert(run, account_id, parent, "")
    low, high = _below(old)
    moved = run.db.execute(
        f"SELECT id, name FROM mailbox WHERE account_id = ? AND (id = ? OR {_IS_BELOW})",
        (account_id, txn.mailbox_id, low, high),
    ).fetchall()
    for mailbox_id, name in moved:
        longer = names.canonical(new + str(name)[len(old) :])
        run.db.execute("UPDATE mailbox SET name = ? WHERE account_id = ? AND id = ?", (longer, account_id, mailbox_id))
    next_modseq(run, account_id)
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
    next_modseq(run, account_id)
    run.changed.add(txn.account)
    return t.Done()


def touch_recent(run: Running, txn: t.TouchRecent) -> t.Recent:
    r"""A session takes what is \Recent (RFC 3501 §2.3.2)."""
    account_id, _ = named(run, txn.account, txn.mailbox_id)
    row = run.one("SELECT recent, uidnext FROM mailbox WHERE account_id = ? AND id = ?", account_id, txn.mailbox_id)
    if row[0] != row[1]:
        run.db.execute(
            "UPDATE mailbox SET recent = uidnext WHERE account_id = ? AND id = ?", (account_id, txn.mailbox_id)
        )
    return t.Recent(int(row[0]), int(row[1]))


def named(run: Running, account: Account, mailbox_id: int) -> tuple[int, str]:
    """The account's row id and the folder's name. Raises StoreError(NO_MAILBOX)."""
    account_id = ensure_account(run, account)
    row = run.one("SELECT name FROM mailbox WHERE account_id = ? AND id = ?", account_id, mailbox_id)
    if not row:
        raise StoreError(Reason.NO_MAILBOX)
    return account_id, str(row[0])


def _find(run: Running, account_id: int, name: str) -> int | None:
    row = run.one("SELECT id FROM mailbox WHERE account_id = ? AND name = ?", account_id, name)
    return int(row[0]) if row else None


def _below(name: str) -> tuple[str, str]:
    """The range of names below a folder: from "name/" up to the character that follows "/"."""
    return name + names.SEPARATOR, name + chr(ord(names.SEPARATOR) + 1)


def _insert_with_parents(run: Running, account_id: int, name: str, special_use: str) -> t.Made:
    for parent in names.parents(name):
        if not _find(run, account_id, parent):
            _insert(run, account_id, parent, "")
    row = run.one("SELECT count(*) FROM mailbox WHERE account_id = ?", account_id)
    if row and int(row[0]) >= names.MAX_MAILBOXES:
        raise StoreError(Reason.INVALID, f"at most {names.MAX_MAILBOXES} folders")
    return _insert(run, account_id, name, special_use)


def _insert(run: Running, account_id: int, name: str, special_use: str) -> t.Made:
    row = run.one(
        "UPDATE account SET modseq = modseq + 1, next_mailbox = next_mailbox + 1 WHERE id = ?"
        " RETURNING next_mailbox - 1, modseq",
        account_id,
    )
    mailbox_id, modseq = row
    uidvalidity = next_uidvalidity(run)
    object_id = f"F{uidvalidity:x}"  # RFC 8474 §4.1: no other folder ever has it, and RENAME keeps it
    run.db.execute(
        "INSERT INTO mailbox (account_id, id, name, uidvalidity, modseq, special_use, object_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (account_id, mailbox_id, name, uidvalidity, modseq, special_use, object_id),
    )
    return t.Made(mailbox_id, object_id)


def _move_inbox(run: Running, account_id: int, name: str) -> None:
    """RENAME of INBOX: its messages go to a new folder and it stays, empty (RFC 9051 §6.3.6)."""
    made = _insert_with_parents(run, account_id, name, "")
    modseq = next_modseq(run, account_id)
    inbox = (account_id, INBOX_ID)
    # A new UIDVALIDITY comes with the new folder, so the UIDs may stay.
    run.db.execute(
        "UPDATE mailbox SET (uidnext, recent, messages, unseen, deleted, bytes) ="
        " (SELECT uidnext, recent, messages, unseen, deleted, bytes FROM mailbox WHERE account_id = ? AND id = ?),"
        " modseq = ? WHERE account_id = ? AND id = ?",
        (*inbox, modseq, account_id, made.id),
    )
    row = run.one("SELECT min(uid), max(uid) FROM message WHERE account_id = ? AND mailbox_id = ?", *inbox)
    if row[0] is not None:
        run.db.execute(
            "INSERT INTO vanished (account_id, mailbox_id, modseq, first, last) VALUES (?, ?, ?, ?, ?)",
            (*inbox, modseq, *row),
        )
    run.db.execute(
        "UPDATE message SET mailbox_id = ?, modseq = ? WHERE account_id = ? AND mailbox_id = ?",
        (made.id, modseq, *inbox),
    )
    run.db.execute(
        "UPDATE mailbox SET messages = 0, unseen = 0, deleted = 0, bytes = 0, modseq = ?"
        " WHERE account_id = ? AND id = ?",
        (modseq, *inbox),
    )
