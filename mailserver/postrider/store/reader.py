"""The reading half of a front: a read-only connection of its own, and bodies straight from the packs."""

from __future__ import annotations

import asyncio
import os
from array import array
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import apsw

from postrider.store import packs, records
from postrider.store.packs import pack_path
from postrider.store.records import HEADER_SIZE, BadRecord
from postrider.store.sqlite import reads
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, Blob, Changes, FlagRow, MailboxRow, MessageRow, QueueRow

_OPEN_PACKS = 64
#: Reads beyond it leave the event loop for a thread: the disk may be slow.
_DIRECT = 128 * 1024


#: Pack and offset of a record.
Place = tuple[int, int]


class PackReader:
    """Reads records; keeps the packs used last open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: OrderedDict[int, int] = OrderedDict()

    def read(self, place: Place, start: int, length: int | None) -> bytes:
        """A range of the body. Raises StoreError(UNAVAILABLE); a whole body's checksum is verified."""
        try:
            return _read_range(self._file(place[0]), place[1], start, length)
        except (OSError, BadRecord) as error:
            raise _unavailable(place, error) from error

    def read_aside(self, place: Place, start: int, length: int | None) -> bytes:
        """The same with a file of its own, for another thread."""
        try:
            fd = os.open(pack_path(self._directory, place[0]), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_range(fd, place[1], start, length)
            finally:
                os.close(fd)
        except (OSError, BadRecord) as error:
            raise _unavailable(place, error) from error

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def _file(self, pack: int) -> int:
        fd = self._files.get(pack)
        if fd is None:
            fd = os.open(pack_path(self._directory, pack), os.O_RDONLY | os.O_CLOEXEC)
            self._files[pack] = fd
            if len(self._files) > _OPEN_PACKS:
                os.close(self._files.popitem(last=False)[1])
        else:
            self._files.move_to_end(pack)
        return fd


def _read_range(fd: int, record: int, start: int, length: int | None) -> bytes:
    header = records.unpack_header(os.pread(fd, HEADER_SIZE, record))
    if header.codec != records.CODEC_PLAIN or header.key_id != records.KEY_NONE:
        raise BadRecord(f"codec {header.codec} with key {header.key_id} is newer than this program")
    end = header.size if length is None else min(header.size, start + length)
    if start == 0 and end == header.size:
        return packs.read_payload(fd, record, header)
    wanted = max(0, end - start)
    data = os.pread(fd, wanted, record + header.payload + start)
    if len(data) < wanted:
        raise BadRecord("the file ends inside a record")
    return data


def _unavailable(place: Place, error: Exception) -> StoreError:
    return StoreError(Reason.UNAVAILABLE, f"pack {place[0]}, record at {place[1]}: {error}")


class SqliteReader:
    """Implements ports.Reader. `ensure` makes an account that is asked about before anything came for it."""

    def __init__(self, db: apsw.Connection, directory: Path, ensure: Callable[[Account], Awaitable[object]]) -> None:
        self._db = db
        self._packs = PackReader(directory)
        self._ensure = ensure

    async def mailboxes(self, account: Account) -> Sequence[MailboxRow]:
        """All folders, by name."""
        return reads.mailboxes(self._db, await self._owner(account))

    async def mailbox(self, account: Account, mailbox_id: int) -> MailboxRow | None:
        """One folder, None when it is gone."""
        return reads.mailbox(self._db, await self._owner(account), mailbox_id)

    async def subscriptions(self, account: Account) -> Sequence[str]:
        """All subscribed names, in order."""
        return reads.subscriptions(self._db, await self._owner(account))

    async def uids(self, account: Account, mailbox_id: int) -> array[int]:
        """All UIDs of a folder in order."""
        return reads.uids(self._db, await self._owner(account), mailbox_id)

    async def flags(self, account: Account, mailbox_id: int, *, above: int = 0, limit: int = 0) -> Sequence[FlagRow]:
        """UIDs with their flags in UID order."""
        return reads.flags(self._db, await self._owner(account), mailbox_id, above, limit)

    async def messages(self, account: Account, mailbox_id: int, uids: Sequence[int]) -> Sequence[MessageRow]:
        """Rows of these UIDs in UID order."""
        return reads.messages(self._db, await self._owner(account), mailbox_id, uids)

    async def changes(self, account: Account, mailbox_id: int, since: int) -> Changes:
        """What happened in a folder after modseq `since`."""
        return reads.changes(self._db, await self._owner(account), mailbox_id, since)

    async def body(self, account: Account, blob: Blob, start: int = 0, length: int | None = None) -> bytes:
        """A range of a body's bytes."""
        place = reads.place(self._db, blob.id)
        if place is None:
            raise StoreError(Reason.UNAVAILABLE, f"body {blob.id} of {account} is gone")
        if (blob.size - start if length is None else length) <= _DIRECT:
            return self._packs.read(place, start, length)
        return await asyncio.to_thread(self._packs.read_aside, place, start, length)

    async def usage(self, account: Account) -> tuple[int, int]:
        """Bytes and messages stored in the account."""
        return reads.usage(self._db, await self._owner(account))

    async def queue(self, *, after: int = 0, limit: int = 100) -> Sequence[QueueRow]:
        """Queue rows by id."""
        return reads.queue(self._db, after, limit)

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
        self._packs.close()
        self._db.close()

    async def _owner(self, account: Account) -> int:
        owner = reads.account_id(self._db, account)
        if owner is None:
            await self._ensure(account)
            owner = reads.account_id(self._db, account)
        if owner is None:
            raise StoreError(Reason.UNAVAILABLE, "the account was released meanwhile")
        return owner
