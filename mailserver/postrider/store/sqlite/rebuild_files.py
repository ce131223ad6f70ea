"""A rebuild's part that is about bodies in files: those that rows name and that are gone, and those that no row names.

What was stored in the last seconds the journal may not know. Its file says whose Maildir it lies in, and no more.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw

from postrider.store import transactions as t
from postrider.store.blobs import Location
from postrider.store.maildir import account_directory
from postrider.store.records import Header
from postrider.store.sqlite import delivery, ledger
from postrider.store.sqlite.files import MARGIN, unneeded, written
from postrider.store.sqlite.transaction import Running
from postrider.store.values import Account, Body

#: Makes of a body what is cached about it, and its thread keys.
Content = Callable[[bytes], tuple[bytes, tuple[bytes, ...]]]


def missing(db: apsw.Connection, root: Path) -> int:
    """How many bodies are named by rows and have no file. Raises OSError, apsw.Error."""
    rows: Any = db.execute("SELECT path FROM blob WHERE path != ''")
    return sum(not os.path.lexists(root / path) for (path,) in rows)


def late(db: apsw.Connection, root: Path) -> Iterator[tuple[str, Account]]:
    """Files that came after the journal's end, and whose they are: "" where no account is known that they could be.

    Raises OSError, apsw.Error.
    """
    paths: Any = db.execute("SELECT path FROM blob WHERE path != ''")
    newest = max((written(path) for (path,) in paths), default=0)
    names: Any = db.execute("SELECT name FROM account WHERE released = 0")
    owners: dict[str, Account] = {account_directory(name): name for (name,) in names}
    for path in list(unneeded(db, root)):
        if written(path) >= newest - MARGIN:
            yield path, owners.get(path.rsplit("/", 2)[0], Account(""))


def deliver(run: Running, root: Path, path: str, account: Account, content: Content) -> None:
    """Put a file that no row names into its account's INBOX. Raises OSError, StoreError."""
    data = (root / path).read_bytes()
    digest = hashlib.sha256(data).digest()
    received = written(path)
    run.places = [Location(0, 0, Header(digest, len(data), len(data), received, zlib.crc32(data)), path)]
    body, (cached, thread_keys) = Body(digest, len(data)), content(data)
    delivery.intake(run, t.Intake(body, "", received, cached, thread_keys, (t.Deliver(account, b""),)))
    ledger.add_counts(run.db, run.counts)
