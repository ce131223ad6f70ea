"""Header blocks, structured values and address lists as strangers write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.mime.addresses import GROUP_END, AddressParser, parse_addresses
from postrider.mime.header import fields, media_type, parameters, token, unfold, without_comments
from postrider.model.mail import MailAddress


def one(name: bytes | None, mailbox: bytes | None, host: bytes | None) -> MailAddress:
    return MailAddress(name, mailbox, host)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", ()),
        (b" a@b.test", (one(None, b"a", b"b.test"),)),
        (b"A B <a@b.test>, \"C, D\" <c@d.test>", (one(b"A B", b"a", b"b.test"), one(b"C, D", b"c", b"d.test"))),
        (b"a@b.test (Old Style)", (one(b"Old Style", b"a", b"b.test"),)),
        (b"a @ b.test", (one(None, b"a", b"b.test"),)),
        (b"=?utf-8?q?=C3=A4?= <a@b.test>", (one(b"=?utf-8?q?=C3=A4?=", b"a", b"b.test"),)),
        (b"<@r1,@r2:a@b.test>", (one(None, b"a", b"b.test"),)),
        (b'"j. d"@b.test', (one(None, b"j. d", b"b.test"),)),
        (b"<a@[192.0.2.1]>", (one(None, b"a", b"[192.0.2.1]"),)),
        (b"Team: a@b.test, c@d.test;", (
            one(None, b"Team", None), one(None, b"a", b"b.test"), one(None, b"c", b"d.test"), GROUP_END)),
        (b"undisclosed-recipients:;", (one(None, b"undisclosed-recipients", None), GROUP_END)),
        (b"Open: a@b.test", (one(None, b"Open", None), one(None, b"a", b"b.test"), GROUP_END)),
        (b"nobody", (one(None, b"nobody", b""),)),
        (b"John a@b.test", (one(b"John", b"a", b"b.test"),)),
        (b"<>", (one(None, b"", b""),)),
        (b",, a@b.test ,,", (one(None, b"a", b"b.test"),)),
        (b"(a (nested) b) a@b.test", (one(b"a (nested) b", b"a", b"b.test"),)),
        (b"\xc3\xa4 <\xc3\xa4@b.test>", (one(b"\xc3\xa4", b"\xc3\xa4", b"b.test"),)),
        (b'"open <a@b.test>', (one(None, b"open <a@b.test>", b""),)),
        (b"A <a@b.test", (one(b"A", b"a", b"b.test"),)),
        (b"A  B\r\n C <a@b.test>, \"D\r\n E\" <d@e.test>", (
            one(b"A B C", b"a", b"b.test"), one(b"D E", b"d", b"e.test"))),
        (b"a@b.test; c@d.test", (one(None, b"a", b"b.test"), one(None, b"c", b"d.test"))),
        (b"(x) a@b.test, B <b@c.test>, G: d@e.test, f@g.test;, h@i.test", (
            one(b"x", b"a", b"b.test"), one(b"B", b"b", b"c.test"), one(None, b"G", None), one(None, b"d", b"e.test"),
            one(None, b"f", b"g.test"), GROUP_END, one(None, b"h", b"i.test"))),
        (b"a\"b\"c@d.test", (one(None, b'a"b"c', b"d.test"),)),
    ],
)  # fmt: skip
def test_address_lists(value: bytes, expected: tuple[MailAddress, ...]) -> None:
    assert parse_addresses(value) == expected


@given(st.one_of(st.binary(max_size=200), st.text('<>@,;:()[]"\\ ab\t', max_size=60).map(str.encode)))
def test_groups_are_closed_in_any_list(value: bytes) -> None:
    inside = False
    for address in parse_addresses(value):
        if address.host is None:
            assert inside == (address.mailbox is None)
            inside = not inside
        else:
            assert address.mailbox is not None
    assert not inside


def test_fields_fold_and_skip_what_is_none() -> None:
    block = b" stray\r\nA: 1\r\n two\r\nno field\r\n of anyone\r\nB : 3\r\n: 4\r\nA: 5\r\n\r\n"
    assert [(name, unfold(value)) for name, value in fields(block)] == [(b"a", b"1 two"), (b"b", b"3"), (b"a", b"5")]
    assert [name for name, _ in fields(block, {b"b"})] == [b"b"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain", ()),
        (b'text/plain; charset="utf-8" ; Format=flowed', ((b"charset", b"utf-8"), (b"format", b"flowed"))),
        (b"a/b; name=foo bar.pdf", ((b"name", b"foo bar.pdf"),)),
        (b'a/b; name="foo;=\\"bar"', ((b"name", b'foo;="bar'),)),
        (b"a/b; (comment; x=y) charset=utf-8 (more)", ((b"charset", b"utf-8"),)),
        (b'a/b; boundary="simple\r\n boundary"', ((b"boundary", b"simple boundary"),)),
        (b"a/b; name*0*=utf-8''%41; name*1=b", ((b"name*0*", b"utf-8''%41"), (b"name*1", b"b"))),
        (b'a/b; name="open', ((b"name", b"open"),)),
        (b"a/b;; =x; c", ()),
    ],
)
def test_parameters(value: bytes, expected: tuple[tuple[bytes, bytes], ...]) -> None:
    assert parameters(value) == expected


def test_media_types_and_tokens() -> None:
    assert media_type(b" (c) Text/HTML; x=y") == (b"text", b"html")
    assert media_type(b"text") is None
    assert media_type(b"") is None
    assert token(b" Quoted-Printable;") == b"quoted-printable"
    assert token(b"\x00") == b""
    assert without_comments(b'a "(kept)" (gone (all)) b') == b'a "(kept)"  b'


_USUAL = st.lists(
    st.sampled_from(
        [b"A B <a@b.test>", b'"C, D" <c@d.test>', b"e@f.test", b" =?utf-8?q?g?=\r\n <g@h.test> ", b"<i@j.test>"]
    ),
    min_size=1,
)


@given(_USUAL)
def test_usual_addresses_are_read_as_unusual_ones_are(pieces: list[bytes]) -> None:
    slowly = parse_addresses(b"(" + b",".join(pieces) + b")," + b",".join(b"()" + piece for piece in pieces))
    assert parse_addresses(b",".join(pieces)) == slowly


def test_words_of_one_message_are_limited() -> None:
    parser = AddressParser()
    assert len(parser.parse(b"(c) a@b.test," * 3000)) == 3000
    assert len(parser.parse(b"(c) a@b.test," * 3000)) < 3000
    assert len(parser.parse(b"a@b.test," * 3000)) == 3000


def test_comments_are_limited() -> None:
    assert len(without_comments(b"(x)a" * 5000)) < 5000
