"""Brings a database from any earlier schema to the present one; refuses what a newer release made unreadable.

A schema has a number, and each file of store/sql brings the database from the number before it to its own, in one
transaction: a start that dies on the way leaves the schema as it was. Migrations expand (a new table, a new column
with a default), so that the release before goes on working on the new schema; what nobody uses any more is taken
away a release later. `-- min_reader: N` in a migration's first line is the oldest schema whose program can still read
and write the database afterwards; a migration without it is for no program but its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import apsw

APPLICATION_ID = 0x506F7374  # "Post"
_HEAD = re.compile(r"-- min_reader: (\d+)\b")
#: Told about a migration before it begins and when it is done: an event's name and fields.
Notice = Callable[..., object]


class WrongDatabase(Exception):
    """This file cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: from schema `number - 1` to `number`."""

    number: int
    min_reader: int
    sql: str


def read_steps(directory: Traversable) -> Iterator[Migration]:
    """The steps of a directory, in order."""
    for file in sorted(directory.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            sql = file.read_text(encoding="utf-8")
            number, head = int(file.name[:4]), _HEAD.match(sql)
            yield Migration(number, int(head[1]) if head else number, sql)


#: All steps this program knows.
STEPS = tuple(read_steps(resources.files("postrider.store") / "sql"))
#: The newest schema this program knows, and the oldest whose program can use a database that has it.
SCHEMA, MIN_READER = STEPS[-1].number, STEPS[-1].min_reader


def migrate(db: apsw.Connection, path: Path, notice: Notice | None = None, steps: Sequence[Migration] = STEPS) -> None:
    """Bring the database to the last step; a newer one that this program can use is left as it is.

    Raises WrongDatabase.
    """
    known = steps[-1].number
    version = _version(db, path, known)
    if version >= known:
        return
    began, told = time.monotonic(), notice if notice and version else _silent
    told("store.migrating", **{"from": version, "to": known, "min_reader": steps[-1].min_reader})
    for step in steps:
        if step.number > version:
            _apply(db, step)
    told("store.migrated", **{"from": version, "to": known, "seconds": round(time.monotonic() - began, 3)})


def _version(db: apsw.Connection, path: Path, known: int) -> int:
    """The database's schema, 0 for a new file. Raises WrongDatabase where it is not for this program."""
    own = db.pragma("application_id")
    version = int(str(db.pragma("user_version")))
    if own not in (0, APPLICATION_ID) or (own == 0 and version):
        raise WrongDatabase(f"{path} is not a Postrider database")
    if version > known:
        row = db.execute("SELECT min_reader FROM schema_version WHERE component = 'store'").fetchone()
        if not row or int(row[0]) > known:
            wanted = f", which programs that know schema {row[0]} can read" if row else ""
            raise WrongDatabase(
                f"{path} has schema {version}{wanted}; this program knows {known}: install a newer release"
            )
    return version


def _apply(db: apsw.Connection, step: Migration) -> None:
    """One step with everything that says so, or nothing of it."""
    db.execute("BEGIN EXCLUSIVE")
    try:
        db.execute(step.sql)
        db.execute(
            "INSERT INTO schema_version (component, version, min_reader) VALUES ('store', ?1, ?2)"
            " ON CONFLICT (component) DO UPDATE SET version = ?1, min_reader = ?2",
            (step.number, step.min_reader),
        )
        db.pragma("application_id", APPLICATION_ID)
        db.pragma("user_version", step.number)
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def _silent(_event: str, **_fields: object) -> None:
    """Nobody is told that a new database gets its schema."""
