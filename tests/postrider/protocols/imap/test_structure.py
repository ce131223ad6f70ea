"""ENVELOPE, BODYSTRUCTURE and sections of a structure built by hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postrider.mime.parse import scan
from postrider.model.mail import Content, MailAddress, MailEnvelope, Part
from postrider.protocols.imap.events import Section
from postrider.protocols.imap.sections import Place, Span, locate, select_fields
from postrider.protocols.imap.structure import body_structure, envelope

SUITES = Path(os.environ.get("POSTRIDER_SUITES", Path(__file__).parents[5] / "shared" / "suites"))

TEXT = Part(0, 10, 30, lines=2, params=((b"charset", b"us-ascii"),))
PICTURE = Part(
    40, 60, 100, b"image", b"png", ((b"name", b'a "b".png'),), b"base64", id=b"<1@x>", description=b"A picture",
    md5=b"Q2hlY2s=", disposition=b"attachment", disposition_params=((b"filename", b"a.png"),), language=(b"de", b"en"),
    location=b"here",
)  # fmt: skip
INNER = Part(120, 140, 160, lines=1)
FORWARDED = Part(
    110, 120, 160, b"message", b"rfc822", lines=4, message=INNER, envelope=MailEnvelope(subject=b"inner")
)  # fmt: skip
NESTED = Part(30, 35, 108, b"multipart", b"related", parts=(PICTURE,), params=((b"boundary", b"c"),))
MIXED = Part(0, 8, 200, b"multipart", b"mixed", ((b"boundary", b"b"),), parts=(TEXT, NESTED, FORWARDED))


def test_envelope() -> None:
    carol = MailAddress(b"Carol", b"carol", b"example.net")
    group = (MailAddress(None, b"all", None), carol, MailAddress(None, None, None))
    found = MailEnvelope(b"now", b'say "hi"\\', (carol,), to=group, message_id=b"<1@x>")
    shown = b'("Carol" NIL "carol" "example.net")'
    assert envelope(found) == (
        b'("now" "say \\"hi\\"\\\\" (' + shown + b") (" + shown + b") (" + shown + b") ("
        b'(NIL NIL "all" NIL)' + shown + b'(NIL NIL NIL NIL)) NIL NIL NIL "<1@x>")'
    )
    assert envelope(MailEnvelope(subject="ü".encode())).startswith(b"(NIL {2}\r\n\xc3\xbc NIL")


def test_body_structure() -> None:
    text = b'"text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 20 2'
    picture = b'"image" "png" ("name" "a \\"b\\".png") "<1@x>" "A picture" "base64" 40'
    inner = b'"text" "plain" NIL NIL NIL "7bit" 20 1'
    forwarded = b'"message" "rfc822" NIL NIL NIL "7bit" 40 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) '
    assert body_structure(MIXED, extended=False) == (
        b"((" + text + b")((" + picture + b') "related")(' + forwarded + b"(" + inner + b') 4) "mixed")'
    )
    assert body_structure(MIXED, extended=True) == (
        b"((" + text + b" NIL NIL NIL NIL)((" + picture + b' "Q2hlY2s=" ("attachment" ("filename" "a.png")) ("de" "en")'
        b' "here") "related" ("boundary" "c") NIL NIL NIL)(' + forwarded + b"(" + inner
        + b' NIL NIL NIL NIL) 4 NIL NIL NIL NIL) "mixed" ("boundary" "b") NIL NIL NIL)'
    )  # fmt: skip


def test_a_multipart_without_parts_has_one() -> None:
    assert body_structure(Part(0, 0, 0, b"multipart", b"mixed"), extended=False) == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")'
    )


@pytest.mark.parametrize(
    ("part", "text", "place"),
    [
        ((), "", Place(True, Span(0, 210))),
        ((), "HEADER", Place(True, Span(0, 8))),
        ((), "TEXT", Place(False, Span(8, 210))),
        ((1,), "", Place(False, Span(10, 30))),
        ((1,), "MIME", Place(False, Span(0, 10))),
        ((1, 1), "", None),
        ((2,), "", Place(False, Span(35, 108))),
        ((2, 1), "", Place(False, Span(60, 100), b"base64")),
        ((2, 2), "", None),
        ((3,), "", Place(False, Span(120, 160))),
        ((3,), "HEADER", Place(False, Span(120, 140))),
        ((3,), "TEXT", Place(False, Span(140, 160))),
        ((3, 1), "", Place(False, Span(140, 160))),
        ((3, 2), "", None),
        ((1,), "HEADER", None),
        ((4,), "", None),
    ],
)
def test_sections(part: tuple[int, ...], text: str, place: Place | None) -> None:
    content = Content(1, b"", MailEnvelope(), MIXED)
    assert locate(Section(b"", part, text), content, 210) == place


def test_fields() -> None:
    header = b"From: a\r\nSubject: one\r\n two\r\nX: y\r\nsubject : again\r\n\r\n"
    assert select_fields(header, [b"SUBJECT"], exclude=False) == b"Subject: one\r\n two\r\nsubject : again\r\n\r\n"
    assert select_fields(header, [b"subject", b"x"], exclude=True) == b"From: a\r\n\r\n"
    assert select_fields(b"", [b"x"], exclude=False) == b"\r\n"


@pytest.mark.parametrize("corpus", ["mime-mime4j", "mime-mikel-mail"])
def test_structures_of_real_mail_are_well_formed(corpus: str) -> None:
    """Every message of the public corpora gives balanced parentheses, and every part a place inside the message."""
    paths = [path for path in (SUITES / corpus).rglob("*") if path.is_file()]
    if not paths:
        pytest.skip(f"{corpus} is not in $POSTRIDER_SUITES")
    for path in paths[:200]:
        data = path.read_bytes()
        content = scan(data)
        assert _balanced(body_structure(content.root, extended=True)), path
        assert _balanced(envelope(content.envelope)), path
        place = locate(Section(b"", (1,)), content, len(data))
        assert place is None or 0 <= place.span.start <= place.span.end <= len(data), path


def _balanced(text: bytes) -> bool:
    depth = at = 0
    while at < len(text):
        if text[at : at + 1] == b'"':
            at += 1
            while text[at : at + 1] != b'"':
                at += 2 if text[at : at + 1] == b"\\" else 1
        elif text[at : at + 1] == b"{":
            end = text.index(b"}", at)
            at = end + 3 + int(text[at + 1 : end])
            continue
        depth += {b"(": 1, b")": -1}.get(text[at : at + 1], 0)
        at += 1
    return depth == 0
