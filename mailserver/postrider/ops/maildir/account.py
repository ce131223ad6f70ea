"""One account's Maildir, kept as the database says: links shown and taken down, files that were dropped taken in.

Nothing is remembered over a restart: names say which message each file is, so a full pass finds what differs. After
it the account's change log tells what to do, and the times of directories tell where somebody else was at work.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from postrider.mailbox.names import INBOX
from postrider.ops.exchange import names
from postrider.ops.exchange.maildir import KEYWORDS
from postrider.ops.exchange.maildir_files import SUBSCRIPTIONS, MaildirTarget, folder_name
from postrider.ops.maildir.adoption import SETTLED, Adoption, Taking
from postrider.ops.maildir.folder import MAX_ENTRY, FolderDirectory, Link, Mark, Scan
from postrider.store.maildir import BODIES
from postrider.store.transactions import Reason, StoreError
from postrider.store.values import AccountChanges, MailboxRow, MessageRow

#: Rows that one step looks at, and links that it makes.
_ROWS, _LINKS = 2000, 200
#: A directory that is never at rest is looked at all the same after so many seconds.
_RESTLESS = 10.0
#: Seconds for each message until a folder is looked at again: a look costs some 8 microseconds for each.
_PAUSE = 0.0003


class _Place(NamedTuple):
    """A folder's directory below the account's, "" for INBOX, and what is shown in it."""

    entry: str
    uidvalidity: int
    name: str


class _Look(NamedTuple):
    """A look at a directory: its times, empty where it is to be looked at again; when; and not before when again."""

    mark: Mark
    at: float
    pause_until: float


class AccountMaildir:
    """One account's Maildir. Used by one task at a time; methods raise StoreError and OSError."""

    def __init__(self, root: Path, taking: Taking) -> None:
        self._root = root
        self._taking = taking
        self._reader = taking.store.reader
        self._account = taking.account
        self._adoption = Adoption(taking)
        #: Shown up to this modseq; below zero before the first full pass.
        self._cursor = -1
        self._places: dict[int, _Place] = {}
        self._looks: dict[str, _Look] = {}
        self._root_mark: Mark = ()

    async def follow(self) -> None:
        """Show what has changed in the database."""
        while self._cursor >= 0:
            changes = await self._reader.account_changes(self._account, self._cursor)
            if changes.floor > self._cursor:
                break
            await self._apply(changes)
            self._cursor = changes.modseq
            if not changes.more:
                return
        await self.mend()

    def touched(self) -> bool:
        """Whether somebody was at work in the directories since they were last looked at. Raises OSError."""
        return self._root_mark != self._mark_root() or any(map(self._is_touched, self._places.values()))

    async def is_behind(self) -> bool:
        """Whether there are changes that are not shown yet."""
        row = await self._reader.account(self._account)
        return row is None or row.modseq != self._cursor

    async def look(self) -> None:
        """Take in what was dropped, put back what was removed, in directories where somebody was at work."""
        if self._cursor < 0:
            await self.mend()
            return
        if self._root_mark != self._mark_root():
            await self._arrange()
            await self._adopt_directories()
        for mailbox_id, place in list(self._places.items()):
            if self._is_touched(place):
                await self._mend_folder(mailbox_id)
        await self.follow()

    async def mend(self) -> None:
        """A full pass over everything."""
        row = await self._reader.account(self._account)
        if row is None:
            await self._taking.actions().open()
            row = await self._reader.account(self._account)
        if row is None:
            raise StoreError(Reason.UNAVAILABLE, "the account was released meanwhile")
        await self._arrange()
        await self._adopt_directories()
        for mailbox_id in list(self._places):
            await self._mend_folder(mailbox_id)
        await self._subscribe()
        self._cursor = row.modseq
        await self.follow()

    # -- folders -----------------------------------------------------------------------------------------------------

    async def _arrange(self) -> None:
        """Make, rename and take down directories as folders were."""
        wanted = _places(await self._reader.mailboxes(self._account))
        before, self._places = self._places, wanted
        await asyncio.to_thread(_arrange, self._root, before, wanted)
        for mailbox_id, place in before.items():
            if wanted.get(mailbox_id) not in (None, place):
                await self._mend_folder(mailbox_id)

    async def _adopt_directories(self) -> None:
        """Folders that are directories alone: of a folder that is no more, or made by somebody else."""
        mark = self._mark_root()
        at_rest = self._taking.clock.now() - max(mark, default=0) / 1e9 >= SETTLED
        adopted = False
        for entry in await asyncio.to_thread(_strays, self._root, {place.entry for place in self._places.values()}):
            directory = FolderDirectory(self._root / entry)
            scan = await asyncio.to_thread(directory.scan)
            others = scan.others + await asyncio.to_thread(directory.remove_stale, scan.ours)
            if others or not directory.is_ours():
                adopted = True
                at_rest &= not await self._adoption.take(folder_name((entry,)), directory.where, others)
            if names.plus_entry(_acceptable(entry)) != entry or directory.is_ours():
                await asyncio.to_thread(directory.take_down)
        self._root_mark = mark if at_rest else ()
        if adopted:
            await self._arrange()

    async def _subscribe(self) -> None:
        """The file of subscriptions."""
        subscribed = await self._reader.subscriptions(self._account)
        await asyncio.to_thread(MaildirTarget(self._root).subscribe, subscribed)

    def _mark_root(self) -> Mark:
        try:
            return (self._root.stat().st_mtime_ns,)
        except FileNotFoundError:
            return (0,)

    # -- messages ----------------------------------------------------------------------------------------------------

    async def _apply(self, changes: AccountChanges) -> None:
        """Show changes; what is new in one folder before it goes from another."""
        known = self._places.keys()
        if any(other.kind == "mailbox" for other in changes.others) or any(
            change.mailbox_id not in known for change in changes.messages
        ):
            await self._arrange()
        if any(other.kind == "subscription" for other in changes.others):
            await self._subscribe()
        changed: dict[int, list[int]] = defaultdict(list)
        old: set[int] = set()
        for change in changes.messages:
            changed[change.mailbox_id].append(change.uid)
            if not change.created:
                old.add(change.mailbox_id)
        for mailbox_id, uids in changed.items():
            await self._show(mailbox_id, uids, scan=mailbox_id in old)
        gone: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for vanished in changes.vanished:
            gone[vanished.mailbox_id].append((vanished.first, vanished.last))
        for mailbox_id, runs in gone.items():
            if place := self._places.get(mailbox_id):
                await asyncio.to_thread(_take_away, self._directory(place), place.uidvalidity, runs)

    async def _show(self, mailbox_id: int, uids: Sequence[int], *, scan: bool) -> None:
        """Show messages of a folder under their present names; without `scan` none of them was shown before."""
        place = self._places.get(mailbox_id)
        if place is None:
            return
        directory = self._directory(place)
        found = await asyncio.to_thread(directory.scan) if scan else Scan()
        uids = sorted(uids)
        for start in range(0, len(uids), _LINKS):
            rows = await self._reader.messages(self._account, mailbox_id, uids[start : start + _LINKS])
            missing = set(await asyncio.to_thread(directory.settle, place.uidvalidity, rows, found))
            await self._link(directory, place, [row for row in rows if row.uid in missing])

    async def _link(self, directory: FolderDirectory, place: _Place, rows: Sequence[MessageRow]) -> None:
        links: list[Link] = []
        for row in rows:
            try:
                links.append(Link(row, await self._reader.file(self._account, row.blob)))
            except StoreError as error:  # it was expunged meanwhile
                if error.reason is not Reason.UNAVAILABLE:
                    raise
        if links:
            await asyncio.to_thread(directory.show, place.uidvalidity, links)

    async def _mend_folder(self, mailbox_id: int) -> None:
        """Compare all of a folder's directory with the database, and take in what was dropped there."""
        place = self._places[mailbox_id]
        directory = self._directory(place)
        clock = self._taking.clock
        await asyncio.to_thread(directory.make, inbox=not place.entry)
        mark = directory.mark()
        at_rest = clock.now() - max(mark) / 1e9 >= SETTLED
        scan = await asyncio.to_thread(directory.scan)
        above = count = 0
        while rows := await self._reader.flags(self._account, mailbox_id, above=above, limit=_ROWS):
            missing = await asyncio.to_thread(directory.settle, place.uidvalidity, rows, scan)
            if missing:
                await self._show(mailbox_id, missing, scan=False)
            above, count = rows[-1].uid, count + len(rows)
        others = scan.others + await asyncio.to_thread(directory.remove_stale, scan.ours)
        if others:
            at_rest &= not await self._adoption.take(place.name, directory.where, others)
        moment = clock.monotonic()
        self._looks[place.entry] = _Look(mark if at_rest else (), moment, moment + _PAUSE * count)

    def _is_touched(self, place: _Place) -> bool:
        """Whether a folder's directory is to be looked at."""
        look = self._looks.get(place.entry)
        moment = self._taking.clock.monotonic()
        if look is None:
            return True
        if moment < look.pause_until:
            return False
        mark = self._directory(place).mark()
        if mark and mark == look.mark:
            return False
        # What was dropped this very moment is not taken yet.
        at_rest = not mark or self._taking.clock.now() - max(mark) / 1e9 >= SETTLED
        return at_rest or moment - look.at >= _RESTLESS

    def _directory(self, place: _Place) -> FolderDirectory:
        return FolderDirectory(self._root / place.entry)


