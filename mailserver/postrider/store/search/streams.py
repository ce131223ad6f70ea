"""Streams of numbers that only fall, and what can be made of them: newest first, and no further than is asked for."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

#: What a stream says at its end; numbers are above it.
END = -1
#: Numbers passed one by one before a new place is sought.
STEPS = 48
#: Turns without agreement, after which `All` lets a number pass that not all of its streams have.
TURNS = 2000


class Stream(Protocol):
    """Numbers in falling order."""

    def at_most(self, limit: int) -> int:
        """The highest number up to `limit`, END where there is none; later calls never name a higher limit."""
        ...


class Source:
    """A stream out of a place that can be read from anywhere: `read(limit)` begins with the highest up to limit."""

    def __init__(self, read: Callable[[int], Iterator[int]]) -> None:
        self._read = read
        self._numbers: Iterator[int] = iter(())
        self._at: int | None = None

    def at_most(self, limit: int) -> int:
        """See Stream."""
        if self._at is None:
            return self._seek(limit)
        for _ in range(STEPS):
            if self._at <= limit:
                return self._at
            self._at = next(self._numbers, END)
        return self._at if self._at <= limit else self._seek(limit)

    def _seek(self, limit: int) -> int:
        self._numbers = self._read(limit)
        self._at = next(self._numbers, END)
        return self._at


class Listed:
    """A stream of `low` and each of some rising numbers."""

    def __init__(self, numbers: Sequence[int], low: int) -> None:
        self._numbers = numbers
        self._low = low

    def at_most(self, limit: int) -> int:
        """See Stream."""
        at = bisect_right(self._numbers, limit - self._low)
        return self._low + self._numbers[at - 1] if at else END


class Any:
    """What one of several streams has."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams

    def at_most(self, limit: int) -> int:
        """See Stream."""
        return max((stream.at_most(limit) for stream in self._streams), default=END)


class All:
    """What all streams have; after TURNS in vain also what they do not: candidates are checked anyway."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams

    def at_most(self, limit: int) -> int:
        """See Stream."""
        for _ in range(TURNS):
            lowest = limit
            for stream in self._streams:
                lowest = stream.at_most(lowest)
                if lowest == END:
                    return END
            if lowest == limit:
                return limit
            # One after the other they came down to `lowest`: again, until none goes below.
            limit = lowest
        return limit
