"""Mbox: cut at From_ lines, quoting undone and done, flags in Status fields. Pure.

mboxrd quotes every line `>*From ` with one more `>`, so it can be undone; mboxo quotes `From ` alone and cannot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from postrider.ops.exchange.dates import asctime, parse_asctime
from postrider.protocols.imap.flags import ANSWERED, DELETED, DRAFT, FLAGGED, SEEN

#: A longer line comes in pieces.
MAX_LINE = 1024 * 1024
#: A From_ line is no longer, nor is a header in which flags are looked for.
_MAX_FROM = 1000
MAX_HEADER = 1024 * 1024
#: Octets that are handed on at once.
_PIECE = 64 * 1024

_QUOTED = re.compile(rb">+From ")
_TO_QUOTE, _LINE_TO_QUOTE = re.compile(rb">*From "), re.compile(rb"\n(>*From )")
# The date is at the end, from a weekday or a month on; the address before it may contain anything.
_WORD = re.compile(r"(?:^|\s)(?=[A-Z][a-z]{2},?\s)")
# UW-IMAP keeps its numbers in a first message that is none.
_INTERNAL, _INTERNAL_FIELD = b"DON'T DELETE THIS MESSAGE", re.compile(rb"^X-IMAP(?:base)?:", re.MULTILINE)

_STATUS = {"R": SEEN}
_X_STATUS = {"A": ANSWERED, "F": FLAGGED, "T": DRAFT, "D": DELETED}
# What programs put in front of their files' messages; what a sender wrote comes after Received.
_FRONT = re.compile(rb"(?:X-[^\n]*\n)*")
_MOZILLA = re.compile(rb"X-Mozilla-(Status|Status2|Keys): *([^\r\n]*?) *\r?\n")
_HEX = re.compile(rb"[0-9A-Fa-f]{4}")
_MOZILLA_EXPUNGED = 0x8
_MOZILLA_FLAGS = {0x1: SEEN, 0x2: ANSWERED, 0x4: FLAGGED}
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*\r?\n")
_VALUES = {
    b"status": re.compile(rb"[ORNUD]*"),
    b"x-status": re.compile(rb"[ADFTORNU]*"),
    b"x-keywords": re.compile(rb"[!-~ \t]*"),
}
#: What Dovecot and UW-IMAP note beside them: it changes as mail comes.
_NOTES = {b"x-uid": re.compile(rb"\d+"), b"x-imap": re.compile(rb"\d+ \d+.*"), b"x-imapbase": re.compile(rb"\d+ \d+.*")}
# See status_fields: what is behind that is the message's own.
_OURS = re.compile(rb"(?:X-Keywords: [^\n]*\n)?(?:X-Status: [^\n]*\n)?Status: R?O\r?\n")


@dataclass(frozen=True, slots=True)
class Begin:
    """A message begins; `line` is its From_ line without line end."""

    line: bytes


def received(line: bytes) -> int | None:
    """The date of a From_ line, None where there is none; a line without one separates nothing."""
    if not line.startswith(b"From ") or len(line) > _MAX_FROM:
        return None
    text = line[5:].decode("latin-1").strip()
    dates = (parse_asctime(text[match.end() :]) for match in _WORD.finditer(text))
    return next((date for date in dates if date is not None), None)


def from_line(sender: str, at: int) -> bytes:
    """The line in front of a message, LF at its end."""
    plain = sender if sender and sender.isprintable() and " " not in sender else "MAILER-DAEMON"
    return f"From {plain} {asctime(at)}\n".encode()


def split(lines: Iterable[bytes], *, undo: bool = True) -> Iterator[Begin | bytes]:
    """The messages of a file, line by line: Begin, then its octets in pieces, without the empty line behind it.

    With `undo` quoting is undone, as mboxrd can. What stands before the first From_ line comes without a Begin.
    """
    pending: list[bytes] = []
    size, empty, fresh, first = 0, b"", True, True
    for line in lines:
        if fresh and line[:5] == b"From " and (first or received(line) is not None):
            if pending:
                yield b"".join(pending)
            pending, size, empty, first = [], 0, b"", False
            yield Begin(line.rstrip(b"\r\n"))
            continue
        if empty:
            pending.append(empty)
            empty = b""
        if fresh and line in (b"\n", b"\r\n"):
            empty = line
        else:
            first = False
            quoted = undo and fresh and line[:1] == b">" and _QUOTED.match(line)
            pending.append(line[1:] if quoted else line)
        fresh = line.endswith(b"\n")
        size += len(line)
        if size >= _PIECE:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)


class Quoting:
    """Quotes lines as mboxrd has it."""

    def __init__(self) -> None:
        self._held = b""
        self._fresh = True

    def feed(self, piece: bytes) -> bytes:
        """The next octets; a line that is not whole yet is held back."""
        whole = self._held + piece
        end = whole.rfind(b"\n") + 1
        if not end and len(whole) > MAX_LINE:
            end = len(whole)
        self._held = whole[end:]
        return self._quoted(whole[:end])

    def end(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return self._quoted(held)

    def _quoted(self, lines: bytes) -> bytes:
        if not lines:
            return b""
        first = b">" if self._fresh and _TO_QUOTE.match(lines) else b""
        self._fresh = lines.endswith(b"\n")
        return first + _LINE_TO_QUOTE.sub(rb"\n>\1", lines) if b"From " in lines else lines


def is_internal(header: bytes) -> bool:
    """Whether this, the first of a file, is no message but another program's notes."""
    return _INTERNAL in header and _INTERNAL_FIELD.search(header) is not None