def clear(root: Path) -> None:
    """Take down what is shown of an account that nobody has any more; bodies, and files of others, stay."""
    for entry in ["", *_strays(root, ())]:
        directory = FolderDirectory(root / entry)
        if entry and directory.is_ours():
            directory.take_down()
        else:
            directory.remove_stale(directory.scan().ours)
    with suppress(OSError):
        _remove_empty(root)


def _remove_empty(root: Path) -> None:
    """Of an account that is gone for good nothing is left. Raises OSError where there is something."""
    if (root / BODIES).is_dir():
        (root / BODIES).rmdir()
    for part in names.MAILDIR:
        if (root / part).is_dir():
            (root / part).rmdir()
    for name in (SUBSCRIPTIONS, KEYWORDS):
        (root / name).unlink(missing_ok=True)
    root.rmdir()


def _places(rows: Sequence[MailboxRow]) -> dict[int, _Place]:
    """The directories of folders; one whose name is too long for a directory has none."""
    entries = ((row, names.plus_entry(row.name)) for row in rows)
    return {row.id: _Place(entry, row.uidvalidity, row.name) for row, entry in entries if len(entry) <= MAX_ENTRY}


def _acceptable(entry: str) -> str:
    try:
        return names.acceptable(folder_name((entry,)))
    except StoreError:
        return INBOX


