"""What is cached is understood by the next release, and what is damaged is found anew."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postrider.mime.cached import from_cache, to_cache
from postrider.mime.parse import VERSION, scan

MESSAGE = b"From: a@b.test\nSubject: \xff x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nwords\n--b--\n"


def sealed(encoded: bytes) -> bytes:
    return zlib.crc32(encoded).to_bytes(4, "big") + encoded


def test_it_comes_back() -> None:
    content = scan(MESSAGE)
    assert from_cache(to_cache(content)) == content


@pytest.mark.parametrize(("version", "kept"), [(VERSION - 1, False), (VERSION, True), (VERSION + 1, True)])
def test_older_versions_are_found_anew(version: int, kept: bool) -> None:
    content = msgspec.structs.replace(scan(MESSAGE), version=version)
    assert (from_cache(to_cache(content)) == content) is kept


def test_a_newer_release_may_have_added() -> None:
    fields = msgspec.msgpack.decode(to_cache(scan(MESSAGE))[4:])
    assert from_cache(sealed(msgspec.msgpack.encode([*fields, "new"]))) == scan(MESSAGE)


@pytest.mark.parametrize("encoded", [b"", b"\xc1", b"\x90", b"\x91\x02", b"\x01"])
def test_damaged(encoded: bytes) -> None:
    assert from_cache(encoded) is None
    assert from_cache(sealed(encoded)) is None


def test_a_damaged_length_asks_for_no_memory() -> None:
    cached = to_cache(scan(MESSAGE))
    assert from_cache(cached[:4] + b"\xdd\x7f\xff\xff\xff" + cached[5:]) is None


@given(st.integers(0, len(to_cache(scan(MESSAGE))) - 1), st.integers(0, 255))
def test_any_damage_is_no_error(at: int, octet: int) -> None:
    cached = bytearray(to_cache(scan(MESSAGE)))
    damaged = cached[at] != octet
    cached[at] = octet
    assert (from_cache(bytes(cached)) is None) is damaged
    assert from_cache(bytes(cached[:at])) is None


def test_it_stays_small() -> None:
    header = b"X-Any: " + b"x" * 2000 + b"\n"
    assert len(to_cache(scan(header + MESSAGE))) < len(header) + 2 * len(MESSAGE) + 200
    hostile = (
        b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Description: %b\n\n" % (b"x" * 60_000) * 100
    )
    assert len(to_cache(scan(hostile))) < 1024 * 1024
