"""Runs: ascending numbers as (first, last) pairs. A gap of four million UIDs is one pair, and is never counted out."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

Run = tuple[int, int]


def runs_of(numbers: Iterable[int]) -> list[Run]:
    """Numbers that follow each other, as runs; numbers in another order come out in that order."""
    found: list[Run] = []
    first = last = -2
    for number in numbers:
        if number == last + 1:
            last = number
            continue
        if first >= 0:
            found.append((first, last))
        first = last = number
    if first >= 0:
        found.append((first, last))
    return found


def follow(runs: list[Run], more: Iterable[Run]) -> None:
    """Put more runs behind runs; where they follow each other they become one."""
    for first, last in more:
        if runs and first == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], last)
        else:
            runs.append((first, last))


def united(runs: Iterable[Run]) -> list[Run]:
    """Runs in any order, ascending, those that touch or overlap as one."""
    found: list[Run] = []
    for first, last in sorted(runs):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def common(some: Sequence[Run], others: Sequence[Run]) -> list[Run]:
    """What is in both; each is united."""
    found: list[Run] = []
    at = 0
    for first, last in some:
        while at < len(others) and others[at][1] < first:
            at += 1
        here = at
        while here < len(others) and others[here][0] <= last:
            found.append((max(first, others[here][0]), min(last, others[here][1])))
            here += 1
    return found


def missing(runs: Iterable[Run], stop: int, start: int = 1) -> list[Run]:
    """What ascending runs leave out from `start` up to `stop`, which does not count."""
    found: list[Run] = []
    for first, last in runs:
        if first >= stop:
            break
        if start < first:
            found.append((start, first - 1))
        start = max(start, last + 1)
    if start < stop:
        found.append((start, stop - 1))
    return found


def without(runs: Iterable[Run], numbers: Sequence[int]) -> list[Run]:
    """Runs without some ascending numbers."""
    found: list[Run] = []
    for first, last in runs:
        inside = numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]
        found += missing(((number, number) for number in inside), last + 1, first)
    return found


def size(runs: Iterable[Run]) -> int:
    """How many numbers these are."""
    return sum(last - first + 1 for first, last in runs)


def counted(runs: Iterable[Run]) -> Iterator[int]:
    """Each number of runs that are known to be few."""
    for first, last in runs:
        yield from range(first, last + 1)
