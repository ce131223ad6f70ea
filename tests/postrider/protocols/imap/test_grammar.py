"""Words of the grammar, one by one, and rubbish that must give SyntaxFault and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postrider.protocols.imap.commands import COMMANDS
from postrider.protocols.imap.flags import SYSTEM_FLAGS, flag_list, split_flags
from postrider.protocols.imap.grammar import STAR, Cursor, SyntaxFault
from postrider.protocols.imap.names import decode_name, encode_name
from postrider.protocols.imap.responses import compact_set, mailbox_name, string
from postrider.protocols.imap.search import MAX_DEPTH, MAX_KEYS
from postrider.store.values import Flag


@given(st.text().filter(lambda text: "\0" not in text))
def test_names_survive_modified_utf7(name: str) -> None:
    encoded = encode_name(name.encode("utf-8", "replace").decode(), utf8=False)
    assert encoded.isascii()
    assert decode_name(encoded, utf8=False) == name.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("raw", [b"&", b"a&b", b"&AAA", b"&A-", b"\xff"])
def test_names_that_are_none(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 -- UnicodeDecodeError is one too
        decode_name(raw, utf8=False)


def test_system_flags_are_the_stores() -> None:
    assert [name.decode()[1:].upper() for name in SYSTEM_FLAGS] == [flag.name for flag in Flag]
    assert [1 << bit for bit in range(len(SYSTEM_FLAGS))] == [flag.value for flag in Flag]
    assert flag_list(3, ("$a",), recent=True) == b"\\Seen \\Answered $a \\Recent"
    assert split_flags([b"\\seen", b"$A", b"$A"]) == (1, ("$A",))


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        (b"1", ((1, 1),)),
        (b"3:1,*", ((1, 3), (STAR, STAR))),
        (b"*:4", ((4, STAR),)),
        (b"$", None),
    ],
)
def test_sets(text: bytes, ranges: object) -> None:
    assert Cursor(text).sequence_set() == ranges


@pytest.mark.parametrize("text", [b"0", b"1:", b",1", b"5000000000", b"x", b""])
def test_sets_that_are_none(text: bytes) -> None:
    with pytest.raises(SyntaxFault):
        whole_set(text)


def whole_set(text: bytes) -> None:
    cursor = Cursor(text)
    cursor.sequence_set()
    cursor.end()


@given(st.lists(st.integers(1, 200), unique=True).map(sorted))
def test_compact_sets_come_back(numbers: list[int]) -> None:
    text = compact_set(numbers)
    found = [n for low, high in (Cursor(text).sequence_set() or ()) for n in range(low, high + 1)] if text else []
    assert found == numbers


@given(st.binary().filter(lambda data: b"\0" not in data))
def test_strings_come_back(data: bytes) -> None:
    assert Cursor(string(data)).string() == data


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.booleans())
def test_mailbox_names_come_back(name: str, utf8: bool) -> None:
    assert Cursor(mailbox_name(name, utf8=utf8), utf8=utf8).mailbox() == name


def test_dates() -> None:
    assert Cursor(b'"14-Nov-2023 22:13:20 +0000"').date_time() == 1_700_000_000
    assert Cursor(b'" 1-jan-1970 01:00:00 +0100"').date_time() == 0
    assert Cursor(b"2-Jan-1970").day() == 1
    for text in (b'"31-Feb-2020 00:00:00 +0000"', b'"01-Foo-2020 00:00:00 +0000"', b'"01-Jan-2020 25:00:00 +0000"'):
        with pytest.raises(SyntaxFault):
            Cursor(text).date_time()


WORDS = st.sampled_from(
    [b"(", b")", b" ", b'"', b"{3}\r\nabc", b"1:*", b"BODY[", b"]", b"<0.5>", b"RETURN", b"NOT", b"OR", b"$", b"\\Seen",
     b"ALL", b"HEADER.FIELDS", b"FLAGS", b"INBOX", b"*", b"%", b"UTF-8", b"CHARSET", b"SUBJECT", b"1-Jan-2020", b"5"]
)  # fmt: skip


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(name for name, row in COMMANDS.items() if row.parse)),
    st.lists(WORDS | st.binary(max_size=4)),
)
def test_rubbish_is_a_syntax_fault(name: str, words: list[bytes]) -> None:
    parse = COMMANDS[name].parse
    assert parse is not None
    with contextlib.suppress(SyntaxFault):
        parse(Cursor(b" ".join([b"", *words])))


@pytest.mark.parametrize("key", [b"ALL", b"SEEN", b"NOT KEYWORD x", b"UID 1:*", b"(SUBJECT a)", b"OR NEW OLD"])
def test_searches_without_end_are_refused(key: bytes) -> None:
    parse = COMMANDS["SEARCH"].parse
    assert parse is not None
    parse(Cursor(b" " + b" ".join([key] * (MAX_KEYS // 3))))
    with pytest.raises(SyntaxFault):
        parse(Cursor(b" " + b" ".join([key] * (MAX_KEYS + 1))))


def test_deep_searches_are_refused() -> None:
    parse = COMMANDS["SEARCH"].parse
    assert parse is not None
    parse(Cursor(b" " + b"(" * (MAX_DEPTH - 1) + b"ALL" + b")" * (MAX_DEPTH - 1)))
    for word in (b"(", b"NOT ", b"OR ALL "):
        with pytest.raises(SyntaxFault):
            parse(Cursor(b" " + word * 5000 + b"ALL"))
