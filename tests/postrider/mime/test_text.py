"""Text for search: what people see in a message is found in it, however it was encoded."""

from __future__ import annotations

import base64
import quopri
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.mime import text
from postrider.mime.parse import scan
from postrider.mime.text import filename, fold, header_texts, parameter_text, passages, searchable

ENCODERS = {
    "base64": base64.encodebytes,
    "quoted-printable": quopri.encodestring,
    "8bit": bytes,
}


def found(message: bytes) -> list[str]:
    return list(searchable(message, scan(message)))


# -- fold ----------------------------------------------------------------------------------------------------------


@given(st.text())
def test_folding_twice_is_folding_once(words: str) -> None:
    assert fold(fold(words)) == fold(words)


@given(st.text())
def test_normal_forms_agree(words: str) -> None:
    assert fold(unicodedata.normalize("NFC", words)) == fold(unicodedata.normalize("NFD", words))


#: Combining marks are put in order, so that a piece that ends in the midst of several may be told apart.
_NO_MARKS = st.text(st.characters(exclude_categories=["Mn", "Mc", "Cs"]))


@given(_NO_MARKS, _NO_MARKS, _NO_MARKS)
def test_a_piece_of_a_text_is_found_in_it(before: str, words: str, after: str) -> None:
    assert fold(words) in fold(before + words + after)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ä", "ä"), ("STRASSE", "Straße"), ("ΣΑΣ", "σας"), ("ｱ", "ア"), ("ＡＢＣ", "abc"), ("ﬁn", "FIN"),
        ("a \r\n\t b", "A B"), ("Donau\u00addampf", "donaudampf"), ("\u1d2c", "a"), ("a\x00b", "a b"), ("①", "1"),
    ],
)  # fmt: skip
def test_equal_for_people(one: str, other: str) -> None:
    assert fold(one) == fold(other)


def test_what_rfc_5051_holds_for_equal_is_equal() -> None:
    alike: dict[str, set[str]] = {}
    for code in [*range(0x2500), *range(0xFB00, 0xFFF0), *range(0x1D400, 0x1D800)]:
        letter = chr(code)
        title = letter.title() if len(letter.title()) == 1 else letter  # its mapping is the simple one
        alike.setdefault(unicodedata.normalize("NFKD", title), set()).add(fold(f"x{letter}x"))
    assert [folded for folded in alike.values() if len(folded) > 1] == []


#: Marks of several classes, one that is two, one that becomes one, and a letter with some of its own.
_MARKS = st.text(st.sampled_from("\u0301\u0323\u0344\u0f73\u3099\uff9e\u0345\u1fd3-"), min_size=16)


@given(_MARKS)
def test_long_runs_of_marks_are_put_in_order_without_normalize(marks: str) -> None:
    ordered = text._SIGNS.sub(text._ordered, marks.replace("\uff9e", "\u3099"))
    assert unicodedata.normalize("NFKD", ordered) == unicodedata.normalize("NFKD", marks)
    if text._SIGNS.fullmatch(marks):
        assert unicodedata.is_normalized("NFKD", ordered)


def test_no_mark_is_missed() -> None:
    for code in [*range(0xD800), *range(0xE000, 0x20000), *range(0xE0000, 0xE1000)]:
        sign = chr(code)
        if unicodedata.combining(unicodedata.normalize("NFKD", sign)[0]):
            assert sign in "\uff9e\uff9f" or text._SIGNS.fullmatch(16 * sign)


