"""Mail goes with its Mailbox only where that was asked for, and never while somebody has the address."""

from __future__ import annotations

import msgspec
import pytest

from postrider.accounts import released
from postrider.contract.model import Claim, Mailbox, Server, Snapshot
from postrider.store.open import memory
from postrider.store.transactions import CreateMailbox
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
    await released.release(store, claiming(GONE), claiming(GONE))
    assert "Keep" in await names()

    await released.release(store, EMPTY, claiming(GONE))
    assert "Keep" not in await names()

    await store.writer.commit(CreateMailbox(ALICE, "Keep"))
    await released.release(store, None, claiming(GONE))
    assert "Keep" not in await names()
    await store.close()
