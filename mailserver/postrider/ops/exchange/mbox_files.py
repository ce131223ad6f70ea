"""Mbox files and trees of them: read as a source, written as a target."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from postrider.mailbox.names import INBOX
from postrider.mime.header import header_end
from postrider.ops.exchange import mbox, names, targets
from postrider.ops.exchange.letter import Letter, UnixLineEnds
from postrider.ops.exchange.sources import Complain, NotMail, folder_of, walk
from postrider.store.directory import make_private
from postrider.store.values import MailboxRow, MessageRow

_ENDING, _CHILDREN = ".mbox", ".sbd"
#: Octets after which a file being written is made durable, and that is noted.
_NOTE_EVERY = 64 * 1024 * 1024
_RETURN_PATH = re.compile(rb"Return-Path:\s*<([^<>\r\n]*)>", re.IGNORECASE)


class MboxSource:
    """One file, which is INBOX, or a tree: `Work.mbox` or `Work`, with `Work/` or `Work.sbd/` for what is below it.

    Raises NotMail, OSError. `undo`: the files are mboxrd, so their quoting can be undone.
    """

    repeats = True
    subscribed: Sequence[str] | None = None

    def __init__(self, root: Path, complain: Complain, *, undo: bool = True) -> None:
        self._undo = undo
        self._found: dict[str, list[Path]] = {}
        if root.is_file():
            self._found[INBOX] = [root]
        else:
            self._look(root, complain)
        if not any(map(is_mbox, chain.from_iterable(self._found.values()))):
            raise NotMail(f"{root}: there is no file that begins with a From_ line, as mbox has it")
        self.folders: Sequence[str] = sorted(self._found)
        self.size = sum(path.stat().st_size for path in chain.from_iterable(self._found.values()))

    def letters(self, folder: str) -> Iterator[Letter]:
        """As Source.letters, in the order of the file."""
        for path in self._found[folder]:
            with path.open("rb") as file:
                lines = iter(functools.partial(file.readline, mbox.MAX_LINE), b"")
                yield from _Reading(mbox.split(lines, undo=self._undo)).letters()

    def _look(self, root: Path, complain: Complain) -> None:
        for where, directories, files in walk(root):
            directories[:] = [name for name in directories if not name.startswith(".")]
            above = [name.removesuffix(_CHILDREN).removesuffix(_ENDING) for name in where.relative_to(root).parts]
            for name in files:
                path = where / name
                if not (is_mbox(path) or (path.lstat().st_size == 0 and Path(name).suffix in ("", _ENDING))):
                    continue
                if path.is_symlink():  # it may lead to what the owner of these files must not read
                    complain(f"{path} is a link: it is passed over")
                    continue
                # Apple Mail has Work.mbox/mbox.
                own = [] if name == "mbox" and where.name.endswith(_ENDING) else [name.removesuffix(_ENDING)]
                self._found.setdefault(folder_of([*above, *own]), []).append(path)


class _Reading:
    """One file being read: its letters one after the other."""

    def __init__(self, parts: Iterator[mbox.Begin | bytes]) -> None:
        self._parts = parts
        self._next: mbox.Begin | None = None

    def letters(self) -> Iterator[Letter]:
        """All messages; what another program noted or had deleted is none."""
        for _ in self._body():  # nothing should stand before the first From_ line
            pass
        first = True
        while begin := self._next:
            self._next = None
            body = self._body()
            start = b""
            while len(start) < mbox.MAX_HEADER and header_end(start, 0, len(start)) == len(start):
                piece = next(body, b"")
                if not piece:
                    break
                start += piece
            header = start[: header_end(start, 0, len(start))]
            rest = chain((start[len(header) :],), body)
            letter = None if first and mbox.is_internal(header) else _letter(begin, header, rest)
            first = False
            if letter:
                yield letter
            for _ in body:  # whatever the reader left
                pass

    def _body(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, mbox.Begin):
                self._next = part
                return
            yield part


def _letter(begin: mbox.Begin, header: bytes, rest: Iterator[bytes]) -> Letter | None:
    mozilla = mbox.take_mozilla(header)
    if mozilla is None:
        return None
    marks = mbox.take_status(mozilla.header)
    flags = next((flags for flags in (mozilla.flags, marks.flags) if flags is not None), 0)
    words = (*mozilla.keywords, *marks.keywords)
    return Letter(begin.line, chain((marks.header,), rest), flags, words, mbox.received(begin.line))


def is_mbox(path: Path) -> bool:
    """Whether a file begins with a From_ line."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4096).lstrip(b"\r\n").startswith(b"From ")


