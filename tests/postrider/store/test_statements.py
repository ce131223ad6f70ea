"""Every INSERT names its columns: a program goes on working on the schema of the release after it."""

import re
from pathlib import Path

import pytest

import postrider.store

ROOT = Path(postrider.store.__file__).parent
_INSERT = re.compile(r"\b(?:INSERT(?:\s+OR\s+\w+)?|REPLACE)\s+INTO\s+([\w{}.]+)(\s*\(?)", re.IGNORECASE)


def inserts(text):
    """Each INSERT as the table's name, and whether columns follow; a statement put together from strings is one."""
    joined = re.sub(r'"\s*\n\s*f?"', "", text)
    return [(found[1], found[2].strip() == "(") for found in _INSERT.finditer(joined)]


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_inserts_name_their_columns(path):
    assert [table for table, columns in inserts(path.read_text()) if not columns] == []


@pytest.mark.parametrize("path", sorted((ROOT / "sql").glob("*.sql"))[1:], ids=lambda path: path.name)
def test_migrations_name_columns(path):
    assert [table for table, columns in inserts(path.read_text()) if not columns] == []


def test_an_insert_without_columns_is_found():
    assert inserts('"INSERT OR IGNORE INTO mail"\n    " VALUES (?)"') == [("mail", False)]
    assert inserts('"INSERT INTO more"\n  f" (a) SELECT 1"') == [("more", True)]
    assert inserts('f"insert into {it}({a}) VALUES (1)"') == [("{it}", True)]
