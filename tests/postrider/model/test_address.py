"""The address grammar against the isemail suite, and the normal form."""

import os
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.model.address import Address, AddressError, normal_domain, normal_local, own_domain, parse_address

SUITES = Path(os.environ.get("POSTRIDER_SUITES", Path(__file__).parents[4] / "shared" / "suites"))
ISEMAIL = SUITES / "isemail" / "test" / "tests.xml"

#: Categories of the suite that RFC 5321's Mailbox covers; comments, folding and obsolete forms are RFC 5322's alone.
VALID = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN", "ISEMAIL_RFC5321"}
#: The suite follows RFC 5952's advice for "::" in the place of one group; RFC 5321's grammar has no such rule.
TOLERATED = {"ISEMAIL_RFC5321_IPV6DEPRECATED"}


def cases() -> list[tuple[str, bool]]:
    if not ISEMAIL.exists():
        return []
    found = []
    for test in ET.parse(ISEMAIL).getroot().findall("test"):
        address = test.findtext("address") or ""
        # The suite writes control characters as their symbols.
        address = "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) < 0x2420 else c for c in address)
        valid = test.findtext("category") in VALID or test.findtext("diagnosis") in TOLERATED
        found.append((address, valid))
    return found


def test_isemail() -> None:
    if not cases():
        pytest.skip(f"no address vectors at {ISEMAIL}")
    wrong = []
    for address, valid in cases():
        try:
            parse_address(address)
            accepted = True
        except AddressError:
            accepted = False
        if accepted is not valid:
            wrong.append((address, "should be valid" if valid else "should be refused"))
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Alice@Example.ORG", "alice@example.org"),
        ('"alice"@example.org', "alice@example.org"),
        ('"al\\ice"@example.org', "alice@example.org"),
        ('"a b"@example.org', '"a b"@example.org'),
        ('"A\\"B"@example.org', '"a\\"b"@example.org'),
        ('"a\\ b"@example.org', '"a b"@example.org'),
        ('""@example.org', '""@example.org'),
        ("STRASSE@example.org", "strasse@example.org"),
        ("straße@example.org", "strasse@example.org"),
        ("ju\u0308rgen@example.org", "jürgen@example.org"),
        ("x@BÜCHER.example", "x@xn--bcher-kva.example"),
        ("x@xn--BCHER-KVA.example", "x@xn--bcher-kva.example"),
        ("x@bücher。example", "x@xn--bcher-kva.example"),
        ("root@My_Host._sub.example", "root@my_host._sub.example"),
        ("x@[127.0.0.1]", "x@[127.0.0.1]"),
        ("x@[ipv6:2001:DB8::0:1]", "x@[IPv6:2001:db8::1]"),
    ],
)
def test_the_normal_form(text: str, key: str) -> None:
    assert parse_address(text).key == key
    assert parse_address(key).key == key


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nobody", "needs an @"),
        ("@example.org", "nothing before the @"),
        ("a b@example.org", "not a local part"),
        ("x" * 65 + "@example.org", "64 octets"),
        ("ü" * 33 + "@example.org", "64 octets"),
        ("a@exa mple.org", "not a label"),
        ("a@", "253 octets"),
        ("a@-x.example", "not a label"),
        ("a@\ud800.example", "not a domain name"),
        ("\ud800@example.org", "not a local part"),
        ("a@[300.0.0.1]", "address literal"),
        ("a@[2001:db8::1]", "address literal"),
        ("a@[IPv6:127.0.0.1]", "address literal"),
        ("a" * 60 + "@" + ".".join(["b" * 62] * 3) + ".example", "254 octets"),
        ("a@" + ".".join(["b" * 63] * 4), "253 octets"),
        ("a@" + "b" * 64 + ".example", "not a label"),
    ],
)
def test_what_is_wrong_is_said(text: str, says: str) -> None:
    with pytest.raises(AddressError, match=says):
        parse_address(text)


@pytest.mark.parametrize("name", ["my_host.example", "_x.example", "[127.0.0.1]", "-x.example", ""])
def test_names_of_ours_are_held_to_more(name: str) -> None:
    with pytest.raises(AddressError):
        own_domain(name)
    assert own_domain("BÜCHER.example") == "xn--bcher-kva.example"


def test_a_message_never_repeats_an_endless_text() -> None:
    with pytest.raises(AddressError) as caught:
        parse_address("x" * 100_000)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=30))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return
    assert str(address) == text
    assert parse_address(address.key).key == address.key


NO_ATOM = '()<>[]:;@\\,."'
ATOMS = st.text(
    st.characters(min_codepoint=0x21, exclude_categories=["Cs", "Cc"], exclude_characters=NO_ATOM),
    min_size=1,
    max_size=10,
)


@given(ATOMS)
def test_the_normal_form_is_one_for_all_spellings(local: str) -> None:
    normal = normal_local(local)
    assert normal_local(normal) == normal
    assert normal_local(unicodedata.normalize("NFD", local)) == normal
    assert normal_local(f'"{local}"') == normal


@given(st.text(max_size=20))
def test_domains_normalise_once_and_for_all(text: str) -> None:
    try:
        normal = normal_domain(text)
    except AddressError:
        return
    assert normal_domain(normal) == normal
    assert normal.isascii()


def test_ascii_is_about_the_local_part() -> None:
    assert Address("a", "bücher.example").is_ascii
    assert not Address("ü", "example.org").is_ascii
