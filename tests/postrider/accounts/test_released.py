"""Mail goes with its Mailbox only where that was asked for, and never while somebody has the address."""

from __future__ import annotations

import msgspec
import pytest

from postrider.accounts import released
from postrider.accounts.directory import Directory
from postrider.contract.model import Claim, Mailbox, Policy, Server, Snapshot
from postrider.store.open import memory
from postrider.store.transactions import CreateMailbox, SetHold
from postrider.store.values import account_of

ALICE = account_of("default", "alice@example.org")
GONE = Claim(kind="Mailbox", key="alice@example.org", resource="alice", since=1, gone=2, release=True)
EMPTY = Snapshot(server=Server(hostname="mx.example.org"))


def claiming(claim: Claim) -> Snapshot:
    return msgspec.structs.replace(EMPTY, claims=(claim,))


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        (EMPTY, frozenset()),
        (claiming(GONE), frozenset({ALICE})),
        (claiming(msgspec.structs.replace(GONE, release=False)), frozenset()),
        (claiming(msgspec.structs.replace(GONE, gone=0)), frozenset()),
        (claiming(msgspec.structs.replace(GONE, kind="Alias")), frozenset()),
        (msgspec.structs.replace(claiming(GONE), mailboxes=(Mailbox(address="alice@example.org"),)), frozenset()),
    ],
)
def test_which_accounts_go(snapshot: Snapshot, expected: frozenset[str]) -> None:
    assert released.accounts(snapshot) == expected


async def test_an_account_goes_once_and_at_a_start() -> None:
    store = memory()

    async def names() -> set[str]:
        return {row.name for row in await store.reader.mailboxes(ALICE)}

    await store.writer.commit(CreateMailbox(ALICE, "Keep"))
    await released.release(store, claiming(GONE), Directory(claiming(GONE)))
    assert "Keep" in await names()

    await released.release(store, EMPTY, Directory(claiming(GONE)))
    assert "Keep" not in await names()

    await store.writer.commit(CreateMailbox(ALICE, "Keep"))
    await released.release(store, None, Directory(claiming(GONE)))
    assert "Keep" not in await names()
    await store.close()


def keeping(policy: Policy) -> Directory:
    return Directory(msgspec.structs.replace(claiming(GONE), server=Server(hostname="mx.test", mailboxes=policy)))


async def test_for_the_undelete_window_an_account_is_only_out_of_sight() -> None:
    store = memory()
    await store.writer.commit(CreateMailbox(ALICE, "Keep"))
    await released.release(store, None, keeping(Policy(undelete=3600)))
    (row,) = await store.reader.accounts()
    assert row.name != ALICE
    assert row.released
    await store.writer.commit(CreateMailbox(ALICE, "Fresh"))
    await released.release(store, None, keeping(Policy(undelete=0)))
    assert [row.name for row in await store.reader.accounts()] == [row.name]
    await store.close()


@pytest.mark.parametrize("declared", [True, False])
async def test_nothing_goes_under_legal_hold(declared: bool) -> None:
    store = memory()
    await store.writer.commit(CreateMailbox(ALICE, "Keep"))
    if not declared:  # by the Mailbox that is gone
        await store.writer.commit(SetHold(ALICE, held=True))
    await released.release(store, None, keeping(Policy(undelete=0, legal_hold=declared)))
    assert "Keep" in {row.name for row in await store.reader.mailboxes(ALICE)}
    await store.close()
