"""Makes rows agree after a rebuild from a journal with gaps: what is there counts, not what was said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apsw

from postrider.store import names
from postrider.store.names import INBOX, INBOX_ID
from postrider.store.sqlite.accounts import next_uidvalidity, object_id
from postrider.store.sqlite.transaction import Running

#: In this order: rows whose other half is missing go, then everything that is a sum is added up anew.
_STEPS = (
    "DELETE FROM email WHERE blob_id NOT IN (SELECT id FROM blob)",
    "DELETE FROM queue WHERE blob_id NOT IN (SELECT id FROM blob)",
    "DELETE FROM message WHERE email_id NOT IN (SELECT id FROM email)",
    "DELETE FROM expunged WHERE email_id NOT IN (SELECT id FROM email)",
    (
        "INSERT OR IGNORE INTO doomed (account_id, mailbox_id) SELECT DISTINCT account_id, mailbox_id FROM message"
        " WHERE (account_id, mailbox_id) NOT IN (SELECT account_id, id FROM mailbox)"
    ),
    "DELETE FROM email WHERE id NOT IN (SELECT email_id FROM message UNION ALL SELECT email_id FROM expunged)",
    "UPDATE blob SET refs = 0",
    (
        "UPDATE blob SET refs = n FROM (SELECT blob_id, count(*) AS n FROM"
        " (SELECT blob_id FROM email UNION ALL SELECT blob_id FROM queue) GROUP BY blob_id) WHERE blob_id = blob.id"
    ),
    "DELETE FROM blob WHERE refs = 0",
    (
        "UPDATE mailbox SET (messages, unseen, deleted, bytes, deleted_bytes, uidnext) = (SELECT count(*),"
        " coalesce(sum(NOT flags & 1), 0), coalesce(sum((flags & 8) != 0), 0), coalesce(sum(size), 0),"
        " coalesce(sum(iif(flags & 8, size, 0)), 0), max(mailbox.uidnext, coalesce(max(uid), 0) + 1, hidden_last + 1)"
        " FROM message WHERE message.account_id = mailbox.account_id AND mailbox_id = mailbox.id"
        " AND uid NOT BETWEEN hidden_first AND hidden_last)"
    ),
    (
        "UPDATE mailbox SET modseq = max(modseq, coalesce((SELECT max(modseq) FROM message"
        " WHERE message.account_id = mailbox.account_id AND mailbox_id = mailbox.id), 0))"
    ),
    (
        "UPDATE account SET (messages, bytes, modseq) = (SELECT coalesce(sum(mailbox.messages), 0),"
        " coalesce(sum(mailbox.bytes), 0), max(account.modseq, coalesce(max(mailbox.modseq), 0))"
        " FROM mailbox WHERE account_id = account.id)"
    ),
    "UPDATE counter SET value = (SELECT count(*) FROM queue) WHERE name = 'queued'",
    "UPDATE counter SET value = (SELECT sum(value) FROM counter WHERE name != 'accepted') WHERE name = 'accepted'",
)


def mend(run: Running) -> None:
    """Do it, within the caller's transaction."""
    for step in _STEPS:
        run.db.execute(step)
    bare = run.db.execute(
        "SELECT id FROM account WHERE id NOT IN (SELECT account_id FROM mailbox WHERE id = ?)", (INBOX_ID,)
    )
    for (account_id,) in bare.fetchall():  # nothing could be delivered to it
        uidvalidity = next_uidvalidity(run)
        run.db.execute(
            "INSERT INTO mailbox (account_id, id, name, uidvalidity, modseq, object_id, created, changed)"
            " SELECT id, ?2, ?3, ?4, modseq, ?5, modseq, modseq FROM account WHERE id = ?1",
            (account_id, INBOX_ID, INBOX, uidvalidity, object_id(uidvalidity)),
        )


def make_way(db: apsw.Connection, table: str, row: Mapping[str, Any], now: int) -> None:
    """Whoever still has the name that a row is to have gets another: the record that says which is missing.

    An account is released then, as of `now`; of a folder nobody knows whether it was renamed or removed.
    """
    if table == "account":
        name = row["name"]
        other: Any = db.execute("SELECT id FROM account WHERE name = ?", (name,)).fetchone()
        if other:
            put_away = (names.released(name, other[0]), now, other[0])
            db.execute("UPDATE account SET name = ?, released = ? WHERE id = ?", put_away)
    elif table == "mailbox":
        folder: Any = db.execute(_NAMED, (row["account_id"], row["name"])).fetchone()
        if folder:
            name = row["name"]
            while db.execute(_NAMED, (row["account_id"], name)).fetchone():
                name = f"{name} #{folder[0]}"
            db.execute(
                "UPDATE mailbox SET name = ? WHERE account_id = ? AND id = ?", (name, row["account_id"], *folder)
            )


_NAMED = "SELECT id FROM mailbox WHERE account_id = ? AND name = ?"
