"""A data directory of every released version opens, shows what it showed, and can be written to.

They are made by tools/keep_data_directory.py with the program of that version.
"""

import dataclasses
import io
import json
import tarfile
from pathlib import Path

import apsw
import pytest
from stored import NOON, append, balanced, intake
from tools import keep_data_directory as kept

from postrider.store.open import open_local
from postrider.store.sqlite import schema
from postrider.store.values import account_of
from postrider.telemetry.events import Events

RELEASES = sorted(path for path in (Path(__file__).parent / "releases").iterdir() if path.is_dir())
BOTH = [pytest.param(path, way, id=f"{path.name}-{way}") for path in RELEASES for way in kept.WAYS]


def unpack(release, way, data):
    with tarfile.open(release / f"{way}.tar.xz") as archive:
        archive.extractall(data, filter="data")


def assert_shows(shown, expected, where="picture"):
    """All that was told then is told now; a later release may tell more."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            assert_shows(shown[key], value, f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(shown) == len(expected), where
        for at, value in enumerate(expected):
            assert_shows(shown[at], value, f"{where}/{at}")
    else:
        assert shown == expected, where


def told(log, name):
    return [event for event in map(json.loads, log.getvalue().splitlines()) if event["event"] == name]


@pytest.mark.parametrize(("release", "way"), BOTH)
async def test_a_kept_data_directory_shows_what_it_showed(data, options, release, way):
    unpack(release, way, data)
    number = int(release.name.rpartition("-")[2])
    expected = json.loads((release / kept.PICTURE).read_text())
    log = io.StringIO()
    store = open_local(data, dataclasses.replace(options, events=Events(log)))
    assert_shows(await kept.picture(store), expected)
    await store.close()
    assert [event["from"] for event in told(log, "store.migrated")] == [number][: schema.SCHEMA - number]
    assert not told(log, "store.damaged")
    store = open_local(data, options)
    assert_shows(await kept.picture(store), expected)  # once it is migrated too
    await store.close()


@pytest.mark.parametrize(("release", "way"), BOTH)
async def test_a_kept_data_directory_can_be_written_to(data, options, release, way):
    unpack(release, way, data)
    expected = json.loads((release / kept.PICTURE).read_text())
    folders = [row for one in expected["accounts"].values() for row in one["mailboxes"]]
    store = open_local(data, options)
    for account in (*kept.ACCOUNTS, kept.DAVE):
        inbox = next(row for row in await store.reader.mailboxes(account) if row.name == "INBOX")
        assert (await store.writer.commit(append(inbox.id, b"new", account=account))).target == (inbox.uidnext,)
        (row,) = await store.reader.messages(account, inbox.id, [inbox.uidnext])
        assert await store.reader.body(account, row.blob) == b"new"
        assert row.modseq > inbox.modseq
        if account == kept.DAVE:  # removed and come again: nothing of it may be mistaken for what was
            assert inbox.uidvalidity > max(row["uidvalidity"] for row in folders)
    assert (await store.writer.commit(intake(account_of("mail", "new@kept.test")))).stored
    assert balanced(await store.reader.counters())
    await store.close()
    db = apsw.Connection(str(data / "mail.db"))
    assert db.pragma("integrity_check") == "ok"
    db.close()


async def test_the_tool_keeps_what_the_present_program_writes(data, options, tmp_path):
    await kept.main(tmp_path / "kept")
    expected = json.loads((tmp_path / "kept" / kept.PICTURE).read_text())
    assert balanced(expected["counters"])
    unpack(tmp_path / "kept", "killed", data)
    store = open_local(data, options)
    assert_shows(await kept.picture(store), expected)
    assert await store.reader.recall("expired", NOON) is None
    await store.close()