@dataclass(frozen=True, slots=True)
class Marks:
    """What the fields of a header said, and the header without them."""

    header: bytes
    #: None: there was no Status field.
    flags: int | None
    keywords: tuple[str, ...]


def take_status(header: bytes) -> Marks:
    """Take the first Status, X-Status and X-Keywords fields out of a header, and what else is its file's own."""
    values = _VALUES if _OURS.match(header) else _VALUES | _NOTES
    kept: list[bytes] = []
    found: dict[bytes, bytes] = {}
    rest = iter(header.split(b"\n"))
    name, taken = b"", False
    for bare in rest:
        folded = bare[:1] in (b" ", b"\t")
        match = None if folded else _FIELD.fullmatch(bare + b"\n")
        if match:
            name = match[1].lower()
            taken = name in values and name not in found and values[name].fullmatch(match[2]) is not None
            if taken:
                found[name] = match[2]
        elif folded and taken and name not in (b"status", b"x-status"):
            found[name] += bare
        else:
            taken = False
        if not taken:
            kept.append(bare)
        if not match and not folded:  # the empty line, or no header at all
            break
    letters = found.get(b"status", b"").decode(), found.get(b"x-status", b"").decode()
    flags = sum(flag for letter, flag in _STATUS.items() if letter in letters[0])
    flags |= sum(flag for letter, flag in _X_STATUS.items() if letter in letters[1])
    words = tuple(found.get(b"x-keywords", b"").decode("latin-1").split())
    return Marks(b"\n".join([*kept, *rest]), flags if letters != ("", "") else None, words)


def take_mozilla(header: bytes) -> Marks | None:
    """Take Thunderbird's fields out of those that stand in front of a header.

    None: the message was deleted, and the file is yet to be compacted.
    """
    front = _FRONT.match(header)
    kept: list[bytes] = []
    found: dict[bytes, bytes] = {}
    for line in front[0].splitlines(keepends=True) if front else ():
        match = _MOZILLA.fullmatch(line)
        if match and match[1] not in found:
            found[match[1]] = match[2]
        else:
            kept.append(line)
    if b"Status" not in found:
        return Marks(header, None, ())
    digits = _HEX.fullmatch(found[b"Status"])
    marks = int(digits[0], 16) if digits else 0
    if marks & _MOZILLA_EXPUNGED:
        return None
    flags = sum(flag for bit, flag in _MOZILLA_FLAGS.items() if marks & bit)
    words = tuple(found.get(b"Keys", b"").decode("latin-1").split())
    return Marks(b"".join(kept) + header[front.end() if front else 0 :], flags, words)


def status_fields(flags: int, keywords: Sequence[str], header: bytes) -> bytes:
    """The fields that say flags and keywords, in front of a message's own header; LF at line ends.

    Status comes last and always: a header that begins with white space is nobody's continuation then. A message that
    has such fields of its own gets all three, because whoever reads them takes the first.
    """
    own = take_status(header).header != header
    marks = "".join(letter for letter, flag in _X_STATUS.items() if flags & flag)
    lines = [f"X-Keywords: {' '.join(keywords)}\n" if keywords or own else ""]
    lines += [f"X-Status: {marks}\n" if marks or own else "", "Status: RO\n" if flags & SEEN else "Status: O\n"]
    return "".join(lines).encode("ascii", "replace")
