"""Maildirs on disk: read as a source, written as a target."""

from __future__ import annotations

import dataclasses
import functools
import os
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

from postrider.mailbox.names import INBOX, SEPARATOR
from postrider.ops.exchange import maildir, names, targets
from postrider.ops.exchange.letter import Letter
from postrider.ops.exchange.sources import Complain, NotMail, ahead, open_file, pieces_of, walk
from postrider.store.directory import make_private
from postrider.store.values import MailboxRow, MessageRow

#: Where Dovecot keeps subscriptions, and we; and where Courier does.
SUBSCRIPTIONS, _COURIERS = "subscriptions", "courierimapsubscribed"
_NUMBER = re.compile(r"\d+")


class MaildirSource:
    """A Maildir with its folders, Maildir++ (`.Work.2026`) and trees of directories alike. Raises NotMail, OSError."""

    repeats = False

    def __init__(self, root: Path, complain: Complain) -> None:
        self._root = root
        self._complain = complain
        self._found: dict[str, list[Path]] = {}
        for where, directories, _ in walk(root) if root.is_dir() else ():
            if "cur" in directories or "new" in directories:
                self._found.setdefault(folder_name(where.relative_to(root).parts), []).append(where)
            directories[:] = [name for name in directories if name not in names.MAILDIR]
        if not self._found:
            raise NotMail(f"{root} has no directory cur, neither has one below it: this is no Maildir")
        self.folders: Sequence[str] = sorted(self._found)
        self.size = sum(_size(where) for places in self._found.values() for where in places)

    @property
    def subscribed(self) -> Sequence[str] | None:
        """Names in the file of Dovecot or Courier."""
        for path in (self._root / name for name in (SUBSCRIPTIONS, _COURIERS)):
            if path.is_file():
                found = maildir.parse_subscriptions(path.read_text("utf-8", "surrogateescape"))
                return [SEPARATOR.join(map(names.level_of, levels)) for levels in found]
        return None

    def letters(self, folder: str) -> Iterator[Letter]:
        """As Source.letters, by the time in their names."""
        for where in self._found[folder]:
            known = where / maildir.KEYWORDS
            table = maildir.parse_keywords(known.read_text("utf-8", "replace")) if known.is_file() else []
            read = functools.partial(self._letter, where, table)
            yield from filter(None, ahead(read, sorted(_messages(where), key=_age)))

    def _letter(self, where: Path, table: Sequence[str], path: str) -> Letter | None:
        unique = maildir.parse_name(path[4:]).unique
        try:
            # Somebody who reads or flags it meanwhile gives it another name.
            again = (other for other in _messages(where) if maildir.parse_name(other[4:]).unique == unique)
            for name in chain((path,), again):
                try:
                    file = open_file(where / name)
                except FileNotFoundError:
                    continue
                said = maildir.parse_name(name[4:])
                received = int(os.fstat(file.fileno()).st_mtime)
                keywords = maildir.keywords(said.letters, table)
                return Letter(os.fsencode(unique), pieces_of(file), said.flags, keywords, received)
        except OSError as error:
            self._complain(f"{where / path}: {error.strerror}: it is passed over")
            return None
        self._complain(f"{where / path} is gone: it was removed or moved meanwhile")
        return None


def folder_name(parts: Sequence[str]) -> str:
    """The folder that a directory is, by its path below the Maildir."""
    levels = [level for part in parts for level in (part.split(".") if part.startswith(".") else [part]) if level]
    return SEPARATOR.join(map(names.level_of, levels)) or INBOX


def _messages(where: Path) -> Iterator[str]:
    """The files with messages, as `cur/name` and `new/name`."""
    for part in ("cur", "new"):
        try:
            with os.scandir(where / part) as entries:
                yield from (f"{part}/{entry.name}" for entry in entries if not entry.name.startswith("."))
        except FileNotFoundError:
            continue


