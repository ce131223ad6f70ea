"""A mailbox of a million messages beside a hundred accounts, made in a minute; and a client that times what it asks."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import apsw

from bench.postrider import DOMAIN, PASSWORD
from postrider.ingest.content import content
from postrider.store import directory
from postrider.store import transactions as t
from postrider.store.open import Options, open_local
from postrider.store.values import Account, Body, account_of

INBOX = 1
OWNER = "box"
OTHERS = tuple(f"user{number}" for number in range(100))
#: Messages that are stored in the usual way; the rest are copies of their rows.
_SEED = 1000
_EACH = 100


def fill(data: Path, count: int) -> None:
    """Make a data directory with `count` messages in OWNER's INBOX, and some in everybody else's."""
    asyncio.run(_append(data))
    db = apsw.Connection(str(directory.database_path(data)))
    db.pragma("synchronous", "off")
    db.pragma("journal_mode", "off")  # nothing has to outlive this run
    with db:
        there = _SEED
        while there < count:
            there += _double(db, there, min(there, count - there))
        _count(db, there)
    db.pragma("journal_mode", "wal")
    db.close()
    os.sync()  # what is measured later is not this


async def _append(data: Path) -> None:
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_local(data, Options(allow_tmpfs=True, measure_sync=False))
    for user, count in ((OWNER, _SEED), *((other, _EACH) for other in OTHERS)):
        account = account_of("default", f"{user}@{DOMAIN}")
        await store.writer.commit(t.OpenAccount(account))
        await store.writer.commit(_letters(account, count))
    await store.close()


def _letters(account: Account, count: int) -> t.Append:
    messages = []
    for number in range(count):
        data = (
            f"From: Carol <carol@sender.test>\r\nTo: {account.partition('/')[2]}\r\nSubject: Letter {number}\r\n"
            f"Message-ID: <{number}@sender.test>\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n" + "text\r\n" * 50
        ).encode()
        body = Body(hashlib.sha256(data).digest(), len(data), data)
        messages.append(t.NewMessage(body, 1_790_000_000 + number, content(data)[0]))
    return t.Append(account, INBOX, tuple(messages))


def _double(db: apsw.Connection, there: int, new: int) -> int:
    """Copy the first `new` rows of the first account behind the `there` it has."""
    highest: Any = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'email'").fetchone()
    first = highest[0] + 1
    db.execute("CREATE TEMP TABLE IF NOT EXISTS source AS SELECT uid, email_id FROM message WHERE 0")
    db.execute("DELETE FROM source")
    db.execute(
        "INSERT INTO source (uid, email_id) SELECT uid, email_id FROM message WHERE account_id = 1 AND mailbox_id = 1"
        " AND uid <= ? ORDER BY uid", (new,)
    )  # fmt: skip
    db.execute(
        "INSERT INTO email (id, account_id, blob_id, refs, size, received, prefix, cached)"
        " SELECT ? + uid - 1, 1, blob_id, 1, size, received, prefix, cached FROM source JOIN email ON id = email_id"
        " ORDER BY uid", (first,)
    )  # fmt: skip
    db.execute(
        "INSERT INTO message (account_id, mailbox_id, uid, email_id, modseq, flags, keywords, size, saved)"
        " SELECT 1, 1, source.uid + ?, ? + source.uid - 1, modseq, flags, keywords, size, saved FROM source"
        " JOIN message ON account_id = 1 AND mailbox_id = 1 AND message.uid = source.uid", (there, first)
    )  # fmt: skip
    return new


def _count(db: apsw.Connection, count: int) -> None:
    """Make all counters right."""
    db.execute(
        "UPDATE blob SET refs = used FROM (SELECT blob_id, count(*) AS used FROM email GROUP BY blob_id) AS found"
        " WHERE found.blob_id = blob.id"
    )
    ((octets,),) = db.execute("SELECT sum(size) FROM message WHERE account_id = 1").fetchall()
    db.execute(
        "UPDATE mailbox SET uidnext = ?1 + 1, messages = ?1, unseen = ?1, bytes = ?2 WHERE account_id = 1 AND id = 1",
        (count, octets),
    )
    db.execute("UPDATE account SET messages = ?, bytes = ? WHERE id = 1", (count, octets))


class Imap:
    """A client that reads all of an answer and looks at nothing of it."""

    def __init__(self, place: tuple[str, int], user: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self._socket = context.wrap_socket(socket.create_connection(place, timeout=600))
        self._file = self._socket.makefile("rb", buffering=1 << 20)
        self._file.readline()
        self.ask(f'LOGIN {user}@{DOMAIN} "{PASSWORD}"')

    def ask(self, line: str) -> tuple[float, int]:
        """Seconds that the answer took, and its octets. Raises RuntimeError when it is not OK."""
        begun, octets = time.perf_counter(), 0
        self._socket.sendall(f"a {line}\r\n".encode())
        while not (read := self._file.readline()).startswith(b"a "):
            if not read:
                raise RuntimeError(f"{line}: the connection ended")
            octets += len(read)
            if literal := re.search(rb"\{(\d+)\}\r\n$", read):
                octets += len(self._file.read(int(literal[1])))
        if not read.startswith(b"a OK"):
            raise RuntimeError(f"{line}: {read.decode(errors='replace')}")
        return time.perf_counter() - begun, octets

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()
