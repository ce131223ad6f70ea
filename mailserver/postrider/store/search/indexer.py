"""The indexer: follows what is stored into the index, and takes out what is gone. It runs in the background process.

It looks at an account when its modseq has moved, at a folder from its highest indexed UID on, a batch at a time, so
that no account waits for another's million. Nothing here is needed for a search to be right: what is not indexed is
scanned.

All mail of an account that has a key goes into the file of that account, also what came before and lies in the clear.
An account that gets its first key leaves the shared file, which is then written anew where others are still in it.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw

from postrider.mime import parse
from postrider.model.ports import Clock, Random
from postrider.store.directory import free_space
from postrider.store.keys import KeyMissing, Keys, none
from postrider.store.ports import Reader
from postrider.store.search import file
from postrider.store.search.file import Marks
from postrider.store.search.index import Folder, Index
from postrider.store.search.indexes import Indexes
from postrider.store.search.reading import content_of, header_of, texts_of
from postrider.store.search.wanted import TEXT, Document, document
from postrider.store.transactions import StoreError
from postrider.store.values import Account, AccountRow, MailboxRow, MessageRow
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Messages of a folder before others have their turn; rows read at once; characters in one transaction.
TURN = 1000
ROWS = 50
CHARACTERS = 1024 * 1024
#: Seconds between looks at what changed.
LOOK_EVERY = 1.0
#: Documents of messages that are gone wait until a twentieth of their folder is gone or so many seconds have passed;
#: folders up to SMALL documents do not wait.
GONE_SECONDS = 600
SMALL = 5000
#: Seconds before it is looked again whether an account's key is there, or its file can be used.
PUT_OFF_SECONDS = 30
#: Bytes of free space below which nothing is indexed, or that part of the disk if it is less: mail needs it more.
FLOOR, FLOOR_PART = 512 * 1024 * 1024, 25


@dataclass(frozen=True, slots=True)
class Ports:
    """What the indexer needs. `directory` is the data directory."""

    directory: Path
    reader: Reader
    clock: Clock
    random: Random
    events: Events
    metrics: Metrics
    keys: Keys = none


def present_marks() -> Marks:
    """What an index must agree with, on this machine and in this release."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Marks(f"{TEXT} {parse.VERSION} {unicodedata.unidata_version}", boot)


