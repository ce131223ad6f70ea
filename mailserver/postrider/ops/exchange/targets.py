"""Where mail is exported to: what each format has to offer, and the note that tells our directory from somebody's."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from postrider.ops.exchange.letter import UnixLineEnds
from postrider.ops.exchange.sources import Complain
from postrider.store.directory import make_private
from postrider.store.values import MailboxRow, MessageRow

#: The file in an export's directory that says which export it is.
NOTE = "postrider-export.json"
#: What a run that was killed left under this name is forgotten.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC


class NotOurs(Exception):
    """The directory has something else in it; the message says what to do."""


class Writing(Protocol):
    """One message being written."""

    def write(self, piece: bytes) -> None:
        """The next octets, as IMAP has them; the first piece has the header."""
        ...

    def finish(self) -> None:
        """That was all: it has its name now."""
        ...

    def abort(self) -> None:
        """It could not be read to its end: nothing of it stays."""
        ...


class Folder(Protocol):
    """One folder being written."""

    def missing(self, uids: Sequence[int]) -> Sequence[int]:
        """Those of the UIDs, in ascending order, that an export before this one did not write."""
        ...

    def begin(self, row: MessageRow) -> Writing:
        """Write a message; in the order of UIDs, one at a time."""
        ...

    def close(self) -> None:
        """All messages are written."""
        ...


class Target(Protocol):
    """A directory for mail in one format."""

    def folder(self, row: MailboxRow, complain: Complain) -> Folder:
        """A folder of the account, made where it is missing. Raises OSError."""
        ...

    def subscribe(self, names: Collection[str]) -> None:
        """What the account is subscribed to."""
        ...


class Draft:
    """A message in a file of its own, which gets its name once it is whole. Implements Writing."""

    def __init__(self, draft: Path, received: int, named: Callable[[int], Path], *, crlf: bool) -> None:
        """`named`: the path of the finished file, by its size."""
        self._draft = draft
        self._received = received
        self._named = named
        self._ends = None if crlf else UnixLineEnds()
        self._file = os.fdopen(os.open(draft, _NEW, 0o600), "wb")

    def write(self, piece: bytes) -> None:
        """As Writing.write."""
        self._file.write(self._ends.feed(piece) if self._ends else piece)

    def finish(self) -> None:
        """As Writing.finish."""
        if self._ends:
            self._file.write(self._ends.end())
        size = self._file.tell()
        self._file.close()
        set_date(self._draft, self._received)
        self._draft.rename(self._named(size))

    def abort(self) -> None:
        """As Writing.abort."""
        self._file.close()
        self._draft.unlink()


def claim(root: Path, export: dict[str, object]) -> None:
    """Make `root` the directory of this export, or find that it is. Raises NotOurs, OSError."""
    make_private(root)
    note = root / NOTE
    if note.is_file():
        with contextlib.suppress(ValueError):
            if json.loads(note.read_bytes()) == export:
                return
        raise NotOurs(f"{root} has another export in it ({note}): give a directory of its own")
    if any(path.name != _draft(note).name for path in root.iterdir()):
        raise NotOurs(f"{root} is not empty: give a new directory, or that of an export to go on with it")
    replace(note, json.dumps(export, indent=2) + "\n")


def replace(path: Path, text: str) -> None:
    """Write a small file of ours whole or not at all."""
    draft = _draft(path)
    with os.fdopen(os.open(draft, _NEW, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.rename(path)


def set_date(path: Path, seconds: int) -> None:
    """INTERNALDATE as the file's time; one that the filesystem cannot keep is left out."""
    with contextlib.suppress(OverflowError, OSError):
        os.utime(path, (seconds, seconds))


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.draft")
