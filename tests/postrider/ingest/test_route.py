"""Routing: pure, from recipients and a directory to deliveries."""

from __future__ import annotations

import msgspec
import pytest

from postrider.accounts.directory import Directory
from postrider.contract import model as c
from postrider.ingest.route import LOOP, MAX_DEPTH, MAX_TARGETS, NO_RELAY, RELAY, UNKNOWN, Routed, route
from postrider.model.address import parse_address
from postrider.model.envelope import Notify, Recipient


def routed(snapshot: c.Snapshot, *addresses: str, may_relay: bool = True) -> Routed:
    recipients = [Recipient(parse_address(one), Notify.FAILURE, "rfc822;o") for one in addresses]
    return route(recipients, Directory(snapshot), may_relay=may_relay)


def ends(found: Routed) -> tuple[list[str], list[str], list[str]]:
    return (
        [one.mailbox.address for one in found.local],
        [str(one.recipient.address) for one in found.remote],
        [str(one.recipient.address) for one in found.dead],
    )


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (("alice@one.test",), (["alice@one.test"], [], [])),
        (("ALICE+detail@One.Test", "alice@one.test"), (["alice@one.test"], [], [])),
        (("anyone@two.test",), (["bob@two.test"], [], [])),
        (("nested@one.test",), (["alice@one.test", "bob@two.test"], ["carol@far.test"], [])),
        (("team@one.test", "carol@FAR.test"), (["alice@one.test", "bob@two.test"], ["carol@far.test"], [])),
        (("half@one.test",), (["bob@two.test"], [], [])),
        (("a@one.test",), ([], [], ["a@one.test"])),
        (("alice@one.test", "nested@one.test"), (["alice@one.test", "bob@two.test"], ["carol@far.test"], [])),
    ],
)
def test_deliveries(snapshot: c.Snapshot, addresses: tuple[str, ...], expected: tuple[list[str], ...]) -> None:
    assert ends(routed(snapshot, *addresses)) == expected


def test_dead_ends_say_why(snapshot: c.Snapshot) -> None:
    assert [one.reply for one in routed(snapshot, "a@one.test", "no@one.test").dead] == [LOOP, UNKNOWN]
    assert [one.reply for one in routed(snapshot, "c@far.test", may_relay=False).dead] == [NO_RELAY]


def test_an_alias_may_lead_out_where_a_recipient_may_not(snapshot: c.Snapshot) -> None:
    assert ends(routed(snapshot, "team@one.test", may_relay=False))[1:] == (["carol@far.test"], [])


def test_parameters_go_to_all_an_alias_stands_for(snapshot: c.Snapshot) -> None:
    found = routed(snapshot, "team@one.test")
    assert {(one.recipient.notify, one.recipient.orcpt) for one in (*found.local, *found.remote)} == {
        (Notify.FAILURE, "rfc822;o")
    }


def test_destinations(snapshot: c.Snapshot) -> None:
    found = routed(snapshot, "x@Bücher.test", "y@[192.0.2.1]")
    assert [one.destination for one in found.remote] == ["xn--bcher-kva.test", "[192.0.2.1]"]
    relay = msgspec.structs.replace(snapshot.server, relay=c.Relay(host="smart.test"))
    found = routed(msgspec.structs.replace(snapshot, server=relay), "x@far.test")
    assert [one.destination for one in found.remote] == [RELAY]


def test_chains_and_crowds_end(snapshot: c.Snapshot) -> None:
    chain = tuple(c.Alias(address=f"c{i}@one.test", targets=(f"c{i + 1}@one.test",)) for i in range(20))
    crowd = c.Alias(address="crowd@one.test", targets=tuple(f"u{i}@far.test" for i in range(1001)))
    far = c.Alias(address="c20@one.test", targets=("alice@one.test",))
    wide = msgspec.structs.replace(snapshot, aliases=(*chain, far, crowd))
    assert [one.reply for one in routed(wide, "c0@one.test", "crowd@one.test").dead] == [LOOP, LOOP]
    assert ends(routed(wide, "c12@one.test"))[0] == ["alice@one.test"]


def test_the_limits_of_chains_and_crowds(snapshot: c.Snapshot) -> None:
    """Ten aliases one behind the other, a thousand addresses with the one that was asked for."""
    chain = tuple(c.Alias(address=f"c{i}@one.test", targets=(f"c{i + 1}@one.test",)) for i in range(MAX_DEPTH))
    far = c.Alias(address=f"c{MAX_DEPTH}@one.test", targets=("alice@one.test",))
    crowds = tuple(
        c.Alias(address=f"crowd{count}@one.test", targets=tuple(f"u{i}@far.test" for i in range(count)))
        for count in (MAX_TARGETS - 1, MAX_TARGETS)
    )
    wide = msgspec.structs.replace(snapshot, aliases=(*chain, far, *crowds))
    assert ends(routed(wide, "c1@one.test"))[0] == ["alice@one.test"]
    assert [one.reply for one in routed(wide, "c0@one.test").dead] == [LOOP]
    assert len(routed(wide, "crowd999@one.test").remote) == MAX_TARGETS - 1
    assert [one.reply for one in routed(wide, "crowd1000@one.test").dead] == [LOOP]
