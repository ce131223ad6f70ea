"""DKIM signatures, verified by dkimpy; canonical forms against the RFC's examples and any division into chunks."""

import base64
import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import dkim as oracle
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from postrider.contract import dkim as keys
from postrider.contract.model import DkimKey
from postrider.mailauth.dkim import BodyHash, SigningKey, body_hash, sign, signing_key

NOW = 1_790_000_000.5
SUITES = Path(os.environ.get("POSTRIDER_SUITES", Path(__file__).parents[4] / "shared" / "suites"))

ROWS = {
    algorithm: DkimKey(
        domain="example.org", selector=algorithm.lower(), algorithm=algorithm, pem=keys.generate(algorithm)
    )
    for algorithm in ("RSA", "Ed25519")
}
SIGNERS = {algorithm: signing_key(row) for algorithm, row in ROWS.items()}
ZONE = {keys.record_name(row.selector, row.domain): keys.public_txt(row.pem) for row in ROWS.values()}

HEADER = (
    b"From: Alice <alice@example.org>\r\n"
    b"To: bob@example.com,\r\n"
    b"\tcarol@example.net\r\n"
    b"Subject:  two   spaces \t and a\r\n"
    b"   fold  \r\n"
    b"Date: Sat, 21 Nov 2026 16:00:00 +0000\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"Received: from a\r\n"
    b"Received: from b\r\n"
)
BODY = b"Hello  \t world \r\n\r\n. dot\r\nend\r\n\r\n\r\n"


def verified(message: bytes, zone: dict[str, str] = ZONE, index: int = 0) -> bool:
    def txt(name: bytes, timeout: int = 5) -> bytes | None:
        value = zone.get(name.decode().rstrip("."))
        return value.encode() if value is not None else None

    try:
        return bool(oracle.DKIM(message, minkey=1024).verify(index, dnsfunc=txt))
    except oracle.DKIMException:
        return False


def signed(header: bytes = HEADER, body: bytes = BODY, algorithm: str = "RSA") -> bytes:
    return sign(header, body_hash([body]), SIGNERS[algorithm], NOW) + header + b"\r\n" + body


@pytest.mark.parametrize("algorithm", ["RSA", "Ed25519"])
class TestByTheOracle:
    """What dkimpy says of our signatures."""

    def test_a_message(self, algorithm: str) -> None:
        assert verified(signed(algorithm=algorithm))

    @pytest.mark.parametrize(
        "body", [b"", b"\r\n", b"\r\n\r\n", b"x", b"x\r\n", b" \r\n\t\r\n", b"a \t b\t\r\n \r\nc", b"\r\nx\r\n"]
    )
    def test_odd_bodies(self, algorithm: str, body: bytes) -> None:
        assert verified(signed(body=body, algorithm=algorithm))

    @pytest.mark.parametrize(
        "name", [b"From", b"To", b"Cc", b"Subject", b"Date", b"Message-ID", b"Reply-To", b"Content-Type"]
    )
    def test_a_field_put_in_front_breaks_it(self, algorithm: str, name: bytes) -> None:
        assert not verified(name + b": mallory@example.org\r\n" + signed(algorithm=algorithm))

    def test_trace_fields_put_in_front_do_not(self, algorithm: str) -> None:
        assert verified(b"Return-Path: <x@y.example>\r\nReceived: from c\r\n" + signed(algorithm=algorithm))

    @pytest.mark.parametrize(
        ("old", "new"), [(b"world", b"w0rld"), (b"bob@", b"eve@"), (b"fold", b"f0ld"), (b"end\r\n", b"end\r\nmore\r\n")]
    )
    def test_changes_break_it(self, algorithm: str, old: bytes, new: bytes) -> None:
        message = signed(algorithm=algorithm)
        assert old in message
        assert not verified(message.replace(old, new))

    def test_what_relaxed_allows_does_not(self, algorithm: str) -> None:
        message = signed(algorithm=algorithm)
        assert verified(message.replace(b"Hello  \t world \r\n", b"Hello world\r\n") + b"\r\n")
        assert verified(message.replace(b"Subject:  two", b"SUBJECT: two"))

    def test_repeated_fields_are_all_signed(self, algorithm: str) -> None:
        header = HEADER + b"Resent-From: one@example.org\r\nResent-From: two@example.org\r\n"
        message = signed(header, algorithm=algorithm)
        assert verified(message)
        assert not verified(message.replace(b"one@", b"eve@"))
        assert not verified(message.replace(b"two@", b"eve@"))

    def test_utf8_in_header_and_body(self, algorithm: str) -> None:
        header = HEADER + 'Comments: zoë\r\nReply-To: "Jürgen" <j@example.org>\r\n'.encode()
        assert verified(signed(header, "größe  \r\n".encode(), algorithm))


