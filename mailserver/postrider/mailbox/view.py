"""What one session sees of its mailbox: message numbers and UIDs, and what it has not been told yet (RFC 9051 §2.3.1).

A million messages are four megabytes: the view holds UIDs and nothing else, and not before a command needs them, so
that a SELECT reads counters only.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from postrider.model import runs
from postrider.model.runs import Run, common, united
from postrider.protocols.imap.grammar import STAR, SequenceSet
from postrider.store.values import Changes, FlagRow, MailboxRow


class NoSuchMessage(Exception):
    """A message number beyond the mailbox's end (RFC 9051 §9, seq-number)."""


@dataclass(frozen=True, slots=True)
class Picked:
    """Positions (from 0) in a view, ascending, as ranges [start, stop)."""

    ranges: tuple[tuple[int, int], ...]

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.ranges)

    def __contains__(self, at: int) -> bool:
        found = bisect_right(self.ranges, at, key=itemgetter(0)) - 1
        return found >= 0 and at < self.ranges[found][1]

    def below(self, limit: int) -> Picked:
        """Those below a position."""
        return Picked(tuple((start, min(stop, limit)) for start, stop in self.ranges if start < limit))

    def chunks(self, size: int) -> Iterator[list[int]]:
        """Positions, `size` at a time."""
        chunk: list[int] = []
        for start, stop in self.ranges:
            at = start
            while at < stop:
                upto = min(stop, at + size - len(chunk))
                chunk.extend(range(at, upto))
                at = upto
                if len(chunk) == size:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk


@dataclass(frozen=True, slots=True)
class News:
    """What a session may be told now: gone messages first, then how many there are, then changed flags."""

    #: Message numbers, each as it is after the ones before it are gone; descending, so that none shifts another.
    expunged: tuple[int, ...] = ()
    #: The same as UIDs, ascending, for QRESYNC (RFC 7162 §3.2.10).
    vanished: tuple[int, ...] = ()
    exists: int | None = None
    recent: int | None = None
    changed: tuple[tuple[int, FlagRow], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.expunged or self.changed or self.exists is not None)


class LostCount(Exception):
    """What the mailbox held when it was selected is not known any more."""


