"""Notices that any reader of RFC 3464 understands, whatever strangers put into their words."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from postrider.mime.compose import Notice, Returned, Status, decode_xtext, delivery_status
from postrider.mime.parse import scan

NOTICE = Notice(
    hostname="mx.one.test",
    author="postmaster@one.test",
    to="alice@one.test",
    statuses=(
        Status("x@far.test", "failed", "5.1.1", "rfc822;X+2B@far.test", "550 5.1.1 no", "mx.far.test", 1000.0),
        Status("y@far.test", "delayed", "4.4.1", retry_until=432000.0),
    ),
    returned=Returned(b"Subject: hello\r\n\r\nbody", full=True),
    arrived=0.0,
    at=2000.0,
    token="abc",
    about=b"<m@one.test>",
)


def test_the_whole_notice() -> None:
    assert delivery_status(NOTICE).decode() == (
        "From: Mail Delivery System <postmaster@one.test>\r\n"
        "To: <alice@one.test>\r\n"
        "Subject: Undeliverable: your message could not be delivered\r\n"
        "Date: Thu, 01 Jan 1970 00:33:20 +0000\r\n"
        "Message-ID: <abc@mx.one.test>\r\n"
        "In-Reply-To: <m@one.test>\r\n"
        "References: <m@one.test>\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        '\tboundary="=_abc"\r\n'
        "\r\n"
        "--=_abc\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 7bit\r\n"
        "\r\n"
        "This is the mail server mx.one.test.\r\n"
        "\r\n"
        "Your message could not be delivered to the following recipients. We have\r\n"
        "given up on them; nobody will try again.\r\n"
        "\r\n"
        "<x@far.test>\r\n"
        "    mx.far.test said: 550 5.1.1 no\r\n"
        "\r\n"
        "Your message has not been delivered to the following recipients yet. We keep\r\n"
        "trying; you need not send it again.\r\n"
        "\r\n"
        "<y@far.test>\r\n"
        "\r\n"
        "--=_abc\r\n"
        "Content-Type: message/delivery-status\r\n"
        "Content-Transfer-Encoding: 7bit\r\n"
        "\r\n"
        "Reporting-MTA: dns; mx.one.test\r\n"
        "Arrival-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
        "\r\n"
        "Original-Recipient: rfc822; X+@far.test\r\n"
        "Final-Recipient: rfc822; x@far.test\r\n"
        "Action: failed\r\n"
        "Status: 5.1.1\r\n"
        "Remote-MTA: dns; mx.far.test\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 no\r\n"
        "Last-Attempt-Date: Thu, 01 Jan 1970 00:16:40 +0000\r\n"
        "\r\n"
        "Final-Recipient: rfc822; y@far.test\r\n"
        "Action: delayed\r\n"
        "Status: 4.4.1\r\n"
        "Will-Retry-Until: Tue, 06 Jan 1970 00:00:00 +0000\r\n"
        "\r\n"
        "--=_abc\r\n"
        "Content-Type: message/rfc822\r\n"
        "Content-Transfer-Encoding: 7bit\r\n"
        "\r\n"
        "Subject: hello\r\n\r\nbody\r\n"
        "--=_abc--\r\n"
    )


def test_international_notice() -> None:
    statuses = (Status("jürgen@bücher.test", "failed", "5.6.7", diagnostic="kein ä"),)
    raw = delivery_status(replace(NOTICE, statuses=statuses, to="ä@one.test", smtputf8=True))
    assert "Final-Recipient: utf-8; jürgen@bücher.test\r\n".encode() in raw
    assert b"report-type=global-delivery-status" in raw
    assert [part.subtype for part in scan(raw).root.parts] == [b"plain", b"global-delivery-status", b"global"]


def test_headers_only() -> None:
    raw = delivery_status(replace(NOTICE, returned=Returned(b"Subject: hello\n\n", full=False)))
    assert b"Content-Type: text/rfc822-headers\r\n" in raw
    assert raw.endswith(b"Subject: hello\r\n\r\n\r\n--=_abc--\r\n")


def test_xtext() -> None:
    assert decode_xtext("a+2Bb+3D+zz") == "a+b=+zz"


@given(st.text(), st.text(max_size=30), st.binary(max_size=200), st.binary(max_size=30))
def test_what_strangers_say_breaks_no_field_and_no_part(said: str, orcpt: str, data: bytes, about: bytes) -> None:
    statuses = (Status("x@far.test", "failed", "5.0.0", f"rfc822;{orcpt}", said, said),)
    notice = replace(NOTICE, statuses=statuses, returned=Returned(data, full=True), envid=orcpt, about=about)
    raw = delivery_status(notice)
    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert b"\0" not in raw
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998 or any(len(line) > 900 for line in data.splitlines())
    parts = scan(raw).root.parts
    assert [part.subtype for part in parts] == [b"plain", b"delivery-status", b"rfc822"]
    groups = email.message_from_bytes(raw).get_payload()[1].get_payload()
    assert [one["Action"] for one in groups] == [None, "failed"]
