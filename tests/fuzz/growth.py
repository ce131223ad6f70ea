"""Inputs that grow: what is linear takes four times as long for four times as much, and not sixteen times."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from itertools import pairwise

_MIXED = b"Content-Type: multipart/mixed; boundary=%b\n\n"


def _repeated(head: bytes, piece: bytes, tail: bytes = b"") -> Callable[[int], bytes]:
    return lambda size: head + piece * (size // len(piece)) + tail


def _unended(size: int) -> bytes:
    """Thirty multiparts in each other, their boundaries prefixes of each other, none with an end."""
    levels = b"".join(_MIXED % (b"b" * level) + b"--" + b"b" * level + b"\n" for level in range(1, 31))
    return levels + b"\n--" * (size // 3)


#: Ways to make a parser slow, by the size they are to have.
FAMILIES: Mapping[str, Callable[[int], bytes]] = {
    "plain text": _repeated(b"Subject: x\n\n", b"words and words\n"),
    "one line": _repeated(b"Subject: x\n\n", b"x"),
    "header without end": _repeated(b"", b"x"),
    "header of spaces": _repeated(b"Subject:", b" "),
    "folded header": _repeated(b"Subject: x", b"\n x"),
    "fields": _repeated(b"", b"X: y\n"),
    "fields without colon": _repeated(b"", b"xxxxxx\n"),
    "colons": _repeated(b"", b":"),
    "carriage returns": _repeated(b"", b"\r"),
    "NULs": _repeated(b"Subject: x\n\n", b"\x00"),
    "parts": _repeated(_MIXED % b"b", b"--b\n\nx\n"),
    "empty parts": _repeated(_MIXED % b"b", b"--b\n"),
    "false boundaries": _repeated(_MIXED % b"b", b"--bx\n"),
    "almost boundaries": _repeated(_MIXED % (b"b" * 60), b"--" + b"b" * 59 + b"\n"),
    "boundaries without end": _unended,
    "multiparts in each other": _repeated(b"", _MIXED % b"b" + b"--b\n"),
    "messages in each other": _repeated(b"", b"Content-Type: message/rfc822\n\n"),
    "digest": _repeated(b"Content-Type: multipart/digest; boundary=b\n\n", b"--b\n\nFrom: a@b\n\nx\n"),
    "parameters": _repeated(b"Content-Type: text/plain", b"; a=b"),
    "parameters without value": _repeated(b"Content-Type: text/plain", b"; a"),
    "semicolons": _repeated(b"Content-Type: text/plain", b";"),
    "continued parameters": lambda size: (
        b"Content-Type: text/plain" + b"".join(b"; name*%d*=%%41" % number for number in range(size // 14)) + b"\n\n"
    ),
    "open quoted string": _repeated(b'Content-Type: text/plain; name="', b"\\a"),
    "quoted strings": _repeated(b"Content-Type: text/plain; ", b'a="b"c'),
    "comments": _repeated(b"Content-Type: ", b"("),
    "comments that end": _repeated(b"Content-Type: ", b"()"),
    "addresses": _repeated(b"To: ", b"A B <a@b.test>, "),
    "odd addresses": _repeated(b"To: ", b"(c) a@b.test, "),
    "comments in addresses": _repeated(b"To: ", b"(("),
    "words": _repeated(b"To: ", b'a"b"'),
    "angles": _repeated(b"To: ", b"<"),
    "groups": _repeated(b"To: ", b"g:a@b;"),
    "groups without end": _repeated(b"To: ", b"g: a@b, "),
    "routes": _repeated(b"To: <", b"@a,"),
    "literals": _repeated(b"To: a@", b"["),
    "backslashes": _repeated(b"To: ", b"\\"),
    "fields of addresses": _repeated(b"", b"To: a@b.test\n"),
    "references": _repeated(b"References: ", b"<a@b> "),
    "open references": _repeated(b"References: ", b"<a"),
    "encoded words": _repeated(b"Subject: ", b"=?utf-8?q?a?= "),
    "open encoded words": _repeated(b"Subject: ", b"=?utf-8?q?a"),
    "encoded spaces": _repeated(b"Subject: =?utf-8?q?a?=", b" "),
    "quoted-printable": _repeated(b"Content-Transfer-Encoding: quoted-printable\n\n", b"=41=\n"),
    "space at line ends": _repeated(b"Content-Transfer-Encoding: quoted-printable\n\n", b"a  \t \n"),
    "space without end": _repeated(b"Content-Transfer-Encoding: quoted-printable\n\n", b" "),
    "base64": _repeated(b"Content-Transfer-Encoding: base64\n\n", b"YWJj\n"),
    "base64 of noise": _repeated(b"Content-Transfer-Encoding: base64\n\n", b"!"),
    "tags": _repeated(b"Content-Type: text/html\n\n", b"<b>"),
    "open tags": _repeated(b"Content-Type: text/html\n\n", b"<b "),
    "comments in HTML": _repeated(b"Content-Type: text/html\n\n", b"<!--"),
    "styles": _repeated(b"Content-Type: text/html\n\n", b"<style></style>"),
    "open styles": _repeated(b"Content-Type: text/html\n\n", b"<style>"),
    "references in HTML": _repeated(b"Content-Type: text/html\n\n", b"&#1"),
    "digits in HTML": _repeated(b"Content-Type: text/html\n\n&#", b"9"),
    "bad octets": _repeated(b"Content-Type: text/plain; charset=iso-2022-jp\n\n", b"\x1b$"),
    "marks": _repeated(b"Content-Type: text/plain; charset=utf-8\n\n", "a\u0323\u0301".encode()),
}  # fmt: skip

SIZES = (16 * 1024, 64 * 1024, 256 * 1024, 1024 * 1024)
#: Seconds below which a clock says little.
_FLOOR = 0.002
#: Growth from one size to the next, four times as large; 16 would be quadratic.
MAX_GROWTH = 9.0
#: CPU seconds for the largest.
MAX_SECONDS = 3.0


def slow(work: Callable[[bytes], None]) -> list[str]:
    """The families that take longer than they may, and how long they took."""
    found = []
    for name, family in FAMILIES.items():
        taken = [_cpu(work, family(size)) for size in SIZES]
        growth = max(later / max(sooner, _FLOOR) for sooner, later in pairwise(taken))
        if growth > MAX_GROWTH or taken[-1] > MAX_SECONDS or math.isnan(growth):
            found.append(f"{name}: " + ", ".join(f"{seconds * 1000:.1f} ms" for seconds in taken))
    return found


def _cpu(work: Callable[[bytes], None], data: bytes) -> float:
    best = math.inf
    for _ in range(2):
        start = time.process_time()
        work(data)
        best = min(best, time.process_time() - start)
    return best
