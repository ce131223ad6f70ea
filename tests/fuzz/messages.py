"""Hostile mail: messages of the collections and generated ones, broken in the ways that break parsers."""

from __future__ import annotations

import base64
import quopri
import random
from collections.abc import Callable, Sequence

#: Octets of the largest input.
MAX_SIZE = 256 * 1024

TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\r\n ", b"\n\t", b"\x00", b"\xff\xfe", b"\x80", b"\x1b$B", b"\x1b(B",
    b"--", b"--b", b"--b--", b"\r\n--b\r\n", b"\r\n--b--\r\n", b"\n--b b\n", b"--bb", b"--b-", b"--b \t ",
    b"Content-Type: ", b"multipart/mixed", b"multipart/digest", b"multipart/related", b"multipart/signed",
    b"message/rfc822", b"message/global", b"message/partial", b"text/html", b"text/plain", b"text/calendar",
    b"application/pkcs7-mime", b"; boundary=b", b'; boundary="b"', b'; boundary="b b"', b'; boundary="b\\"',
    b"; boundary=", b"; boundary*0=b; boundary*1=b", b"; boundary*=utf-8''b", b"; charset=utf-8",
    b"; charset=iso-2022-jp", b"; charset=gb18030", b"; charset=utf-16", b"; charset=utf-7", b"; charset=hz",
    b"; charset=x-none",
    b"; name*0*=utf-8''%e2%82; name*1*=%ac", b"; filename*=%", b"; filename*99999999999999999999=x",
    b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"7bit", b"binary", b"x-uuencode",
    b"Content-Disposition: attachment", b"Content-Disposition: inline; filename=", b"Content-ID: <",
    b"Content-Language: ,,",
    b"From: ", b"To: ", b"Cc: ", b"Reply-To: ", b"Subject: ", b"Date: ", b"Message-ID: <a@b>", b"References: <a@b> <",
    b"In-Reply-To: ", b"List-ID: ", b"Auto-Submitted: ", b"Precedence: bulk", b"a@b.test", b"<a@b>", b"<@a,@b:c@d>",
    b"group: a@b, c@d;", b":;", b"(", b")", b"((", b"<", b">", b"@", b",", b";", b":", b'"', b"\\", b"\\\\", b"[", b"]",
    b"=?utf-8?q?a?=", b"=?utf-8?b?4pi6?=", b"=?", b"?=", b"=?x?b?", b"=?iso-2022-jp?b?GyRC?=", b"=?utf-8?q?=E4?= ",
    b"=", b"==", b"=\r\n", b"=4", b"=4G", b"=00", b" \r\n", b"\t\n", b"YWJj", b"Y", b"&#", b"&#x110000;",
    b"&amp", b"<!--", b"-->", b"<style>", b"</style", b"<script", b"<b ", b"<br/>", b"&#99999999999999999999999;",
    b"%", b"'", b"''",
]  # fmt: skip
_WORDS = ["alpha", "Grüße", "会議", "x" * 60, "e\u0301", "\u00ad", "<b>bold</b>", "a&amp;b", ""]


def generated(rng: random.Random, depth: int = 0) -> bytes:
    """A message that is more or less one."""
    header = b"".join(_field(rng) for _ in range(rng.randrange(6)))
    kind = rng.choice(["text", "text", "multipart", "message", "odd"] if depth < 5 else ["text", "odd"])
    if kind == "multipart":
        boundary = rng.choice([b"b", b"bb", b"b b", b"b'()+_,-./:=?", b"x" * 70])
        subtype = rng.choice([b"mixed", b"digest", b"alternative", b"related", b"signed", b"report", b"encrypted"])
        parts = [generated(rng, depth + 1) for _ in range(rng.randrange(4))]
        body = b"".join(b"\r\n--" + boundary + b"\r\n" + part for part in parts) + b"\r\n--" + boundary + b"--\r\n"
        return header + b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n%b' % (subtype, boundary, body)
    if kind == "message":
        return header + b"Content-Type: message/rfc822\r\n\r\n" + generated(rng, depth + 1)
    if kind == "odd":
        return header + b"".join(rng.choices(TOKENS, k=rng.randrange(30)))
    text = " ".join(rng.choices(_WORDS, k=rng.randrange(40)))
    charset = rng.choice(["utf-8", "iso-2022-jp", "gb18030", "utf-16", "latin-1"])
    encoding = rng.choice([b"7bit", b"8bit", b"base64", b"quoted-printable", b"binary"])
    content = _encoded(text.encode(charset, "replace"), encoding)
    return header + b"Content-Type: text/%b; charset=%b\r\nContent-Transfer-Encoding: %b\r\n\r\n%b\r\n" % (
        rng.choice([b"plain", b"html"]), charset.encode(), encoding, content
    )  # fmt: skip


def hostile(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One input: a message with up to eight things done to it."""
    data = rng.choice(corpus) if corpus and rng.random() < 0.6 else generated(rng)
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5, 8])):
        data = rng.choice(_MUTATIONS)(rng, data, corpus)[:MAX_SIZE]
    return data


def _field(rng: random.Random) -> bytes:
    name = rng.choice([b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"References", b"X-Any", b"List-Id"])
    return name + b": " + b" ".join(rng.choices(TOKENS, k=rng.randrange(5))).replace(b"\n", b"\n ") + b"\r\n"


def _encoded(data: bytes, encoding: bytes) -> bytes:
    if encoding == b"base64":
        return base64.encodebytes(data)
    if encoding == b"quoted-printable":
        return quopri.encodestring(data)
    return data


def _range(rng: random.Random, data: bytes) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice([1, 4, 20, 100, 1000, 10_000]))


def _flip(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3, 20]) if data else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _range(rng, data)
    return data[:start] + data[stop:]


def _end(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _insert(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + b"".join(rng.choices(TOKENS, k=rng.randrange(1, 6))) + data[at:]


def _repeat(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, stop = _range(rng, data)
    piece = rng.choice([data[start:stop], rng.choice(TOKENS), bytes([rng.randrange(256)])])
    times, most = rng.choice([(2, 1000), (10, 1000), (100, 5000), (1000, 5000), (30, 50_000), (20_000, 100_000)])
    return data[:start] + piece * min(times, most // max(len(piece), 1) + 1) + data[start:]


def _splice(rng: random.Random, data: bytes, corpus: Sequence[bytes]) -> bytes:
    other = rng.choice(corpus) if corpus else generated(rng)
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _line_ends(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    plain = data.replace(b"\r\n", b"\n")
    return plain.replace(b"\n", rng.choice([b"\n", b"\r\n", b"\r", b"\r\r\n", b"\n\r"]))


def _shuffle(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    start, stop = sorted((rng.randrange(len(lines) + 1), rng.randrange(len(lines) + 1)))
    lines[start:stop] = rng.sample(lines[start:stop], stop - start)
    return b"\n".join(lines)


def _wrap(rng: random.Random, data: bytes, _: Sequence[bytes]) -> bytes:
    for number in range(rng.choice([1, 5, 40])):
        if rng.random() < 0.5:
            data = b"Content-Type: message/rfc822\n\n" + data
        else:
            boundary = b"b" * (1 + number % 5)
            data = b"Content-Type: multipart/mixed; boundary=%b\n\n--%b\n%b\n--%b--" % (
                boundary,
                boundary,
                data,
                boundary,
            )
    return data


_MUTATIONS: list[Callable[[random.Random, bytes, Sequence[bytes]], bytes]] = [
    _flip, _cut, _end, _insert, _insert, _repeat, _splice, _line_ends, _shuffle, _wrap,
]  # fmt: skip
