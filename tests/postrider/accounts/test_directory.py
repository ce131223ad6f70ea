"""Look-ups of the directory: who takes an address, who may send as whom."""

import pytest

from postrider.accounts.directory import Directory, NotLocal, Resolved, ToAlias, ToMailbox, Unknown
from postrider.contract import dkim
from postrider.contract.model import Alias, DkimKey, Domain, Mailbox, NamedSecret, Server, Snapshot
from postrider.model.address import Address, parse_address

ALICE = Mailbox(address="alice@example.org", namespace="team", since=20)
BOB = Mailbox(address="bob@example.org", since=10)
ODD = Mailbox(address="bob+lists@example.org", since=30)
INFO = Alias(address="info@example.org", targets=("alice@example.org", "bob@example.org", "x@elsewhere.example"))
ALL = Alias(address="all@example.org", targets=("info@example.org", "gone@example.org"))
CATCH = Alias(address="*@catch.example", targets=("alice@example.org",))
KEYS = tuple(
    DkimKey(domain="example.org", selector=selector, algorithm="Ed25519", pem=dkim.generate("Ed25519"))
    for selector in ("old", "new", "next")
)
SNAPSHOT = Snapshot(
    server=Server(hostname="mx.example.org"),
    generation=7,
    domains=(
        Domain(name="example.org", selectors=("new", "old", "lost")),
        Domain(name="catch.example"),
        Domain(name="empty.example"),
        Domain(name="dash.example", subaddress_separator="-"),
        Domain(name="plain.example", subaddress_separator=""),
        Domain(name="xn--bcher-kva.example"),
    ),
    mailboxes=(
        ALICE,
        BOB,
        ODD,
        Mailbox(address="user@dash.example"),
        Mailbox(address="user@plain.example"),
        Mailbox(address="jürgen@xn--bcher-kva.example"),
    ),
    aliases=(INFO, ALL, CATCH),
    keys=KEYS,
    secrets=(NamedSecret(name="relay", value="hush"),),
)
DIRECTORY = Directory(SNAPSHOT)


def resolve(address: str, directory: Directory = DIRECTORY) -> Resolved:
    return directory.resolve(parse_address(address))


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("alice@example.org", ToMailbox(ALICE)),
        ("ALICE@Example.ORG", ToMailbox(ALICE)),
        ('"alice"@example.org', ToMailbox(ALICE)),
        ("alice+Shop@example.org", ToMailbox(ALICE, "Shop")),
        ("alice+a+b@example.org", ToMailbox(ALICE, "a+b")),
        ("alice+@example.org", ToMailbox(ALICE)),
        ("bob+lists@example.org", ToMailbox(ODD)),
        ("bob+lists2@example.org", ToMailbox(BOB, "lists2")),
        ("+bob@example.org", Unknown()),
        ("nobody@example.org", Unknown()),
        ("nobody+x@example.org", Unknown()),
        ("alice@elsewhere.example", NotLocal()),
        ("alice@sub.example.org", NotLocal()),
        ("alice@[127.0.0.1]", NotLocal()),
    ],
)
def test_resolve(address: str, found: Resolved) -> None:
    assert resolve(address) == found


def keys(resolved: Resolved) -> list[str]:
    assert isinstance(resolved, ToAlias)
    return [target.key for target in resolved.targets]


def test_an_alias_gives_its_targets_in_order() -> None:
    assert keys(resolve("info@example.org")) == list(INFO.targets)
    assert keys(resolve("Info+detail@example.org")) == list(INFO.targets)


def test_targets_nobody_has_are_left_out_while_others_remain() -> None:
    assert keys(resolve("all@example.org")) == ["info@example.org"]


def test_an_alias_of_which_no_target_remains_keeps_them_all() -> None:
    lost = Snapshot(
        server=Server(hostname="h.example"),
        domains=(Domain(name="h.example"),),
        aliases=(Alias(address="a@h.example", targets=("gone@h.example",)),),
    )
    assert keys(resolve("a@h.example", Directory(lost))) == ["gone@h.example"]


def test_the_catch_all_comes_last() -> None:
    assert keys(resolve("whoever@catch.example")) == ["alice@example.org"]
    made = Directory(
        Snapshot(
            server=Server(hostname="h.example"),
            domains=(Domain(name="catch.example"),),
            mailboxes=(Mailbox(address="me@catch.example"),),
            aliases=(Alias(address="*@catch.example", targets=("me@catch.example",)),),
        )
    )
    assert resolve("me@catch.example", made) == ToMailbox(Mailbox(address="me@catch.example"))
    assert resolve("me+x@catch.example", made) == ToMailbox(Mailbox(address="me@catch.example"), "x")
    assert keys(resolve("postmaster@catch.example", made)) == ["me@catch.example"]


def test_the_separator_is_the_domains() -> None:
    assert resolve("user-x@dash.example") == ToMailbox(Mailbox(address="user@dash.example"), "x")
    assert resolve("user+x@dash.example") == Unknown()
    assert resolve("user+x@plain.example") == Unknown()


