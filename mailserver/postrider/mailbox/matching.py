"""Whether messages match a key: index and store are asked about many at once, what they cannot say is read.

A message that cannot be read (its body is damaged) is neither found by a text that it may have nor by NOT of that
text: nobody knows which is true of it, and whoever removes all that do not say something must not lose it. No RFC
tells. What is known of it still counts, its flags and mostly its header.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
from array import array
from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from postrider.mailbox.candidates import Scope, leaves, texts_in
from postrider.mailbox.rows import DAY, condition
from postrider.mailbox.text import Words
from postrider.mailbox.view import Picked, View
from postrider.mime.text import fold
from postrider.model.mail import Content
from postrider.protocols.imap import search as s
from postrider.store.conditions import AllOf, Condition
from postrider.store.ports import Reader
from postrider.store.search.lookup import MOST, Covered
from postrider.store.search.reading import WHOLE, content_of, header_of, texts_of
from postrider.store.search.wanted import Has
from postrider.store.transactions import StoreError
from postrider.store.values import Account, FlagRow, MessageRow

#: Messages that the index is asked about at once, where it is asked for no more than MOST texts; rows read at once.
SLICE = 2000
ROW_SLICE = 200


class Depth(enum.IntEnum):
    """What has to be read to answer a key."""

    VIEW = 0
    FLAGS = 1
    ROW = 2
    CONTENT = 3
    BODY = 4


def depth(key: s.Key, answered: Container[s.Key] = ()) -> Depth:
    """How deep a key makes us read, where these within it are answered."""
    within: tuple[s.Key, ...] = ()
    match key:
        case s.And(keys):
            within = keys
        case s.Or(left, right):
            within = (left, right)
        case s.Not(inner):
            within = (inner,)
        case s.Dated(which="sent"):
            return Depth.CONTENT
        case _:
            # Every message has the empty text.
            answers_itself = isinstance(key, s.BodyHas) and not fold(key.text)
            return Depth.VIEW if answers_itself or key in answered else _DEPTHS[type(key)]
    return max((depth(inner, answered) for inner in within), default=Depth.VIEW)


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


@dataclass(frozen=True, slots=True)
class Step:
    """One of several keys that all must match."""

    key: s.Key
    #: The same for the store to select by; None where it takes more than rows.
    condition: Condition | None
    #: What within it the index can answer, and what the store's rows can.
    texts: Mapping[s.Key, Has]
    conditions: Mapping[s.Key, Condition]
    #: How deep one has to read when these are answered.
    depth: Depth

    @property
    def cost(self) -> tuple[Depth, bool]:
        """What it takes for each message, to be compared: the index is asked when flags have been."""
        return (max(self.depth, Depth.FLAGS), True) if self.texts else (self.depth, False)


def _step(key: s.Key, covered: Covered | None, now: float) -> Step:
    texts = texts_in(key) if covered is not None else {}
    asked = {leaf: condition(leaf, now) for leaf in leaves(key)}
    conditions = {leaf: found for leaf, found in asked.items() if found is not None}
    if len(conditions) > MOST or depth(key, {**texts, **conditions}) > Depth.VIEW:
        conditions = {}  # rows have to be read anyway
    return Step(key, condition(key, now), texts, conditions, depth(key, {**texts, **conditions}))


#: Keys that were answered for many messages at once, with the UIDs that they hold for.
Known = Mapping[s.Key, frozenset[int]]


class Candidate:
    """One message and as much of it as has been read; asking for more than that is an AttributeError."""

    __slots__ = ("at", "content", "flags", "known", "row", "uid", "words")
    flags: FlagRow | MessageRow
    row: MessageRow
    content: Content
    words: Words

    def __init__(self, at: int, uid: int) -> None:
        self.at = at
        self.uid = uid
        self.known: Known = {}


class Matching:
    """Asks keys of candidates, reading what they need."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._sets: dict[int, Picked] = {}
        self._steps: dict[tuple[int, bool], list[Step]] = {}
        #: Messages that could not be read, and why.
        self.unread: dict[int, StoreError] = {}

    def steps(self, key: s.Key | None, covered: Covered | None) -> list[Step]:
        """What is asked one after the other, the cheapest first. The key is one of a few that live as long as we do."""
        known = (id(key), covered is not None)
        if known not in self._steps:
            each = key.keys if isinstance(key, s.And) else () if key is None else (key,)
            self._steps[known] = sorted((_step(one, covered, self._scope.now) for one in each), key=attrgetter("cost"))
        return self._steps[known]

    def report(self) -> None:
        """Tell the operator of the server what could not be read."""
        if self.unread:
            uid, error = next(iter(self.unread.items()))
            scope = self._scope
            scope.events.emit(
                "search.unread", account=scope.account, mailbox=scope.view.mailbox.name, messages=len(self.unread),
                uid=uid, reason=str(error),
            )  # fmt: skip

    async def survivors(self, candidates: list[Candidate], step: Step, covered: Covered | None) -> list[Candidate]:
        """Those that match."""
        rows: Known = {}
        if step.conditions and candidates[-1].at - candidates[0].at <= 4 * len(candidates) + 16:
            candidates, rows = await self._ask_rows(candidates, step.conditions)
        for candidate in candidates:
            candidate.known = rows
        if step.texts and covered is not None:
            await self._ask_index(candidates, step.texts, covered)
        left: list[Candidate] = []
        for _, some in itertools.groupby(candidates, key=lambda candidate: id(candidate.known)):
            alike = list(some)
            left += await self._matching(alike, step.key, depth(step.key, alike[0].known))
        return left

    async def _ask_rows(
        self, candidates: list[Candidate], conditions: Mapping[s.Key, Condition]
    ) -> tuple[list[Candidate], Known]:
        """Those that are still there, and what the store's rows say of them."""
        scope, span = self._scope, (candidates[0].uid, candidates[-1].uid)
        reader, account, mailbox_id = scope.reader, scope.account, scope.view.mailbox.id
        present = frozenset(await reader.select(account, mailbox_id, AllOf(()), *span))
        rows = {
            key: frozenset(await reader.select(account, mailbox_id, condition, *span))
            for key, condition in conditions.items()
        }
        return [candidate for candidate in candidates if candidate.uid in present], rows

    async def _ask_index(self, candidates: list[Candidate], texts: Mapping[s.Key, Has], covered: Covered) -> None:
        """Note what the index knows of those of which it has the whole text."""
        index, wanted = self._scope.index, tuple(texts.values())
        size = max(1, SLICE * MOST // max(len(wanted), MOST))
        for start in range(0, len(candidates), size):
            some = candidates[start : start + size]
            uids = array("I", [candidate.uid for candidate in some])
            holders = None if index is None else await index.holders(covered, wanted, uids)
            if holders is None:
                return
            known = {**some[0].known, **dict(zip(texts, holders.having, strict=True))}
            for candidate in some:
                if candidate.uid not in holders.partial:
                    candidate.known = known

    async def _matching(self, candidates: list[Candidate], key: s.Key, needed: Depth) -> list[Candidate]:
        if needed >= Depth.FLAGS:
            candidates = await self._read(candidates, needed)
        if needed < Depth.BODY:
            return [candidate for candidate in candidates if self._matches(candidate, key)]
        matching: list[Candidate] = []
        for candidate in candidates:
            await self._read_body(candidate)
            if self._matches(candidate, key):
                matching.append(candidate)
            candidate.words.body = None
            await asyncio.sleep(0)
        return matching

    # -- reading -----------------------------------------------------------------------------------------------------

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
            await asyncio.sleep(0)
        left = [candidate for candidate in candidates if candidate.uid in rows]
        for candidate in left:
            candidate.flags = candidate.row = rows[candidate.uid]
        return left

    async def _read_header(self, candidate: Candidate) -> None:
        reader, account, row = self._scope.reader, self._scope.account, candidate.row
        try:
            candidate.content = await content_of(reader, account, row)
            candidate.words = Words(await header_of(reader, account, row, candidate.content))
        except StoreError as error:
            candidate.words = Words(None)
            await self._note(candidate, error)

    async def _read_body(self, candidate: Candidate) -> None:
        if candidate.words.header is None:
            return
        try:
            texts = await texts_of(self._scope.reader, self._scope.account, candidate.row, candidate.content)
        except StoreError as error:
            await self._note(candidate, error)
        else:
            large = sum(map(len, texts)) > WHOLE
            candidate.words.body = await asyncio.to_thread(_folded, texts) if large else _folded(texts)

    async def _note(self, candidate: Candidate, error: StoreError) -> None:
        """Remember a message that cannot be read; not one that is gone since we looked."""
        scope = self._scope
        if await scope.reader.messages(scope.account, scope.view.mailbox.id, [candidate.uid]):
            self.unread[candidate.uid] = error

    # -- asking ------------------------------------------------------------------------------------------------------

    def _matches(self, candidate: Candidate, key: s.Key) -> bool | None:
        """Whether it does; None where that cannot be read."""
        match key:
            case s.And(keys):
                return _all(self._matches(candidate, inner) for inner in keys)
            case s.Or(left, right):
                return _any(self._matches(candidate, inner) for inner in (left, right))
            case s.Not(inner):
                found = self._matches(candidate, inner)
                return None if found is None else not found
            case s.InSet():
                return self._in_set(candidate, key)
        known = candidate.known.get(key)
        return _QUESTIONS[type(key)](self._scope, candidate, key) if known is None else candidate.uid in known

    def _in_set(self, candidate: Candidate, key: s.InSet) -> bool:
        picked = self._sets.get(id(key))
        if picked is None:
            picked = self._sets[id(key)] = self._scope.view.pick(key.messages, by_uid=key.by_uid)
        return candidate.at in picked


def _folded(texts: Sequence[str]) -> list[str]:
    return [fold(text) for text in texts]


def _all(answers: Iterable[bool | None]) -> bool | None:
    """What one does not know matters only where nothing else decides (Kleene)."""
    known = True
    for answer in answers:
        if answer is None:
            known = False
        elif not answer:
            return False
    return True if known else None


def _any(answers: Iterable[bool | None]) -> bool | None:
    known = True
    for answer in answers:
        if answer:
            return True
        known = known and answer is not None
    return False if known else None


_RELATIONS: Mapping[str, Callable[[int, int], bool]] = {
    "BEFORE": lambda day, limit: day < limit,
    "ON": lambda day, limit: day == limit,
    "SINCE": lambda day, limit: day >= limit,
}


def _dated(candidate: Candidate, key: s.Dated) -> bool | None:
    if key.which == "sent":
        if candidate.words.header is None:
            return None
        day = candidate.words.sent_day
    else:
        day = (candidate.row.received if key.which == "received" else candidate.row.saved) // DAY
    return day is not None and _RELATIONS[key.relation](day, key.day)


def _has_text(candidate: Candidate, key: s.HeaderHas | s.BodyHas) -> bool | None:
    wanted = fold(key.text)
    if isinstance(key, s.HeaderHas):
        return candidate.words.field_has(key.field, wanted)
    if not wanted:
        return True
    words = candidate.words
    return _any((words.header_has(wanted) if key.header else False, words.body_has(wanted)))


#: What each key asks of a candidate that has been read deep enough.
_QUESTIONS: Mapping[type, Callable[[Scope, Candidate, Any], bool | None]] = {
    s.IsRecent: lambda scope, candidate, _: 0 < scope.view.recent <= candidate.uid,
    s.HasFlags: lambda _, candidate, key: candidate.flags.flags & key.bits == key.bits,
    s.HasKeyword: lambda _, candidate, key: key.keyword.lower() in map(str.lower, candidate.flags.keywords),
    s.ChangedSince: lambda _, candidate, key: candidate.flags.modseq >= key.modseq,
    s.Sized: lambda _, candidate, key: (
        candidate.row.size > key.octets if key.larger else candidate.row.size < key.octets
    ),
    s.Within: lambda scope, candidate, key: (scope.now - candidate.row.received <= key.seconds) is key.younger,
    s.HasId: lambda _, candidate, key: key.id == (candidate.row.thread_id if key.thread else candidate.row.email_id),
    s.Dated: lambda _, candidate, key: _dated(candidate, key),
    s.HeaderHas: lambda _, candidate, key: _has_text(candidate, key),
    s.BodyHas: lambda _, candidate, key: _has_text(candidate, key),
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
