"""What fronts and administration read about whole accounts: the change log, shared folders, what users own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from postrider.store.sqlite.messages import number
from postrider.store.sqlite.reads import snapshot
from postrider.store.sqlite.rows import MAILBOX_COLUMNS, mailbox_row
from postrider.store.values import (
    Account,
    AccountChanges,
    AccountRow,
    AnnotationRow,
    ExpungedRow,
    MessageChange,
    OtherChange,
    Place,
    RightsRow,
    SeenRow,
    SharedRow,
    ThingRow,
    VanishedChange,
)

_LISTED = "(SELECT value FROM json_each(?))"
_ACCOUNT = (
    "SELECT name, bytes, messages, modseq, floor, held, released,"
    " coalesce((SELECT at FROM expunged WHERE account_id = account.id ORDER BY id LIMIT 1), 0), key_id"
    " FROM account"
)
_NOT_HIDDEN = (
    "JOIN mailbox ON mailbox.account_id = message.account_id AND mailbox.id = mailbox_id"
    " AND uid NOT BETWEEN hidden_first AND hidden_last"
)
_Change = MessageChange | VanishedChange | OtherChange


def accounts(db: apsw.Connection, after: str, limit: int) -> list[AccountRow]:
    """Accounts by name."""
    return [_account(row) for row in db.execute(f"{_ACCOUNT} WHERE name > ? ORDER BY name LIMIT ?", (after, limit))]


def account(db: apsw.Connection, name: Account) -> AccountRow | None:
    """One account."""
    row = db.execute(f"{_ACCOUNT} WHERE name = ?", (name,)).fetchone()
    return _account(row) if row else None


def _account(row: Any) -> AccountRow:
    name, octets, messages, modseq, floor, held, released, oldest, key_id = row
    return AccountRow(name, octets, messages, modseq, floor, bool(held), released, oldest, key_id)


def domain_usage(db: apsw.Connection, domain: str) -> tuple[int, int]:
    """Bytes and messages of a domain."""
    row: Any = db.execute("SELECT bytes, messages FROM domain_usage WHERE domain = ?", (domain,)).fetchone()
    return (row[0], row[1]) if row else (0, 0)


# -- the change log ------------------------------------------------------------------------------------------------


def changes(db: apsw.Connection, owner: int, since: int, limit: int) -> AccountChanges:
    """What happened after a modseq, transactions whole, about `limit` changes."""
    with snapshot(db):
        head: Any = db.execute("SELECT modseq, floor FROM account WHERE id = ?", (owner,)).fetchone()
        if head is None or since < head[1] or since >= head[0]:
            return AccountChanges(head[0] if head else since, head[1] if head else 0)
        while True:
            found, known = _log(db, owner, since, limit)
            upto = _cut(found, known if known is not None else head[0], limit)
            if upto > since:
                break
            limit *= 2  # one transaction has more changes than that
    told = [change for change in found if change.modseq <= upto]
    return AccountChanges(
        upto, head[1], upto < head[0],
        tuple(change for change in told if isinstance(change, MessageChange)),
        tuple(change for change in told if isinstance(change, VanishedChange)),
        tuple(change for change in told if isinstance(change, OtherChange)),
    )  # fmt: skip


def _cut(found: Sequence[_Change], known: int, limit: int) -> int:
    """The modseq up to which to tell: all is known up to `known`, and no more than `limit` are told if possible."""
    modseqs = [change.modseq for change in found if change.modseq <= known]
    if len(modseqs) <= limit:
        return known
    return max((modseq for modseq in modseqs[: limit + 1] if modseq < modseqs[limit]), default=modseqs[limit])


def _log(db: apsw.Connection, owner: int, since: int, limit: int) -> tuple[list[_Change], int | None]:
    """Changes by modseq, and the modseq up to which these are all of them; None: they are all."""
    found: list[_Change] = []
    known: int | None = None
    for source in _sources(db, owner, since, limit + 1):
        found += source
        if len(source) > limit:  # there may be more with the last one's modseq
            last = source[-1].modseq - 1
            known = last if known is None else min(known, last)
    found.sort(key=lambda change: change.modseq)
    return found, known


def _sources(db: apsw.Connection, owner: int, since: int, most: int) -> Iterator[Sequence[_Change]]:
    rows: Any = db.execute(
        "SELECT change.kind, change.key, change.modseq, gone, mailbox.created FROM change LEFT JOIN mailbox"
        " ON kind = 'mailbox' AND mailbox.account_id = change.account_id AND mailbox.id = CAST(key AS INT)"
        " WHERE change.account_id = ? AND change.modseq > ? ORDER BY change.modseq LIMIT ?",
        (owner, since, most),
    )
    yield [OtherChange(kind, key, modseq, bool(gone), (made or 0) > since) for kind, key, modseq, gone, made in rows]
    folders: Any = db.execute(
        "SELECT id, modseq, hidden_first, hidden_last FROM mailbox WHERE account_id = ? AND modseq > ?", (owner, since)
    ).fetchall()
    for folder, upto, *hidden in folders:
        rows = db.execute(
            "SELECT uid, email_id, modseq, created FROM message INDEXED BY message_modseq WHERE account_id = ?"
            " AND mailbox_id = ? AND modseq > ? AND modseq <= ? AND uid NOT BETWEEN ? AND ? ORDER BY modseq LIMIT ?",
            (owner, folder, since, upto, *hidden, most),
        )
        yield [
            MessageChange(folder, uid, f"M{email_id:x}", modseq, created > since)
            for uid, email_id, modseq, created in rows
        ]
        rows = db.execute(
            "SELECT modseq, first, last FROM vanished WHERE account_id = ? AND mailbox_id = ? AND modseq > ?"
            " ORDER BY modseq LIMIT ?",
            (owner, folder, since, most),
        )
        yield [VanishedChange(folder, modseq, first, last) for modseq, first, last in rows]


# -- emails --------------------------------------------------------------------------------------------------------


def locate(db: apsw.Connection, owner: int, email_ids: Sequence[str]) -> list[Place]:
    """Where emails lie."""
    rows: Any = db.execute(
        f"SELECT email_id, mailbox_id, uid FROM message INDEXED BY message_email {_NOT_HIDDEN}"
        f" WHERE message.account_id = ? AND email_id IN {_LISTED} ORDER BY email_id, mailbox_id, uid",
        (owner, json.dumps([number(email_id) for email_id in email_ids])),
    )
    return [Place(f"M{email_id:x}", mailbox_id, uid) for email_id, mailbox_id, uid in rows]


def thread(db: apsw.Connection, owner: int, thread_id: str) -> list[str]:
    """Emails of a thread, oldest first."""
    rows: Any = db.execute(
        "SELECT id FROM (SELECT id, received, account_id FROM email WHERE id = ?1 AND thread_id IS NULL UNION ALL"
        " SELECT id, received, account_id FROM email WHERE account_id = ?2 AND thread_id = ?1) AS email"
        f" WHERE account_id = ?2 AND EXISTS (SELECT 1 FROM message {_NOT_HIDDEN}"
        " WHERE message.account_id = ?2 AND email_id = email.id) ORDER BY received, id",
        (number(thread_id), owner),
    )
    return [f"M{email_id:x}" for (email_id,) in rows]


def appended(db: apsw.Connection, owner: int, keys: Sequence[bytes]) -> frozenset[bytes]:
    """Which of these idempotency keys were seen."""
    one = "SELECT key FROM append_key WHERE account_id = ? AND key = ?"
    rows: Any = (db.execute(one, (owner, key)).fetchone() for key in keys)
    return frozenset(row[0] for row in rows if row)


def expunged(db: apsw.Connection, owner: int, after: int, limit: int) -> list[ExpungedRow]:
    """The undelete window by id."""
    rows: Any = db.execute(
        "SELECT expunged.id, mailbox_id, coalesce(mailbox.name, former.name, ''), uid, email_id, flags, keywords, size,"
        " saved, expunged.at FROM expunged LEFT JOIN former USING (account_id, mailbox_id)"
        " LEFT JOIN mailbox ON mailbox.account_id = expunged.account_id AND mailbox.id = mailbox_id"
        " WHERE expunged.account_id = ? AND expunged.id > ? ORDER BY expunged.id LIMIT ?",
        (owner, after, limit),
    )
    return [
        ExpungedRow(row_id, mailbox_id, name, uid, f"M{email_id:x}", flags, tuple(keywords.split()), size, saved, at)
        for row_id, mailbox_id, name, uid, email_id, flags, keywords, size, saved, at in rows
    ]


# -- what users own ------------------------------------------------------------------------------------------------


def rights(db: apsw.Connection, owner: int, mailbox_id: int) -> list[RightsRow]:
    """Rights given on a folder, 0 for all."""
    rows: Any = db.execute(
        "SELECT mailbox_id, grantee, rights FROM rights WHERE account_id = ?1 AND (?2 = 0 OR mailbox_id = ?2)"
        " ORDER BY mailbox_id, grantee",
        (owner, mailbox_id),
    )
    return [RightsRow(*row) for row in rows]


def shared_with(db: apsw.Connection, grantees: Sequence[str]) -> list[SharedRow]:
    """Folders that were shared with one of these."""
    rows: Any = db.execute(
        f"SELECT account.name, grantee, rights, {MAILBOX_COLUMNS} FROM rights INDEXED BY rights_grantee"
        " JOIN account ON account.id = rights.account_id"
        " JOIN mailbox ON mailbox.account_id = rights.account_id AND mailbox.id = mailbox_id"
        " LEFT JOIN subscription ON subscription.account_id = rights.account_id AND subscription.name = mailbox.name"
        f" WHERE grantee IN {_LISTED} AND released = 0 ORDER BY account.name, mailbox.name, grantee",
        (json.dumps(list(grantees)),),
    )
    return [SharedRow(name, mailbox_row(row), grantee, given) for name, grantee, given, *row in rows]


def seen(db: apsw.Connection, owner: int, mailbox_id: int, grantee: str, since: int) -> list[SeenRow]:
    r"""A grantee's own \Seen."""
    rows: Any = db.execute(
        "SELECT uid, seen, modseq FROM seen INDEXED BY seen_grantee WHERE account_id = ? AND mailbox_id = ?"
        " AND grantee = ? AND modseq > ? ORDER BY uid",
        (owner, mailbox_id, grantee, since),
    )
    return [SeenRow(uid, bool(was_seen), modseq) for uid, was_seen, modseq in rows]


def annotation_rows(db: apsw.Connection, owner: int, mailbox_id: int, owners: Sequence[str]) -> list[AnnotationRow]:
    """Annotations of a folder, 0 for the account's."""
    rows: Any = db.execute(
        "SELECT mailbox_id, owner, entry, value FROM annotation WHERE account_id = ? AND mailbox_id = ?"
        f" AND owner IN {_LISTED} ORDER BY owner, entry",
        (owner, mailbox_id, json.dumps(list(owners))),
    )
    return [AnnotationRow(*row) for row in rows]


def things(db: apsw.Connection, owner: int, kind: str) -> list[ThingRow]:
    """What the user owns of a kind, "" for all."""
    rows: Any = db.execute(
        "SELECT kind, name, value, modseq FROM thing WHERE account_id = ?1 AND (?2 = '' OR kind = ?2)"
        " ORDER BY kind, name",
        (owner, kind),
    )
    return [ThingRow(*row) for row in rows]
