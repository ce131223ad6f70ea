"""What the release after this one might make of the schema: everything wider, nothing taken away."""

import apsw

from postrider.store.sqlite import database, schema

_NEW = """
CREATE TABLE later_thing (account_id INT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (account_id, name)) STRICT;
CREATE INDEX later_message ON message (account_id, email_id, later);
CREATE TRIGGER later_trigger AFTER INSERT ON message BEGIN
    INSERT INTO later_thing (account_id, name) VALUES (new.account_id, hex(randomblob(16)));
END;
"""


def step():
    """The next migration: each table gets a column, and there are a new table, an index and a trigger."""
    db = apsw.Connection(":memory:")
    for known in schema.STEPS:
        db.execute(known.sql)
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    wider = [
        f"ALTER TABLE {name} ADD COLUMN later TEXT NOT NULL DEFAULT 'later'; "
        for name in tables
        if not name.startswith("sqlite_")
    ]
    return schema.Migration(schema.SCHEMA + 1, schema.SCHEMA, "".join(wider) + _NEW)


def migrate_further(data):
    """Bring the database of a data directory, made where it is missing, to the schema of the next release."""
    path = data / "mail.db"
    db = database.open_writer(path)
    schema.migrate(db, path, steps=(*schema.STEPS, step()))
    db.close()
