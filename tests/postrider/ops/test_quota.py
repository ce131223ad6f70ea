"""Users are warned once at each percentage, and counted."""

import email
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored import StillClock, append

from postrider.accounts.directory import Directory
from postrider.contract.model import Domain, Mailbox, Policy, Server, Snapshot
from postrider.ingest import ports as ingest
from postrider.ingest.pipeline import Ingest
from postrider.net.system import SystemRandom
from postrider.ops import quota
from postrider.store import transactions as t
from postrider.store.open import memory
from postrider.store.values import account_of
from postrider.store.writer import Options
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

ALICE = account_of("default", "alice@one.test")
BOB = account_of("default", "bob@one.test")
INBOX, ARCHIVE = 1, 6
QUOTA = 100_000


class Site:
    def __init__(self, spool):
        self.clock = StillClock()
        self.store = memory(Options(clock=self.clock))
        self.log, self.metrics = io.StringIO(), Metrics()
        self.declare()
        shared = {
            "store": self.store,
            "directory": lambda: self.directory,
            "random": SystemRandom(),
            "events": Events(self.log),
            "metrics": self.metrics,
        }
        taking = Ingest(ingest.Ports(**shared, clock=self.clock, spool=spool))
        self.warner = quota.Warner(quota.Ports(**shared, ingest=taking))

    def declare(self, quota_bytes=QUOTA, domain_quota=0, policy=Policy()):  # noqa: B008 -- frozen
        self.directory = Directory(
            Snapshot(
                server=Server(hostname="mx.one.test", postmaster="help@one.test", mailboxes=policy),
                domains=(Domain(name="one.test", quota_bytes=domain_quota),),
                mailboxes=(
                    Mailbox(address="alice@one.test", quota_bytes=quota_bytes),
                    Mailbox(address="bob@one.test"),
                ),
            )
        )

    async def use(self, octets, account=ALICE):
        """Bring the account to so many octets, beside what it was sent."""
        rows = await self.store.reader.flags(account, ARCHIVE)
        uids = tuple(row.uid for row in rows)
        await self.store.writer.commit(t.SetFlags(account, ARCHIVE, uids, t.FlagChange.ADD, 8))
        await self.store.writer.commit(t.Expunge(account, ARCHIVE, uids))
        used, _ = await self.store.reader.usage(account)
        await self.store.writer.commit(append(ARCHIVE, b"x" * (octets - used), account=account))
        await self.warner.run_once(self.clock.now())

    async def letters(self):
        rows = await self.store.reader.flags(ALICE, INBOX)
        messages = await self.store.reader.messages(ALICE, INBOX, [row.uid for row in rows])
        return [
            email.message_from_bytes(row.prefix + await self.store.reader.body(ALICE, row.blob)) for row in messages
        ]

    def counted(self, what, percent):
        labels = {"what": what, "percent": str(percent)}
        return self.metrics.registry.get_sample_value("postrider_quota_filled", labels)


@pytest.fixture
async def site(tmp_path):
    site = Site(tmp_path)
    for account in (ALICE, BOB):
        await site.store.writer.commit(t.OpenAccount(account))
    yield site
    await site.store.close()


async def test_each_percentage_is_told_once_and_again_after_there_was_room(site):
    told = []
    for octets in (79_999, 80_000, 90_000, 95_000, 99_000, 79_000, 81_000, 77_000, 85_000):
        await site.use(octets)
        told.append(len(await site.letters()))
    assert told == [0, 1, 1, 2, 2, 2, 2, 2, 3]


async def test_the_letter_says_how_much_what_happens_and_what_to_do(site):
    await site.use(83_000)
    (letter,) = await site.letters()
    assert letter["Subject"] == "Your mailbox is 83 % full"
    assert letter["From"] == "Mail System <help@one.test>"
    assert letter["To"] == "<alice@one.test>"
    assert letter["Return-Path"] == "<>"
    assert letter["Auto-Submitted"] == "auto-generated"
    text = letter.get_payload()
    assert "81.1 Ki of 97.7 Ki are in use" in text
    assert "waits at its senders' servers" in text.replace("\r\n", " ")
    assert max(map(len, text.splitlines())) <= 76


async def test_it_says_so_where_mail_is_rejected(site):
    site.declare(policy=Policy(when_full="reject"))
    await site.use(83_000)
    (letter,) = await site.letters()
    assert "is returned to its senders at once." in letter.get_payload().replace("\r\n", " ")


async def test_who_wants_no_warnings_or_has_no_quota_gets_none(site):
    site.declare(policy=Policy(quota_warnings=()))
    await site.use(99_000)
    site.declare(quota_bytes=0)
    await site.use(99_500)
    assert await site.letters() == []


async def test_another_warner_knows_what_was_told(site, tmp_path):
    await site.use(96_000)
    site.warner = quota.Warner(site.warner._ports)
    await site.warner.run_once(site.clock.now())
    assert len(await site.letters()) == 1
    site.clock.seconds += quota.REMEMBERED // 2
    await site.warner.run_once(site.clock.now())
    assert len(await site.letters()) == 1


async def test_accounts_and_domains_at_each_level_are_counted(site):
    await site.use(83_000)
    assert [site.counted("account", percent) for percent in (80, 95, 100)] == [1, 0, 0]
    site.declare(domain_quota=90_000)
    await site.use(87_000)
    assert [site.counted("domain", percent) for percent in (80, 95, 100)] == [1, 1, 0]
    site.declare(quota_bytes=0)
    await site.warner.run_once(site.clock.now())
    assert [site.counted("account", percent) for percent in (80, 95, 100)] == [0, 0, 0]


async def test_a_domain_that_fills_up_is_told_to_the_operator_once_a_level(site):
    site.declare(quota_bytes=0, domain_quota=QUOTA)
    for octets in (70_000, 85_000, 86_000, 96_000, 100_000):
        await site.use(octets)
    rows = [json.loads(line) for line in site.log.getvalue().splitlines()]
    assert [row["percent"] for row in rows if row["event"] == "quota.domain"] == [85, 96, 100]


@given(st.lists(st.integers(0, 120), max_size=40), st.sets(st.integers(1, 100), max_size=5))
def test_a_percentage_is_told_when_it_is_reached_first_and_after_usage_was_well_below_it(usages, levels):
    before, waiting = 0, set(levels)
    for used in usages:
        reached = quota.reached(used, 100, levels)
        waiting |= {level for level in levels if used + quota.MARGIN < level}
        tell, before = quota.told(reached, before, quota.reached(used + quota.MARGIN, 100, levels))
        assert tell == (reached in waiting)
        waiting -= {level for level in levels if level <= reached}
