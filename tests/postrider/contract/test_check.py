"""What check finds, and that leaving it out leaves a snapshot without findings."""

import base64

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postrider.contract import dkim, tls
from postrider.contract.check import Problem, check, without
from postrider.contract.model import (
    Alias,
    Certificate,
    DkimKey,
    Domain,
    Mailbox,
    NamedSecret,
    Policy,
    Relay,
    Retention,
    Server,
    Snapshot,
    Storage,
)

GOOD = Snapshot(
    server=Server(hostname="mx.example.org"),
    domains=(Domain(name="example.org", resource="org"), Domain(name="example.com")),
    mailboxes=(Mailbox(address="alice@example.org", resource="alice", since=10), Mailbox(address="bob@example.com")),
    aliases=(
        Alias(address="info@example.org", targets=("alice@example.org", "x@elsewhere.example")),
        Alias(address="*@example.com", targets=("info+web@example.org",)),
    ),
)


def found(**rows: object) -> list[tuple[str, str, str]]:
    made = msgspec.structs.replace(GOOD, **rows)
    return [(problem.kind, problem.name, problem.reason) for problem in check(made)]


def mailbox(address: str = "new@example.org", **fields: object) -> tuple[Mailbox, ...]:
    return (*GOOD.mailboxes, Mailbox(address=address, **fields))  # type: ignore[arg-type]


def alias(address: str, *targets: str, **fields: object) -> Alias:
    return Alias(address=address, targets=targets, **fields)  # type: ignore[arg-type]


def test_a_good_snapshot_has_no_problems() -> None:
    assert check(GOOD) == ()


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("new", "InvalidAddress"),
        ("New@example.org", "InvalidAddress"),
        ('"new"@example.org', "InvalidAddress"),
        ("new@EXAMPLE.org", "InvalidAddress"),
        ("ne w@example.org", "InvalidAddress"),
        ("new@[127.0.0.1]", "InvalidDomain"),
        ("new@my_host.example", "InvalidDomain"),
        ("new@other.example", "UnknownDomain"),
        ("alice@example.org", "Conflict"),
        ("info@example.org", "Conflict"),
    ],
)
def test_a_mailbox_needs_an_address_of_ours_in_normal_form(address: str, reason: str) -> None:
    assert found(
        mailboxes=mailbox(address, since=99, resource="new"),
        aliases=(alias("info@example.org", "alice@example.org", since=5),),
    ) == [("Mailbox", "new", reason)]


def test_international_addresses_are_kept_as_a_labels_and_folded() -> None:
    domains = (*GOOD.domains, Domain(name="xn--bcher-kva.example"))
    assert found(domains=domains, mailboxes=mailbox("jürgen@xn--bcher-kva.example")) == []
    assert found(domains=(*GOOD.domains, Domain(name="bücher.example"))) == [
        ("MailDomain", "bücher.example", "InvalidDomain")
    ]


def test_names_of_ours_have_no_underscore_and_those_of_others_may() -> None:
    assert found(domains=(*GOOD.domains, Domain(name="my_host.example"))) == [
        ("MailDomain", "my_host.example", "InvalidDomain")
    ]
    assert found(aliases=(alias("out@example.org", "root@my_host.example"),)) == []


def test_the_first_to_have_claimed_an_address_has_it() -> None:
    late = Mailbox(address="alice@example.org", resource="late", namespace="aaa", since=11)
    problems = check(msgspec.structs.replace(GOOD, mailboxes=(late, *GOOD.mailboxes)))
    assert [(p.name, p.reason, p.drops, p.row) for p in problems] == [("late", "Conflict", True, 0)]
    assert "default/alice" in problems[0].message
    assert "default/alice" in problems[0].action


def test_a_claim_not_yet_recorded_comes_last() -> None:
    assert found(mailboxes=mailbox("alice@example.org", resource="new")) == [("Mailbox", "new", "Conflict")]


def test_equal_claims_are_settled_by_namespace_and_name() -> None:
    rows = [
        Mailbox(address="a@example.org", namespace=ns, resource=name)
        for ns, name in (("b", "x"), ("a", "z"), ("a", "y"))
    ]
    problems = check(msgspec.structs.replace(GOOD, mailboxes=(*GOOD.mailboxes, *rows)))
    assert [(p.namespace, p.name) for p in problems] == [("b", "x"), ("a", "z")]


def test_a_mailbox_and_an_alias_compete() -> None:
    aliases = (*GOOD.aliases, alias("alice@example.org", "bob@example.com", since=3, resource="elder"))
    problems = check(msgspec.structs.replace(GOOD, aliases=aliases))
    assert [(p.kind, p.name, p.reason) for p in problems] == [("Mailbox", "alice", "Conflict")]
    assert "Alias default/elder" in problems[0].message


def test_identical_rows_leave_one() -> None:
    twice = msgspec.structs.replace(GOOD, mailboxes=GOOD.mailboxes + GOOD.mailboxes)
    assert without(twice, check(twice)) == GOOD


