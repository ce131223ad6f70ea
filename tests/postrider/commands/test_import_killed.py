"""kill -9 in the middle of an import, again and again: every message is stored once."""

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from itertools import count
from random import Random

import pytest

from postrider.store import open as stores
from postrider.store.values import Account

ALICE = Account("default/alice@one.test")


def fill(maildir, many):
    (maildir / "cur").mkdir(parents=True)
    for number in range(many):
        text = b"Subject: message %d\n\n" % number + b"text\n" * (number % 300)
        (maildir / "cur" / f"{1700000000 + number}.x.host:2,S").write_bytes(text)


def begin(maildir, data):
    command = [sys.executable, "-m", "postrider", "import", str(maildir), "alice@one.test", "--data", str(data)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stored(data):
    """How many messages are durable."""
    try:
        with closing(sqlite3.connect(f"file:{data}/mail.db?mode=ro", uri=True)) as db:
            return db.execute("SELECT count(*) FROM message").fetchone()[0]
    except sqlite3.OperationalError:  # it is only being made
        return 0


def kill_at_work(maildir, data, random):
    """One run, killed some time after it began to store; false when it was finished before."""
    before = stored(data)
    run = begin(maildir, data)
    while run.poll() is None and stored(data) == before:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.03))
    run.kill()
    run.communicate()
    return run.returncode < 0


async def imported_once(maildir, data, many):
    run = begin(maildir, data)
    told, complaints = run.communicate(timeout=100)
    assert run.returncode == 0, complaints
    store = stores.open_local(data)
    [inbox] = [row for row in await store.reader.mailboxes(ALICE) if row.name == "INBOX"]
    uids = await store.reader.uids(ALICE, inbox.id)
    found = Counter()
    for start in range(0, len(uids), 500):
        for row in await store.reader.messages(ALICE, inbox.id, uids[start : start + 500]):
            octets = await store.reader.body(ALICE, row.blob)
            found[int(octets.split(b"\r\n", 1)[0].rsplit(b" ", 1)[1])] += 1
    await store.close()
    assert found == Counter(range(many))
    assert not list((data / "spool").iterdir())
    return told


async def test_two_kills(tmp_path):
    maildir, random = tmp_path / "Maildir", Random(4)
    fill(maildir, 900)
    for number in count():
        data = tmp_path / f"data-{number}"
        data.mkdir()
        if kill_at_work(maildir, data, random):  # else it was quicker than the killer
            break
    kill_at_work(maildir, data, random)
    assert "were there already" in await imported_once(maildir, data, 900)


@pytest.mark.crash
async def test_ten_kills(tmp_path):
    maildir, data = tmp_path / "Maildir", tmp_path / "data"
    fill(maildir, 10_000)
    data.mkdir()
    random = Random(4)
    assert sum(kill_at_work(maildir, data, random) for _ in range(10)) > 5
    await imported_once(maildir, data, 10_000)
