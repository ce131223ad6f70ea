"""Which keys need work, and when: debounce, backoff and full looks, as arithmetic on a clock that is handed in."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: quiet time before work begins, the longest wait for quiet, first and longest pause after a failure."""

    debounce: float = 0.25
    longest: float = 2.0
    first_backoff: float = 1.0
    longest_backoff: float = 60.0


@dataclass(slots=True)
class _Mark:
    first: float
    due: float


class Dirty(Generic[K]):
    """Marks of keys. A key is worked on by one worker at a time; what is marked meanwhile is due again afterwards."""

    def __init__(self, pace: Pace = Pace()) -> None:
        self._pace = pace
        self._marks: dict[K, _Mark] = {}
        self._failures: dict[K, int] = {}
        self._not_before: dict[K, float] = {}
        self._working: set[K] = set()

    def __len__(self) -> int:
        return len(self._marks)

    def mark(self, key: K, now: float, *, after: float | None = None) -> None:
        """Something about a key has changed (or will have, `after` seconds from now)."""
        wait = self._pace.debounce if after is None else after
        if after is None and key in self._not_before:  # news may be the cure: do not sit out a long pause
            self._not_before[key] = min(self._not_before[key], now + self._pace.longest)
        mark = self._marks.get(key)
        if mark is None:
            self._marks[key] = _Mark(now, now + wait)
        elif after is None:
            mark.first = min(mark.first, now) if mark.due <= now + self._pace.longest else now
            mark.due = min(now + wait, mark.first + self._pace.longest)
        else:
            mark.due = min(mark.due, now + wait)

    def take(self, now: float) -> K | None:
        """A key whose time has come, now being worked on; None when there is none."""
        ready = [(due, key) for key in self._marks if key not in self._working and (due := self._due(key)) <= now]
        if not ready:
            return None
        _, key = min(ready, key=lambda pair: pair[0])
        del self._marks[key]
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        """The work went well."""
        self._working.discard(key)
        self._failures.pop(key, None)
        self._not_before.pop(key, None)

    def failed(self, key: K, now: float) -> float:
        """The work failed: it is due again after a pause that doubles; the pause is returned."""
        self._working.discard(key)
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        pause = min(self._pace.first_backoff * 2.0 ** min(count, 10), self._pace.longest_backoff)
        self._not_before[key] = now + pause
        self.mark(key, now, after=pause)
        return pause

    def next_due(self) -> float | None:
        """When the next key is due; None while nothing is marked that could be worked on."""
        return min((self._due(key) for key in self._marks if key not in self._working), default=None)

    def _due(self, key: K) -> float:
        return max(self._marks[key].due, self._not_before.get(key, 0.0))
