"""All journaled rows of a data directory, before and after its database is lost and made again."""

import apsw
from stored import StillClock

from postrider.store import journal
from postrider.store.open import Options, rebuild
from postrider.store.sqlite.journal import columns_of


def content(data):
    return b"made anew", (b"key",)


def again(data, keys=None):
    return rebuild(data, content, lambda *_: None, Options(clock=StillClock(), wait=0, keys=keys))


def dump(data):
    """All rows of all tables that are journaled, or that triggers keep."""
    db = apsw.Connection(str(data / "mail.db"))
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    rows = {}
    for table in tables:
        if table in journal.DERIVED and "triggers" not in journal.DERIVED[table]:
            continue
        left_out = journal.DERIVED_COLUMNS.get(table, frozenset())
        names = [name for name, _, _ in columns_of(db, table) if name not in left_out]
        rows[table] = sorted(db.execute(f"SELECT {', '.join(names or ['*'])} FROM {table}").fetchall(), key=repr)
    db.close()
    # Empty domains and logs are no difference.
    for table in ("domain_usage", "log_size"):
        rows[table] = [row for row in rows[table] if any(row[1:])]
    return rows


def lose(data):
    """The database is gone."""
    for name in ("mail.db", "mail.db-wal", "mail.db-shm"):
        (data / name).unlink(missing_ok=True)
