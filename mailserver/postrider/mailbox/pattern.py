"""The wildcards of LIST: `*` is anything, `%` anything within a level (RFC 9051 §6.3.9). Never slow to match."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from postrider.mailbox.names import INBOX, SEPARATOR

_WILDCARDS = re.compile(r"[*%]+")


class Pattern:
    """One pattern. Matching takes at most as many steps as the name has characters, for each wildcard."""

    def __init__(self, text: str) -> None:
        top, slash, rest = text.partition(SEPARATOR)
        if top.upper() == INBOX:
            text = INBOX + slash + rest
        self._first, *literals = _WILDCARDS.split(text)
        # Wildcards in a row are one: "%*" is "*".
        across = ["*" in run for run in _WILDCARDS.findall(text)]
        #: Wildcard and the literal text behind it; True: the wildcard crosses levels.
        self._rest = tuple(zip(across, literals, strict=True))

    def matches(self, name: str) -> bool:
        """True when the whole name fits."""
        if not name.startswith(self._first):
            return False
        if not self._rest:
            return name == self._first
        ends = [len(self._first)]  # where what was matched so far can end, ascending
        for at, (across, literal) in enumerate(self._rest):
            last = at == len(self._rest) - 1
            places = _last_place(name, literal, ends[0]) if last else _places(name, literal, ends[0])
            ends = [place + len(literal) for place in places if across or _within_level(name, ends, place)]
            if not ends:
                return False
        return True


def _places(name: str, literal: str, start: int) -> Iterator[int]:
    place = name.find(literal, start)
    while place >= 0:
        yield place
        place = name.find(literal, place + 1)


def _last_place(name: str, literal: str, start: int) -> Iterator[int]:
    place = len(name) - len(literal)
    if place >= start and name.endswith(literal):
        yield place


def _within_level(name: str, ends: list[int], place: int) -> bool:
    """From the nearest end before `place` no level ends."""
    return SEPARATOR not in name[ends[bisect_right(ends, place) - 1] : place]
