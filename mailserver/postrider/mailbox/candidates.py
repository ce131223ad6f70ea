"""Which messages a SEARCH has to look at, newest first: those the index finds, and all that it does not cover."""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter

from postrider.mailbox.view import Picked, View
from postrider.mime.text import fold
from postrider.protocols.imap import search as s
from postrider.store.ports import Reader
from postrider.store.search.lookup import MOST, Covered, Lookup
from postrider.store.search.wanted import HEADER, Both, Either, Has, Part, Wanted, part_of
from postrider.store.values import Account
from postrider.telemetry.events import Events

#: So few messages are looked at without asking the index.
FEW = 100
#: Candidates asked for at first and at most: who wants fifty should not wait for hundreds.
FIRST_PAGE = 64
LAST_PAGE = 1024


@dataclass(frozen=True, slots=True)
class Scope:
    """Where is searched, and when. Without an index everything is a candidate."""

    reader: Reader
    account: Account
    view: View
    index: Lookup | None
    #: Seconds since the epoch, for OLDER and YOUNGER.
    now: float
    events: Events


def sought_by(key: s.Key) -> Has | None:
    """What a key that asks for a text is to the index, None where the index cannot answer it."""
    match key:
        case s.HeaderHas(field, text):
            name = field.decode("utf-8", "replace")
            return None if ":" in name or not name else Has((part_of(name),), fold(text), name)
        case s.BodyHas(text, header):
            folded = fold(text)
            return Has((*HEADER, Part.BODY) if header else (Part.BODY,), folded) if folded else None
    return None


def texts_in(key: s.Key) -> dict[s.Key, Has]:
    """All within a key, however deep, that the index can answer."""
    each = ((leaf, sought_by(leaf)) for leaf in leaves(key))
    return {leaf: sought for leaf, sought in each if sought is not None}


def leaves(key: s.Key) -> Iterator[s.Key]:
    """What AND, OR and NOT are made of, however deep."""
    match key:
        case s.And(keys):
            for inner in keys:
                yield from leaves(inner)
        case s.Or(left, right):
            yield from leaves(left)
            yield from leaves(right)
        case s.Not(inner):
            yield from leaves(inner)
        case _:
            yield key


def split(key: s.Key) -> tuple[Wanted | None, s.Key | None]:
    """What the index is to find, and what is left to ask of each message that it finds; None: nothing."""
    match key:
        case s.And(keys):
            return _all(keys)
        case s.Or(left, right):
            (one, rest), (other, more) = split(left), split(right)
            if one is None or other is None or _texts(one) + _texts(other) > MOST:
                return None, key
            return Either((one, other)), None if rest is None and more is None else key
    found = sought_by(key)  # none for NOT: what is no candidate of a key may still not match it
    return (None, key) if found is None else (found, None)


def _all(keys: Sequence[s.Key]) -> tuple[Wanted | None, s.Key | None]:
    each: list[Wanted] = []
    left: list[s.Key] = []
    for key in keys:
        found, rest = split(key)
        if found is None or len(each) == MOST:
            left.append(key)
            continue
        each.append(found)
        if rest is not None:
            left.append(rest)
    return Both(tuple(each)) if each else None, s.And(tuple(left)) if left else None


def _texts(sought: Wanted) -> int:
    return 1 if isinstance(sought, Has) else sum(map(_texts, sought.of))


@dataclass(frozen=True, slots=True)
class Chunk:
    """Positions in the view, rising, below those of the chunk before; what to ask of each (None: they match)."""

    positions: list[int]
    key: s.Key | None
    #: Where the index can be asked for the texts in the key.
    covered: Covered | None = None


async def newest_first(scope: Scope, key: s.Key, picked: Picked, size: int) -> AsyncIterator[Chunk]:
    """Everything that may match; `size` messages at once where the index does not say which."""
    covered = await _covered(scope) if len(picked) > FEW and texts_in(key) else None
    edge = 0 if covered is None else bisect_right(scope.view.uids, covered.uid)
    for positions in _falling(picked, edge, size):
        yield Chunk(positions, key)
    if covered is None:
        return
    sought, left = split(key)
    mark, most = covered.uid, FIRST_PAGE
    while sought is not None and mark and scope.index is not None:
        page = await scope.index.page(covered, sought, mark, most)
        if page is None:  # it was taken away under our hands: what is left is looked at
            break
        for sure, found in itertools.groupby(page.found, key=itemgetter(1)):
            positions = _positions(scope.view.uids, picked, [uid for uid, _ in found])
            if positions:
                yield Chunk(positions, left, covered) if sure else Chunk(positions, key)
        mark, most = page.next, min(2 * most, LAST_PAGE)
    for positions in _falling(picked.below(bisect_right(scope.view.uids, mark)), 0, size):
        yield Chunk(positions, key, covered)


async def _covered(scope: Scope) -> Covered | None:
    """What the index has of the folder, None where that is nothing."""
    if scope.index is None:
        return None
    covered = await scope.index.covered(scope.account, scope.view.mailbox.uidvalidity)
    mailbox = await scope.reader.mailbox(scope.account, scope.view.mailbox.id)
    # A mark beyond the folder's end: somebody put an older database in the place of ours.
    return covered if covered is not None and mailbox is not None and covered.uid < mailbox.uidnext else None


def _positions(uids: array[int], picked: Picked, found: list[int]) -> list[int]:
    """The positions of those of these UIDs (falling) that the session sees and the search asks for; rising."""
    positions: list[int] = []
    for uid in reversed(found):
        at = bisect_left(uids, uid)
        if at < len(uids) and uids[at] == uid and at in picked:
            positions.append(at)
    return positions


def _falling(picked: Picked, first: int, size: int) -> Iterator[list[int]]:
    """Picked positions from `first` on, the last ones first."""
    chunk: list[int] = []
    for start, stop in reversed(picked.ranges):
        start, end = max(start, first), stop  # noqa: PLW2901 -- one range, cut
        while start < end:
            begin = max(start, end - size + len(chunk))
            chunk[:0] = range(begin, end)
            end = begin
            if len(chunk) == size:
                yield chunk
                chunk = []
    if chunk:
        yield chunk
