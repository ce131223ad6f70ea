"""Takes files that other programs dropped into a Maildir: stored as an import stores them, then removed.

A crash in between stores nothing twice: the key of each has the file's inode and the time it was put there.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from postrider.mailbox.actions import Actions
from postrider.model.ports import Clock
from postrider.ops.exchange import importer, maildir
from postrider.ops.exchange.letter import Letter
from postrider.ops.exchange.maildir_files import Keywords
from postrider.ops.exchange.progress import Progress
from postrider.ops.exchange.sources import pieces_of
from postrider.store.ports import Store
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import Account
from postrider.telemetry.events import Events

#: Seconds since a file was last touched: until then whoever does not rename it into its place may be writing it.
SETTLED = 1.0
#: Files of one go, and seconds until one that could not be taken is tried again.
BATCH, AGAIN = 100, 300.0
#: Tells these keys from those of imports.
LABEL = "maildir"
#: Reasons why a message, or any, is not taken now, and the next may be.
_LATER = frozenset({Reason.OVER_QUOTA, Reason.NO_SPACE, Reason.INVALID, Reason.LIMIT, Reason.WRITE_FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """What adoption needs for one account."""

    store: Store
    account: Account
    #: The account's actions, with the present quotas.
    actions: Callable[[], Actions]
    clock: Clock
    events: Events
    spool: Path


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file as it was when it was looked at."""

    path: str
    inode: int
    #: When it was put there, or touched last.
    changed: int


@dataclass(slots=True)
class Drop:
    """Dropped files of one folder. Implements sources.Source."""

    folder: str
    where: Path
    files: Sequence[Dropped]
    subscribed: Sequence[str] | None = None
    repeats: bool = False
    size: int = 0
    #: Files that were handed over, and why others could not be.
    read: list[Dropped] = field(default_factory=list)
    closed: dict[Dropped, str] = field(default_factory=dict)

    @property
    def folders(self) -> Sequence[str]:
        """The one folder."""
        return (self.folder,)

    def letters(self, folder: str) -> Iterator[Letter]:
        """As Source.letters; one that is gone or another by now is left for the next look."""
        table = Keywords(self.where).table
        for dropped in self.files:
            try:
                fd = os.open(self.where / dropped.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                self.closed[dropped] = error.strerror or str(error)
                continue
            file = os.fdopen(fd, "rb")
            status = os.fstat(fd)
            if _dropped(dropped.path, status) != dropped:
                file.close()
                continue
            said = maildir.parse_name(dropped.path[4:])
            name = os.fsencode(f"{dropped.inode}.{dropped.changed}.{said.unique}")
            self.read.append(dropped)
            words = maildir.keywords(said.letters, table)
            yield Letter(name, pieces_of(file), said.flags, words, int(status.st_mtime))


class Adoption:
    """Adopts for one account."""

    def __init__(self, taking: Taking) -> None:
        self._taking = taking
        #: What could not be taken, and when it is tried again (monotonic).
        self._refused: dict[Dropped, float] = {}

    async def take(self, folder: str, where: Path, paths: Sequence[str]) -> bool:
        """Take these files into a folder, made where it is missing; true when some are to be looked at again soon.

        Raises StoreError when the store takes nothing; OSError.
        """
        ripe, soon = self._ripe(where, paths)
        for start in range(0, max(len(ripe), 1), BATCH):
            some = ripe[start : start + BATCH]
            if await self._import(folder, where, some):
                continue
            for one in some:
                await self._import(folder, where, [one])
        return soon

    def _ripe(self, where: Path, paths: Sequence[str]) -> tuple[list[Dropped], bool]:
        """Files that can be taken now, and whether there are some that can be later."""
        now, moment = self._taking.clock.now(), self._taking.clock.monotonic()
        most = self._taking.actions().allowed.quota_bytes
        self._refused = {one: until for one, until in self._refused.items() if until > moment}
        ripe: list[Dropped] = []
        soon = False
        for path in paths:
            try:
                status = os.lstat(where / path)
            except FileNotFoundError:
                continue
            # Links could lead to anything the server can read; an empty file is not a message (yet).
            if not stat.S_ISREG(status.st_mode) or not status.st_size:
                continue
            one = _dropped(path, status)
            if now - status.st_ctime < SETTLED or one in self._refused:
                soon = True
            elif 0 < most < status.st_size:  # nobody has to copy it to know
                self._refuse(where, one, Reason.OVER_QUOTA)
                soon = True
            else:
                ripe.append(one)
        return ripe, soon

    async def _import(self, folder: str, where: Path, files: Sequence[Dropped]) -> bool:
        """Store files and remove them; false when they are to be taken one by one."""
        taking = self._taking
        drop, told = Drop(folder, where, files), io.StringIO()
        account = importer.Account(taking.actions(), taking.store.reader, taking.clock, taking.spool)
        wishes = importer.Wishes(keep_names=True, label=LABEL)
        text = ""
        try:
            done = await importer.Import(drop, account, Progress(told, taking.clock), wishes).run()
            if not done.failed:
                for one in drop.read:
                    _remove(where, one)
                for one, reason in drop.closed.items():
                    self._refuse(where, one, reason)
                return True
            text = told.getvalue().strip()
        except StoreError as error:
            if error.reason not in _LATER:
                raise
            text = str(error)
        if len(files) != 1:
            return not files
        self._refuse(where, files[0], text)
        return True

    def _refuse(self, where: Path, one: Dropped, reason: str) -> None:
        self._refused[one] = self._taking.clock.monotonic() + AGAIN
        path = str(where / one.path)
        self._taking.events.emit("maildir.left", account=self._taking.account, file=path, reason=reason)


def _dropped(path: str, status: os.stat_result) -> Dropped:
    return Dropped(path, status.st_ino, status.st_ctime_ns)


def _remove(where: Path, one: Dropped) -> None:
    """It is stored; what has its name by now may be another file."""
    try:
        if _dropped(one.path, os.lstat(where / one.path)) == one:
            (where / one.path).unlink()
    except FileNotFoundError:
        return
