"""SEARCH over a session's view: what is cheap to know is asked first, and only survivors are read any deeper.

Text is found as people see it: decoded, in any case (RFC 9051 §6.4.4). What the index does not cover is read here. No
transaction is held while a body is read, and others run after each slice.
"""

from __future__ import annotations

import asyncio
import enum
from array import array
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postrider.mailbox.candidates import Scope, newest_first
from postrider.mailbox.rows import DAY, condition
from postrider.mailbox.text import Words
from postrider.mailbox.view import Picked, View
from postrider.mime.text import fold
from postrider.model.mail import Content
from postrider.protocols.imap import search as s
from postrider.store.conditions import AllOf
from postrider.store.ports import Reader
from postrider.store.search.reading import content_of, header_of, texts_of
from postrider.store.values import Account, FlagRow, MessageRow

#: Messages looked at between two chances for others to run: by the store alone, by their flags, by their rows.
SELECTED = 20_000
SLICE = 2000
ROW_SLICE = 200


class Depth(enum.IntEnum):
    """What has to be read to answer a key."""

    VIEW = 0
    FLAGS = 1
    ROW = 2
    CONTENT = 3
    BODY = 4


@dataclass(frozen=True, slots=True)
class Search:
    """What a search needs from around it."""

    scope: Scope
    #: Seconds since the epoch, for OLDER and YOUNGER.
    now: float


class Candidate:
    """One message and as much of it as has been read; asking for more than that is an AttributeError."""

    __slots__ = ("at", "content", "flags", "row", "uid", "words")
    flags: FlagRow | MessageRow
    row: MessageRow
    content: Content
    words: Words

    def __init__(self, at: int, uid: int) -> None:
        self.at = at
        self.uid = uid


async def find(search: Search, key: s.Key, most: int = 0) -> tuple[array[int], int]:
    """Positions of matching messages in the view, ascending, and the highest modseq among them (0: not read).

    With `most` about so many of the newest, at least.
    """
    found: list[int] = []
    highest = 0
    async for left in _survivors(search, key):
        found.extend(candidate.at for candidate in reversed(left))
        highest = max([highest, *(one.flags.modseq for one in left if hasattr(one, "flags"))])
        if most and len(found) >= most:
            break
    found.reverse()
    return array("I", found), highest


async def newest(search: Search, key: s.Key) -> AsyncIterator[int]:
    """The UIDs of matching messages, the newest first; whoever has enough stops asking."""
    async for left in _survivors(search, key):
        for candidate in reversed(left):
            yield candidate.uid


async def _survivors(search: Search, key: s.Key) -> AsyncIterator[list[Candidate]]:
    """Matching messages: rising in each list, falling from list to list."""
    test = _Test(search)
    view = search.scope.view
    async for chunk in newest_first(search.scope, key, _picked(view, _steps(key)), SELECTED):
        positions, steps = await _selected(search, chunk.positions, _steps(chunk.key))
        size = ROW_SLICE if steps and depth(steps[-1]) > Depth.FLAGS else SLICE
        for end in range(len(positions), 0, -size):
            left = [Candidate(at, view.uids[at]) for at in positions[max(0, end - size) : end]]
            for step in steps:
                left = await test.survivors(left, step)
                if not left:
                    break
            if left:
                yield left
            await asyncio.sleep(0)


def _steps(key: s.Key | None) -> Sequence[s.Key]:
    """What is asked one after the other, the cheapest first."""
    keys = key.keys if isinstance(key, s.And) else (key,)
    return sorted((each for each in keys if each is not None), key=depth)


async def _selected(search: Search, positions: list[int], steps: Sequence[s.Key]) -> tuple[list[int], Sequence[s.Key]]:
    """What the store's rows leave of ascending positions, and what is still to be asked of them."""
    uids, scope = search.scope.view.uids, search.scope
    each = [(step, condition(step, search.now)) for step in steps]
    asked = tuple(one for _, one in each if one is not None)
    if not asked or positions[-1] - positions[0] > 4 * len(positions) + 16:
        return positions, steps
    first, last = uids[positions[0]], uids[positions[-1]]
    present = set(await scope.reader.select(scope.account, scope.view.mailbox.id, AllOf(asked), first, last))
    return [at for at in positions if uids[at] in present], [step for step, one in each if one is None]