class MboxTarget:
    """A tree of mboxrd files: `Work.mbox`, and in `Work/` what is below it."""

    def __init__(self, root: Path, *, crlf: bool = False) -> None:
        self._root = root
        self._crlf = crlf

    def folder(self, row: MailboxRow, complain: Complain) -> MboxFolder:
        """As Target.folder."""
        *above, own = names.levels(row.name)
        where = self._root.joinpath(*above)
        make_private(where)
        return MboxFolder(where / f"{own}{_ENDING}", row, complain, crlf=self._crlf)

    def subscribe(self, wanted: Collection[str]) -> None:
        """Nothing in this format says it."""


class MboxFolder:
    """One file being written: under another name until it is whole, with a note of how far it is durable.

    The note stays beside a file that is whole, so that a later run adds what came since.
    """

    def __init__(self, path: Path, row: MailboxRow, complain: Complain, *, crlf: bool) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.partial")
        self._note = path.with_name(f".{path.name}.note")
        self._row = row
        self._crlf = crlf
        self._file: BinaryIO | None = None
        note = self._read_note()
        #: The last message that is in the file for good, and how long the file is with it.
        self._uid, self._noted = note or (0, 0)
        self._ours = not path.exists() or (note is not None and self._noted == path.stat().st_size)
        if not self._ours:
            complain(f"{path} is not as an export of this folder left it: nothing is added to it")

    def missing(self, uids: Sequence[int]) -> Sequence[int]:
        """As Folder.missing."""
        return [uid for uid in uids if uid > self._uid] if self._ours else ()

    def begin(self, row: MessageRow) -> targets.Writing:
        """As Folder.begin."""
        file = self._open()
        if file.tell() - self._noted > _NOTE_EVERY:
            self._write_note(file)
        self._uid = row.uid
        return _MboxWriting(file, row, crlf=self._crlf)

    def close(self) -> None:
        """Give the file its name."""
        if self._file or not self._path.exists():
            file = self._open()
            self._write_note(file)
            file.close()
            self._draft.rename(self._path)

    def _read_note(self) -> tuple[int, int] | None:
        """None where it is not about this folder, or not about the file that is there."""
        if self._note.is_file():
            uidvalidity, uid, end = map(int, self._note.read_text("ascii").split())
            there = next((path for path in (self._path, self._draft) if path.is_file()), None)
            if uidvalidity == self._row.uidvalidity and there and end <= there.stat().st_size:
                return uid, end
        return None

    def _open(self) -> BinaryIO:
        """The file where it is to go on."""
        if self._file is None:
            if self._path.exists():
                self._path.rename(self._draft)
            self._draft.touch(mode=0o600)
            self._file = self._draft.open("r+b")
            self._file.truncate(self._noted)
            self._file.seek(self._noted)
        return self._file

    def _write_note(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())
        self._noted = file.tell()
        targets.replace(self._note, f"{self._row.uidvalidity} {self._uid} {self._noted}\n")


class _MboxWriting:
    """One message at the end of the file."""

    def __init__(self, file: BinaryIO, row: MessageRow, *, crlf: bool) -> None:
        self._file = file
        self._row = row
        self._crlf = crlf
        self._ends, self._quoting = UnixLineEnds(), mbox.Quoting()
        self._began = file.tell()
        self._last = b""

    def write(self, piece: bytes) -> None:
        """As Writing.write."""
        if self._file.tell() == self._began:
            header = piece[: header_end(piece, 0, len(piece))]
            self._put(mbox.from_line(_sender(header), self._row.received))
            self._put(mbox.status_fields(self._row.flags, self._row.keywords, header))
        self._put(self._quoting.feed(self._ends.feed(piece)))

    def finish(self) -> None:
        """As Writing.finish: a message ends with a line, and an empty one."""
        self._put(self._quoting.feed(self._ends.end()) + self._quoting.end())
        self._put(b"\n" if self._last == b"\n" else b"\n\n")

    def abort(self) -> None:
        """As Writing.abort."""
        self._file.seek(self._began)
        self._file.truncate()

    def _put(self, octets: bytes) -> None:
        if octets:
            self._last = octets[-1:]
            self._file.write(octets.replace(b"\n", b"\r\n") if self._crlf else octets)


def _sender(start: bytes) -> str:
    """The address of the Return-Path that a message begins with, "" where there is none."""
    match = _RETURN_PATH.match(start)
    return match[1].decode("utf-8", "replace") if match else ""
