"""COPY of a large folder: all of it or nothing, whatever happens meanwhile."""

import asyncio
import contextlib
import random
import threading
import time

import imapclient
import pytest
from running import snapshot
from stored import append

from postrider.store.open import open_local
from postrider.store.values import account_of


def fill(data, account, count):
    """Put so many small messages into an INBOX, while no server runs."""

    async def work():
        store = open_local(data)
        bodies = [b"Subject: %d\r\n\r\n" % number for number in range(1000)]
        for _ in range(count // 1000):
            await store.writer.commit(append(1, *bodies, account=account))
        await store.close()

    data.mkdir(mode=0o700)
    asyncio.run(work())


@pytest.mark.crash
def test_a_copy_that_is_killed_leaves_all_or_none(make_server, ca):
    count, luck, found, took = 8_000, random.Random(6), set(), 0.0
    server = make_server(snapshot(ca), start=False)
    fill(server.directory / "data", account_of("default", "bob@one.test"), count)
    for number in range(6):
        server.start()
        name, answered = f"Round {number}", []
        with contextlib.suppress(imapclient.exceptions.IMAPClientError, OSError), server.imap("bob@one.test") as client:
            client.select_folder("INBOX", readonly=True)
            client.create_folder(name)
            killer = threading.Timer(luck.uniform(0.0, took), server.kill)
            if number:  # the first one lives, and says how long it takes
                killer.start()
            began = time.monotonic()
            client.copy("1:*", name)
            answered.append("OK")
            took = took or time.monotonic() - began
        if number:
            killer.join()
        server.kill()
        server.start()
        with server.imap("bob@one.test") as client:
            there = client.folder_status(name, ["MESSAGES", "UNSEEN"])[b"MESSAGES"]
            client.select_folder(name)
            uids = client.search()
            assert len(uids) == there
            assert there == (count if answered else there)
            assert there in (0, count)
            found.add(there)
            client.append(name, b"Subject: new\r\n\r\n")
            new = client.search(["SUBJECT", "new"])
            assert new
            assert min(new) > max(uids, default=0)
        server.kill()
    assert found == {0, count}, "the moments were not chosen well"
