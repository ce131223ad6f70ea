"""What becomes of mail with time, over the real store with a clock that stands still."""

import io
import json

import pytest
from stored import NOON, StillClock, append, body_of

from postrider.accounts.directory import Directory
from postrider.contract.model import Claim, Domain, Mailbox, Policy, Retention, Server, Snapshot
from postrider.ops import janitor
from postrider.store import transactions as t
from postrider.store.open import Options, open_local
from postrider.store.transactions import FlagChange, Reason, StoreError
from postrider.store.values import Flag, account_of
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

DAY = 24 * 3600
ALICE = account_of("default", "alice@one.test")
INBOX = 1
LETTER = b"Subject: hello\r\n\r\nGood morning.\r\n"


class Site:
    """A store, what is declared around it, and its janitor."""

    def __init__(self, path):
        self.clock = StillClock()
        self.store = open_local(path, Options(clock=self.clock, allow_tmpfs=True, measure_sync=False, wait=0))
        self.log = io.StringIO()
        self.rests = []
        self.declare(Policy())
        self.metrics = Metrics()
        ports = janitor.Ports(
            store=self.store,
            directory=lambda: self.directory,
            clock=self.clock,
            events=Events(self.log),
            metrics=self.metrics,
            rest=self.rest,
        )
        self.janitor = janitor.Janitor(ports)

    async def rest(self, seconds):
        self.rests.append(seconds)

    def declare(self, policy, *claims, there=True, domain=Policy()):  # noqa: B008 -- frozen
        said = {name: getattr(policy, name) for name in Policy.__struct_fields__}
        boxes = (Mailbox(address="alice@one.test", **said), Mailbox(address="bob@one.test"))
        domains = (Domain(name="one.test", mailboxes=domain),)
        self.directory = Directory(
            Snapshot(server=Server(hostname="m"), domains=domains, mailboxes=boxes[not there :], claims=claims)
        )

    async def round(self, after=0):
        self.clock.seconds += after
        await self.janitor.run_once(self.clock.now())

    async def expunge(self, *, keep=True):
        rows = await self.store.reader.flags(ALICE, INBOX)
        uids = tuple(row.uid for row in rows)
        await self.store.writer.commit(t.SetFlags(ALICE, INBOX, uids, FlagChange.ADD, Flag.DELETED))
        await self.store.writer.commit(t.Expunge(ALICE, INBOX, uids, keep))

    async def fill(self, number=3, mailbox_id=INBOX):
        await self.store.writer.commit(t.OpenAccount(ALICE))
        await self.store.writer.commit(append(mailbox_id, *[LETTER] * number, account=ALICE))

    async def hidden(self):
        return len(await self.store.reader.expunged(ALICE))

    async def folder(self, use):
        return next(row for row in await self.store.reader.mailboxes(ALICE) if row.special_use == use)

    def events(self, name):
        rows = map(json.loads, self.log.getvalue().splitlines())
        return [row for row in rows if row["event"] == name]

    def counted(self, name, **labels):
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
async def site(tmp_path):
    site = Site(tmp_path)
    yield site
    await site.store.close()


async def test_expunged_mail_goes_when_the_window_has_passed_and_not_before(site):
    await site.fill()
    (first, *_) = await site.store.reader.messages(ALICE, INBOX, [1])
    await site.expunge()
    await site.round(7 * DAY)
    assert await site.hidden() == 3
    assert await site.store.reader.usage(ALICE) == (0, 0)
    assert await site.store.reader.body(ALICE, first.blob) == LETTER
    await site.round(1)
    assert await site.hidden() == 0
    with pytest.raises(StoreError):
        await site.store.reader.body(ALICE, first.blob)
    assert site.counted("postrider_removed_messages_total", why="undelete") == 3
    (event,) = site.events("account.swept")
    assert (event["account"], event["why"], event["messages"]) == (ALICE, "undelete", 3)
    await site.round(1)
    assert len(site.events("account.swept")) == 1


async def test_a_shorter_window_is_the_window_of_what_was_expunged_before_too(site):
    await site.fill()
    await site.expunge()
    await site.round(DAY)
    assert await site.hidden() == 3
    site.declare(Policy(undelete=0))
    await site.round()
    assert await site.hidden() == 0


async def test_undeleted_mail_comes_back_as_the_same_email(site):
    await site.fill(1)
    (before,) = await site.store.reader.messages(ALICE, INBOX, [1])
    await site.expunge()
    await site.round(DAY)
    (row,) = await site.store.reader.expunged(ALICE)
    await site.store.writer.commit(t.Undelete(ALICE, (row.id,), INBOX))
    await site.round(30 * DAY)
    (after,) = await site.store.reader.messages(ALICE, INBOX, [2])
    assert (after.email_id, after.flags) == (before.email_id, 0)
    assert await site.store.reader.body(ALICE, after.blob) == LETTER


async def test_many_go_in_slices_with_rests_between_and_a_round_has_an_end(site, monkeypatch):
    monkeypatch.setattr(janitor, "SLICE", 10)
    monkeypatch.setattr(janitor, "MAX_SLICES", 3)
    await site.fill(35)
    await site.expunge()
    await site.round(8 * DAY)
    assert await site.hidden() == 5
    assert len(site.rests) == 3
    await site.round()
    assert await site.hidden() == 0


async def test_under_legal_hold_nothing_goes(site):
    await site.fill()
    await site.expunge()
    site.declare(Policy(legal_hold=True, undelete=0, retention=Retention(trash=DAY)))
    await site.round(30 * DAY)
    assert await site.hidden() == 3
    assert (await site.store.reader.account(ALICE)).held
    assert site.counted("postrider_held_accounts") == 1
    with pytest.raises(StoreError) as refused:
        await site.store.writer.commit(t.Release(ALICE))
    assert refused.value.reason is Reason.HELD
    site.declare(Policy())
    await site.round()
    assert await site.hidden() == 0
    assert [event["held"] for event in site.events("account.hold")] == [True, False]