@dataclass(slots=True)
class View:
    """A selected mailbox, as it was when `mailbox` was read."""

    mailbox: MailboxRow
    read_only: bool
    #: Empty until it is filled.
    uids: array[int]
    #: All changes up to here have been taken in.
    modseq: int
    #: False until `uids` is there; whoever asks for numbers, UIDs or sets fills the view before.
    filled: bool = True
    #: UIDs from here on are \\Recent to this session; 0: none are.
    recent: int = 0
    #: The saved search result, `$` (RFC 9051 §6.4.4.1), UIDs.
    saved: array[int] = field(default_factory=lambda: array("I"))
    #: Flags the session has been told, or need not be: UID -> modseq.
    told: dict[int, int] = field(default_factory=dict)
    #: Modseqs of our own silent changes.
    silent: set[int] = field(default_factory=set)
    #: A byte for each message up to the last that is gone and still has its number: 1 where it is.
    _gone: bytearray = field(default_factory=bytearray)
    #: `modseq` before the first of those was taken in.
    _before_gone: int = 0

    def __len__(self) -> int:
        return len(self.uids) if self.filled else self.mailbox.messages

    def fill(self, present: array[int], vanished: Iterable[Run]) -> None:
        """Take the UIDs of a mailbox selected before; what vanished since is read after `present`.

        Raises LostCount when changes since the SELECT are not told exactly any more.
        """
        fresh = bisect_left(present, self.mailbox.uidnext)  # RFC 9051 §2.3.1.1: what came later has higher UIDs
        uids = present[:fresh]
        below = ((1, self.mailbox.uidnext - 1),)
        gone = common(united(vanished), below)
        if runs.size(gone) > self.mailbox.messages:
            raise LostCount  # and nobody counts out four million
        if gone:
            uids = _with(uids, gone)
        if len(uids) != self.mailbox.messages:
            raise LostCount
        self.uids, self.filled = uids, True

    @property
    def withheld(self) -> bool:
        """Whether messages that are gone still have their numbers."""
        return bool(self._gone)

    @property
    def known(self) -> int:
        """The highest modseq up to which the client has been told everything."""
        return self._before_gone if self._gone else self.modseq

    def number(self, uid: int) -> int:
        """The message number of a UID, 0 when this session does not see it."""
        at = bisect_left(self.uids, uid)
        return at + 1 if at < len(self.uids) and self.uids[at] == uid else 0

    def absent(self, vanished: Iterable[Run], asked: Iterable[Run]) -> list[Run]:
        """What of vanished runs was asked for and is not in this view."""
        return runs.without(common(united(vanished), united(asked)), self.uids)

    @property
    def recent_count(self) -> int:
        r"""How many messages are \Recent to this session."""
        return len(self.uids) - bisect_left(self.uids, self.recent) if self.recent else 0

    # -- sets --------------------------------------------------------------------------------------------------------

    def pick(self, messages: SequenceSet, *, by_uid: bool) -> Picked:
        """The messages of a set. Raises NoSuchMessage for a number beyond the end; UIDs that are not there are none."""
        if messages is None:
            return self._merged(self._of_uids((uid, uid) for uid in self.saved))
        return self._merged(self._of_uids(messages) if by_uid else self._of_numbers(messages))

    def everything(self) -> Picked:
        """All messages."""
        return Picked(((0, len(self.uids)),) if self.uids else ())

    def uids_at(self, positions: Iterable[int]) -> tuple[int, ...]:
        """The UIDs at positions."""
        uids = self.uids
        return tuple([uids[at] for at in positions])

    def uids_of(self, picked: Picked) -> array[int]:
        """The UIDs of picked messages: a million are copied, not counted out."""
        found = array("I")
        for start, stop in picked.ranges:
            found += self.uids[start:stop]
        return found

    def _of_uids(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        highest = self.uids[-1] if self.uids else 0
        for first, last in ranges:
            low, high = min(first, highest) if first == STAR else first, highest if last == STAR else last
            if low > high:  # RFC 9051 §9: 500:* holds the last message even when its UID is below 500
                low, high = high, low
            yield bisect_left(self.uids, low), bisect_right(self.uids, high)

    def _of_numbers(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        count = len(self.uids)
        for first, last in ranges:
            low = count if first == STAR else first
            high = count if last == STAR else last
            if last != STAR and last > count:
                raise NoSuchMessage
            low, high = min(low, high), max(low, high)
            yield min(max(low, 1), count + 1) - 1, min(high, count)

    @staticmethod
    def _merged(ranges: Iterable[tuple[int, int]]) -> Picked:
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(one for one in ranges if one[0] < one[1]):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
            else:
                merged.append((start, stop))
        return Picked(tuple(merged))

    # -- changes -----------------------------------------------------------------------------------------------------

    def take(self, changes: Changes, *, expunge: bool, most: int) -> Iterator[News]:
        """Take in what happened; without `expunge` messages that are gone keep their numbers for now (§7.5.1).

        What is gone comes first, at most so many messages at a time, so that others get their turn in between: the
        view is as the client knows it after each. Who stops in the middle takes the same changes in again.
        """
        if not self._gone:
            self._before_gone = self.modseq
        for vanished in changes.vanished:
            for first, last in vanished.runs:
                self._bury(bisect_left(self.uids, first), bisect_right(self.uids, last))
        while expunge and self._gone:
            yield self._forget(most)
        yield self._grown_and_changed(changes)

    def _bury(self, start: int, stop: int) -> None:
        """The messages at these positions are gone."""
        if start < stop:
            self._gone.extend(bytes(max(stop - len(self._gone), 0)))
            self._gone[start:stop] = b"\1" * (stop - start)

    def _forget(self, most: int) -> News:
        """The highest of those that are gone lose their numbers."""
        numbers: list[int] = []
        at = len(self._gone)
        while len(numbers) < most and (at := self._gone.rfind(1, 0, at)) >= 0:
            numbers.append(at + 1)
        lowest = numbers[-1] - 1
        gone = tuple([self.uids[number - 1] for number in reversed(numbers)])
        tail = without(self.uids[lowest:], gone)
        del self.uids[lowest:]
        self.uids += tail
        del self._gone[self._gone.rfind(1, 0, lowest) + 1 :]
        if self.saved:
            self.saved = without(self.saved, gone)
        return News(tuple(numbers), gone)

    def _grown_and_changed(self, changes: Changes) -> News:
        before = len(self.uids)
        highest = self.uids[-1] if self.uids else 0
        changed: list[tuple[int, FlagRow]] = []
        for row in changes.changed:
            number = self.number(row.uid)
            if number:
                if row.modseq not in self.silent and self.told.get(row.uid, 0) < row.modseq:
                    changed.append((number, row))
            elif row.uid > highest:
                self.uids.append(row.uid)
        self.modseq = max(self.modseq, changes.modseq)
        if not changes.more:
            self.told.clear()
            self.silent.clear()
        grown = len(self.uids) > before
        return News(
            exists=len(self.uids) if grown else None,
            recent=self.recent_count if grown and self.recent else None,
            changed=tuple(changed),
        )


def without(uids: array[int], gone: Iterable[int]) -> array[int]:
    """Ascending UIDs without some of them, in ascending order: what lies between is copied, not counted out."""
    kept = array("I")
    at = 0
    for uid in gone:
        found = bisect_left(uids, uid, at)
        if found < len(uids) and uids[found] == uid:
            kept += uids[at:found]
            at = found + 1
    return kept + uids[at:] if at else uids


def _with(uids: array[int], more: Iterable[Run]) -> array[int]:
    """Ascending UIDs, and those of ascending runs that may be among them: what lies between is copied."""
    found = array("I")
    at = 0
    for first, last in more:
        upto = bisect_left(uids, first, at)
        found += uids[at:upto]
        found.extend(range(first, last + 1))
        at = bisect_right(uids, last, upto)
    return found + uids[at:]
