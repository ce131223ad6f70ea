"""The reading half of the index, for fronts: what is covered, and what matches, newest first, a page at a time.

Whatever is wrong with the index, its user is told None and scans instead; nobody sees an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import apsw

from postrider.store.keys import Keys, none
from postrider.store.ports import Reader
from postrider.store.search import file, streams
from postrider.store.search.index import UID_BITS
from postrider.store.search.readers import Readers
from postrider.store.search.streams import END, Source, Stream
from postrider.store.search.wanted import Both, Either, Has, Part, Wanted, holds
from postrider.store.search.words import question
from postrider.store.values import Account
from postrider.telemetry.events import Events

_Answer = TypeVar("_Answer")

#: Messages of a folder, the newest that have the words, of which the best are chosen.
RANKED = 1000
#: Trigrams of one text that are asked for: more make no smaller choice.
MAX_TRIGRAMS = 24
#: A text that folding leaves nowhere, and the last of all documents.
_NOWHERE, _LAST = "\x1f\x1f\x1f", (1 << 63) - 1
#: Texts that are looked up side by side; where there are more, each message's texts are looked into.
MOST = 16


@dataclass(frozen=True, slots=True)
class Covered:
    """All messages of a folder up to the UID `uid` are in this build of the index."""

    build: int
    folder: int
    uid: int
    #: Of the account, which has an index file of its own then.
    key_id: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """UIDs falling, each with True where it is what is wanted, and False where the index has not all of its text.

    The next page begins at the UID `next`; 0: this was the last.
    """

    found: list[tuple[int, bool]]
    next: int


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has what, by UIDs, among messages that were asked about; what is gone, from the index too, has nothing."""

    #: For each text those that have it.
    having: tuple[frozenset[int], ...]
    #: Of these the index has not all of the text: they may have what it does not know of.
    partial: frozenset[int]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A message that answers a question, and how well; only its folder's UIDVALIDITY tells whether it is still it."""

    mailbox: int
    uidvalidity: int
    uid: int
    rank: float


class Lookup(Protocol):
    """What SEARCH asks of an index. Each answer is None where there is none to rely on."""

    async def covered(self, account: Account, uidvalidity: int) -> Covered | None:
        """What the index knows of a folder."""
        ...

    async def page(self, covered: Covered, wanted: Wanted, limit: int, most: int) -> Page | None:
        """From the UID `limit` downwards up to `most` candidates are looked at; which of them match, or may."""
        ...

    async def holders(self, covered: Covered, texts: Sequence[Has], uids: Sequence[int]) -> Holders | None:
        """Which of these messages, covered and rising, have each text. Callers ask in slices of some thousands."""
        ...

    async def ranked(self, account: Account, words: str, limit: int) -> list[Ranked] | None:
        """The best of the RANKED newest messages of each folder that have all these words, the best one first."""
        ...


class IndexLookup:
    """Implements Lookup over the index files."""

    def __init__(self, directory: Path, events: Events, reader: Reader | None = None, keys: Keys = none) -> None:
        """`reader` tells which key an account has; without it none has any."""
        self._reader = reader
        self._events = events
        self._files = Readers(directory, keys)
        # A thread of its own: who waits for an answer keeps none of those that others need.
        self._thread = ThreadPoolExecutor(1, "search")

    def prepare(self) -> None:
        """Open the shared file and read what its tables begin with: nobody's first search has to wait for that."""
        self._thread.submit(self._ask, 0, _prepared)

    async def covered(self, account: Account, uidvalidity: int) -> Covered | None:
        """See Lookup."""
        key_id = await self._key_of(account)
        return await self._answer(key_id, lambda db: _covered(db, account, uidvalidity, key_id))

    async def page(self, covered: Covered, wanted: Wanted, limit: int, most: int) -> Page | None:
        """See Lookup."""
        return await self._answer(covered.key_id, lambda db: _page(db, covered, wanted, (limit, most)))

    async def holders(self, covered: Covered, texts: Sequence[Has], uids: Sequence[int]) -> Holders | None:
        """See Lookup."""
        return await self._answer(covered.key_id, lambda db: _holders(db, covered, texts, uids))

    async def ranked(self, account: Account, words: str, limit: int) -> list[Ranked] | None:
        """See Lookup."""
        return await self._answer(await self._key_of(account), lambda db: _ranked(db, account, words, limit))

    def close(self) -> None:
        """Release all files."""
        self._thread.submit(self._files.close)
        self._thread.shutdown()

    async def _key_of(self, account: Account) -> int:
        row = await self._reader.account(account) if self._reader else None
        return row.key_id if row else 0

    async def _answer(self, key_id: int, question: Callable[[apsw.Connection], _Answer | None]) -> _Answer | None:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, key_id, question)

    def _ask(self, key_id: int, question: Callable[[apsw.Connection], _Answer | None]) -> _Answer | None:
        try:
            db = self._files.of(key_id)
            if db is None:
                return None
            db.execute("BEGIN")
            try:
                return question(db)
            finally:
                db.execute("COMMIT")
        except (apsw.Error, file.NoCipher) as error:
            self._files.drop(key_id)
            self._events.emit("search.unusable", exc_info=True)
            if isinstance(error, file.DAMAGE):
                self._files.throw_away(key_id)
            return None


def _prepared(db: apsw.Connection) -> None:
    for part in Part:
        postings(db, part, _NOWHERE, 0).at_most(_LAST)
    db.execute("SELECT rowid FROM words WHERE words MATCH ?", (question("nowhere"),)).fetchone()


