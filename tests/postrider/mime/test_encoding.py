"""Transfer encodings and charsets: what is damaged gives what can be had."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.mime import encoding
from postrider.mime.encoding import decode_charset, decode_transfer, decode_words, decoded_size, decoder, known_charset


@given(st.binary(max_size=300))
def test_base64_round_trip_and_size(data: bytes) -> None:
    encoded = base64.encodebytes(data)
    assert decode_transfer(encoded, b"base64") == data
    assert decoded_size(encoded, 0, len(encoded), b"base64") == len(data)
    assert decode_transfer(quopri.encodestring(data), b"quoted-printable") == data


_ENCODINGS = st.sampled_from([b"base64", b"quoted-printable", b"x-unknown", b"7bit"])
_TRANSFERRED = st.one_of(
    st.binary(max_size=100),
    st.lists(st.sampled_from([b"YWJj", b"=", b"=4", b" ", b"\t", b"\r\n", b"\n", b"\r", b"x"])).map(b"".join),
)


@given(_TRANSFERRED, _ENCODINGS)
def test_any_bytes_have_the_size_they_decode_to(data: bytes, encoding: bytes) -> None:
    assert decoded_size(b"xx" + data + b"xx", 2, 2 + len(data), encoding) == len(decode_transfer(data, encoding))


@given(_TRANSFERRED, _ENCODINGS, st.integers(1, 9))
def test_in_pieces_it_decodes_to_the_same(data: bytes, encoding: bytes, step: int) -> None:
    decoding = decoder(encoding)
    pieces = [decoding.feed(data[at : at + step]) for at in range(0, len(data), step)]
    assert b"".join([*pieces, decoding.finish()]) == decode_transfer(data, encoding)


@given(_TRANSFERRED, _ENCODINGS, st.integers(1, 9))
def test_sizes_of_what_is_large_are_found_in_slices(data: bytes, encoding: bytes, step: int) -> None:
    whole = decode_transfer(data, encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("postrider.mime.encoding.SLICE", step)
        found = decoded_size(data, 0, len(data), encoding)
        assert decode_transfer(data, encoding) == whole
    longest = max(map(len, data.split(b"\n")))
    assert found == len(whole) or (found == -1 and longest >= step)


def test_damaged_base64() -> None:
    assert decode_transfer(b"YW\x00Jj\r\n!ZA", b"base64") == b"abcd"
    assert decode_transfer(b"YWJjZ", b"base64") == b"abc"
    assert decode_transfer(b"YQ==YWJj", b"base64") == b"a"


def test_quoted_printable_drops_space_before_line_breaks() -> None:
    assert decode_transfer(b"a  \r\nb=20\t\nc=\r\nd", b"quoted-printable") == b"a\r\nb \ncd"
    assert decode_transfer(b"a \t", b"quoted-printable") == b"a"


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        (b"", "utf-8"), (b"US-ASCII", "utf-8"), (b"iso-8859-1", "cp1252"), (b"Windows-1252", "cp1252"),
        (b"shift_jis", "cp932"), (b"ISO-8859-9", "cp1254"), (b"TIS-620", "cp874"),
        (b"GB2312", "gb18030"), (b"punycode", "ascii"), (b"unicode_escape", "ascii"),
        (b"rot13", "ascii"), (b"no-such", "ascii"), (b"x" * 5000, "ascii"), (b"../../etc", "ascii"),
        (b"a\x00b", "ascii"), (b"ISO-8859-8-I", "iso8859-8"), (b"ks_c_5601-1987", "cp949"),
    ],
)  # fmt: skip
def test_only_charsets_are_charsets(name: bytes, codec: str) -> None:
    assert known_charset(name) == codec


def test_what_windows_added_to_a_charset_is_read() -> None:
    assert decode_charset("①㈱髙".encode("cp932"), b"Shift_JIS") == "①㈱髙"


def test_damaged_text_is_marked() -> None:
    assert decode_charset(b"a\xffb", b"utf-8") == "a\ufffdb"


_PIECES = st.sampled_from([
    b"a", b"\xe4", b"\xc3\xa4", b"\x00", b"\xff\xfe", b"\x1b$B", b"\x1b(B", b"~{", b"~}", b"~", b"\x81\x30\x81", b"\n",
])  # fmt: skip


@given(
    st.lists(_PIECES | st.binary(max_size=3), max_size=20).map(b"".join),
    st.sampled_from([
        b"utf-8", b"utf-16", b"utf-16-be", b"utf-32", b"iso-8859-1", b"koi8-r", b"gb18030", b"hz-gb-2312", b"big5",
        b"shift_jis", b"euc-jp", b"iso-2022-jp", b"iso-2022-kr", b"ks_c_5601-1987", b"johab", b"us-ascii",
    ]),
    st.integers(1, 5),
)  # fmt: skip
def test_long_text_is_decoded_as_short_text_is(data: bytes, charset: bytes, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        whole = decode_charset(data, charset)
        patch.setattr(encoding, "PIECE", size)
        assert decode_charset(data, charset) == whole


def test_encoded_words() -> None:
    assert decode_words(b"=?utf-8?q?a_=C3=A4?= =?iso-8859-1*de?B?5A==?= c") == "a ää c"
    assert decode_words("ä".encode()) == "ä"
    assert decode_words(b"=?broken?q?a") == "=?broken?q?a"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"=?utf-8?B?5Lya?= =?UTF-8?B?6K2w?=", "会議"),
        (b"=?utf-8?Q?=E4=BC?= =?utf-8?B?mg==?= x", "会 x"),  # one character in two words
        (b"=?iso-2022-jp?B?GyRCMnE1RBsoQg==?=", "会議"),
        (b"=?gb18030?Q?=BB=E1=D2=E9?=", "会议"),
        (b"=?us-ascii?Q?two words_more?= =?x?", "two words more =?x?"),
        (b"=?utf-8?Q?a?=b=?utf-8?Q?c?=", "abc"),
        (b"=?no-such?Q?=E4?=", "\ufffd"),
    ],
)
def test_encoded_words_as_they_occur(value: bytes, text: str) -> None:
    assert decode_words(value) == text
