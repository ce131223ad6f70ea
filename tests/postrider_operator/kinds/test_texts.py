"""Sizes and durations as people write them."""

from __future__ import annotations

import pytest

from postrider_operator.kinds import Mailbox
from postrider_operator.kinds.texts import duration_seconds, size_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1000", 1000),
        ("1k", 1000),
        ("1Ki", 1024),
        ("1.5Gi", 3 * 2**29),
        ("2T", 2 * 10**12),
        ("5Gi", 5 * 2**30),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("5d", 432000)])
def test_durations(text: str, expected: int) -> None:
    assert duration_seconds(text) == expected


@pytest.mark.parametrize("text", ["", "5", "m", "5x", "-5m", "5m "])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration_seconds(text)


@pytest.mark.parametrize("text", ["", "5X", "-1", "1 Gi", "1K"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        size_bytes(text)


def test_a_size_may_be_written_as_a_number() -> None:
    box = Mailbox.model_validate({"metadata": {"name": "m"}, "spec": {"address": "a@b.test", "quota": 5000}})
    assert box.spec.quota == "5000"