def test_two_signatures_stand_side_by_side() -> None:
    one = sign(HEADER, body_hash([BODY]), SIGNERS["RSA"], NOW)
    two = sign(HEADER, body_hash([BODY]), SIGNERS["Ed25519"], NOW)
    message = one + two + HEADER + b"\r\n" + BODY
    assert verified(message, index=0)
    assert verified(message, index=1)


def test_the_field_itself() -> None:
    field = sign(HEADER, body_hash([BODY]), SIGNERS["RSA"], NOW)
    assert field.startswith(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;")
    lines = field.split(b"\r\n")
    assert lines[-1] == b""
    assert all(len(line) <= 78 for line in lines)
    assert all(line[:1] == b"\t" for line in lines[1:-1])
    tags = dict(tag.strip().split("=", 1) for tag in field.decode().partition(":")[2].split(";"))
    assert tags["t"] == "1790000000"
    assert tags["d"] == "example.org"
    assert "l" not in tags
    names = [name.strip() for name in tags["h"].split(":")]
    assert names.count("From") == 2
    assert names.count("Cc") == 1
    assert "Received" not in names


def test_without_the_key_in_dns_nothing_verifies() -> None:
    assert not verified(signed(), zone={})


# RFC 6376 §3.4.5, the relaxed body of the example.
@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b" C \r\nD \t E\r\n\r\n\r\n", b" C\r\nD E\r\n"),
        (b"", b""),
        (b"\r\n \r\n\t\r\n", b""),
        (b"no end", b"no end\r\n"),
        (b"trailing \t", b"trailing\r\n"),
        (b"a\r\n\r\nb\r\n", b"a\r\n\r\nb\r\n"),
        (b"bare\ncr\rx \n\r\n", b"bare\ncr\rx \n\r\n"),
        (b"cr at the end\r", b"cr at the end\r\r\n"),
        (b"\r\n\r", b"\r\n\r\r\n"),
    ],
)
def test_canonical_bodies(body: bytes, canonical: bytes) -> None:
    assert body_hash([body]) == hashlib.sha256(canonical).digest()
    assert body_hash([body[at : at + 1] for at in range(len(body))]) == hashlib.sha256(canonical).digest()


TEXTS = st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"x", b"yz", b"."]), max_size=30).map(b"".join)


@given(TEXTS, st.data())
def test_any_division_into_chunks_gives_the_same_hash(body: bytes, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    chunks = [body[a:b] for a, b in pairwise([0, *cuts, len(body)])]
    assert body_hash(chunks) == body_hash([body])


@given(st.lists(st.sampled_from([b" ", b"\t", b"x", b"\r\n"]), max_size=30).map(b"".join))
def test_bodies_of_lines_hash_as_the_oracle_does(body: bytes) -> None:
    whole = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    canonical = oracle.canonicalization.Relaxed.canonicalize_body(whole)
    assert body_hash([whole]) == hashlib.sha256(canonical).digest()


def test_a_body_can_go_on_after_a_digest() -> None:
    body = BodyHash()
    body.update(b"a \r")
    assert body.digest() == hashlib.sha256(b"a \r\r\n").digest()
    body.update(b"\nb")
    assert body.digest() == hashlib.sha256(b"a\r\nb\r\n").digest()


def test_endless_empty_lines_and_white_space_are_not_held() -> None:
    body = BodyHash()
    tracemalloc.start()
    for _ in range(100):
        body.update(b"\r\n" * 20_000 + b" " * 20_000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10_000
    body.update(b"\r\nx")
    assert body.digest() == hashlib.sha256(b"\r\n" * 2_000_001 + b"x\r\n").digest()


def rfc8463() -> Iterator[tuple[bytes, SigningKey]]:
    """The RFC's message without its signatures, and its Ed25519 key."""
    seed = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    path = SUITES / "dkim-chasquid" / "internal" / "dkim" / "testdata" / "01-rfc8463.msg"
    if path.exists():
        message = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        yield message, SigningKey("football.example.com", "brisbane", Ed25519PrivateKey.from_private_bytes(seed))


def test_the_key_and_the_body_hash_of_rfc_8463() -> None:
    found = next(rfc8463(), None)
    if found is None:
        pytest.skip(f"no DKIM vectors in {SUITES}")
    message, key = found
    header, _, body = message.partition(b"\r\n\r\n")
    # Appendix A.3: bh= of both of its signatures.
    assert base64.b64encode(body_hash([body])) == b"2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    start = header.index(b"From:")
    plain = header[start:] + b"\r\n"
    zone = {
        "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
    }
    assert verified(sign(plain, body_hash([body]), key, NOW) + plain + b"\r\n" + body, zone)
