"""What fronts read. Each function leaves no transaction open when it returns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from postrider.model.runs import Run, missing, runs_of
from postrider.store.blobs import Place
from postrider.store.keys import Keys
from postrider.store.sqlite.rows import (
    MAILBOX_COLUMNS,
    MESSAGE_COLUMNS,
    QUEUE_COLUMNS,
    flag_row,
    mailbox_row,
    message_row,
    queue_row,
)
from postrider.store.values import Account, Changes, FlagRow, MailboxRow, MessageRow, QueueRow, Vanished

_FOLDERS = f"SELECT {MAILBOX_COLUMNS} FROM mailbox LEFT JOIN subscription USING (account_id, name) WHERE account_id = ?"
#: UIDs that are read at once, at most.
_SPAN = 4096
_OF_FOLDER = (
    "message.account_id = mailbox.account_id AND mailbox_id = mailbox.id"
    " AND uid NOT BETWEEN hidden_first AND hidden_last"
)
#: The messages of one folder, but for those of a copy that is not finished.
_VISIBLE = f"FROM mailbox CROSS JOIN message ON {_OF_FOLDER} WHERE mailbox.account_id = ? AND mailbox.id = ?"
_VISIBLE_WHOLE = (
    f"FROM mailbox CROSS JOIN message ON {_OF_FOLDER} CROSS JOIN email ON email.id = email_id"
    " CROSS JOIN blob ON blob.id = blob_id WHERE mailbox.account_id = ? AND mailbox.id = ?"
)


@contextmanager
def snapshot(db: apsw.Connection) -> Iterator[None]:
    """Several reads of one state."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("COMMIT")


def account_id(db: apsw.Connection, account: Account) -> int | None:
    """The row id of an account, None while it has none."""
    row: Any = db.execute("SELECT id FROM account WHERE name = ?", (account,)).fetchone()
    return row[0] if row else None


def mailboxes(db: apsw.Connection, owner: int) -> list[MailboxRow]:
    """All folders by name."""
    return [mailbox_row(row) for row in db.execute(f"{_FOLDERS} ORDER BY name", (owner,))]


def mailbox(db: apsw.Connection, owner: int, mailbox_id: int) -> MailboxRow | None:
    """One folder."""
    row = db.execute(f"{_FOLDERS} AND id = ?", (owner, mailbox_id)).fetchone()
    return mailbox_row(row) if row else None


def subscriptions(db: apsw.Connection, owner: int) -> list[str]:
    """Subscribed names in order."""
    rows = db.execute("SELECT name FROM subscription WHERE account_id = ? ORDER BY name", (owner,))
    return [str(name) for (name,) in rows]


def uids(db: apsw.Connection, owner: int, mailbox_id: int, above: int) -> Sequence[int]:
    """The next UIDs from above+1 on, in order: some thousands, none at the end."""
    with snapshot(db):
        return next(_pieces(db, owner, mailbox_id, above), ())


def _pieces(db: apsw.Connection, owner: int, mailbox_id: int, above: int = 0) -> Iterator[Sequence[int]]:
    """All UIDs from above+1 on, in order."""
    key = (owner, mailbox_id)
    folder: Any = db.execute(
        "SELECT uidnext, hidden_first, hidden_last FROM mailbox WHERE account_id = ? AND id = ?", key
    ).fetchone()
    if not folder:
        return
    uidnext, hidden_first, hidden_last = folder
    for low, high in ((1, hidden_first - 1), (hidden_last + 1, uidnext - 1)) if hidden_first else ((1, uidnext - 1),):
        above = max(above, low - 1)
        while first := _one(db, f"SELECT uid {_BETWEEN} ORDER BY uid LIMIT 1", (*key, above, high)):
            above = min(first + _SPAN - 1, high)
            yield _between(db, key, first, above)


_BETWEEN = "FROM message WHERE account_id = ? AND mailbox_id = ? AND uid > ? AND uid <= ?"


def _between(db: apsw.Connection, key: tuple[int, int], first: int, last: int) -> Sequence[int]:
    """UIDs from `first`, which is there, to `last`: where all are they are counted, a fifth of what fetching costs."""
    between = (*key, first - 1, last)
    if _one(db, f"SELECT count(*) {_BETWEEN}", between) == last - first + 1:
        return range(first, last + 1)
    rows: Any = db.execute(f"SELECT uid {_BETWEEN} ORDER BY uid", between)
    return [uid for (uid,) in rows]


def _one(db: apsw.Connection, sql: str, values: tuple[int, ...]) -> int:
    """The number that a row is, 0 without a row."""
    row: Any = db.execute(sql, values).fetchone()
    return row[0] if row else 0


def _runs(pieces: Iterable[Sequence[int]]) -> Iterator[Run]:
    """Numbers that follow each other, as (first, last); runs that touch may come apart."""
    for piece in pieces:
        yield from ((piece[0], piece[-1]),) if isinstance(piece, range) else runs_of(piece)


def flags(db: apsw.Connection, owner: int, mailbox_id: int, above: int, limit: int) -> list[FlagRow]:
    """UIDs and flags from above+1 on."""
    rows = db.execute(
        f"SELECT uid, message.modseq, flags, keywords {_VISIBLE} AND uid > ? ORDER BY uid LIMIT ?",
        (owner, mailbox_id, above, limit or -1),
    )
    return [flag_row(row) for row in rows]


