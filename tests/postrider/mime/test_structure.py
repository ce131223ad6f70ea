"""Previews and thread keys."""

from __future__ import annotations

import pytest

from postrider.mime.parse import examine, scan
from postrider.mime.structure import thread_keys

HTML = b"Content-Type: text/html\n\n"
MIXED = b"Content-Type: multipart/mixed; boundary=b\n\n--b\n"
LATIN = b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n"


@pytest.mark.parametrize(
    ("message", "preview"),
    [
        (b"\n  Hello \r\n\r\n world ", "Hello world"),
        (LATIN + b"=E4=\nb", "äb"),
        (HTML + b"<html><head><title>t</title><style>p{}</style></head><p>A&amp;B<br>c<!-- d -->", "A&B c"),
        (b"Content-Type: image/png\n\nxxx", ""),
        (MIXED + HTML + b"<b>h</b>\n--b\n\nplain\n--b--", "plain"),
        (MIXED + b"Content-Disposition: attachment\n\nno\n--b\n\nyes\n--b--", "yes"),
        (b"\n" + b"word " * 500, ("word " * 40).strip()),
        (b"\na\x00b", "ab"),
    ],
)
def test_preview(message: bytes, preview: str) -> None:
    assert scan(message).preview == preview


def test_a_character_cut_at_the_limit_is_left_out() -> None:
    message = b"Content-Type: text/plain; charset=utf-8\n\n" + b"x" + "ä".encode() * 3000
    assert scan(message).preview == "x" + "ä" * 199


def test_thread_keys() -> None:
    own = thread_keys(b"<1@a>", None, None)
    reply = thread_keys(b"<2@a>", b"<1@a>", b"<0@a>\n <1@a>")
    assert len(own) == 1
    assert len(reply) == 3
    assert own[0] in reply[1:]
    assert all(len(key) == 16 for key in reply)
    assert thread_keys(None, b"none", b"") == ()
    assert len(thread_keys(None, None, b" ".join(b"<%d@a>" % i for i in range(1000)))) == 50


def test_a_message_is_threaded_by_its_fields_and_by_what_was_added() -> None:
    message = b"References: <0@a>\nIn-Reply-To: <1@a>\n\n"
    content, keys = examine(message, b"Received: x\r\nMessage-ID: <2@a>\r\nDate: today\r\n")
    assert keys == thread_keys(b"<2@a>", b"<1@a>", b"<0@a>")
    assert (content.envelope.message_id, content.envelope.date) == (b"<2@a>", b"today")
    assert examine(b"Message-ID: <3@a>\n\n", b"Message-ID: <2@a>\n")[0].envelope.message_id == b"<3@a>"
