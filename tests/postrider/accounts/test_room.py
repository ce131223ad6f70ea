"""What a sender hears of a full mailbox before the message is sent."""

import msgspec
import pytest
from stored import StillClock, append, body_of

from postrider.accounts.directory import Directory
from postrider.accounts.room import FRESH, Room
from postrider.contract.model import Domain, Mailbox, Policy, Server, Snapshot
from postrider.store import open as stores
from postrider.store import transactions as t
from postrider.store.values import account_of

ALICE = account_of("mail", "alice@one.test")
BOB = account_of("mail", "bob@one.test")


def directory(quota=None, domain_quota=0, when_full=None):
    return Directory(
        Snapshot(
            server=Server(hostname="mx.one.test", mailboxes=Policy(when_full=when_full)),
            domains=(Domain(name="one.test", namespace="mail", quota_bytes=domain_quota),),
            mailboxes=(
                Mailbox(address="alice@one.test", namespace="mail", quota_bytes=quota),
                Mailbox(address="bob@one.test", namespace="mail"),
            ),
        )
    )


@pytest.fixture
async def store():
    store = stores.memory()
    for account in (ALICE, BOB):
        await store.writer.commit(t.OpenAccount(account))
    await store.writer.commit(append(1, b"x" * 600, account=ALICE))
    yield store
    await store.close()


@pytest.fixture
def clock():
    return StillClock()


async def heard(store, clock, declared, size=0, name="alice@one.test"):
    mailbox = declared.mailbox(name)
    said = Room(store.reader, clock).refusal(declared, mailbox, size)
    return str(await said or "") if said is not None else None


async def test_without_quotas_nothing_is_looked_up(store, clock):
    assert await heard(store, clock, directory()) is None


@pytest.mark.parametrize(
    ("quota", "size", "expected"),
    [
        (1000, 0, ""),
        (1000, 400, ""),
        (1000, 401, "452 4.2.2 The mailbox is full, try again later"),
        (601, 0, ""),
        (600, 0, "452 4.2.2 The mailbox is full, try again later"),
        (1000, 1001, "552 5.2.3 The message is larger than the mailbox may be"),
    ],
)
async def test_a_quota_and_what_is_announced(store, clock, quota, size, expected):
    assert await heard(store, clock, directory(quota), size) == expected


async def test_a_full_domain_is_full_for_all_its_mailboxes(store, clock):
    declared = directory(domain_quota=700)
    assert await heard(store, clock, declared, 100, "bob@one.test") == ""
    assert await heard(store, clock, declared, 101, "bob@one.test") == "452 4.2.2 The mailbox is full, try again later"


async def test_rejecting_says_so_for_good(store, clock):
    assert await heard(store, clock, directory(600, when_full="reject")) == "552 5.2.2 The mailbox is full"


async def test_a_look_is_believed_for_a_moment(store, clock):
    declared, room = directory(1000), Room(store.reader, clock)
    alice = declared.mailbox("alice@one.test")
    assert await room.refusal(declared, alice, 300) is None
    await store.writer.commit(t.Append(ALICE, 1, (t.NewMessage(body_of(b"y" * 300), 0, b""),)))
    assert await room.refusal(declared, alice, 300) is None
    clock.seconds += FRESH
    assert (await room.refusal(declared, alice, 300)).code == 452


async def test_policies_change_with_the_next_generation(store, clock):
    before = directory(1000)
    after = Directory(msgspec.structs.replace(before.snapshot, mailboxes=directory(600).snapshot.mailboxes))
    assert await heard(store, clock, before) == ""
    assert await heard(store, clock, after) == "452 4.2.2 The mailbox is full, try again later"
