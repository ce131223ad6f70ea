"""Export: the folders of an account as they are now into a directory, going on where an export before stopped."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from postrider.ops.exchange.letter import PIECE
from postrider.ops.exchange.progress import Progress
from postrider.ops.exchange.targets import Folder, Target
from postrider.store.ports import Reader
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account, MailboxRow, MessageRow

#: Rows that are read at once.
_SLICE = 100
#: What no other folder would fare better with.
_NOWHERE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


@dataclass(slots=True)
class Outcome:
    """What an export did so far."""

    written: int = 0
    #: An export before this one had written them.
    known: int = 0
    #: Messages whose body is damaged, and folders that the filesystem refused.
    failed: int = 0
    folders: int = 0


class Export:
    """One export. Mail that comes while it runs is not in it, mail that goes may be."""

    def __init__(self, reader: Reader, account: Account, target: Target, progress: Progress) -> None:
        self._reader = reader
        self._account = account
        self._target = target
        self._progress = progress
        self.outcome = Outcome()

    async def run(self, wanted: Callable[[str], bool] = lambda _: True) -> Outcome:
        """Export the folders whose names are wanted. Raises StoreError, OSError."""
        rows = [row for row in await self._reader.mailboxes(self._account) if wanted(row.name)]
        self._progress.begin(sum(row.bytes for row in rows))
        for row in rows:
            try:
                folder = self._target.folder(row, self._progress.complain)
            except OSError as error:
                if error.errno in _NOWHERE:
                    raise
                self._progress.complain(f"folder {row.name!r} is left out: {error}")
                self.outcome.failed += 1
                continue
            await self._fill(folder, row)
            folder.close()
            self.outcome.folders += 1
        subscribed = await self._reader.subscriptions(self._account)
        self._target.subscribe([name for name in subscribed if wanted(name)])
        return self.outcome

    async def _fill(self, folder: Folder, mailbox: MailboxRow) -> None:
        present = await self._reader.uids(self._account, mailbox.id)
        uids = [uid for uid in present if uid < mailbox.uidnext]
        missing = folder.missing(uids)
        known = len(uids) - len(missing)
        self.outcome.known += known
        self._progress.advance(known, mailbox.bytes * known // max(len(uids), 1))
        for start in range(0, len(missing), _SLICE):
            await self._write(folder, mailbox, missing[start : start + _SLICE])

    async def _write(self, folder: Folder, mailbox: MailboxRow, uids: Sequence[int]) -> None:
        for row in await self._reader.messages(self._account, mailbox.id, uids):
            try:
                await self._write_one(folder, row)
                self.outcome.written += 1
            except StoreError as error:
                if error.reason is not Reason.UNAVAILABLE:
                    raise
                self._progress.complain(f"message {row.uid} of {mailbox.name!r} is left out: {error}")
                self.outcome.failed += 1
            self._progress.advance(1, row.size)

    async def _write_one(self, folder: Folder, row: MessageRow) -> None:
        first = await self._reader.body(self._account, row.blob, 0, min(PIECE, row.blob.size))
        writing = folder.begin(row)
        try:
            writing.write(row.prefix + first)
            for start in range(PIECE, row.blob.size, PIECE):
                length = min(PIECE, row.blob.size - start)
                writing.write(await self._reader.body(self._account, row.blob, start, length))
        except BaseException:
            writing.abort()
            raise
        writing.finish()
