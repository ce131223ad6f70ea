"""Names folders may have, and may not."""

from __future__ import annotations

import unicodedata

import pytest

from postrider.mailbox.names import found_name, normal_name
from postrider.store.transactions import Reason, StoreError


@pytest.mark.parametrize(
    ("name", "normal"),
    [
        ("inbox", "INBOX"),
        ("Inbox/Work", "INBOX/Work"),
        ("Work/", "Work"),
        (unicodedata.normalize("NFD", "Prüfung"), "Prüfung"),
        ("a b & c", "a b & c"),
    ],
)
def test_normal(name: str, normal: str) -> None:
    assert normal_name(name) == normal
    assert found_name(name) == normal


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "a//b",
        "/a",
        "a*",
        "50%",
        "a\x7f",
        "a\u2028",
        "..",
        "a/../b",
        "/".join("a" * 40),
        "x" * 2000,
        "e\u0301" * 1001,
    ],
)
def test_refused(name: str) -> None:
    with pytest.raises(StoreError) as refused:
        normal_name(name)
    assert refused.value.reason is Reason.INVALID
    found_name(name)
