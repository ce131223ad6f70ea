"""All declared accounts are kept, each for itself; what nobody declares is taken down."""

import asyncio
import io
import json
import time

import pytest

from postrider.accounts.directory import Directory
from postrider.contract.model import Domain, Mailbox, Server, Snapshot
from postrider.ops.maildir.keeper import Keeper, Ports
from postrider.store import transactions as t
from postrider.store.open import open_local
from postrider.store.values import account_of
from postrider.store.writer import Options
from postrider.telemetry.events import Events


class Later:
    """Everything that was dropped has been there for a while."""

    def now(self):
        return time.time() + 100

    def monotonic(self):
        return time.monotonic()


class Site:
    def __init__(self, data):
        clock = Later()
        self.log, self.root = io.StringIO(), data / "maildir/one.test"
        self.store = open_local(data, Options(clock=clock, allow_tmpfs=True, measure_sync=False, blobs="maildir"))
        self.declare("alice", "bob")
        (data / "spool").mkdir()
        ports = Ports(
            store=self.store, directory=lambda: self.directory, root=data / "maildir", spool=data / "spool",
            clock=clock, events=Events(self.log),
        )  # fmt: skip
        self.keeper = Keeper(ports)

    def declare(self, *users):
        mailboxes = tuple(Mailbox(address=f"{user}@one.test") for user in users)
        snapshot = Snapshot(
            server=Server(hostname="mx.one.test"), domains=(Domain(name="one.test"),), mailboxes=mailboxes
        )
        self.directory = Directory(snapshot)

    async def messages(self, user):
        row = await self.store.reader.mailbox(account_of("default", f"{user}@one.test"), 1)
        return row.messages

    def shown(self, user):
        return sum(".postrider-" in path.name for path in (self.root / user).glob("new/*"))


@pytest.fixture
async def site(tmp_path):
    site = Site(tmp_path)
    yield site
    await site.store.close()


async def until(true, seconds=60):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_accounts_come_and_go_and_one_that_is_broken_stops_no_other(site):
    site.root.mkdir(parents=True)
    (site.root / "bob").write_text("somebody put a file here")
    task = asyncio.create_task(site.keeper.run())
    await until((site.root / "alice/.Sent/cur").is_dir)
    await site.store.writer.commit(t.CreateMailbox(account_of("default", "alice@one.test"), "Work"))
    await until((site.root / "alice/.Work/cur").is_dir)
    (site.root / "alice/new/1.dropped").write_bytes(b"Subject: x\n\n")
    await until(lambda: site.shown("alice") == 1)
    assert await site.messages("alice") == 1
    (failed,) = map(json.loads, site.log.getvalue().splitlines())
    assert (failed["event"], failed["account"]) == ("maildir.failed", "default/bob@one.test")
    site.declare("carol")
    await until((site.root / "carol/.Sent/cur").is_dir)
    await until(lambda: site.shown("alice") == 0)
    await until(lambda: not (site.root / "alice/.Work").exists())
    site.declare("carol", "alice")
    await until(lambda: site.shown("alice") == 1)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