def test_a_bad_domain_takes_its_mailboxes_with_it_and_nothing_else() -> None:
    made = msgspec.structs.replace(
        GOOD, domains=(*GOOD.domains, Domain(name="no_good.example")), mailboxes=mailbox("x@no_good.example")
    )
    assert without(made, check(made)) == GOOD


def test_two_domains_of_one_name() -> None:
    assert found(domains=(*GOOD.domains, Domain(name="example.org", resource="z", since=4))) == [
        ("MailDomain", "org", "Conflict")
    ]


@pytest.mark.parametrize(
    ("aliases", "looping"),
    [
        ([alias("a@example.org", "a@example.org")], {"a"}),
        ([alias("a@example.org", "A+x@Example.ORG", "alice@example.org")], {"a"}),
        ([alias("a@example.org", "b@example.org"), alias("b@example.org", "a@example.org")], {"a", "b"}),
        (
            [alias("a@example.org", "b@example.org"), alias("b@example.org", "b@example.org", "alice@example.org")],
            {"b"},
        ),
        ([alias("*@example.org", "nobody@example.org")], {"*"}),
        ([alias("*@example.org", "postmaster@example.com"), alias("*@example.com", "x@example.org")], {"*"}),
    ],
)
def test_an_alias_loop_is_named_on_the_aliases_that_loop(aliases: list[Alias], looping: set[str]) -> None:
    problems = check(msgspec.structs.replace(GOOD, aliases=tuple(aliases)))
    assert {p.name.partition("@")[0] for p in problems if p.reason == "AliasLoop"} == looping


def test_a_long_chain_and_a_wide_loop_are_checked_without_recursion() -> None:
    chain = [alias(f"c{n}@example.org", f"c{n + 1}@example.org") for n in range(2000)]
    end = alias("c2000@example.org", "alice@example.org")
    assert found(aliases=(*chain, end)) == []
    assert len(found(aliases=(*chain, alias("c2000@example.org", "c0@example.org")))) == 2001


def test_a_target_nobody_has_is_a_warning_while_others_remain() -> None:
    problems = check(
        msgspec.structs.replace(GOOD, aliases=(alias("a@example.org", "alice@example.org", "zz@example.org"),))
    )
    assert [(p.reason, p.drops) for p in problems] == [("UnknownTarget", False)]
    assert "zz@example.org" in problems[0].message


def test_an_alias_to_nobody_serves_nobody_and_so_do_those_that_lead_to_it() -> None:
    aliases = (alias("a@example.org", "b@example.org"), alias("b@example.org", "zz@example.org"))
    assert found(aliases=aliases) == [
        ("Alias", "a@example.org", "UnknownTarget"),
        ("Alias", "b@example.org", "UnknownTarget"),
    ]


def test_postmaster_is_always_a_target() -> None:
    assert found(aliases=(alias("a@example.org", "postmaster@example.com"),)) == []


@pytest.mark.parametrize("target", ["", "nobody", "*@example.com", "a b@example.org", "a@-.example"])
def test_a_target_is_one_address(target: str) -> None:
    assert ("Alias", "a@example.org", "InvalidTarget") in found(aliases=(alias("a@example.org", target),))


def test_an_alias_needs_a_target() -> None:
    assert found(aliases=(alias("a@example.org"),)) == [("Alias", "a@example.org", "NoTarget")]


@pytest.mark.parametrize("verifier", ["$6$salt$hash", "clear text", "{SSHA256}AAAA", ""])
def test_a_verifier_that_cannot_be_checked_is_told_without_its_text(verifier: str) -> None:
    problems = check(msgspec.structs.replace(GOOD, mailboxes=mailbox(verifiers=(verifier,))))
    assert [p.reason for p in problems] == ["InvalidPassword"]
    assert not verifier or verifier not in str(problems)


def test_a_quota_is_not_negative() -> None:
    assert found(mailboxes=mailbox(quota_bytes=-1)) == [("Mailbox", "new@example.org", "InvalidQuota")]
    domains = (msgspec.structs.replace(GOOD.domains[0], quota_bytes=-1), GOOD.domains[1])
    assert ("MailDomain", "org", "InvalidQuota") in found(domains=domains)


def test_how_mail_is_kept_is_looked_at_on_every_level() -> None:
    minute = Retention(trash=60)
    assert found(mailboxes=mailbox(retention=minute)) == [("Mailbox", "new@example.org", "InvalidRetention")]
    domains = (*GOOD.domains, Domain(name="new.example", mailboxes=Policy(retention=minute)))
    assert found(domains=domains) == [("MailDomain", "new.example", "InvalidRetention")]
    server = msgspec.structs.replace(GOOD.server, mailboxes=Policy(retention=minute))
    assert found(server=server) == [("MailServer", "default", "InvalidRetention")]
    assert not any(problem.drops for problem in check(msgspec.structs.replace(GOOD, server=server)))


