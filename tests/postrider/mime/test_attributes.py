"""What kind of message it is."""

from __future__ import annotations

import pytest

from postrider.mime.parse import scan
from postrider.model import mail

A = mail.Attribute
TEXT = b"Content-Type: text/plain\n\nx\n"
HTML = b"Content-Type: text/html\n\n<p>x\n"


def multipart(subtype: bytes, *parts: bytes) -> bytes:
    boundary = b"b-" + subtype
    body = b"".join(b"--%b\n%b\n" % (boundary, part) for part in parts)
    return b'Content-Type: multipart/%b; boundary="%b"\n\n%b--%b--\n' % (subtype, boundary, body, boundary)


def part(kind: bytes, *fields: bytes) -> bytes:
    return b"Content-Type: " + kind + b"\n" + b"".join(field + b"\n" for field in fields) + b"\nAAAA\n"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (TEXT, 0),
        (multipart(b"alternative", TEXT, HTML), 0),
        (multipart(b"mixed", TEXT, part(b"application/pdf")), A.ATTACHMENT),
        (multipart(b"mixed", TEXT, part(b"application/pdf", b"Content-Disposition: inline")), 0),
        (multipart(b"mixed", TEXT, part(b"text/plain; name=a.txt")), A.ATTACHMENT),
        (multipart(b"mixed", TEXT, TEXT), 0),
        (multipart(b"mixed", TEXT, part(b"image/png")), A.ATTACHMENT),
        (multipart(b"related", HTML, part(b"image/png", b"Content-ID: <1@a>")), 0),
        (multipart(b"mixed", TEXT, b"Content-Type: message/rfc822\n\nSubject: x\n\ny\n"), A.ATTACHMENT),
        (part(b"application/pdf"), A.ATTACHMENT),
        (part(b"text/plain", b"Content-Disposition: attachment; filename=a.txt"), A.ATTACHMENT),
        (multipart(b"alternative", TEXT, part(b"text/calendar; method=REQUEST")), A.CALENDAR),
        (part(b"text/calendar", b"Content-Disposition: attachment"), A.CALENDAR | A.ATTACHMENT),
        (multipart(b"signed", TEXT, part(b"application/pgp-signature; name=s.asc")), A.SIGNED),
        (multipart(b"encrypted", part(b"application/pgp-encrypted"), part(b"application/octet-stream",
            b"Content-Disposition: inline")), A.ENCRYPTED),
        (part(b"application/pkcs7-mime; smime-type=signed-data; name=smime.p7m"), A.SIGNED),
        (part(b"application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m"), A.ENCRYPTED),
        (multipart(b"report", TEXT, part(b"message/delivery-status"), part(b"text/rfc822-headers")), A.REPORT),
        (b"List-Id: <l.example.org>\n" + TEXT, A.LIST),
        (b"Precedence: list\n" + TEXT, A.LIST),
        (b"Precedence: Bulk\n" + TEXT, A.AUTOMATIC),
        (b"Auto-Submitted: auto-replied (vacation)\n" + TEXT, A.AUTOMATIC),
        (b"Auto-Submitted: no\n" + TEXT, 0),
    ],
)  # fmt: skip
def test_attributes(message: bytes, expected: int) -> None:
    assert A(scan(message).attributes) == A(expected)