def test_many_marks_take_no_hours() -> None:
    assert len(fold("a" + "\u0301\u0323" * 500_000)) == 1_000_001


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.integers(1, 9))
def test_pieces_are_folded_as_the_whole_is(words: str, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = fold(words)
        patch.setattr(text, "PIECE", size)
        assert fold(words) == whole


def test_a_folded_text_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fold("\ufdfa" * 50)
    monkeypatch.setattr(text, "PIECE", 10)
    monkeypatch.setattr(text, "MAX_FOLDED", 200)
    assert fold("\ufdfa" * 50) == whole[:200].rstrip()


def test_accents_count() -> None:
    assert fold("é") != fold("e")


# -- bodies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODERS)
@pytest.mark.parametrize("charset", ["utf-8", "iso-2022-jp", "gb18030", "shift_jis", "euc-jp", "utf-16"])
def test_text_in_any_encoding(encoding: str, charset: str) -> None:
    words = "明日の会議は十時です。\n" * 20
    head = f'Content-Type: text/plain; charset="{charset}"\nContent-Transfer-Encoding: {encoding}\n\n'
    assert fold("".join(found(head.encode() + ENCODERS[encoding](words.encode(charset))))) == fold(words)


def test_all_parts_are_searched() -> None:
    message = (
        b"Subject: outer\nContent-Type: multipart/mixed; boundary=b\n\nnot seen\n"
        b"--b\nContent-Type: text/html\n\n<style>no</style><p>vis<b>ible</b></p>\n"
        b"--b\nContent-Type: text/csv; charset=x-broken\n\n1,\xff\n"
        b"--b\nContent-Type: application/pdf; name=\"=?utf-8?q?R=C3=A9sum=C3=A9?=.pdf\"\n"
        b"Content-Description: the\n cv\nContent-Transfer-Encoding: base64\n\nAAAA\n"
        b"--b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?inn=C3=A9r?=\n\ninner text\n--b--\n"
    )  # fmt: skip
    assert [fold(one) for one in found(message)] == [
        fold("Résumé.pdf"), "the cv", "visible", "1,\ufffd", fold("subject: innér"), "inner text",
    ]  # fmt: skip


def test_ranges_can_be_read_apart() -> None:
    head = b"Content-Type: multipart/mixed; boundary=b\n\n"
    message = head + b"--b\n\nfirst\n--b\nContent-Type: image/png\n\nxx\n--b\n\nlast\n--b--"
    plan = list(passages(scan(message).root))
    assert [message[one.start : one.end] for one in plan] == [b"first", b"last"]
    assert [one.text(message[one.start : one.end]) for one in plan] == ["first", "last"]


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nwords\n" * 10 + b"--b--"
    monkeypatch.setattr(text, "MAX_PART", 3)
    monkeypatch.setattr(text, "MAX_MESSAGE", 7)
    assert found(message) == ["wor", "wor", "wor"]


def test_header_values() -> None:
    header = b"Subject: =?utf-8?q?a_=C3=A4?=\r\n =?utf-8?q?b?=\r\nX-Long: one\r\n\ttwo\r\n\r\n"
    assert list(header_texts(header)) == [("subject", "a äb"), ("x-long", "one\ttwo")]
    assert list(header_texts(header, {b"x-long"})) == [("x-long", "one\ttwo")]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"attachment; filename=plain.txt", "plain.txt"),
        (b"attachment; filename*=utf-8''%e2%82%ac.txt", "€.txt"),
        (b"attachment; filename*=iso-8859-1'en'%A3.txt; filename=ascii.txt", "£.txt"),
        (b"attachment; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=\"100%.txt\"", "€100%.txt"),
        (b'attachment; filename*0="long "; filename*1="name"', "long name"),
        (b'attachment; filename="=?utf-8?b?4oKs?="', "€"),
        (b"attachment; filename*=%e2%82%ac", "€"),
        (b"attachment; filename*1=x; filename*3=y", ""),
    ],
)
def test_file_names(header: bytes, name: str) -> None:
    part = scan(b"Content-Disposition: " + header + b"\n\n").root
    assert filename(part) == name


def test_a_parameter_in_endless_pieces() -> None:
    params = tuple((b"filename*%d" % number, b"x") for number in range(5000))
    assert parameter_text(params, b"filename") == "x" * text.MAX_PIECES


def test_collected_messages_have_text(collected: list[Path]) -> None:
    for path in collected:
        for one in found(path.read_bytes()):
            fold(one).encode()


@given(st.binary(max_size=400))
def test_any_bytes(data: bytes) -> None:
    for one in found(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + data + b"\n--b--"):
        fold(one).encode()
    for name, value in header_texts(data):
        (name + value).encode()