def depth(key: s.Key) -> Depth:
    """How deep a key makes us read."""
    match key:
        case s.And(keys):
            return max((depth(inner) for inner in keys), default=Depth.VIEW)
        case s.Or(left, right):
            return max(depth(left), depth(right))
        case s.Not(inner):
            return depth(inner)
        case s.Dated(which="sent"):
            return Depth.CONTENT
    return _DEPTHS[type(key)]


_DEPTHS: Mapping[type, Depth] = {
    s.InSet: Depth.VIEW,
    s.IsRecent: Depth.VIEW,
    s.HasFlags: Depth.FLAGS,
    s.HasKeyword: Depth.FLAGS,
    s.ChangedSince: Depth.FLAGS,
    s.Sized: Depth.ROW,
    s.Within: Depth.ROW,
    s.HasId: Depth.ROW,
    s.Dated: Depth.ROW,
    s.HeaderHas: Depth.CONTENT,
    s.BodyHas: Depth.BODY,
}


def _picked(view: View, keys: Sequence[s.Key]) -> Picked:
    """Positions worth looking at: a set among the keys makes them few."""
    best = view.everything()
    for key in keys:
        if isinstance(key, s.InSet):
            picked = view.pick(key.messages, by_uid=key.by_uid)
            if len(picked) < len(best):
                best = picked
    return best


