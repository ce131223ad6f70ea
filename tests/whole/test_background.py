"""The background process of a whole server: there, restarted when it dies, and nobody waits for it."""

import asyncio
import os
import random
import signal
import stat
import time
from pathlib import Path

import live_tree
import pytest
from waiting import PATIENCE, wait_until

from postrider.store.search.lookup import IndexLookup
from postrider.store.search.wanted import Has, Part
from postrider.store.values import account_of
from postrider.telemetry.events import Events


def _pids(server):
    """Of every background process that was started, in order."""
    return [one["pid"] for one in server.events("server.start") if one["role"] == "background-0"]


def test_it_is_started_again_and_the_group_serves_on(server):
    wait_until(lambda: _pids(server))
    first = _pids(server)[0]
    assert os.getpriority(os.PRIO_PROCESS, first) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(_pids(server)) == 2)
    assert server.get("/readyz")[0] == 200
    assert server.status()["loaded"] == 1
    second = _pids(server)[1]
    server.change()
    # What is stored is indexed by and by, and found by a search meanwhile.
    with server.imap("alice@one.test") as client:
        client.append("INBOX", b"Subject: =?utf-8?q?Caf=C3=A9?=\r\n\r\nA needle.\r\n")
        client.select_folder("INBOX")
        assert client.search(["TEXT", "needle"]) == client.search(["SUBJECT", "CAFE\u0301"], "UTF-8") == [1]
        wait_until(lambda: "postrider_search_indexed_total 1.0" in server.get("/metrics", "metrics")[1])
        assert client.search(["TEXT", "needle"]) == client.search(["SUBJECT", "CAFE\u0301"], "UTF-8") == [1]
    assert (server.directory / "data" / "search.db").exists()
    modes = live_tree.modes(live_tree.paths(server.directory / "data"))
    assert not [path for path, mode in modes.items() if mode & 0o077 and not stat.S_ISLNK(mode)]
    assert server.terminate() == 0
    assert not Path(f"/proc/{second}").exists()
    assert [one["process"] for one in server.events("server.process_ended")] == ["background-0"]


@pytest.mark.crash
async def test_the_index_is_whole_however_often_its_writer_is_killed(server):
    """Nothing is missed while it is dead, torn or behind, and what it wrote before it was killed is kept."""
    chance = random.Random(7)
    stored = 0
    with server.imap("alice@one.test") as client:
        client.select_folder("INBOX")
        for turn in range(1, 7):
            for number in range(60):
                word = "needle" if number % 3 else "haystack"
                client.append("INBOX", f"Subject: {turn}\r\n\r\nThe {word} of {number}.\r\n".encode())
            stored += 40
            client.noop()
            time.sleep(chance.random())
            assert len(client.search(["TEXT", "needle"])) == stored
            wait_until(lambda: server.events("search.rebuilt"))  # killed while it makes the file, it does so twice
            os.kill(_pids(server)[-1], signal.SIGKILL)
            assert len(client.search(["BODY", "the needle of"])) == stored
            wait_until(lambda turn=turn: len(_pids(server)) > turn)
        uidvalidity = client.folder_status("INBOX", ["UIDVALIDITY"])[b"UIDVALIDITY"]
    lookup = IndexLookup(server.directory / "data", Events())
    account = account_of(server.snapshot.mailboxes[0].namespace, "alice@one.test")
    end = time.monotonic() + PATIENCE
    while (covered := await lookup.covered(account, uidvalidity)) is None or covered.uid < 6 * 60:
        assert time.monotonic() < end, covered
        await asyncio.sleep(0.1)
    page = await lookup.page(covered, Has((Part.BODY,), "needle"), covered.uid, 1000)
    assert [sure for _, sure in page.found] == [True] * stored
    lookup.close()
    assert len(server.events("search.rebuilt")) == 1
