"""Import: the letters of a source into an account, many in a transaction, each once however often it is begun anew.

A letter's key is the folder it goes to, its name in its own and its content. The store keeps it in the transaction
that stores the message, so whatever ends an import, the next one stores what is missing and nothing twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postrider.ingest.content import content
from postrider.ingest.spool import IN_MEMORY, Spool, Spooled
from postrider.mailbox.actions import Actions
from postrider.mailbox.names import INBOX, SEPARATOR
from postrider.model.ports import Clock
from postrider.ops.exchange import names
from postrider.ops.exchange.letter import Letter, LineEnds, sound_keywords
from postrider.ops.exchange.progress import Progress
from postrider.ops.exchange.sources import Source
from postrider.store.ports import Reader
from postrider.store.transactions import NewMessage, Reason, StoreError
from postrider.store.values import MailboxRow

#: Messages and octets of one transaction: nobody's 250 waits long behind it.
_BATCH, _BATCH_OCTETS = 100, 2 * 1024 * 1024
#: Transactions that wait for their answer while the next is read: one sync serves them all.
_UNDER_WAY = 3


@dataclass(frozen=True, slots=True)
class Wishes:
    """What whoever imports may choose."""

    #: Everything goes below this folder, and what would be INBOX into it; "" is the account itself.
    into: str = ""
    #: "Sent Items" stays what it is called, though there is a folder for sent mail.
    keep_names: bool = False
    #: Another label imports once more what was imported before.
    label: str = ""


@dataclass(slots=True)
class Account:
    """The account that mail is imported into."""

    actions: Actions
    reader: Reader
    clock: Clock
    #: Directory for messages too large to be held; the store's writer reads it.
    spool: Path


@dataclass(slots=True)
class Outcome:
    """What an import did so far."""

    stored: int = 0
    #: An import before this one had stored them.
    known: int = 0
    empty: int = 0
    #: Folders and letters that could not be taken.
    failed: int = 0
    folders: int = 0


@dataclass(slots=True)
class _Arriving:
    """A letter on its way."""

    letter: Letter
    spool: Spool
    spooled: Spooled
    key: bytes
    octets: int


@dataclass(slots=True)
class _Batch:
    """What the next transaction will hold."""

    arriving: list[_Arriving] = field(default_factory=list)
    octets: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.arriving) >= _BATCH or self.octets >= _BATCH_OCTETS

    def close(self) -> None:
        for one in self.arriving:
            one.spool.close()


class Import:
    """One import. `outcome` says at any moment what is durable."""

    def __init__(self, source: Source, account: Account, progress: Progress, wishes: Wishes) -> None:
        self._source = source
        self._account = account
        self._progress = progress
        self._wishes = wishes
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Import everything. Raises StoreError when the store takes no more (quota, space, it ended); OSError."""
        self._progress.begin(self._source.size)
        await self._account.actions.open()
        folders = await self._folders()
        uses = {row.special_use: row.name for row in folders.values() if row.special_use}
        made: list[str] = []
        for folder, name in self._places(uses).items():
            try:
                sound = names.acceptable(name)
                if sound not in folders and await self._make(sound, uses):
                    made.append(sound)
                if sound not in folders:
                    folders = await self._folders()
            except StoreError as error:
                if error.reason is not Reason.INVALID:
                    raise
                self._progress.complain(f"folder {name!r} is passed over: {error}")
                self.outcome.failed += 1
                continue
            await self._fill(folder, folders[sound].id)
            self.outcome.folders += 1
        await self._subscribe(made)
        return self.outcome

    # -- folders -------------------------------------------------------------------------------------------------

    def _places(self, uses: dict[str, str]) -> dict[str, str]:
        """Source folders and the names they get here."""
        if self._wishes.into:
            return {name: self._below(name) for name in self._source.folders}
        return names.places(self._source.folders, {} if self._wishes.keep_names else uses)

    def _below(self, name: str) -> str:
        return self._wishes.into if name == INBOX else f"{self._wishes.into}{SEPARATOR}{name}"

    async def _folders(self) -> dict[str, MailboxRow]:
        return {row.name: row for row in await self._account.reader.mailboxes(self._account.actions.account)}

    async def _make(self, name: str, uses: dict[str, str]) -> bool:
        """Make a folder; false when it is there already, as the parent of one that was made."""
        use = names.special_use(name)
        try:
            await self._account.actions.create(name, "" if use in uses else use)
        except StoreError as error:
            if error.reason is not Reason.EXISTS:
                raise
            return False
        if use:
            uses.setdefault(use, name)
        return True

    async def _subscribe(self, made: Sequence[str]) -> None:
        """To what the source's owner had subscribed; where it does not say, to the folders that are new."""
        wanted = self._source.subscribed
        if wanted is not None and self._wishes.into:
            wanted = [self._below(name) for name in wanted]
        for name in made if wanted is None else wanted:
            try:
                await self._account.actions.subscribe(names.acceptable(name), subscribed=True)
            except StoreError as error:
                if error.reason is not Reason.INVALID:
                    raise
                self._progress.complain(f"subscription to {name!r} is passed over: {error}")

    # -- messages ------------------------------------------------------------------------------------------------

    async def _fill(self, folder: str, mailbox_id: int) -> None:
        """All letters of a folder, in their order; while some are committed the next are read."""
        turns: Counter[bytes] = Counter()
        batch = _Batch()
        committing: deque[asyncio.Task[None]] = deque()
        try:
            for letter in self._source.letters(folder):
                arriving = await self._receive(letter, mailbox_id, turns)
                if arriving is None:
                    continue
                batch.arriving.append(arriving)
                batch.octets += arriving.octets
                if batch.is_full:
                    committing.append(await self._send(batch, mailbox_id))
                    batch = _Batch()
                while len(committing) > _UNDER_WAY:
                    await committing.popleft()
            committing.append(await self._send(batch, mailbox_id))
            while committing:
                await committing.popleft()
        finally:
            for task in committing:
                task.cancel()
            await asyncio.gather(*committing, return_exceptions=True)
            batch.close()

    async def _receive(self, letter: Letter, mailbox_id: int, turns: Counter[bytes]) -> _Arriving | None:
        """A letter as it will be stored; None where there is nothing, or it cannot be read."""
        spool = Spool(self._account.spool, drop_return_path=False)
        try:
            octets = await self._spool(letter, spool)
            spooled = spool.finish()
        except _Unreadable as error:
            self._progress.complain(f"{os.fsdecode(letter.name)!r} cannot be read: {error}")
            self.outcome.failed += 1
            spool.close()
            return None
        except BaseException:
            spool.close()
            raise
        if not octets:
            self.outcome.empty += 1
            return None
        key = self._key(b"%d" % mailbox_id, letter.name, spooled.body.hash)
        if self._source.repeats:
            turns[key] += 1
            key = self._key(key, b"%d" % turns[key])
        return _Arriving(letter, spool, spooled, key, octets)

    async def _spool(self, letter: Letter, spool: Spool) -> int:
        """Receive a letter with CRLF at its line ends, as IMAP wants it; the octets it has in its source."""
        ends = LineEnds()
        octets = 0
        for piece in _readable(letter.pieces):
            octets += len(piece)
            await spool.write(ends.feed(piece))
        await spool.write(ends.end())
        return octets

    def _key(self, *parts: bytes) -> bytes:
        made = hashlib.blake2b(digest_size=20)
        for part in (self._wishes.label.encode(), *parts):
            made.update(b"%d:%b" % (len(part), part))
        return made.digest()

    async def _send(self, batch: _Batch, mailbox_id: int) -> asyncio.Task[None]:
        """Begin to store what the account does not have yet."""
        try:
            keys = [one.key for one in batch.arriving]
            known = await self._account.reader.appended(self._account.actions.account, keys)
            messages = [await self._message(one) for one in batch.arriving if one.key not in known]
        except BaseException:
            batch.close()
            raise
        return asyncio.create_task(self._commit(batch, messages, mailbox_id))

    async def _commit(self, batch: _Batch, messages: Sequence[NewMessage], mailbox_id: int) -> None:
        try:
            if messages:
                await self._account.actions.append(mailbox_id, messages)
        finally:
            batch.close()
        self.outcome.stored += len(messages)
        self.outcome.known += len(batch.arriving) - len(messages)
        self._progress.advance(len(batch.arriving), batch.octets)

    async def _message(self, arriving: _Arriving) -> NewMessage:
        letter, spooled = arriving.letter, arriving.spooled
        scan = _content(spooled) if spooled.body.size <= IN_MEMORY else await asyncio.to_thread(_content, spooled)
        cached, thread_keys = scan
        received = int(self._account.clock.now()) if letter.received is None else letter.received
        words = sound_keywords(letter.keywords)
        return NewMessage(spooled.body, received, cached, letter.flags, words, thread_keys, arriving.key)


class _Unreadable(Exception):
    """A letter's file cannot be read."""


def _readable(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, with an error of the source told from those of the spool. Raises _Unreadable."""
    try:
        yield from pieces
    except OSError as error:
        raise _Unreadable(error.strerror) from error


def _content(spooled: Spooled) -> tuple[bytes, tuple[bytes, ...]]:
    with spooled.octets() as octets:
        return content(octets)