class _Test:
    """Asks keys of candidates, reading what they need."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._scope = search.scope
        self._sets: dict[int, Picked] = {}

    async def survivors(self, candidates: list[Candidate], key: s.Key) -> list[Candidate]:
        """Those that match."""
        needed = depth(key)
        if needed >= Depth.FLAGS:
            candidates = await self._read(candidates, needed)
        if needed < Depth.BODY:
            return [candidate for candidate in candidates if self._matches(candidate, key)]
        matching: list[Candidate] = []
        for candidate in candidates:
            await self._read_body(candidate)
            if self._matches(candidate, key):
                matching.append(candidate)
            candidate.words.body = []
            await asyncio.sleep(0)
        return matching

    async def _read(self, candidates: list[Candidate], needed: Depth) -> list[Candidate]:
        """Read what is missing; candidates that are gone meanwhile drop out."""
        if needed == Depth.FLAGS:
            return await self._read_flags(candidates)
        left = await self._read_rows(candidates)
        if needed >= Depth.CONTENT:
            for candidate in left:
                if not hasattr(candidate, "words"):
                    await self._read_header(candidate)
        return left

    async def _read_flags(self, candidates: list[Candidate]) -> list[Candidate]:
        if all(hasattr(candidate, "flags") for candidate in candidates):
            return candidates
        scope = self._scope
        positions = [candidate.at for candidate in candidates]
        rows = {row.uid: row for row in await flags_at(scope.reader, scope.account, scope.view, positions)}
        left = [candidate for candidate in candidates if candidate.uid in rows]
        for candidate in left:
            candidate.flags = rows[candidate.uid]
        return left

    async def _read_rows(self, candidates: list[Candidate]) -> list[Candidate]:
        if all(hasattr(candidate, "row") for candidate in candidates):
            return candidates
        scope = self._scope
        rows: dict[int, MessageRow] = {}
        for start in range(0, len(candidates), ROW_SLICE):
            uids = [candidate.uid for candidate in candidates[start : start + ROW_SLICE]]
            for row in await scope.reader.messages(scope.account, scope.view.mailbox.id, uids):
                rows[row.uid] = row
        left = [candidate for candidate in candidates if candidate.uid in rows]
        for candidate in left:
            candidate.flags = candidate.row = rows[candidate.uid]
        return left

    async def _read_header(self, candidate: Candidate) -> None:
        reader, account, row = self._scope.reader, self._scope.account, candidate.row
        candidate.content = await content_of(reader, account, row)
        candidate.words = Words(await header_of(reader, account, row, candidate.content))

    async def _read_body(self, candidate: Candidate) -> None:
        texts = await texts_of(self._scope.reader, self._scope.account, candidate.row, candidate.content)
        candidate.words.body = [fold(text) for text in texts]

    def _matches(self, candidate: Candidate, key: s.Key) -> bool:
        match key:
            case s.And(keys):
                return all(self._matches(candidate, inner) for inner in keys)
            case s.Or(left, right):
                return self._matches(candidate, left) or self._matches(candidate, right)
            case s.Not(inner):
                return not self._matches(candidate, inner)
            case s.InSet():
                return self._in_set(candidate, key)
        return _QUESTIONS[type(key)](self._search, candidate, key)

    def _in_set(self, candidate: Candidate, key: s.InSet) -> bool:
        picked = self._sets.get(id(key))
        if picked is None:
            picked = self._sets[id(key)] = self._scope.view.pick(key.messages, by_uid=key.by_uid)
        return candidate.at in picked


_RELATIONS: Mapping[str, Callable[[int, int], bool]] = {
    "BEFORE": lambda day, limit: day < limit,
    "ON": lambda day, limit: day == limit,
    "SINCE": lambda day, limit: day >= limit,
}


def _dated(candidate: Candidate, key: s.Dated) -> bool:
    if key.which == "sent":
        day = candidate.words.sent_day
    else:
        day = (candidate.row.received if key.which == "received" else candidate.row.saved) // DAY
    return day is not None and _RELATIONS[key.relation](day, key.day)


def _in_body(candidate: Candidate, key: s.BodyHas) -> bool:
    return candidate.words.body_has(key.text) or (key.header and candidate.words.header_has(key.text))


#: What each key asks of a candidate that has been read deep enough.
_QUESTIONS: Mapping[type, Callable[[Search, Candidate, Any], bool]] = {
    s.IsRecent: lambda search, candidate, _: 0 < search.scope.view.recent <= candidate.uid,
    s.HasFlags: lambda _, candidate, key: candidate.flags.flags & key.bits == key.bits,
    s.HasKeyword: lambda _, candidate, key: key.keyword.lower() in map(str.lower, candidate.flags.keywords),
    s.ChangedSince: lambda _, candidate, key: candidate.flags.modseq >= key.modseq,
    s.Sized: lambda _, candidate, key: (
        candidate.row.size > key.octets if key.larger else candidate.row.size < key.octets
    ),
    s.Within: lambda search, candidate, key: (search.now - candidate.row.received <= key.seconds) is key.younger,
    s.HasId: lambda _, candidate, key: key.id == (candidate.row.thread_id if key.thread else candidate.row.email_id),
    s.Dated: lambda _, candidate, key: _dated(candidate, key),
    s.HeaderHas: lambda _, candidate, key: candidate.words.field_has(key.field, key.text),
    s.BodyHas: lambda _, candidate, key: _in_body(candidate, key),
}


async def flags_at(
    reader: Reader, account: Account, view: View, positions: Sequence[int]
) -> Sequence[FlagRow | MessageRow]:
    """Flags of the messages at ascending positions; those that are gone are missing."""
    if not positions:
        return ()
    first, last = positions[0], positions[-1]
    span = last - first + 1
    uids = view.uids_at(positions)
    if span > 4 * len(positions) + 16:
        return await reader.messages(account, view.mailbox.id, uids)
    rows = await reader.flags(account, view.mailbox.id, above=uids[0] - 1, limit=span)
    if len(rows) == len(positions) and rows[-1].uid == uids[-1]:
        return rows
    return [row for row in rows if uids[min(bisect_left(uids, row.uid), len(uids) - 1)] == row.uid]
