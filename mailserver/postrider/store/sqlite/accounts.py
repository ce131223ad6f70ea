"""Accounts: made, found, put away; their modseqs, their change log, and the folders a transaction works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from postrider.store import names
from postrider.store import transactions as t
from postrider.store.sqlite.transaction import Running
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account

#: Entries of a change log that one transaction forgets at most; none adds as many.
_TRIMMED = 2000


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that a transaction works on. Rows with hidden UIDs are there for nobody (schema 2)."""

    account_id: int
    id: int
    name: str
    held: bool
    hidden_first: int
    hidden_last: int

    @property
    def key(self) -> tuple[int, int]:
        """What its rows begin with."""
        return self.account_id, self.id


def ensure_account(run: Running, account: Account) -> int:
    """The account's row id; the account and its default folders are made where it is new."""
    row = run.one("SELECT id FROM account WHERE name = ?", account)
    if row:
        return int(row[0])
    run.db.execute("INSERT INTO account (name) VALUES (?)", (account,))
    account_id = run.db.last_insert_rowid()
    for name, special_use in names.DEFAULT_FOLDERS:
        insert_folder(run, account_id, name, special_use)
        run.db.execute("INSERT INTO subscription (account_id, name) VALUES (?, ?)", (account_id, name))
    run.changed.add(account)
    return account_id


def open_account(run: Running, txn: t.OpenAccount) -> t.Done:
    """Make the account where it is missing."""
    ensure_account(run, txn.account)
    return t.Done()


def find_folder(run: Running, account: Account, mailbox_id: int) -> Folder:
    """A folder by its id. Raises StoreError(NO_MAILBOX)."""
    row = run.one(
        "SELECT account_id, mailbox.id, mailbox.name, held, hidden_first, hidden_last FROM account"
        " JOIN mailbox ON account_id = account.id AND mailbox.id = ? WHERE account.name = ?",
        mailbox_id, account,
    )  # fmt: skip
    if row:
        return Folder(*row)
    if run.one("SELECT 1 FROM account WHERE name = ?", account):
        raise StoreError(Reason.NO_MAILBOX)
    ensure_account(run, account)
    return find_folder(run, account, mailbox_id)


def insert_folder(run: Running, account_id: int, name: str, special_use: str) -> t.Made:
    """Make one folder."""
    mailbox_id, modseq = run.one(
        "UPDATE account SET modseq = modseq + 1, next_mailbox = next_mailbox + 1 WHERE id = ?"
        " RETURNING next_mailbox - 1, modseq",
        account_id,
    )
    uidvalidity = next_uidvalidity(run)
    mailbox_object = object_id(uidvalidity)
    run.db.execute(
        "INSERT INTO mailbox (account_id, id, name, uidvalidity, modseq, special_use, object_id, created, changed)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?5, ?5)",
        (account_id, mailbox_id, name, uidvalidity, modseq, special_use, mailbox_object),
    )
    note(run, account_id, modseq, "mailbox", str(mailbox_id))
    return t.Made(mailbox_id, mailbox_object)


def object_id(uidvalidity: int) -> str:
    """The MAILBOXID of a new folder (RFC 8474 §4.1): no other ever has it, and RENAME keeps it."""
    return f"F{uidvalidity:x}"


def next_modseq(run: Running, account_id: int) -> int:
    """Allocate a modseq of the account."""
    row = run.one("UPDATE account SET modseq = modseq + 1 WHERE id = ? RETURNING modseq", account_id)
    return int(row[0])


def next_uidvalidity(run: Running) -> int:
    """A UIDVALIDITY no folder ever had: later than the last one given, and near the clock (RFC 9051 §2.3.1.1)."""
    row = run.one("UPDATE sequence SET value = max(value + 1, ?) WHERE name = 'uidvalidity' RETURNING value", run.now)
    return int(row[0])


def note(run: Running, account_id: int, modseq: int, kind: str, *keys: str, gone: bool = False) -> None:
    """Put into the change log that these changed, or are gone (values.OtherChange)."""
    run.db.executemany(
        "INSERT INTO change (account_id, kind, key, modseq, gone) VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT (account_id, kind, key) DO UPDATE SET modseq = ?4, gone = ?5",
        [(account_id, kind, key, modseq, gone) for key in keys],
    )
    if gone:
        trim_log(run, account_id)


def trim_log(run: Running, account_id: int) -> None:
    """Where the change log has become too long the oldest of what is gone is forgotten: its floor rises."""
    size = run.one("SELECT entries FROM log_size WHERE account_id = ?", account_id)
    if not size or size[0] <= t.MAX_LOG:
        return
    row = run.one(
        "SELECT modseq FROM vanished WHERE account_id = ?1 UNION ALL"
        " SELECT modseq FROM change WHERE account_id = ?1 AND gone = 1 ORDER BY modseq LIMIT 1 OFFSET ?2",
        account_id, min(size[0] - t.MAX_LOG, _TRIMMED) - 1,
    )  # fmt: skip
    row = row and run.one(
        "UPDATE account SET floor = max(floor, min(? + 1, modseq)) WHERE id = ? RETURNING floor", row[0], account_id
    )
    if row:  # there are rows to clear away of accounts that are gone
        run.db.execute("DELETE FROM vanished WHERE account_id = ? AND modseq < ?", (account_id, row[0]))
        run.db.execute("DELETE FROM change WHERE account_id = ? AND gone = 1 AND modseq < ?", (account_id, row[0]))