class Indexer:
    """Keeps the index up to date."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._indexes = Indexes(ports.directory, present_marks(), ports.keys, ports.random, ports.events)
        #: The modseq up to which an account was looked at, and its key then; how many of its messages are not indexed.
        self._done: dict[Account, tuple[int, int]] = {}
        self._waiting: dict[Account, int] = {}
        #: The key of each account that is there, 0 for none.
        self._present: dict[Account, int] = {}
        #: When a folder was last rid of what is gone, and when an account must be looked at for that.
        self._cleaned: dict[tuple[Account, int], float] = {}
        self._due: dict[Account, float] = {}

    async def run(self) -> None:
        """Index until cancelled. Raises apsw.Error and OSError for what does not pass by itself (a full disk)."""
        try:
            while True:
                if not await self.look():
                    await asyncio.sleep(LOOK_EVERY)
        finally:
            self.close()

    def close(self) -> None:
        """Close the index in good order."""
        self._indexes.close_all()

    async def look(self) -> bool:
        """Index a turn's worth of each account that has something new; False when nothing is left to do."""
        free, total = free_space(self._ports.directory)
        if free < min(FLOOR, total // FLOOR_PART):
            return False
        try:
            return await self._look(self._shared())
        except file.DAMAGE as error:
            self._damaged(0, error)
            return True

    def _shared(self) -> Index:
        index, opened = self._indexes.shared()
        if opened:
            self._present = {}
            for account in [name for name, (_, key_id) in self._done.items() if not key_id]:
                del self._done[account]
        return index

    def _damaged(self, key_id: int, error: Exception) -> None:
        self._indexes.throw_away(key_id)
        self._ports.events.emit("search.damaged", reason=str(error))

    async def _look(self, shared: Index) -> bool:
        more = False
        now = self._ports.clock.monotonic()
        present: dict[Account, int] = {}
        last = ""
        while rows := await self._ports.reader.accounts(after=last):
            for row in rows:
                present[row.name] = row.key_id
                if self._done.get(row.name) != (row.modseq, row.key_id) or self._due.get(row.name, now) < now:
                    more = not await self._turn(row) or more
                    await asyncio.sleep(0)
            last = rows[-1].name
        if present != self._present:
            await self._leave(shared, present)
        self._present = present
        kept = self._indexes.kept({*present.values()})
        if kept is not None:
            more = self._missed(kept) or more
        self._ports.metrics.observe("postrider_search_waiting_messages", sum(self._waiting.values()))
        return more or await self._purge(shared)

    def _missed(self, kept: Collection[int]) -> bool:
        """Have those looked at again whose file was taken away; False when there are none."""
        # Who waits for a key has a time when to be looked at.
        done = [(name, key_id) for name, (_, key_id) in self._done.items() if key_id and name not in self._due]
        missing = [name for name, key_id in done if key_id not in kept]
        for account in missing:
            del self._done[account]
        return bool(missing)

    async def _leave(self, shared: Index, present: Mapping[Account, int]) -> None:
        """Take out of the shared index who is gone, or has a file of its own now."""
        for account in shared.accounts():
            if present.get(account) == 0:
                continue
            folders = shared.folders(account).values()
            if account in present and any(folder.indexed for folder in folders):
                shared.note_departure(self._ports.clock.now())
            await self._forget(shared, folders)
        for account in self._present.keys() - present.keys():
            for known in (self._done, self._waiting, self._due):
                known.pop(account, None)
        self._cleaned = {key: when for key, when in self._cleaned.items() if key[0] in present}

    async def _purge(self, shared: Index) -> bool:
        """See that no trace of who left is in the shared file, all of them together; True when it is begun anew."""
        departed, others = shared.departed()
        if not departed or (others and self._ports.clock.now() < departed + GONE_SECONDS):
            return False
        for _ in shared.purge():
            await asyncio.sleep(0)
        if not others:  # a front may still have it open
            self._indexes.throw_away(0)
        return not others

    async def _turn(self, row: AccountRow) -> bool:
        """Give an account its turn; True when nothing is left to do in it now. Its own damage is nobody else's."""
        try:
            index = self._indexes.of(row)
            done = await self._account(index, row)
            if row.key_id:
                index.rest()
            return done
        except KeyMissing:
            self._put_off(row)
            return True
        except file.DAMAGE as error:
            if not row.key_id:
                raise
            self._damaged(row.key_id, error)
            return False
        except (apsw.Error, OSError) as error:
            if not row.key_id or isinstance(error, apsw.FullError):
                raise
            self._ports.events.emit("search.unusable", exc_info=True)
            self._put_off(row)
            return True

    def _put_off(self, row: AccountRow) -> None:
        """The account's file cannot be used for now: no other account waits for it."""
        self._indexes.close(row.key_id)
        self._done[row.name], self._waiting[row.name] = (row.modseq, row.key_id), 0
        self._due[row.name] = self._ports.clock.monotonic() + PUT_OFF_SECONDS

    async def _account(self, index: Index, row: AccountRow) -> bool:
        """Index a turn's worth of each folder; True when all is covered. Raises KeyMissing."""
        self._due.pop(row.name, None)
        mailboxes = await self._ports.reader.mailboxes(row.name)
        known = index.folders(row.name)
        await self._forget(index, [known[gone] for gone in known.keys() - {each.uidvalidity for each in mailboxes}])
        waiting, done = 0, True
        for mailbox in mailboxes:
            folder = known.get(mailbox.uidvalidity)
            if folder is None or folder.mailbox != mailbox.id:
                folder = index.open_folder(row.name, mailbox.uidvalidity, mailbox.id)
            if folder.indexed >= mailbox.uidnext:  # an older database was put in the place of ours
                await self._forget(index, [folder])
                folder = index.open_folder(row.name, mailbox.uidvalidity, mailbox.id)
            folder, complete = await self._folder(index, folder, mailbox)
            if complete:
                await self._clean(index, folder, mailbox)
            waiting += max(0, mailbox.messages - folder.documents)
            done = done and complete
        self._waiting[row.name] = 0 if done else waiting
        if done:
            self._done[row.name] = row.modseq, row.key_id
        return done

    async def _folder(self, index: Index, folder: Folder, mailbox: MailboxRow) -> tuple[Folder, bool]:
        """Index a turn's worth of a folder; True when it is covered up to what `mailbox` says."""
        left = TURN
        while folder.indexed < mailbox.uidnext - 1 and left > 0:
            new = await self._ports.reader.flags(folder.account, mailbox.id, above=folder.indexed, limit=ROWS)
            uids = [row.uid for row in new]
            # What has a UID below UIDNEXT and is not among them is gone for ever (RFC 9051 §2.3.1.1).
            upto = uids[-1] if uids else mailbox.uidnext - 1
            await self._put(index, folder, uids, upto)
            left -= len(uids)
            folder = index.folders(folder.account)[folder.uidvalidity]
        return folder, folder.indexed >= mailbox.uidnext - 1

    async def _put(self, index: Index, folder: Folder, uids: Sequence[int], upto: int) -> None:
        documents: list[Document] = []
        size = 0
        for uid, row in await self._rows(index, folder, uids):
            found = await self._document(index, folder.account, row) if row else _unread(uid)
            documents.append(found)
            size += sum(map(len, found.texts.values()))
            if size > CHARACTERS:
                index.put(folder, documents, uid)
                self._ports.metrics.count("postrider_search_indexed_total", len(documents))
                documents, size = [], 0
            await asyncio.sleep(0)
        index.put(folder, documents, upto)
        self._ports.metrics.count("postrider_search_indexed_total", len(documents))

    async def _rows(self, index: Index, folder: Folder, uids: Sequence[int]) -> Sequence[tuple[int, MessageRow | None]]:
        """Messages by UID, None for one that cannot be read. Raises KeyMissing."""
        if not uids:
            return ()
        reader = self._ports.reader
        try:
            return [(row.uid, row) for row in await reader.messages(folder.account, folder.mailbox, uids)]
        except StoreError:
            self._check(index)
        found: list[tuple[int, MessageRow | None]] = []
        for uid in uids:
            try:
                found += [(row.uid, row) for row in await reader.messages(folder.account, folder.mailbox, (uid,))]
            except StoreError:
                self._check(index)
                found.append((uid, None))
        return found

    def _check(self, index: Index) -> None:
        """Something could not be read. Raises KeyMissing when it is for want of the key: it can be read later."""
        if index.key_id:
            self._ports.keys(index.key_id)

    async def _document(self, index: Index, account: Account, row: MessageRow) -> Document:
        if row.sealed and not index.key_id:  # the account got its key a moment ago
            return _unread(row.uid)
        reader = self._ports.reader
        try:
            content = await content_of(reader, account, row)
            header = await header_of(reader, account, row, content)
            return document(row.uid, header, await texts_of(reader, account, row, content))
        except StoreError:
            self._check(index)
            return _unread(row.uid)

    async def _clean(self, index: Index, folder: Folder, mailbox: MailboxRow) -> None:
        """Take out what was expunged; where that is little and the folder large, later."""
        gone = folder.documents - mailbox.messages
        if gone <= 0:
            return
        now = self._ports.clock.monotonic()
        if folder.documents > SMALL and gone * 20 < folder.documents:
            due = self._cleaned.setdefault((folder.account, folder.uidvalidity), now) + GONE_SECONDS
            if now < due:
                self._due[folder.account] = due
                return
        self._cleaned[folder.account, folder.uidvalidity] = now
        for uids in index.uids(folder):
            # Whoever is below the mark and still there is indexed: so many rows reach as far as these UIDs.
            rows = await self._ports.reader.flags(folder.account, mailbox.id, above=uids[0] - 1, limit=len(uids))
            index.remove(folder, sorted({*uids} - {row.uid for row in rows}))

    async def _forget(self, index: Index, folders: Collection[Folder]) -> None:
        for folder in folders:
            while not index.forget(folder):  # noqa: ASYNC110 -- others run after each slice
                await asyncio.sleep(0)
            self._cleaned.pop((folder.account, folder.uidvalidity), None)


def _unread(uid: int) -> Document:
    """A message of which the index has nothing: whoever searches looks."""
    return Document(uid, {}, whole=False)