def _size(where: Path) -> int:
    total = 0
    for path in _messages(where):
        try:
            total += (where / path).stat().st_size
        except FileNotFoundError:
            continue
    return total


def _age(path: str) -> tuple[int, str]:
    number = _NUMBER.match(path, 4)
    return (int(number[0]) if number else 0, path)


class MaildirTarget:
    """A Maildir with folders beside each other (Maildir++), or as a tree of directories."""

    def __init__(self, root: Path, *, tree: bool = False, crlf: bool = False) -> None:
        self._root = root
        self._tree = tree
        self._crlf = crlf

    def folder(self, row: MailboxRow, complain: Complain) -> MaildirFolder:
        """As Target.folder."""
        where = self._root / "/".join(self._levels(row.name))
        for name in names.MAILDIR:
            make_private(where / name)
        if where != self._root:
            (where / "maildirfolder").touch(mode=0o600)  # so that programs for delivery know it is none of its own
        return MaildirFolder(where, row, complain, crlf=self._crlf)

    def subscribe(self, wanted: Collection[str]) -> None:
        """Dovecot's file of subscriptions."""
        levels = [names.maildir_levels(name) if self._tree else names.plus_levels(name) for name in wanted]
        targets.replace(self._root / SUBSCRIPTIONS, maildir.subscriptions_text(levels))

    def _levels(self, name: str) -> Sequence[str]:
        if name == INBOX:
            return ()
        return names.maildir_levels(name) if self._tree else (names.plus_entry(name),)


class Keywords:
    """The letters that keywords have in a folder, in a file that Dovecot reads too. Raises OSError."""

    def __init__(self, where: Path) -> None:
        self._file = where / maildir.KEYWORDS
        #: By letter; "" where a number is missing.
        self.table = maildir.parse_keywords(self._file.read_text("utf-8", "replace")) if self._file.is_file() else []
        while self.table and not self.table[-1]:
            self.table.pop()

    def add(self, words: Sequence[str]) -> Sequence[str]:
        """Give each of these a letter; returns those for which there is none left."""
        new = [word for word in words if word not in self.table and word != maildir.FORWARDED]
        free = maildir.MAX_LETTERS - len(self.table)
        if new[:free]:
            self.table += new[:free]
            targets.replace(self._file, maildir.keywords_text(self.table))
        return new[free:]


class MaildirFolder:
    """One folder being written: a message gets its name once it is whole."""

    def __init__(self, where: Path, row: MailboxRow, complain: Complain, *, crlf: bool) -> None:
        self._where = where
        self._row = row
        self._complain = complain
        self._crlf = crlf
        self._keywords = Keywords(where)
        self._lost: set[str] = set()

    def missing(self, uids: Sequence[int]) -> Sequence[int]:
        """As Folder.missing; a file that is not as long as its name says was torn, and is written again."""
        present: set[int] = set()
        for path in _messages(self._where):
            said = maildir.exported(path[4:])
            if said is None or said.uidvalidity != self._row.uidvalidity:
                continue
            if (self._where / path).stat().st_size == said.size:
                present.add(said.uid)
            else:
                (self._where / path).unlink()
        return [uid for uid in uids if uid not in present]

    def begin(self, row: MessageRow) -> targets.Writing:
        """As Folder.begin."""
        for word in self._keywords.add(row.keywords):
            if word not in self._lost:
                self._lost.add(word)
                self._complain(
                    f"{self._row.name}: Maildir has {maildir.MAX_LETTERS} keywords a folder: {word} is left out"
                )
        info = maildir.info(row.flags, row.keywords, self._keywords.table)
        name = maildir.Exported(row.received, self._row.uidvalidity, row.uid, 0)

        def named(size: int) -> Path:
            return self._where / "cur" / dataclasses.replace(name, size=size).text(row.size, info)

        return targets.Draft(self._where / "tmp" / name.unique, row.received, named, crlf=self._crlf)

    def close(self) -> None:
        """As Folder.close."""