def _arrange(root: Path, before: Mapping[int, _Place], wanted: Mapping[int, _Place]) -> None:
    for mailbox_id, place in wanted.items():
        where = root / place.entry
        old = before.get(mailbox_id)
        if old is not None and old.entry != place.entry and not where.exists() and (root / old.entry).is_dir():
            (root / old.entry).rename(where)
        FolderDirectory(where).make(inbox=not place.entry)
    kept = {place.entry for place in wanted.values()}
    for place in before.values():
        if place.entry not in kept and (root / place.entry).is_dir():
            FolderDirectory(root / place.entry).take_down()


def _strays(root: Path, known: Collection[str]) -> list[str]:
    """Directories of folders below an account's that are none of the known ones; links to directories are not."""
    with os.scandir(root) as entries:
        found = [entry.name for entry in entries if entry.name.startswith(".") and entry.name not in known]
    return sorted(name for name in found if _is_directory(root / name) and _has_mail(root / name))


def _has_mail(where: Path) -> bool:
    return _is_directory(where / "cur") or _is_directory(where / "new")


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _take_away(directory: FolderDirectory, uidvalidity: int, runs: Sequence[tuple[int, int]]) -> None:
    """Messages of these UIDs are gone."""
    for (shown, uid), paths in directory.scan().ours.items():
        if shown == uidvalidity and any(first <= uid <= last for first, last in runs):
            directory.remove(paths)
