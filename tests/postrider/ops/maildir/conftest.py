"""A store whose bodies are files, and the Maildir of one of its accounts."""

import io
import json
import mailbox
import os
import time

import pytest

from postrider.mailbox.actions import Actions, Allowance
from postrider.ops.maildir.account import AccountMaildir
from postrider.ops.maildir.adoption import Taking
from postrider.store.open import open_local
from postrider.store.values import Flag, account_of
from postrider.store.writer import Options
from postrider.telemetry.events import Events

ALICE = account_of("default", "alice@one.test")
#: How Maildir's letters are called in IMAP's flags.
LETTERS = {"D": Flag.DRAFT, "F": Flag.FLAGGED, "R": Flag.ANSWERED, "S": Flag.SEEN, "T": Flag.DELETED}


class Later:
    """The clock of the machine, set forward: what was dropped just now has been there for a while."""

    def __init__(self):
        self.ahead = 100.0
        #: Whether the time of day is ahead too.
        self.settled = True

    def now(self):
        return time.time() + self.ahead * self.settled

    def monotonic(self):
        return time.monotonic() + self.ahead


class Site:
    """One account in a store with Maildirs, and what keeps its Maildir."""

    def __init__(self, data):
        self.clock, self.log, self.allowed = Later(), io.StringIO(), Allowance()
        self.store = open_local(data, Options(clock=self.clock, allow_tmpfs=True, measure_sync=False, blobs="maildir"))
        self.reader, self.commit = self.store.reader, self.store.writer.commit
        self.root = data / "maildir/one.test/alice"
        (data / "spool").mkdir(exist_ok=True)
        self.taking = Taking(
            store=self.store, account=ALICE, actions=lambda: Actions(self.store.writer, ALICE, self.allowed),
            clock=self.clock, events=Events(self.log), spool=data / "spool",
        )  # fmt: skip
        self.restart()

    def restart(self):
        """Whatever the keeper knew is forgotten."""
        self.keeping = AccountMaildir(self.root, self.taking)

    async def look(self):
        """As the keeper does it from time to time; whether there was something to look at."""
        self.clock.ahead += 100
        touched = self.keeping.touched()
        if touched:
            await self.keeping.look()
        return touched

    def told(self, name="maildir.left"):
        events = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [event for event in events if event["event"] == name]

    async def folders(self):
        return {row.name: row for row in await self.reader.mailboxes(ALICE)}

    async def kept(self):
        """What the database has: folder to a sorted list of (octets, flags)."""
        found = {}
        for name, row in (await self.folders()).items():
            uids = await self.reader.uids(ALICE, row.id)
            found[name] = sorted(
                [
                    (message.prefix + await self.reader.body(ALICE, message.blob), message.flags)
                    for message in await self.reader.messages(ALICE, row.id, uids)
                ]
            )
        return found

    def shown(self):
        """The same as Python's reader of Maildirs finds it; folders by the names of their directories."""
        box = mailbox.Maildir(self.root, create=False)
        return {name: _messages(box.get_folder(name)) for name in box.list_folders()} | {"INBOX": _messages(box)}

    def drop(self, data, path="new/1.dropped.host", seconds=1_500_000_000):
        """As other programs do it: written elsewhere, then renamed."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root / "draft"
        draft.write_bytes(data)
        os.utime(draft, (seconds, seconds))
        draft.rename(target)
        return target


def _messages(box):
    found = []
    for key in box.keys():  # noqa: SIM118 -- a mailbox is no dict
        message = box[key]
        assert message.get_flags() or message.get_subdir() == "new" or message.get_info() == "2,"
        flags = sum(LETTERS.get(letter, 0) for letter in message.get_flags())
        found.append(
            (
                box.get_bytes(key),
                flags,
            )
        )
    return sorted(found)


@pytest.fixture
def tmp_path(tmp_path_factory):
    """On a disk: in memory two changes may come within one tick, and leave a directory the same time of change."""
    return tmp_path_factory.mktemp("maildir")


@pytest.fixture
async def site(tmp_path):
    site = Site(tmp_path)
    yield site
    await site.store.close()