def charge(run: Running, account_id: int, count: int, size: int, quota: tuple[int, int]) -> None:
    """Count messages for the account; `quota` is the account's and the domain's. Raises StoreError(OVER_QUOTA)."""
    if not run.one(
        "UPDATE account SET messages = messages + ?1, bytes = bytes + ?2 WHERE id = ?3"
        " AND (?4 = 0 OR bytes + ?2 <= ?4) AND (?5 = 0 OR ?2 +"
        " (SELECT domain_usage.bytes FROM domain_usage WHERE domain_usage.domain = account.domain) <= ?5) RETURNING id",
        count, size, account_id, *quota,
    ):  # fmt: skip
        raise StoreError(Reason.OVER_QUOTA)


def set_hold(run: Running, txn: t.SetHold) -> t.Done:
    """Legal hold begins or ends."""
    account_id = ensure_account(run, txn.account)
    run.db.execute("UPDATE account SET held = ? WHERE id = ?", (txn.held, account_id))
    run.changed.add(txn.account)
    return t.Done()


def release(run: Running, txn: t.Release) -> t.Done:
    """Remove an account; its name is free at once, its rows go a slice at a time, or stay under another name."""
    row = run.one("SELECT id, held, key_id FROM account WHERE name = ?", txn.account)
    if not row:
        return t.Done()
    account_id, held, key_id = row
    if held:
        raise StoreError(Reason.HELD, f"{txn.account} is under legal hold")
    run.changed.add(txn.account)
    _take_rights(run, txn.account)
    if txn.keep:
        run.db.execute(
            "UPDATE account SET name = ?, released = ? WHERE id = ? AND released = 0",
            (names.released(txn.account, account_id), run.now, account_id),
        )
        return t.Done()
    run.db.execute("DELETE FROM account WHERE id = ?", (account_id,))
    run.db.execute(
        "INSERT INTO doomed (account_id, mailbox_id, key_id) SELECT account_id, id, 0 FROM mailbox"
        " WHERE account_id = ?1 UNION ALL SELECT ?1, 0, ?2",
        (account_id, key_id),
    )
    # A folder that was removed before may still be on its way into the undelete window, which goes with the account.
    run.db.execute("UPDATE doomed SET kept = 0 WHERE account_id = ?", (account_id,))
    if key_id:
        run.shredded.append(key_id)
    for table in ("mailbox", "subscription", "rights", "annotation", "thing", "former", "staged"):
        run.db.execute(f"DELETE FROM {table} WHERE account_id = ?", (account_id,))
    run.doomed = True
    return t.Done()


def reinstate(run: Running, txn: t.Reinstate) -> t.Done:
    """A released account has a name again."""
    if run.one("SELECT 1 FROM account WHERE name = ?", txn.name):
        raise StoreError(Reason.EXISTS, f"there is an account {txn.name}")
    row = run.one("SELECT id, bytes, messages FROM account WHERE name = ? AND released > 0", txn.account)
    if not row:
        raise StoreError(Reason.INVALID, f"there is no released account {txn.account}")
    account_id, *weight = row
    # Emptied and filled again, so that it counts for the domain of its new name.
    run.db.execute("UPDATE account SET bytes = 0, messages = 0 WHERE id = ?", (account_id,))
    run.db.execute("UPDATE account SET name = ?, released = 0 WHERE id = ?", (txn.name, account_id))
    run.db.execute("INSERT OR IGNORE INTO domain_usage (domain) SELECT domain FROM account WHERE id = ?", (account_id,))
    run.db.execute("UPDATE account SET bytes = ?, messages = ? WHERE id = ?", (*weight, account_id))
    run.changed.add(txn.name)
    return t.Done()


def _take_rights(run: Running, grantee: Account) -> None:
    """Whoever gets this name next has no rights on folders of others, and nothing that was private there."""
    given = run.db.execute(
        "DELETE FROM rights WHERE grantee = ? RETURNING account_id, mailbox_id", (grantee,)
    ).fetchall()
    for account_id, mailbox_id in given:
        row = run.one("UPDATE account SET modseq = modseq + 1 WHERE id = ? RETURNING modseq, name", account_id)
        note(run, int(str(account_id)), row[0], "rights", f"{mailbox_id}/{grantee}", gone=True)
        run.db.execute(
            "UPDATE mailbox SET changed = ? WHERE account_id = ? AND id = ?", (row[0], account_id, mailbox_id)
        )
        run.changed.add(row[1])
    open_to_all = run.db.execute("SELECT account_id, mailbox_id FROM rights WHERE grantee = ?", (t.ANYONE,)).fetchall()
    for folder in {*given, *open_to_all}:
        take_private(run, folder, grantee)


def take_private(run: Running, folder: tuple[Any, ...], user: str) -> None:
    """What was a user's own on somebody's folder is forgotten."""
    for table, whose in (("seen", "grantee"), ("annotation", "owner")):
        run.db.execute(f"DELETE FROM {table} WHERE account_id = ? AND mailbox_id = ? AND {whose} = ?", (*folder, user))
