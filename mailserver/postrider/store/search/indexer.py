"""The indexer: follows what is stored into the index, and takes out what is gone. It runs in the background process.

It looks at an account when its modseq has moved, at a folder from its highest indexed UID on, a batch at a time, so
that no account waits for another's million. Nothing here is needed for a search to be right: what is not indexed is
scanned.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from postrider.mime import parse
from postrider.model.ports import Clock, Random
from postrider.store.directory import free_space
from postrider.store.ports import Reader
from postrider.store.search import file
from postrider.store.search.file import Marks
from postrider.store.search.index import Folder, Index
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


def present_marks() -> Marks:
    """What an index must agree with, on this machine and in this release."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return Marks(f"{TEXT} {parse.VERSION} {unicodedata.unidata_version}", boot)


class Indexer:
    """Keeps one index up to date."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._index: Index | None = None
        #: The modseq up to which an account was looked at, and how many of its messages are not indexed yet.
        self._done: dict[Account, int] = {}
        self._present: set[Account] = set()
        self._waiting: dict[Account, int] = {}
        #: When a folder was last rid of what is gone, and when an account must be looked at for that.
        self._cleaned: dict[int, float] = {}
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
        if self._index is not None:
            self._index.close()
            self._index = None

    async def look(self) -> bool:
        """Index a turn's worth of each account that has something new; False when nothing is left to do."""
        free, total = free_space(self._ports.directory)
        if free < min(FLOOR, total // FLOOR_PART):
            return False
        try:
            return await self._look(self._opened())
        except file.DAMAGE as error:
            self._index = None
            file.remove(file.index_path(self._ports.directory))
            self._ports.events.emit("search.damaged", reason=str(error))
            return True

    def _opened(self) -> Index:
        if self._index is not None and self._index.is_there():
            return self._index
        self.close()
        self._present = set()
        self._done.clear()
        self._waiting.clear()
        build = int.from_bytes(self._ports.random.token(7))
        self._index = Index(file.index_path(self._ports.directory), present_marks(), build)
        if self._index.begun_anew:
            self._ports.events.emit("search.rebuilt", reason=self._index.begun_anew)
        return self._index

    async def _look(self, index: Index) -> bool:
        more = False
        now = self._ports.clock.monotonic()
        present: set[Account] = set()
        last = ""
        while rows := await self._ports.reader.accounts(after=last):
            for row in rows:
                present.add(row.name)
                if self._done.get(row.name) != row.modseq or self._due.get(row.name, now) < now:
                    more = not await self._account(index, row) or more
            last = rows[-1].name
        for account in index.accounts() if present != self._present else ():
            if account not in present:
                await self._forget(index, index.folders(account).values())
                for known in (self._done, self._waiting, self._due):
                    known.pop(account, None)
        self._present = present
        self._ports.metrics.observe("postrider_search_waiting_messages", sum(self._waiting.values()))
        return more

    async def _account(self, index: Index, row: AccountRow) -> bool:
        """Give an account its turn; True when nothing is left to do in it now."""
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
            self._done[row.name] = row.modseq
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
        try:
            rows = await self._ports.reader.messages(folder.account, folder.mailbox, uids) if uids else ()
        except StoreError:
            account = await self._ports.reader.account(folder.account)
            if account is None or not account.encrypted:
                raise
            rows = ()  # its key is missing: no other account waits for it
            documents += [_unread(uid) for uid in uids]
        size = 0
        for row in rows:
            found = await self._document(folder.account, row)
            documents.append(found)
            size += sum(map(len, found.texts.values()))
            if size > CHARACTERS:
                index.put(folder, documents, row.uid)
                self._ports.metrics.count("postrider_search_indexed_total", len(documents))
                documents, size = [], 0
            await asyncio.sleep(0)
        index.put(folder, documents, upto)
        self._ports.metrics.count("postrider_search_indexed_total", len(documents))

    async def _document(self, account: Account, row: MessageRow) -> Document:
        if row.sealed:  # what is encrypted is in no index
            return _unread(row.uid)
        reader = self._ports.reader
        try:
            content = await content_of(reader, account, row)
            header = await header_of(reader, account, row, content)
            return document(row.uid, header, await texts_of(reader, account, row, content))
        except StoreError:  # it cannot be read now
            return _unread(row.uid)

    async def _clean(self, index: Index, folder: Folder, mailbox: MailboxRow) -> None:
        """Take out what was expunged; where that is little and the folder large, later."""
        gone = folder.documents - mailbox.messages
        if gone <= 0:
            return
        now = self._ports.clock.monotonic()
        if folder.documents > SMALL and gone * 20 < folder.documents:
            due = self._cleaned.setdefault(folder.id, now) + GONE_SECONDS
            if now < due:
                self._due[folder.account] = due
                return
        self._cleaned[folder.id] = now
        for uids in index.uids(folder):
            # Whoever is below the mark and still there is indexed: so many rows reach as far as these UIDs.
            rows = await self._ports.reader.flags(folder.account, mailbox.id, above=uids[0] - 1, limit=len(uids))
            index.remove(folder, sorted({*uids} - {row.uid for row in rows}))

    async def _forget(self, index: Index, folders: Collection[Folder]) -> None:
        for folder in folders:
            while not index.forget(folder):  # noqa: ASYNC110 -- others run after each slice
                await asyncio.sleep(0)
            self._cleaned.pop(folder.id, None)


def _unread(uid: int) -> Document:
    """A message of which the index has nothing: whoever searches looks."""
    return Document(uid, {}, whole=False)