async def test_a_hold_outlives_the_mailbox_that_said_it_and_stops_its_removal(site):
    await site.fill()
    site.declare(Policy(legal_hold=True))
    await site.janitor.hold()
    gone = Claim(kind="Mailbox", key="alice@one.test", gone=NOON, release=True)
    site.declare(Policy(), gone, there=False)
    for _ in range(2):
        await site.round(30 * DAY)
    assert (await site.store.reader.account(ALICE)).held
    assert await site.store.reader.usage(ALICE) == (3 * len(LETTER), 3)


async def test_a_domains_hold_stops_what_is_not_declared_any_more(site):
    await site.fill()
    await site.expunge()
    site.declare(Policy(), there=False, domain=Policy(legal_hold=True))
    await site.round(30 * DAY)
    assert await site.hidden() == 3


async def test_a_removed_mailbox_is_kept_for_the_window_and_then_gone(site):
    await site.fill()
    gone = Claim(kind="Mailbox", key="alice@one.test", gone=NOON, release=True)
    site.declare(Policy(), gone, there=False)
    await site.round()
    assert await site.store.reader.account(ALICE) is None
    (kept,) = await site.store.reader.accounts()
    assert kept.messages == 3
    await site.round(7 * DAY - 1)
    assert len(await site.store.reader.accounts()) == 1
    await site.round(2)
    assert await site.store.reader.accounts() == []
    assert [event["messages"] for event in site.events("account.removed")] == [3]


async def test_retention_empties_the_folder_it_names_of_what_is_old(site):
    await site.store.writer.commit(t.OpenAccount(ALICE))
    trash, junk = await site.folder("\\Trash"), await site.folder("\\Junk")
    await site.fill(2, trash.id)
    await site.fill(1, junk.id)
    await site.fill(1)
    site.clock.seconds += 20 * DAY
    await site.fill(1, trash.id)
    site.declare(Policy(retention=Retention(trash=30 * DAY)))
    await site.round(10 * DAY + 1)
    assert (await site.folder("\\Trash")).messages == 1
    assert (await site.folder("\\Junk")).messages == 1
    assert (await site.store.reader.mailbox(ALICE, INBOX)).messages == 1
    assert await site.hidden() == 2  # it can be brought back
    await site.round(7 * DAY + 1)
    assert await site.hidden() == 0
    assert site.counted("postrider_removed_messages_total", why="retention") == 2


async def test_mail_that_came_back_begins_its_days_anew(site):
    await site.store.writer.commit(t.OpenAccount(ALICE))
    trash = await site.folder("\\Trash")
    await site.fill(1, trash.id)
    site.declare(Policy(retention=Retention(trash=30 * DAY)))
    await site.round(31 * DAY)
    (row,) = await site.store.reader.expunged(ALICE)
    await site.store.writer.commit(t.Undelete(ALICE, (row.id,), trash.id))
    await site.round(29 * DAY)
    assert (await site.folder("\\Trash")).messages == 1


async def test_mail_moved_to_the_trash_begins_its_days_there(site):
    await site.fill(1)
    site.clock.seconds += 60 * DAY
    trash = await site.folder("\\Trash")
    await site.store.writer.commit(t.Copy(ALICE, INBOX, (1,), trash.id, move=True))
    site.declare(Policy(retention=Retention(trash=30 * DAY)))
    await site.round(DAY)
    assert (await site.folder("\\Trash")).messages == 1


async def test_tombstones_are_forgotten_after_two_months(site):
    await site.fill(3)
    await site.expunge()
    await site.round()
    for week in range(9):
        await site.fill(1)
        await site.round(8 * DAY)
        assert ((await site.store.reader.account(ALICE)).floor > 0) is (week >= 7)
    changes = await site.store.reader.changes(ALICE, INBOX, 1)
    assert changes.modseq > 0
    await site.fill(1)


async def test_no_tombstone_is_left_however_many_there_are(site, monkeypatch):
    monkeypatch.setattr(janitor, "TOMBSTONES_AT_ONCE", 2)
    for _ in range(7):
        await site.fill(1)
        await site.expunge()
    since = (await site.store.reader.account(ALICE)).modseq
    for _ in range(10):
        await site.fill(1)
        await site.round(8 * DAY)
    row = await site.store.reader.account(ALICE)
    assert row.floor >= since
    assert not (await site.store.writer.commit(t.PruneTombstones(ALICE, row.floor, 1))).more


async def test_append_keys_are_forgotten_once_a_day(site):
    await site.store.writer.commit(t.OpenAccount(ALICE))
    again = t.Append(ALICE, INBOX, (t.NewMessage(body_of(LETTER), NOON, b"", key=b"once"),))
    await site.store.writer.commit(again)
    for _ in range(150):
        await site.round(600)
    assert (await site.store.writer.commit(again)).target == (1,)
    site.clock.seconds += 7 * DAY
    for _ in range(150):
        await site.round(600)
    assert (await site.store.writer.commit(again)).target == (2,)


async def test_one_account_that_fails_stops_no_other(site, monkeypatch):
    await site.fill()
    await site.expunge()
    first = account_of("default", "aaron@one.test")
    await site.store.writer.commit(t.OpenAccount(first))
    recall = site.store.reader.recall

    async def broken(key, now):
        if key.endswith(first):
            raise StoreError(Reason.INVALID, "broken")
        return await recall(key, now)

    monkeypatch.setattr(site.store.reader, "recall", broken)
    await site.round(8 * DAY)
    assert await site.hidden() == 0
    assert [event["account"] for event in site.events("server.failure")] == [first]
