"""The reading half of a front: a read-only connection of its own, and bodies straight from the packs."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import apsw

from postrider.store.blobs import BlobReader, Moved
from postrider.store.codecs import BadFrame
from postrider.store.conditions import Condition
from postrider.store.keys import KeyMissing, Keys
from postrider.store.sqlite import reads, selection
from postrider.store.sqlite.account_reader import AccountReader
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Blob, Changes, FlagRow, MailboxRow, MessageRow, QueueRow

#: Longer reads leave the event loop for a thread: the disk may be slow.
_DIRECT = 128 * 1024
#: Seconds that files are kept open for the next read. A pack that is compacted away takes its room until the last of
#: its readers lets go of it.
KEPT_OPEN = 30.0
#: How often a body may turn out to be somewhere else by now.
_MOVES = 3


class SqliteReader(AccountReader):
    """Implements ports.Reader. `ensure` is AccountReader's."""

    def __init__(
        self, db: apsw.Connection, blobs: BlobReader, ensure: Callable[[Account], Awaitable[object]] | None, keys: Keys
    ) -> None:
        super().__init__(db, ensure)
        self._blobs = blobs
        self._keys = keys
        self._letting_go: asyncio.TimerHandle | None = None

    async def mailboxes(self, account: Account) -> Sequence[MailboxRow]:
        """All folders, by name."""
        return reads.mailboxes(self._db, await self._owner(account))

    async def mailbox(self, account: Account, mailbox_id: int) -> MailboxRow | None:
        """One folder, None when it is gone."""
        return reads.mailbox(self._db, await self._owner(account), mailbox_id)

    async def subscriptions(self, account: Account) -> Sequence[str]:
        """All subscribed names, in order."""
        return reads.subscriptions(self._db, await self._owner(account))

    async def uids(self, account: Account, mailbox_id: int, *, above: int = 0) -> array[int]:
        """All UIDs of a folder from above+1 on, in order."""
        owner = await self._owner(account)
        found = array("I")
        while piece := reads.uids(self._db, owner, mailbox_id, above):
            found.extend(piece)
            above = piece[-1]
            await asyncio.sleep(0)  # a million are not read before others have their turn
        return found

    async def flags(self, account: Account, mailbox_id: int, *, above: int = 0, limit: int = 0) -> Sequence[FlagRow]:
        """UIDs with their flags in UID order."""
        return reads.flags(self._db, await self._owner(account), mailbox_id, above, limit)

    async def select(
        self, account: Account, mailbox_id: int, condition: Condition, first: int, last: int
    ) -> array[int]:
        """UIDs of messages for which a condition holds."""
        return selection.select(self._db, (await self._owner(account), mailbox_id), condition, (first, last))

    async def messages(self, account: Account, mailbox_id: int, uids: Sequence[int]) -> Sequence[MessageRow]:
        """Rows of these UIDs in UID order."""
        folder = (await self._owner(account), mailbox_id)
        with _readable(account):
            return reads.messages(self._db, folder, uids, self._keys)

    async def changes(self, account: Account, mailbox_id: int, since: int, *, limit: int = 0) -> Changes:
        """What happened in a folder after modseq `since`."""
        return reads.changes(self._db, (await self._owner(account), mailbox_id), since, limit)

    async def body(self, account: Account, blob: Blob, start: int = 0, length: int | None = None) -> bytes:
        """A range of a body's bytes."""
        if self._letting_go is None:
            self._letting_go = asyncio.get_running_loop().call_later(KEPT_OPEN, self._let_go)
        for _ in range(_MOVES):
            place = reads.place(self._db, blob.id)
            if place is None:
                break
            with contextlib.suppress(Moved):  # a pack was compacted since we looked
                if (blob.size - start if length is None else length) <= _DIRECT:
                    return self._blobs.read(place, start, length)
                return await asyncio.to_thread(self._blobs.read_aside, place, start, length)
        raise StoreError(Reason.UNAVAILABLE, f"body {blob.id} of {account} is gone")

    async def file(self, account: Account, blob: Blob) -> str:
        """The file that is a message, "" where bodies are none."""
        place = reads.place(self._db, blob.id)
        if place is None:
            raise StoreError(Reason.UNAVAILABLE, f"body {blob.id} of {account} is gone")
        return self._blobs.file(place)

    async def usage(self, account: Account) -> tuple[int, int]:
        """Bytes and messages stored in the account."""
        return reads.usage(self._db, await self._owner(account))

    async def queue(self, *, after: int = 0, limit: int = 100) -> Sequence[QueueRow]:
        """Queue rows by id."""
        with _readable("the queue"):
            return reads.queue(self._db, after, limit, self._keys)

    async def next_due(self, lanes: Sequence[int]) -> int | None:
        """When the next row of these lanes can be claimed."""
        return reads.next_due(self._db, lanes)

    async def counters(self) -> Mapping[str, int]:
        """All counters."""
        return reads.counters(self._db)

    async def recall(self, key: str, now: int) -> bytes | None:
        """A value of Remember that has not expired."""
        return reads.recall(self._db, key, now)

    def close(self) -> None:
        """Release connection and files."""
        self._let_go()
        self._db.close()

    def _let_go(self) -> None:
        """Close files; the next read opens what it needs."""
        if self._letting_go:
            self._letting_go.cancel()
            self._letting_go = None
        self._blobs.close()


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    """Raises StoreError(UNAVAILABLE) where a key is missing, or what it opens is damaged."""
    try:
        yield
    except (KeyMissing, BadFrame) as error:
        raise StoreError(Reason.UNAVAILABLE, f"{what} cannot be read: {error}") from error
