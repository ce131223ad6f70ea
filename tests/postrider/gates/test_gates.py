"""Gates: who may send as whom, and who may be written to by whom."""

from __future__ import annotations

import inspect

import pytest
from stored import StillClock

from postrider.accounts.directory import Directory
from postrider.accounts.room import Room
from postrider.contract import model as c
from postrider.gates import phases
from postrider.gates.phases import Phase, ask
from postrider.gates.visit import Visit
from postrider.model.address import parse_address
from postrider.model.envelope import Peer
from postrider.model.reply import Reply
from postrider.store.open import memory

DIRECTORY = Directory(
    c.Snapshot(
        server=c.Server(hostname="mx.one.test"),
        domains=(c.Domain(name="one.test"), c.Domain(name="two.test", subaddress_separator="")),
        mailboxes=(
            c.Mailbox(address="alice@one.test"),
            c.Mailbox(address="bob@two.test"),
            c.Mailbox(address="small@one.test", quota_bytes=1000),
        ),
        aliases=(
            c.Alias(address="team@one.test", targets=("alice@one.test",)),
            c.Alias(address="all@one.test", targets=("alice@one.test", "small@one.test")),
            c.Alias(address="*@two.test", targets=("bob@two.test",)),
        ),
    )
)


async def verdict(phase: Phase, address: str, login: str = "", vanished: str = "", size: int = 0) -> str:
    async def recently(key: str) -> bool:
        return key == vanished

    peer = Peer("192.0.2.1", 1, login=login)
    room = Room(memory().reader, StillClock())
    visit = Visit(peer, DIRECTORY, bool(login), parse_address(address) if address else None, recently, room, size)
    said = ask(phase, visit)
    reply = await said if inspect.isawaitable(said) else said
    return str(reply or "pass")


@pytest.mark.parametrize(
    ("address", "login", "expected"),
    [
        ("anybody@far.test", "", "pass"),
        ("alice@one.test", "", "pass"),  # what strangers call themselves is judged with the whole message
        ("", "", "pass"),
        ("alice@one.test", "alice@one.test", "pass"),
        ("ALICE+x@One.Test", "alice@one.test", "pass"),
        ("team@one.test", "alice@one.test", "pass"),
        ("anything@two.test", "bob@two.test", "pass"),
        ("", "alice@one.test", "pass"),
        ("bob@two.test", "alice@one.test", "550 5.7.1 You may not send as bob@two.test"),
        ("alice@far.test", "alice@one.test", "550 5.7.1 You may not send as alice@far.test"),
        ("team@one.test", "bob@two.test", "550 5.7.1 You may not send as team@one.test"),
        ("carol@one.test", "carol@one.test", "550 5.7.1 Your mailbox does not exist any more"),
        ("", "carol@one.test", "550 5.7.1 Your mailbox does not exist any more"),
    ],
)
async def test_senders(address: str, login: str, expected: str) -> None:
    assert await verdict(Phase.SENDER, address, login) == expected


@pytest.mark.parametrize(
    ("address", "login", "expected"),
    [
        ("alice@one.test", "", "pass"),
        ("Alice+tag@ONE.test", "", "pass"),
        ("team@one.test", "", "pass"),
        ("whoever@two.test", "", "pass"),
        ("postmaster@one.test", "", "pass"),
        ("nobody@one.test", "", "550 5.1.1 No such mailbox here"),
        ("nobody@one.test", "alice@one.test", "550 5.1.1 No such mailbox here"),
        ("gone@one.test", "", "450 4.1.1 No such mailbox here at this moment, try again later"),
        ("someone@far.test", "", "550 5.7.1 Relay access denied"),
        ("alice%one.test@far.test", "", "550 5.7.1 Relay access denied"),
        ('"someone@far.test"@one.test', "", "550 5.1.1 No such mailbox here"),
        ("alice@[192.0.2.9]", "", "550 5.7.1 Relay access denied"),
        ("someone@far.test", "alice@one.test", "pass"),
    ],
)
async def test_recipients(address: str, login: str, expected: str) -> None:
    assert await verdict(Phase.RECIPIENT, address, login, vanished="gone@one.test") == expected


@pytest.mark.parametrize(
    ("address", "size", "expected"),
    [
        ("small@one.test", 1000, "pass"),
        ("small@one.test", 1001, "552 5.2.3 The message is larger than the mailbox may be"),
        ("small+tag@one.test", 1001, "552 5.2.3 The message is larger than the mailbox may be"),
        ("all@one.test", 1001, "pass"),  # the others get it
        ("alice@one.test", 1_000_000, "pass"),
    ],
)
async def test_room(address: str, size: int, expected: str) -> None:
    assert await verdict(Phase.RECIPIENT, address, size=size) == expected


async def test_the_first_refusal_counts_also_after_one_that_had_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def slow(visit: Visit) -> Reply | None:
        asked.append("slow")
        return None

    def strict(visit: Visit) -> Reply:
        asked.append("strict")
        return Reply(554, "5.7.1", "no")

    def never(visit: Visit) -> None:
        asked.append("never")

    monkeypatch.setattr(phases, "PHASES", {Phase.CONNECTION: (slow, strict, never)})
    assert await verdict(Phase.CONNECTION, "") == "554 5.7.1 no"
    assert asked == ["slow", "strict"]