def messages(db: apsw.Connection, folder: tuple[int, int], uids: Sequence[int], keys: Keys) -> list[MessageRow]:
    """Whole rows of these UIDs. Raises KeyMissing, BadFrame."""
    rows = db.execute(
        f"SELECT {MESSAGE_COLUMNS} {_VISIBLE_WHOLE} AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid",
        (*folder, json.dumps(list(uids))),
    ).fetchall()
    return [message_row(row, keys) for row in rows]


def changes(db: apsw.Connection, folder: tuple[int, int], since: int, limit: int) -> Changes:
    """New, changed and vanished after a modseq, of one state; about `limit` of each, transactions whole."""
    with snapshot(db):
        head: Any = db.execute(
            "SELECT mailbox.modseq, floor, uidnext FROM mailbox JOIN account ON account.id = account_id"
            " WHERE account_id = ? AND mailbox.id = ?",
            folder,
        ).fetchone()
        if head is None or head[0] <= since:
            return Changes(head[0] if head else since, (), ())
        modseq, floor, uidnext = head
        while True:
            changed, gone, upto = _changes(db, folder, since, limit)
            if upto > since:
                break
            limit *= 2  # one transaction has more changes than that
        upto = min(upto, modseq)
        buried: dict[int, list[Run]] = {}
        if since < floor and upto >= min(floor, modseq):
            # What vanished is not known any more: name all that are not there, once.
            buried[upto] = missing(_runs(_pieces(db, *folder)), uidnext)
        else:
            for at, first, last in gone:
                buried.setdefault(at, []).append((first, last))
    vanished = tuple(Vanished(at, tuple(runs)) for at, runs in sorted(buried.items()) if at <= upto and runs)
    rows = tuple(flag_row(row) for row in sorted(changed) if row[1] <= upto)
    return Changes(upto, rows, vanished, upto < modseq)


def _changes(db: apsw.Connection, folder: tuple[int, int], since: int, limit: int) -> tuple[Any, Any, int]:
    """Rows of changed messages and of tombstones by modseq, and the modseq up to which these are all of them."""
    most = limit + 1 if limit else -1
    changed: Any = db.execute(
        "SELECT uid, message.modseq, flags, keywords FROM mailbox CROSS JOIN message INDEXED BY message_modseq"
        f" ON {_OF_FOLDER} WHERE mailbox.account_id = ? AND mailbox.id = ? AND message.modseq > ?"
        " AND message.modseq <= mailbox.modseq ORDER BY message.modseq LIMIT ?",
        (*folder, since, most),
    ).fetchall()
    gone: Any = db.execute(
        "SELECT modseq, first, last FROM vanished WHERE account_id = ? AND mailbox_id = ? AND modseq > ?"
        " ORDER BY modseq, first LIMIT ?",
        (*folder, since, most),
    ).fetchall()
    upto = 1 << 62
    if limit and len(changed) > limit:  # there may be more with the last one's modseq
        upto = changed[-1][1] - 1
    if limit and len(gone) > limit:
        upto = min(upto, gone[-1][0] - 1)
    return changed, gone, upto


def place(db: apsw.Connection, blob_id: int) -> Place | None:
    """Where a body lies."""
    row: Any = db.execute("SELECT pack, start, path FROM blob WHERE id = ?", (blob_id,)).fetchone()
    return Place(*row) if row else None


def usage(db: apsw.Connection, owner: int) -> tuple[int, int]:
    """Bytes and messages of an account."""
    row: Any = db.execute("SELECT bytes, messages FROM account WHERE id = ?", (owner,)).fetchone()
    return (row[0], row[1]) if row else (0, 0)


def queue(db: apsw.Connection, after: int, limit: int, keys: Keys) -> list[QueueRow]:
    """Queue rows by id. Raises KeyMissing, BadFrame."""
    rows = db.execute(
        f"SELECT {QUEUE_COLUMNS} FROM queue JOIN blob ON blob.id = blob_id WHERE queue.id > ? ORDER BY queue.id"
        " LIMIT ?",
        (after, limit),
    ).fetchall()
    return [queue_row(row, keys) for row in rows]


def next_due(db: apsw.Connection, lanes: Sequence[int]) -> int | None:
    """When a row of these lanes can be claimed next: it is due, or somebody's claim of it runs out."""
    row: Any = db.execute(
        "WITH mine AS (SELECT value FROM json_each(?))"
        " SELECT min(soon) FROM (SELECT * FROM"
        " (SELECT due AS soon FROM destination WHERE lane IN mine ORDER BY due LIMIT 1) UNION ALL"
        " SELECT * FROM (SELECT claimed_until FROM queue WHERE state = 'claimed' AND lane IN mine"
        " ORDER BY claimed_until LIMIT 1))",
        (json.dumps(list(lanes)),),
    ).fetchone()
    return None if row is None else row[0]


def counters(db: apsw.Connection) -> dict[str, int]:
    """All counters."""
    return {str(name): int(value) for name, value in db.execute("SELECT name, value FROM counter")}


def recall(db: apsw.Connection, key: str, now: int) -> bytes | None:
    """A value that has not expired."""
    row: Any = db.execute("SELECT value FROM ledger WHERE key = ? AND expires > ?", (key, now)).fetchone()
    return row[0] if row else None
