"""The scanner: offsets that add up, structure as others see it, and nothing a stranger sends that stops it."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mime_rules import check, everything

from postrider.mime import parse
from postrider.mime.encoding import decode_transfer
from postrider.mime.parse import scan
from postrider.model.mail import MailAddress, Part

#: Where we see another structure than mime4j, and why.
DEPARTURES = {
    "badbound": "IMAP has no multipart without parts",
    "missing-boundary": "IMAP has no multipart without parts",
    "missing-inner-boundary": "IMAP has no multipart without parts",
    "missing-inner-start-boundary": "IMAP has no multipart without parts",
    "multipartnopart": "IMAP has no multipart without parts",
    "multi-2gifs-base64": "an encoded message stays closed (RFC 2046 §5.2.1)",
    "bad-newlines-multiple-parts-base64": "an encoded message stays closed (RFC 2046 §5.2.1)",
    "base64encoded-rfc822message-nested": "an encoded message stays closed (RFC 2046 §5.2.1)",
    "weird-boundary": "a boundary never ends with white space (RFC 2046 §5.1.1)",
    "very-long-boundary": "a boundary never ends with white space (RFC 2046 §5.1.1)",
    "very-very-long-boundary": "a boundary never ends with white space (RFC 2046 §5.1.1)",
}
#: Where parts of the same structure hold something else.
OTHER_CONTENT = {
    "base64encoded-rfc822message": "an encoded message stays closed (RFC 2046 §5.2.1)",
    "frag": "base64 that lacks its padding is decoded to its end",
    "multi-frag": "base64 that lacks its padding is decoded to its end",
    "malformedHeaderStartsBody-nocrlfcrlf": "the body begins behind the first empty line (RFC 5322 §2.1)",
    "malformedHeaderStartsBody-noheader": "the body begins behind the first empty line (RFC 5322 §2.1)",
}

Shape = str | list[Any]


def shape(part: Part) -> Shape:
    if part.parts:
        return ["multipart", *(shape(child) for child in part.parts)]
    return ["message", shape(part.message)] if part.message else "body"


def shape_of(element: ElementTree.Element) -> Shape:
    for child in element:
        if child.tag == "multipart":
            return ["multipart", *(shape_of(part) for part in child if part.tag == "body-part")]
        if child.tag == "message":
            return ["message", shape_of(child)]
    return "body"


def test_collected_messages(collected: list[Path]) -> None:
    for path in collected:
        data = path.read_bytes()
        check(data, scan(data))


def test_same_structure_as_mime4j(mime4j: list[Path]) -> None:
    compared = 0
    for path in mime4j:
        expected = path.with_suffix(".xml")
        if not expected.exists():
            continue
        text = re.sub(r"&#[^;]*;|[\x00-\x08\x0b\x0c\x0e-\x1f]", "", expected.read_bytes().decode("latin-1"))
        theirs = shape_of(ElementTree.fromstring(text))
        ours = shape(scan(path.read_bytes()).root)
        assert (ours != theirs) == (path.stem in DEPARTURES), path.name
        compared += 1
    assert compared >= 70


def _contents(part: Part, data: bytes) -> Iterator[bytes]:
    if part.parts:
        for child in part.parts:
            yield from _contents(child, data)
    elif part.message:
        yield from _contents(part.message, data)
    else:
        yield decode_transfer(data[part.body : part.end], part.encoding)


def test_same_contents_as_mime4j(mime4j: list[Path]) -> None:
    compared = 0
    for path in mime4j:
        listing = path.with_name(path.stem + "_decoded.xml")
        if path.stem in DEPARTURES or not listing.exists():
            continue
        names = re.findall(r'<(?:text|binary)-body name="([^"]*)"', listing.read_text("latin-1"))
        theirs = [path.with_name(name).read_bytes().replace(b"\r\n", b"\n") for name in names]
        data = path.read_bytes()
        ours = [content.replace(b"\r\n", b"\n") for content in _contents(scan(data).root, data)]
        assert (ours != theirs) == (path.stem in OTHER_CONTENT), path.name
        compared += len(ours)
    assert compared >= 130


def test_from_a_mapped_file(tmp_path: Path) -> None:
    data = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n"
    path = tmp_path / "message"
    path.write_bytes(data)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert scan(mapped) == scan(data)


_PIECES = st.sampled_from(
    [
        b"--b", b"--b--", b"--c", b"--bc", b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\x00", b"\xff", b"text", b"=\r\n",
        b"=41",
        b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: multipart/digest; boundary=\"c\"\r\n",
        b"Content-Type: message/rfc822\r\n", b"Content-Type: text/html; charset=utf-16\r\n", b"Content-Type: \r\n",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n", b"YWJj", b"Y=",
        b"To: \"a\\", b"From: <@a,@b:c@d>", b"Cc: g: (x(y) a@b, ;", b"<style>", b"<!--", b"<b>", b"&amp;",
        b"Content-Disposition: attachment; filename*0*=utf-8''a\r\n", b"References: <a@b>\r\n <c@d>\r\n", b":", b"\t",
    ]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.lists(_PIECES, max_size=40).map(b"".join)))
def test_any_bytes(data: bytes) -> None:
    check(data, scan(data))


MULTI = (
    b"Content-Type: multipart/mixed; boundary=\"out er\"\r\n\r\n"
    b"preamble\r\n--out er\r\n"
    b"Content-Type: multipart/alternative; boundary=outer\r\n\r\n"
    b"--outer\r\n\r\nplain\r\n--outer  \r\nContent-Type: TEXT/html\r\n\r\n<p>markup\r\n"
    b"--out er\r\nContent-Type: application/octet-stream; name=\"a;\\\"b\"\r\nContent-Transfer-Encoding: BASE64\r\n"
    b"Content-Disposition: attachment; filename=x.bin\r\n\r\nAAEC\r\n\r\n--out er--\r\nepilogue\r\n"
)  # fmt: skip


def test_offsets_of_nested_multiparts() -> None:
    root = scan(MULTI).root
    inner, attached = root.parts
    plain, markup = inner.parts
    assert MULTI[plain.body : plain.end] == b"plain"
    assert MULTI[markup.body : markup.end] == b"<p>markup"  # the outer delimiter ends the inner multipart
    assert MULTI[attached.header : attached.body].endswith(b"x.bin\r\n\r\n")
    assert MULTI[attached.body : attached.end] == b"AAEC\r\n"
    assert (attached.encoding, attached.decoded) == (b"base64", 3)
    assert attached.params == ((b"name", b'a;"b'),)
    assert attached.disposition_params == ((b"filename", b"x.bin"),)
    assert root.end == len(MULTI)


def test_empty_part_has_no_content() -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: y\r\n\r\n--b\r\n--b\r\nX: y\r\n--b--"
    assert [data[part.body : part.end] for part in scan(data).root.parts] == [b"", b"", b""]


@pytest.mark.parametrize(
    ("line", "delimits"),
    [
        (b"--b", True), (b"--b \t", True), (b"--b and more", True), (b"--bc", False), (b"--b-", False),
        (b" --b", False), (b"--B", False), (b"--b" + b" " * 5000, True),
    ],
)  # fmt: skip
def test_delimiter_lines(line: bytes, delimits: bool) -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n" + line + b"\r\n\r\ntwo\r\n--b--\r\n"
    assert len(scan(data).root.parts) == (2 if delimits else 1)


@pytest.mark.parametrize(("line", "closes"), [(b"--b--", True), (b"--b-- the end", True), (b"--b--x", False)])
def test_closing_lines(line: bytes, closes: bool) -> None:
    data = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n" + line + b"\n--b\n\ntwo\n"
    assert len(scan(data).root.parts) == (1 if closes else 2)


def test_of_boundaries_that_begin_alike_the_longest_counts() -> None:
    inner = b'Content-Type: multipart/mixed; boundary="b c"\n\n--b c\n\none\n--b c\n\ntwo\n--b c--\n'
    root = scan(b"Content-Type: multipart/mixed; boundary=b\n\n--b\n" + inner + b"--b\n\nthree\n--b--\n").root
    assert [len(part.parts) for part in root.parts] == [2, 0]


def test_digest_holds_messages() -> None:
    data = b"Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: inner\n\ntext\n--b--\n"
    (part,) = scan(data).root.parts
    assert (part.type, part.subtype) == (b"message", b"rfc822")
    assert part.envelope is not None
    assert part.envelope.subject == b"inner"
    assert part.message is not None
    assert data[part.message.body : part.message.end] == b"text"


def test_without_content_type_it_is_ascii_text() -> None:
    root = scan(b"Subject: x\n\none\ntwo").root
    assert (root.type, root.subtype, root.params, root.encoding) == (
        b"text", b"plain", ((b"charset", b"us-ascii"),), b"7bit",
    )  # fmt: skip
    assert root.lines == 2


def test_envelope() -> None:
    envelope = scan(
        b"From: A <a@x.test>\r\nSUBJECT: =?utf-8?q?raw?=\r\n  folded\r\nTo: b@x.test\r\nTo: c@x.test\r\n"
        b"Subject: second\r\n"
        b"Message-ID : <1@x.test>\r\nDate:\r\n\r\n"
    ).envelope
    author = (MailAddress(b"A", b"a", b"x.test"),)
    assert (envelope.from_, envelope.sender, envelope.reply_to) == (author, author, author)
    assert envelope.subject == b"=?utf-8?q?raw?=  folded"
    assert [one.mailbox for one in envelope.to] == [b"b", b"c"]
    assert (envelope.message_id, envelope.date, envelope.in_reply_to) == (b"<1@x.test>", b"", None)


def test_header_without_end_and_empty_message() -> None:
    assert scan(b"Subject: x").root.body == 10
    assert scan(b"").root.end == 0
    assert scan(b"\r\nbody").root.body == 2


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("parts", b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n" * 20_000),
        ("depth", b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(200))),
        ("messages", b"Content-Type: message/rfc822\n\n" * 5000),
        ("false boundaries", b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--bx\n" * 50_000),
        ("fields", b"To: a@b.test\n" * 20_000 + b"\n"),
        ("parameters", b"Content-Type: text/plain" + b"; a=b" * 20_000 + b"\n\n"),
    ],
)
def test_limits_hold(name: str, data: bytes) -> None:
    content = scan(data)
    check(data, content)
    parts = list(everything(content.root))
    assert len(parts) <= parse.MAX_PARTS + 2, name
    assert len(content.envelope.to) <= 5000
    assert len(content.root.params) <= 100


def test_large_headers_are_not_cached() -> None:
    small = b"Subject: " + b"x" * 1000 + b"\r\n\r\n"
    assert scan(small + b"body").header == small
    assert scan(b"Subject: " + b"x" * parse.MAX_CACHED_HEADER + b"\r\n\r\nbody").header == b""
