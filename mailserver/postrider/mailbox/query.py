"""SEARCH over a session's view: what is cheap to know is asked first, and only survivors are read any deeper.

Text is found as people see it: decoded, in any case (RFC 9051 §6.4.4). What the index does not cover is read here. No
transaction is held while a body is read, and others run after each slice.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from postrider.mailbox.candidates import FIRST_PAGE, Chunk, Scope, newest_first
from postrider.mailbox.matching import ROW_SLICE, SLICE, Candidate, Depth, Matching, Step
from postrider.mailbox.view import Picked, View
from postrider.protocols.imap import search as s
from postrider.store.conditions import AllOf

#: Messages looked at by the store alone between two chances for others to run.
SELECTED = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """What a search has found."""

    #: Message numbers and UIDs of matching messages, ascending.
    numbers: array[int]
    uids: array[int]
    #: The highest modseq among them; 0: not read.
    highest: int
    #: Messages that could not be read, of which nobody knows whether they match.
    unread: int


async def find(scope: Scope, key: s.Key, most: int = 0) -> Found:
    """All messages that match; with `most` about so many of the newest, at least."""
    numbers, uids, highest = array("I"), array("I"), 0
    matching = Matching(scope)
    async with aclosing(_survivors(matching, scope, key)) as lists:
        async for left in lists:
            numbers.extend([candidate.at + 1 for candidate in reversed(left)])
            uids.extend([candidate.uid for candidate in reversed(left)])
            highest = max([highest, *(one.flags.modseq for one in left if hasattr(one, "flags"))])
            if most and len(uids) >= most:
                break
    numbers.reverse()
    uids.reverse()
    return Found(numbers, uids, highest, len(matching.unread))


async def newest(scope: Scope, key: s.Key) -> AsyncIterator[int]:
    """The UIDs of matching messages, the newest first; whoever has enough stops asking."""
    async with aclosing(_survivors(Matching(scope), scope, key)) as lists:
        async for left in lists:
            for candidate in reversed(left):
                yield candidate.uid


async def _survivors(matching: Matching, scope: Scope, key: s.Key) -> AsyncGenerator[list[Candidate], None]:
    """Matching messages: rising in each list, falling from list to list."""
    size = FIRST_PAGE
    try:
        async for chunk in newest_first(scope, key, _picked(scope.view, key), SELECTED):
            positions, asked = await _selected(scope, chunk, matching.steps(chunk.key, chunk.covered))
            most = ROW_SLICE if asked and asked[-1].depth > Depth.FLAGS else SLICE
            end = len(positions)
            while end > 0:
                left = [Candidate(at, scope.view.uids[at]) for at in positions[max(0, end - size) : end]]
                end, size = end - size, min(2 * size, most)
                for step in asked:
                    left = await matching.survivors(left, step, chunk.covered)
                    if not left:
                        break
                if left:
                    yield left
                await asyncio.sleep(0)
    finally:
        matching.report()


async def _selected(scope: Scope, chunk: Chunk, asked: list[Step]) -> tuple[list[int], list[Step]]:
    """What the store's rows leave of a chunk's positions, and what is still to be asked of them."""
    uids, positions = scope.view.uids, chunk.positions
    conditions = tuple(step.condition for step in asked if step.condition is not None)
    if not conditions or positions[-1] - positions[0] > 4 * len(positions) + 16:
        return positions, asked
    first, last = uids[positions[0]], uids[positions[-1]]
    present = set(await scope.reader.select(scope.account, scope.view.mailbox.id, AllOf(conditions), first, last))
    return [at for at in positions if uids[at] in present], [step for step in asked if step.condition is None]


def _picked(view: View, key: s.Key) -> Picked:
    """Positions worth looking at: a set among the keys makes them few."""
    best = view.everything()
    for each in key.keys if isinstance(key, s.And) else (key,):
        if isinstance(each, s.InSet):
            picked = view.pick(each.messages, by_uid=each.by_uid)
            if len(picked) < len(best):
                best = picked
    return best