def _covered(db: apsw.Connection, account: Account, uidvalidity: int, key_id: int) -> Covered | None:
    row: Any = db.execute(
        "SELECT build, id, indexed FROM folder, mark WHERE account = ? AND uidvalidity = ?", (account, uidvalidity)
    ).fetchone()
    if row is None:
        return None
    build, folder, uid = row
    return Covered(build, folder, uid, key_id)


def _page(db: apsw.Connection, covered: Covered, wanted: Wanted, bounds: tuple[int, int]) -> Page | None:
    if not _stands(db, covered):
        return None
    limit, most = bounds
    low, high = covered.folder << UID_BITS, covered.folder << UID_BITS | min(limit, covered.uid)
    everything = streams.Any([_stream(db, wanted, low), Source(lambda at: _partial(db, low, at))])
    found: list[tuple[int, bool]] = []
    for _ in range(most):
        high = everything.at_most(high)
        if high == END:
            return Page(found, 0)
        texts, whole = _document(db, high)
        if (matching := holds(wanted, texts)) or not whole:
            found.append((high - low, matching))
        high -= 1
    return Page(found, max(0, high - low))


def _holders(db: apsw.Connection, covered: Covered, asked: Sequence[Has], uids: Sequence[int]) -> Holders | None:
    if not _stands(db, covered):
        return None
    low = covered.folder << UID_BITS
    few = len(asked) <= MOST
    sources = [_stream(db, each, low) for each in asked] if few else [Source(lambda at: _documents(db, low, at))]
    stream = streams.All([streams.Listed(uids, low), streams.Any(sources)])
    having: list[set[int]] = [set() for _ in asked]
    number = low + uids[-1]
    while (number := stream.at_most(number)) != END:
        texts, _ = _document(db, number)
        for holders, each in zip(having, asked, strict=True):
            if holds(each, texts):
                holders.add(number - low)
        number -= 1
    partial = frozenset(number - low for number in _partial(db, low + uids[0], low + uids[-1]))
    return Holders(tuple(map(frozenset, having)), partial)


def _stands(db: apsw.Connection, covered: Covered) -> bool:
    """Whether the index is still the one that this was said of."""
    row: Any = db.execute("SELECT build, indexed FROM mark, folder WHERE id = ?", (covered.folder,)).fetchone()
    return row is not None and row[0] == covered.build and row[1] >= covered.uid


def _document(db: apsw.Connection, number: int) -> tuple[dict[str, str], bool]:
    """What the index has of a message's text, and whether that is all."""
    row: Any = db.execute("SELECT partial, texts FROM document WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise apsw.CorruptError(f"document {number} is missing")
    return file.unpack_texts(row[1]), not row[0]


def _ranked(db: apsw.Connection, account: Account, words: str, limit: int) -> list[Ranked]:
    asked = question(words)
    found: list[Ranked] = []
    folders: Any = db.execute("SELECT id, mailbox, uidvalidity FROM folder WHERE account = ?", (account,)).fetchall()
    for number, mailbox, uidvalidity in folders if asked else ():
        low = number << UID_BITS
        rows: Any = db.execute(
            "SELECT rowid, answers(words) FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?"
            " ORDER BY rowid DESC LIMIT ?", (asked, low, (number + 1 << UID_BITS) - 1, RANKED)
        )  # fmt: skip
        found += [Ranked(mailbox, uidvalidity, row - low, rank) for row, rank in rows]
    # Of equals the newest, as far as UIDs tell.
    return heapq.nlargest(limit, found, key=lambda one: (one.rank, one.uid))


def _stream(db: apsw.Connection, wanted: Wanted, low: int) -> Stream:
    match wanted:
        case Both(of):
            return streams.All([_stream(db, each, low) for each in of])
        case Either(of):
            return streams.Any([_stream(db, each, low) for each in of])
        case Has(parts):
            return streams.Any([postings(db, part, wanted.term, low) for part in parts])


def postings(db: apsw.Connection, part: Part, text: str, low: int) -> Source:
    """Numbers from `low` on of documents that have all trigrams of the text in this part."""
    sql = f"SELECT rowid FROM {part} WHERE {part} MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC"
    terms = _terms(text)
    return Source(lambda high: _numbers(db.execute(sql, (terms, low, high))))


def _documents(db: apsw.Connection, low: int, high: int) -> Iterator[int]:
    return _numbers(db.execute("SELECT id FROM document WHERE id BETWEEN ? AND ? ORDER BY id DESC", (low, high)))


def _partial(db: apsw.Connection, low: int, high: int) -> Iterator[int]:
    sql = "SELECT id FROM document WHERE partial AND id BETWEEN ? AND ? ORDER BY id DESC"
    return _numbers(db.execute(sql, (low, high)))


def _numbers(rows: Any) -> Iterator[int]:
    # Closed, not only dropped: apsw 3.54.0.0 goes on with a statement whose cursor is dropped before its last row, and
    # its transaction never ends.
    with contextlib.closing(rows):
        for (number,) in rows:
            yield number


def _terms(text: str) -> str:
    """FTS5's words for what must be there for the text to be."""
    text = text.replace("\x00", " ")
    if len(text) < 3:
        return f"{_quoted(text)} *"
    trigrams = dict.fromkeys(text[at : at + 3] for at in range(len(text) - 2))
    return " AND ".join(_quoted(trigram) for trigram in list(trigrams)[:MAX_TRIGRAMS])


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
