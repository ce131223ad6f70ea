"""Bodies without rows: left by a kill between file and COMMIT, by a removal that was lost, or by a lost database."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from postrider.store import directory
from postrider.store.directory import CannotOpen
from postrider.store.maildir import BODIES, QUEUE, ROOT
from postrider.store.sqlite import database
from postrider.store.survey import has_bodies

#: Seconds that a file may be older than the last COMMIT, and be what that COMMIT was for.
MARGIN = 60
#: Files that are looked for among the rows in one go.
_AT_ONCE = 100_000


def check_database(data: Path) -> None:
    """Raises CannotOpen where there is mail and no database to go with it: an empty one would hide the mail."""
    if directory.database_path(data).exists():
        return
    if has_bodies(directory.packs_directory(data)) or any(body_files(data / ROOT)):
        raise CannotOpen(
            f"{data} has mail but no database: `postrider-server store rebuild --data {data}` makes it again"
        )


def body_files(root: Path, since: int = 0) -> Iterator[str]:
    """Files of bodies by their path below the root; with `since` those that were written then or later.

    Raises OSError.
    """
    for where in _directories(root):
        if since and where.stat().st_mtime < since:  # nothing has come or gone
            continue
        with os.scandir(where) as entries:
            names = sorted(entry.name for entry in entries)
        holder = where.relative_to(root)
        yield from (f"{holder}/{name}" for name in names if written(name) >= since)


def written(path: str) -> int:
    """When a file was written, as its name says, seconds since the epoch; 0 where it says nothing."""
    time = path.rpartition("/")[2].partition(".")[0]
    return int(time) if time.isascii() and time.isdigit() else 0


def unneeded(db: apsw.Connection, root: Path, since: int = 0) -> Iterator[str]:
    """Files that no row names, by their path below the root. Raises OSError, apsw.Error."""
    files = body_files(root, since)
    while some := set(itertools.islice(files, _AT_ONCE)):
        # After the files: what is written meanwhile is not among them. The newest are likely the ones.
        rows: Any = db.execute("SELECT path FROM blob WHERE path != '' ORDER BY id DESC")
        for (path,) in rows:
            some.discard(path)
            if not some:
                break
        yield from sorted(some)


def remove_unneeded(data: Path, since: int = 0) -> None:
    """Remove them from a data directory, unless a backup is being taken. Nobody must be writing.

    Raises OSError, apsw.Error.
    """
    db = database.open_reader(directory.database_path(data))
    try:
        with directory.may_delete_packs(data) as allowed:
            for path in unneeded(db, data / ROOT, since) if allowed else ():
                (data / ROOT / path).unlink(missing_ok=True)
    finally:
        db.close()


def last_commit(data: Path) -> int:
    """About when something was committed last, seconds since the epoch, a little earlier; 0 without a database."""
    path = directory.database_path(data)
    parts = (path, path.with_name(f"{path.name}-wal"))
    times = [int(part.stat().st_mtime) for part in parts if part.exists()]
    return max(times, default=MARGIN) - MARGIN


def _directories(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        return
    if (root / QUEUE).is_dir():
        yield root / QUEUE
    for domain in sorted(root.iterdir()):
        if domain.name == QUEUE or not domain.is_dir():
            continue
        for user in sorted(domain.iterdir()):
            if (user / BODIES).is_dir():
                yield user / BODIES
