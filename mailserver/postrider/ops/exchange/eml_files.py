"""EML files in directories: read as a source, written as a target."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path

from postrider.mailbox.names import INBOX
from postrider.ops.exchange import eml, names, targets
from postrider.ops.exchange.letter import Letter
from postrider.ops.exchange.sources import Complain, NotMail, ahead, folder_of, open_file, pieces_of, walk
from postrider.store.directory import make_private
from postrider.store.values import MailboxRow, MessageRow


class EmlSource:
    """One file, for INBOX, or a tree of directories, each a folder with the `.eml` files in it. Raises NotMail."""

    repeats = False
    subscribed: Sequence[str] | None = None

    def __init__(self, root: Path, complain: Complain) -> None:
        self._complain = complain
        self._found: dict[str, list[Path]] = {}
        if root.is_file():
            self._found[INBOX] = [root.resolve()]
        else:
            self._look(root)
        if not self._found:
            raise NotMail(f"{root}: there is no file whose name ends in {eml.ENDING}")
        self.folders: Sequence[str] = sorted(self._found)
        self.size = sum(path.lstat().st_size for path in chain.from_iterable(self._found.values()))

    def letters(self, folder: str) -> Iterator[Letter]:
        """As Source.letters, by name."""
        listed: dict[Path, dict[str, eml.Entry]] = {}
        for where in {path.parent: None for path in self._found[folder]}:
            notes = where / eml.LIST
            listed[where] = eml.parse_list(notes.read_text("utf-8", "replace")) if notes.is_file() else {}

        def read(path: Path) -> Letter | None:
            try:
                return _letter(path, listed[path.parent].get(path.name))
            except OSError as error:
                self._complain(f"{path}: {error.strerror}: it is passed over")
                return None

        yield from filter(None, ahead(read, self._found[folder]))

    def _look(self, root: Path) -> None:
        for where, directories, files in walk(root):
            directories[:] = [name for name in directories if not name.startswith(".")]
            found = [where / name for name in files if name.lower().endswith(eml.ENDING)]
            if found or (where / eml.LIST).is_file():
                found.sort(key=_order)
                self._found.setdefault(folder_of(where.relative_to(root).parts), []).extend(found)


def is_eml(path: Path) -> bool:
    """Whether a file's name says that it is a message, or its first line is a field of a header."""
    if path.name.lower().endswith(eml.ENDING):
        return True
    with path.open("rb") as file:
        return re.match(rb"[!-9;-~]+[ \t]*:", file.read(1024)) is not None  # RFC 5322 §2.2, §4.5


def _letter(path: Path, entry: eml.Entry | None) -> Letter:
    file = open_file(path)
    changed = int(os.fstat(file.fileno()).st_mtime)
    pieces = pieces_of(file)
    if entry:
        return Letter(os.fsencode(path.name), pieces, entry.flags, entry.keywords, entry.received)
    first = next(pieces)
    dated = eml.date_of(first)
    return Letter(os.fsencode(path.name), chain((first,), pieces), received=changed if dated is None else dated)


def _order(path: Path) -> tuple[list[int], str]:
    """Numbered names by their numbers."""
    numbers = path.stem.split(".")
    return ([int(part) for part in numbers] if all(part.isdecimal() for part in numbers) else [], path.name)


class EmlTarget:
    """A tree of directories, each with the messages of a folder as they are, and the list of what files cannot say."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, row: MailboxRow, complain: Complain) -> EmlFolder:
        """As Target.folder."""
        where = self._root if row.name == INBOX else self._root.joinpath(*names.levels(row.name))
        make_private(where)
        return EmlFolder(where, row)

    def subscribe(self, wanted: Collection[str]) -> None:
        """Nothing in this format says it."""


class EmlFolder:
    """One folder being written."""

    def __init__(self, where: Path, row: MailboxRow) -> None:
        self._where = where
        self._row = row
        path = where / eml.LIST
        path.touch(mode=0o600)
        self._list = path.open("a", encoding="ascii", errors="replace")

    def missing(self, uids: Sequence[int]) -> Sequence[int]:
        """As Folder.missing; an empty file was torn, and is written again."""
        present = {path.name for path in self._where.iterdir() if path.is_file() and path.stat().st_size}
        return [uid for uid in uids if eml.name_of(self._row.uidvalidity, uid) not in present]

    def begin(self, row: MessageRow) -> targets.Writing:
        """As Folder.begin."""
        name = eml.name_of(self._row.uidvalidity, row.uid)
        self._list.write(eml.list_line(name, eml.Entry(row.received, row.flags, row.keywords)))
        self._list.flush()  # what has its name is in the list
        path = self._where / name
        return targets.Draft(path.with_name(f".{name}"), row.received, lambda _: path, crlf=True)

    def close(self) -> None:
        """As Folder.close."""
        self._list.close()
