"""The background process of a whole server: there, restarted when it dies, and nobody waits for it."""

import json
import os
import signal
import time
from pathlib import Path


def _pids(server):
    """Of every background process that was started, in order."""
    lines = (server.directory / "log").read_text().splitlines()
    found = [json.loads(line) for line in lines if '"background-0"' in line]
    return [line["pid"] for line in found if line["event"] == "server.start"]


def _wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_it_is_started_again_and_the_group_serves_on(server):
    _wait_for(lambda: _pids(server))
    first = _pids(server)[0]
    os.kill(first, signal.SIGKILL)
    _wait_for(lambda: len(_pids(server)) == 2)
    assert server.get("/readyz")[0] == 200
    assert server.status()["loaded"] == 1
    second = _pids(server)[1]
    server.change()
    # What is stored is indexed by and by, and found by a search meanwhile.
    with server.imap("alice@one.test") as client:
        client.append("INBOX", b"Subject: =?utf-8?q?Caf=C3=A9?=\r\n\r\nA needle.\r\n")
        client.select_folder("INBOX")
        assert client.search(["TEXT", "needle"]) == client.search(["SUBJECT", "CAFE\u0301"], "UTF-8") == [1]
        _wait_for(lambda: "postrider_search_indexed_total 1.0" in server.get("/metrics", "metrics")[1])
        assert client.search(["TEXT", "needle"]) == client.search(["SUBJECT", "CAFE\u0301"], "UTF-8") == [1]
    assert (server.directory / "data" / "search.db").stat().st_mode & 0o777 == 0o600
    assert server.terminate() == 0
    assert not Path(f"/proc/{second}").exists()
    ended = [json.loads(line) for line in (server.directory / "log").read_text().splitlines()]
    assert [line["status"] for line in ended if line["event"] == "server.process_ended"] == [-9]
