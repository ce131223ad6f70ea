"""One folder's directory in a Maildir: what is in it, links shown, renamed and removed. Blocking; used from a thread.

A message that nobody has touched yet lies in `new` under a name without flags, all others in `cur`, as Maildir has it.
The name of a link of ours has the inode of the body: a copy that somebody made of it is told apart by that.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from postrider.ops.exchange import maildir, names, targets
from postrider.ops.exchange.maildir_files import Keywords
from postrider.store.directory import make_private
from postrider.store.values import FlagRow, MessageRow

#: The file that says that a directory is no Maildir of its own but a folder of one; ours has a text in it.
_FOLDER, _OURS = "maildirfolder", "postrider\n"
#: There is no body any more, the link is there already, or the filesystem gives the file no more names.
_NO_LINK = frozenset({errno.ENOENT, errno.EEXIST, errno.EMLINK})
#: Octets that a directory's name may have.
MAX_ENTRY = 255


@dataclass(slots=True)
class Scan:
    """What lies in a folder's directory; paths are `cur/name` and `new/name`."""

    #: By UIDVALIDITY and UID; more than one path is one too many.
    ours: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Link:
    """A message to be shown: its row, and its body's file."""

    row: MessageRow
    file: str


Mark = tuple[int, ...]


class FolderDirectory:
    """A folder's directory. Methods raise OSError."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def make(self, *, inbox: bool) -> None:
        """Make what is missing of it."""
        for part in names.MAILDIR:
            make_private(self.where / part)
        note = self.where / _FOLDER
        if not inbox and not self.is_ours():
            targets.replace(note, _OURS)

    def is_ours(self) -> bool:
        """Whether we made it, as a folder of the database."""
        with suppress(OSError, UnicodeDecodeError):
            return (self.where / _FOLDER).read_text() == _OURS
        return False

    def mark(self) -> Mark:
        """Changes when something is dropped, removed or renamed here; empty while it is in the making."""
        with suppress(FileNotFoundError):
            return tuple((self.where / part).stat().st_mtime_ns for part in ("cur", "new"))
        return ()

    def scan(self) -> Scan:
        """Look at all names."""
        found = Scan()
        for part in ("cur", "new"):
            with suppress(FileNotFoundError), os.scandir(self.where / part) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    said = maildir.exported(entry.name)
                    if said is None or not said.inode:
                        found.others.append(f"{part}/{entry.name}")
                    else:
                        found.ours.setdefault((said.uidvalidity, said.uid), []).append(f"{part}/{entry.name}")
        return found

    def show(self, uidvalidity: int, links: Iterable[Link]) -> None:
        """Show messages that were not shown. One whose body is gone by now, or has as many names as can be, is not."""
        keywords = Keywords(self.where)
        for link in links:
            row = link.row
            try:
                body = Path(link.file).stat()
                name = maildir.Exported(row.received, uidvalidity, row.uid, row.size, body.st_ino)
                path = _path(name.text(row.size, ""), row, keywords)
                with suppress(OverflowError):
                    if int(body.st_mtime) != row.received:  # INTERNALDATE for whoever reads Maildirs
                        os.utime(link.file, (row.received, row.received))
                os.link(link.file, self.where / path)
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise

    def settle(self, uidvalidity: int, rows: Iterable[FlagRow | MessageRow], scan: Scan) -> list[int]:
        """Give messages that are shown the names of their present flags; returns UIDs of those that are not shown.

        What was found of these messages is taken out of `scan`.
        """
        keywords = Keywords(self.where)
        missing: list[int] = []
        for row in rows:
            paths = scan.ours.pop((uidvalidity, row.uid), [])
            if not paths:
                missing.append(row.uid)
                continue
            wanted = _path(_base(paths[0]), row, keywords)
            present = wanted if wanted in paths else paths[0]
            self.remove(path for path in paths if path != present)
            if present != wanted:
                try:
                    (self.where / present).rename(self.where / wanted)
                except FileNotFoundError:
                    missing.append(row.uid)
        return missing

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; one that is gone is no matter."""
        for path in paths:
            (self.where / path).unlink(missing_ok=True)

    def remove_stale(self, ours: Mapping[tuple[int, int], Sequence[str]]) -> list[str]:
        """Remove links that no message has any more; returns what has such a name and is a file of its own."""
        copies: list[str] = []
        for path in (path for paths in ours.values() for path in paths):
            said = maildir.exported(path[4:])
            with suppress(FileNotFoundError):
                if said and os.lstat(self.where / path).st_ino == said.inode:
                    (self.where / path).unlink()
                else:
                    copies.append(path)
        return copies

    def take_down(self) -> bool:
        """Remove the directory of a folder that is no more, unless there is something in it that is not ours."""
        scan = self.scan()
        if scan.others + self.remove_stale(scan.ours):
            return False
        for name in (_FOLDER, maildir.KEYWORDS):
            (self.where / name).unlink(missing_ok=True)
        try:
            for part in names.MAILDIR:
                with suppress(FileNotFoundError):
                    (self.where / part).rmdir()
            self.where.rmdir()
        except FileNotFoundError:
            return True
        except OSError:  # somebody put something into it
            return False
        return True


def _base(path: str) -> str:
    return path[4:].partition(":")[0]


def _path(base: str, row: FlagRow | MessageRow, keywords: Keywords) -> str:
    """Where a message lies, and under which name."""
    if not row.flags and not row.keywords:
        return f"new/{base}"
    keywords.add(row.keywords)
    return f"cur/{base}{maildir.info(row.flags, row.keywords, keywords.table)}"
