"""Opens stores: the one place that names implementations."""

from __future__ import annotations

import tempfile
from pathlib import Path

from postrider.store import directory
from postrider.store.feed import LocalFeed
from postrider.store.local import LocalStore, LocalWriter
from postrider.store.ports import Store
from postrider.store.reader import SqliteReader
from postrider.store.sqlite import database
from postrider.store.transactions import OpenAccount
from postrider.store.writer import Committer, Options

__all__ = ["Options", "memory", "open_local"]


def open_local(path: Path | str, options: Options | None = None) -> Store:
    """A store that this process alone writes and reads, for tests and tools. Raises CannotOpen, WrongDatabase."""
    where = Path(path)
    chosen = options or Options(allow_tmpfs=True, measure_sync=False)
    feed = LocalFeed()
    writer = LocalWriter(Committer(where, chosen), feed)
    reader = SqliteReader(
        database.open_reader(directory.database_path(where)),
        directory.packs_directory(where),
        lambda account: writer.commit(OpenAccount(account)),
    )
    return LocalStore(writer, reader, feed)


def memory(options: Options | None = None) -> Store:
    """A store that is gone when the process ends, for tests."""
    return open_local(tempfile.mkdtemp(prefix="postrider-"), options)
