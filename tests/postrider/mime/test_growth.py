"""The scanner is linear: four times as much input makes it do four times as much. `make fuzz` measures time as well."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from mime_rules import check
from tests.fuzz.growth import FAMILIES

from postrider.mime.encoding import decode_words
from postrider.mime.parse import examine
from postrider.mime.text import fold, header_texts, searchable

SMALL = 2 * 1024
#: What a limit that is not reached yet may add to 4; what is quadratic grows by 16.
GROWTH = 6


class Counted:
    """Octets that count how many of them were looked at."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.looked_at = 0

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, key: slice) -> bytes:
        found = self._data[key]
        self.looked_at += len(found)
        return found

    def find(self, sub: bytes, start: int, end: int) -> int:
        found = self._data.find(sub, start, end)
        self.looked_at += (end if found < 0 else found) - start
        return found


def calls(work: Callable[[], None]) -> int:
    """How many functions, ours and built-in ones, are called."""
    count = 0

    def told(_: FrameType, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(told)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def effort(data: bytes) -> tuple[int, int]:
    """Octets looked at, and functions called, by what is done to a message when it comes in and is searched."""
    counted = Counted(data)

    def work() -> None:
        content, _ = examine(counted)
        for text in searchable(data, content):
            fold(text)
        for _, value in header_texts(data[: content.root.body]):
            fold(value)

    return calls(work), counted.looked_at


@pytest.mark.parametrize("family", FAMILIES)
def test_four_times_as_much_is_four_times_the_work(family: str) -> None:
    effort(FAMILIES[family](SMALL))  # what is remembered of usual fields counts for neither
    called, looked_at = effort(FAMILIES[family](SMALL))
    called_for_more, looked_at_for_more = effort(FAMILIES[family](4 * SMALL))
    assert called_for_more <= GROWTH * called + 500
    assert looked_at_for_more <= GROWTH * looked_at + 8 * SMALL


@pytest.mark.parametrize("family", FAMILIES)
def test_what_grows_is_understood(family: str) -> None:
    data = FAMILIES[family](16 * SMALL)
    content, _ = examine(data)
    check(data, content)
    decode_words(data)
