"""Rows that needed a body in the clear need its sealed copy, and what else of theirs lay in the clear is sealed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from postrider.store import cells
from postrider.store.cells import Cell
from postrider.store.codecs import BadFrame
from postrider.store.keys import DataKey, KeyMissing
from postrider.store.sealer import Clear, Copy
from postrider.store.sqlite.delivery import insert_blob
from postrider.store.sqlite.sealing import Sealing, compared
from postrider.store.sqlite.transaction import Running

_LISTED = "(SELECT value FROM json_each(?))"


def repoint(run: Running, sealing: Sealing, copy: Copy) -> int:
    """Do it for one copy; how many rows need it now. None do when they are gone meanwhile, or their key is."""
    clear, header = copy.of, copy.to.header
    try:
        key = sealing.key(header.key_id)
        rows = _rows(run, sealing, clear) if _is_theirs(run, clear, key) else []
    except (KeyMissing, BadFrame):
        return 0
    if not rows:
        return 0
    blob_id = _blob(run, copy, len(rows))
    run.db.execute("UPDATE pack SET dead = dead - ? WHERE id = ?", (header.length, copy.to.pack))
    for row in rows:
        if clear.account_id:
            _seal_email(run, clear.account_id, key, blob_id, row)
        else:
            row_id, prefix = row
            sealed = cells.sealed(key, Cell.QUEUED, blob_id, prefix)
            run.db.execute("UPDATE queue SET blob_id = ?, prefix = ? WHERE id = ?", (blob_id, sealed, row_id))
    return len(rows)


def _is_theirs(run: Running, clear: Clear, key: DataKey) -> bool:
    """Whether the key is still the holder's, and the body still in the clear."""
    if not run.one("SELECT 1 FROM blob WHERE id = ? AND key_id = 0", clear.blob_id):
        return False
    row = run.one("SELECT key_id FROM account WHERE id = ?", clear.account_id)
    return not clear.account_id or row == (key.id,)


def _rows(run: Running, sealing: Sealing, clear: Clear) -> list[tuple[Any, ...]]:
    """Those that still need the body, with what they say in the clear. Raises KeyMissing, BadFrame."""
    listed = json.dumps(clear.rows)
    if not clear.account_id:
        queued: Any = run.db.execute(
            f"SELECT id, prefix FROM queue WHERE id IN {_LISTED} AND blob_id = ?", (listed, clear.blob_id)
        ).fetchall()
        return [(row_id, cells.opened(sealing.key, Cell.QUEUED, clear.blob_id, prefix)) for row_id, prefix in queued]
    emails: Any = run.db.execute(
        f"SELECT id, prefix, cached, thread_keys FROM email WHERE id IN {_LISTED} AND blob_id = ? AND account_id = ?",
        (listed, clear.blob_id, clear.account_id),
    ).fetchall()
    return [
        (
            row_id,
            cells.opened(sealing.key, Cell.PREFIX, clear.blob_id, prefix),
            _cached(sealing, clear.blob_id, cached),
            msgspec.msgpack.decode(thread_keys) if thread_keys else (),
        )
        for row_id, prefix, cached, thread_keys in emails
    ]


def _cached(sealing: Sealing, blob_id: int, cached: bytes) -> bytes:
    try:
        return cells.opened(sealing.key, Cell.CACHED, blob_id, cached)
    except BadFrame:
        return b""  # whoever needs it looks into the body


def _blob(run: Running, copy: Copy, users: int) -> int:
    """The row of the copy: that of the original where nobody else needs it, so that sessions go on finding it."""
    clear, to, header = copy.of, copy.to, copy.to.header
    refs, pack, stored = run.one("SELECT refs, pack, stored FROM blob WHERE id = ?", clear.blob_id)
    if refs > users:
        run.db.execute("UPDATE blob SET refs = refs - ? WHERE id = ?", (users, clear.blob_id))
        return insert_blob(run, to, users)
    run.db.execute(
        "UPDATE blob SET hash = ?, codec = ?, key_id = ?, pack = ?, start = ?, stored = ? WHERE id = ?",
        (header.hash, header.codec, header.key_id, to.pack, to.start, header.length, clear.blob_id),
    )
    run.db.execute("UPDATE pack SET dead = dead + ? WHERE id = ?", (stored, pack))
    return clear.blob_id


def _seal_email(run: Running, account_id: int, key: DataKey, blob_id: int, row: Sequence[Any]) -> None:
    email_id, prefix, cached, thread_keys = row
    brought = [name for one in thread_keys if (name := _keyed(run, account_id, key, one))]
    run.db.execute(
        "UPDATE email SET blob_id = ?, prefix = ?, cached = ?, thread_keys = ? WHERE id = ?",
        (
            blob_id,
            cells.sealed(key, Cell.PREFIX, blob_id, prefix),
            cells.sealed(key, Cell.CACHED, blob_id, cached),
            msgspec.msgpack.encode(brought) if brought else None,
            email_id,
        ),
    )


def _keyed(run: Running, account_id: int, key: DataKey, thread_key: bytes) -> bytes:
    """A thread's key as mail that is encrypted has it; b"" where such mail has brought it already."""
    row = run.one("DELETE FROM thread_key WHERE account_id = ? AND key = ? RETURNING thread_id", account_id, thread_key)
    if row is None:
        return b""
    name = compared(key, thread_key)
    run.db.execute(
        "INSERT INTO thread_key (account_id, key, thread_id) VALUES (?, ?, ?) ON CONFLICT (account_id, key) DO NOTHING",
        (account_id, name, row[0]),
    )
    return name if run.db.changes() else b""
