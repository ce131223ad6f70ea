"""How long the next try of somebody who keeps failing has to wait. No clock of its own; bounded in memory."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

#: Failures older than this, in seconds, are forgotten.
WINDOW = 600.0
#: Seconds between two tries once there were too many failures; doubled with each further one.
FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
#: Who is remembered at most; the one not heard of for longest is forgotten first.
ENTRIES = 20_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one key may do without waiting."""

    #: Failures within WINDOW.
    failures: int
    #: Tries at the same time, whose outcome nobody knows yet.
    abreast: int


@dataclass(slots=True)
class _Record:
    last: float
    failures: int = 0
    abreast: int = 0
    #: When the next try may begin; tries that wait queue behind each other.
    free: float = 0.0


class Delays:
    """Failures by key (a client's network, a login). All times are monotonic seconds."""

    def __init__(self, entries: int = ENTRIES) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()
        self._entries = entries

    def __len__(self) -> int:
        return len(self._records)

    def wait(self, key: str, now: float, allowance: Allowance) -> float:
        """Seconds a try that begins now would have to wait."""
        record = self._current(key, now)
        if record is None or (record.failures < allowance.failures and record.abreast < allowance.abreast):
            return 0.0
        return max(0.0, record.free - now) or FIRST_DELAY

    def begin(self, key: str, now: float, allowance: Allowance) -> None:
        """A try takes its place; `end` must follow."""
        wait = self.wait(key, now, allowance)
        record = self._current(key, now) or self._new(key, now)
        record.abreast += 1
        if wait:
            doublings = min(30, max(0, record.failures - allowance.failures))
            record.free = now + wait + min(LONGEST_DELAY, FIRST_DELAY * 2.0**doublings)

    def end(self, key: str, now: float, *, failed: bool) -> None:
        """A try is over; when it did not fail, nothing is said about its success."""
        record = self._records.get(key)
        if record is None:  # forgotten meanwhile
            if not failed:
                return
            record = self._new(key, now)
        record.abreast = max(0, record.abreast - 1)
        if failed:
            record.failures += 1
            record.last = now
            self._records.move_to_end(key)
        elif not record.failures and not record.abreast:
            del self._records[key]

    def forgive(self, key: str) -> None:
        """Forget the failures of a key."""
        record = self._records.get(key)
        if record is not None:
            record.failures, record.free = 0, 0.0

    def _new(self, key: str, now: float) -> _Record:
        record = self._records[key] = _Record(now)
        while len(self._records) > self._entries:
            self._records.popitem(last=False)
        return record

    def _current(self, key: str, now: float) -> _Record | None:
        record = self._records.get(key)
        if record is not None and not record.abreast and now - record.last > WINDOW:
            del self._records[key]
            return None
        return record