def test_keys_of_the_store_are_there_and_32_bytes() -> None:
    server = msgspec.structs.replace(GOOD.server, storage=Storage(encryption_keys=("b", "a")))
    good, short = base64.b64encode(bytes(range(32))).decode(), base64.b64encode(b"too short").decode()
    rows = (NamedSecret(name="storage-key/a", value=good), NamedSecret(name="storage-key/b", value=good))
    assert found(server=server, secrets=rows) == []
    assert found(server=server, secrets=rows[:1]) == [("MailServer", "default", "BadStorageKey")]
    files = msgspec.structs.replace(server, storage=Storage(blobs="maildir", encryption_keys=("b", "a")))
    assert found(server=files, secrets=rows) == [("MailServer", "default", "MaildirEncrypted")]
    wrong = (*rows[:1], NamedSecret(name="storage-key/b", value=short))
    (problem,) = check(msgspec.structs.replace(GOOD, server=server, secrets=wrong))
    assert problem.message == "the key 'b' of the store has 9 bytes in base64, not 32"


ED25519 = dkim.generate("Ed25519")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (DkimKey(domain="example.org", selector="s1", algorithm="Ed25519", pem=ED25519), ""),
        (DkimKey(domain="example.org", selector="s1", algorithm="RSA", pem=ED25519), "BadKey"),
        (DkimKey(domain="example.org", selector="s1", algorithm="RSA", pem="garbage"), "BadKey"),
        (DkimKey(domain="example.org", selector="s_1", algorithm="Ed25519", pem=ED25519), "InvalidSelector"),
        (DkimKey(domain="other.example", selector="s1", algorithm="Ed25519", pem=ED25519), "UnknownDomain"),
    ],
)
def test_dkim_keys(key: DkimKey, reason: str) -> None:
    assert [row[2] for row in found(keys=(key,))] == ([reason] if reason else [])


def test_a_selector_without_a_key_is_a_warning() -> None:
    problems = check(
        msgspec.structs.replace(GOOD, domains=(Domain(name="example.org", selectors=("s1",)), *GOOD.domains[1:]))
    )
    assert [(p.reason, p.drops) for p in problems] == [("KeyMissing", False)]


def test_certificates() -> None:
    ca = tls.make_ca(1_790_000_000)
    leaf = tls.issue(ca, ["mx.example.org"], 1_790_000_000)
    good = Certificate(names=("mx.example.org",), chain=leaf.certificate, key=leaf.key)
    assert found(certificates=(good,)) == []
    swapped = Certificate(names=("mx.example.org",), chain=leaf.certificate, key=ca.key)
    broken = Certificate(names=("b.example",), chain="", key=leaf.key)
    assert found(certificates=(swapped, broken)) == [
        ("Certificate", "mx.example.org", "BadCertificate"),
        ("Certificate", "b.example", "BadCertificate"),
    ]


def test_the_server_is_checked_and_never_left_out() -> None:
    server = Server(
        hostname="no host",
        name="main",
        postmaster="nobody",
        proxy_networks=("10.0.0.0/99",),
        relay=Relay(host="smart.example", password_key="gone"),
    )
    made = msgspec.structs.replace(GOOD, server=server, secrets=(NamedSecret(name="other", value="x"),))
    problems = check(made)
    assert [(p.kind, p.name) for p in problems] == [("MailServer", "main")] * 4
    assert [p.reason for p in problems] == ["InvalidHostname", "InvalidAddress", "InvalidNetwork", "SecretMissing"]
    assert [p.drops for p in problems] == [True, False, False, False]
    assert without(made, problems) == made


LOCALS = st.sampled_from(["a", "b", "c", "d", "a+x", "postmaster", "*", "A", ""])
DOMAINS = st.sampled_from(["one.example", "two.example", "three.example", "One.example"])
ADDRESSES = st.builds("{}@{}".format, LOCALS, DOMAINS)
SINCE = st.integers(0, 3)
SNAPSHOTS = st.builds(
    Snapshot,
    server=st.builds(Server, hostname=st.just("mx.one.example"), postmaster=st.one_of(st.just(""), ADDRESSES)),
    domains=st.lists(st.builds(Domain, name=DOMAINS, since=SINCE), max_size=4).map(tuple),
    mailboxes=st.lists(st.builds(Mailbox, address=ADDRESSES, since=SINCE), max_size=5).map(tuple),
    aliases=st.lists(
        st.builds(Alias, address=ADDRESSES, targets=st.lists(ADDRESSES, max_size=3).map(tuple), since=SINCE), max_size=8
    ).map(tuple),
)


@settings(max_examples=200)
@given(SNAPSHOTS)
def test_what_is_left_has_nothing_more_to_leave_out(made: Snapshot) -> None:
    left = without(made, check(made))
    assert [problem for problem in check(left) if problem.drops and problem.kind != "MailServer"] == []


@given(SNAPSHOTS)
def test_every_problem_names_an_object_a_reason_and_a_way_out(made: Snapshot) -> None:
    for problem in check(made):
        assert isinstance(problem, Problem)
        assert problem.reason.isidentifier()
        assert problem.message
        assert problem.action.endswith(".")