@pytest.mark.parametrize(
    "address", ["jürgen@bücher.example", "JÜRGEN@xn--BCHER-kva.example", "ju\u0308rgen@bücher.example"]
)
def test_international_addresses(address: str) -> None:
    assert resolve(address) == ToMailbox(Mailbox(address="jürgen@xn--bcher-kva.example"))


class TestPostmaster:
    """RFC 5321 §4.5.1: every domain has one, in any case of letters."""

    def test_the_domains_first_mailbox(self) -> None:
        assert keys(resolve("Postmaster@example.org")) == ["bob@example.org"]

    def test_the_first_mailbox_of_all_where_the_domain_has_none(self) -> None:
        assert keys(resolve("postmaster@empty.example")) == ["bob@example.org"]

    @pytest.mark.parametrize("named", ["alice@example.org", "ops@elsewhere.example", "info@example.org"])
    def test_the_servers(self, named: str) -> None:
        server = Server(hostname="mx.example.org", postmaster=named)
        made = Directory(
            Snapshot(server=server, domains=SNAPSHOT.domains, mailboxes=SNAPSHOT.mailboxes, aliases=SNAPSHOT.aliases)
        )
        assert keys(resolve("postmaster@empty.example", made)) == [named]

    @pytest.mark.parametrize("named", ["postmaster@example.org", "gone@example.org", "no address"])
    def test_the_servers_is_not_believed_when_nobody_has_it(self, named: str) -> None:
        server = Server(hostname="mx.example.org", postmaster=named)
        made = Directory(Snapshot(server=server, domains=SNAPSHOT.domains, mailboxes=SNAPSHOT.mailboxes))
        assert keys(resolve("postmaster@empty.example", made)) == ["bob@example.org"]

    def test_a_declared_one_is_taken(self) -> None:
        declared = Alias(address="postmaster@example.org", targets=("alice@example.org",))
        made = Directory(
            Snapshot(
                server=SNAPSHOT.server, domains=SNAPSHOT.domains, mailboxes=SNAPSHOT.mailboxes, aliases=(declared,)
            )
        )
        assert keys(resolve("postmaster@example.org", made)) == ["alice@example.org"]

    def test_nobody_without_any_mailbox(self) -> None:
        made = Directory(Snapshot(server=SNAPSHOT.server, domains=SNAPSHOT.domains))
        assert resolve("postmaster@example.org", made) == Unknown()


@pytest.mark.parametrize(
    ("login", "sender", "may"),
    [
        ("alice@example.org", "alice@example.org", True),
        ("alice@example.org", "Alice+shop@Example.org", True),
        ("alice@example.org", "info@example.org", True),
        ("alice@example.org", "all@example.org", True),
        ("alice@example.org", "anything@catch.example", True),
        ("bob@example.org", "anything@catch.example", False),
        ("bob@example.org", "alice@example.org", False),
        ("bob@example.org", "bob+lists@example.org", False),
        ("alice@example.org", "nobody@example.org", False),
        ("alice@example.org", "x@elsewhere.example", False),
        ("x@elsewhere.example", "info@example.org", False),
    ],
)
def test_may_send_as(login: str, sender: str, may: bool) -> None:
    assert DIRECTORY.may_send_as(login, parse_address(sender)) is may


def test_may_send_as_ends_even_where_aliases_loop_or_fan_out() -> None:
    wide = tuple(
        Alias(address=f"a{n}@h.example", targets=tuple(f"a{m}@h.example" for m in range(30))) for n in range(30)
    )
    made = Directory(Snapshot(server=Server(hostname="h.example"), domains=(Domain(name="h.example"),), aliases=wide))
    assert not made.may_send_as("me@h.example", parse_address("a0@h.example"))


def test_domains() -> None:
    assert DIRECTORY.is_local("EXAMPLE.org")
    assert DIRECTORY.is_local("bücher.example")
    assert not DIRECTORY.is_local("")
    assert not DIRECTORY.is_local("a b")
    domain = DIRECTORY.domain("Dash.Example")
    assert domain is not None
    assert domain.subaddress_separator == "-"
    assert DIRECTORY.resolve(Address("a", "no domain")) == NotLocal()


def test_keys_in_the_order_of_the_selectors_those_without_a_key_left_out() -> None:
    assert [key.selector for key in DIRECTORY.signing_keys("Example.org")] == ["new", "old"]
    assert DIRECTORY.signing_keys("catch.example") == ()
    assert DIRECTORY.signing_keys("elsewhere.example") == ()


def test_the_rest() -> None:
    assert DIRECTORY.generation == 7
    assert DIRECTORY.server.hostname == "mx.example.org"
    assert DIRECTORY.mailbox("alice@example.org") is ALICE
    assert DIRECTORY.mailbox("Alice@example.org") is None
    assert DIRECTORY.account(ALICE) == "team/alice@example.org"
    assert DIRECTORY.secret("relay") == "hush"
    assert DIRECTORY.secret("other") is None
