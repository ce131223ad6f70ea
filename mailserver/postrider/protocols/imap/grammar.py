"""The words of IMAP: a cursor over one whole command that takes atoms, strings, numbers, sets and dates (RFC 9051 §9).

Literals stand in the command as they came: `{5}`, CRLF and five octets. The engine has put them together.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import TypeVar

from postrider.protocols.imap.names import decode_name

T = TypeVar("T")

#: The `*` of a sequence set: the highest number there is.
STAR = 0xFFFFFFFF + 1
MAX_NUMBER = 0xFFFFFFFF
MAX_NUMBER64 = 0x7FFFFFFFFFFFFFFF
#: Ranges in one set.
MAX_RANGES = 20_000

#: Inclusive ranges as they were written, low end first; `*` is STAR. None stands for `$`, the last saved result.
SequenceSet = tuple[tuple[int, int], ...] | None

_ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\]\x7f-\xff]+")
_ASTRING = re.compile(rb"[^\x00-\x20(){%*\"\\\x7f-\xff]+")
_LIST_WORD = re.compile(rb"[^\x00-\x20(){\"\\\x7f-\xff]+")
# A quoted string may hold UTF-8 (RFC 9051 §4.3), never CR, LF or NUL.
_QUOTED = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_ESCAPED = re.compile(rb'\\(["\\])')
_LITERAL = re.compile(rb"~?\{([0-9]{1,19})\+?\}\r\n")
_NUMBER = re.compile(rb"[0-9]{1,19}")
_SET = re.compile(rb"(?:[0-9]{1,10}|\*)(?::(?:[0-9]{1,10}|\*))?(?:,(?:[0-9]{1,10}|\*)(?::(?:[0-9]{1,10}|\*))?)*")
_DATE = re.compile(rb'"?([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})"?')
_DATE_TIME = re.compile(
    rb'"([ 0-9][0-9])-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")


class SyntaxFault(ValueError):
    """The command is not what the grammar says; the text is ours and may go to the client."""


class Cursor:
    """Takes one command apart from left to right. Every method raises SyntaxFault where the grammar is not met."""

    def __init__(self, data: bytes, *, utf8: bool = False) -> None:
        self.data = data
        self.at = 0
        #: Mailbox names are UTF-8 (IMAP4rev2 or UTF8=ACCEPT enabled), else modified UTF-7.
        self.utf8 = utf8

    # -- characters ------------------------------------------------------------------------------------------------

    def peek(self, text: bytes) -> bool:
        """True when `text` stands here, in any case."""
        return self.data[self.at : self.at + len(text)].upper() == text

    def skip(self, text: bytes) -> bool:
        """Pass over `text` when it stands here."""
        if self.peek(text):
            self.at += len(text)
            return True
        return False

    def take(self, text: bytes) -> None:
        """Pass over `text`, which must stand here."""
        if not self.skip(text):
            name = "a space" if text == b" " else text.decode("ascii")
            raise SyntaxFault(f"expected {name} at octet {self.at}")

    def space(self) -> None:
        """Exactly one space."""
        self.take(b" ")

    @property
    def ended(self) -> bool:
        """True at the end of the command."""
        return self.at >= len(self.data)

    def end(self) -> None:
        """The command ends here; a trailing space is forgiven."""
        self.skip(b" ")
        if not self.ended:
            raise SyntaxFault(f"more than the command takes, from octet {self.at} on")

    def _match(self, pattern: re.Pattern[bytes], what: str) -> re.Match[bytes]:
        match = pattern.match(self.data, self.at)
        if match is None:
            raise SyntaxFault(f"expected {what} at octet {self.at}")
        self.at = match.end()
        return match

    # -- words -----------------------------------------------------------------------------------------------------

    def atom(self) -> bytes:
        """An atom as it was written."""
        return self._match(_ATOM, "a word")[0]

    def word(self) -> str:
        """An atom in upper case: a name of the protocol."""
        return self.atom().upper().decode("ascii")

    def string(self) -> bytes:
        """A quoted string or a literal."""
        if self.peek(b'"'):
            return _ESCAPED.sub(rb"\1", self._match(_QUOTED, "a closing quote")[1])
        size = int(self._match(_LITERAL, "a string")[1])
        value = self.data[self.at : self.at + size]
        self.at += size
        return value

    def _starts_string(self) -> bool:
        return self.data[self.at : self.at + 1] in (b'"', b"{") or self.data[self.at : self.at + 2] == b"~{"

    def astring(self) -> bytes:
        """An atom or a string."""
        return self.string() if self._starts_string() else self._match(_ASTRING, "a word or string")[0]

    def nstring(self) -> bytes | None:
        """A string, or NIL."""
        if self._starts_string():
            return self.string()
        self.take(b"NIL")
        return None

    def text(self) -> str:
        """An astring that is UTF-8."""
        return _utf8(self.astring())

    def mailbox(self) -> str:
        """The name of a mailbox."""
        return self._name(self.astring())

    def list_mailbox(self) -> str:
        """A name that may hold the wildcards of LIST."""
        return self._name(self.string() if self._starts_string() else self._match(_LIST_WORD, "a pattern")[0])

    def _name(self, raw: bytes) -> str:
        try:
            name = decode_name(raw, utf8=self.utf8)
        except ValueError as error:
            raise SyntaxFault("a mailbox name is not in its encoding") from error
        if "\x00" in name:
            raise SyntaxFault("a NUL in a mailbox name")
        return name

    def number(self) -> int:
        """A number of 32 bits."""
        value = int(self._match(_NUMBER, "a number")[0])
        if value > MAX_NUMBER:
            raise SyntaxFault("a number is too large")
        return value

    def number64(self) -> int:
        """A number of 63 bits (RFC 7162 §7, RFC 9051 §9)."""
        value = int(self._match(_NUMBER, "a number")[0])
        if value > MAX_NUMBER64:
            raise SyntaxFault("a number is too large")
        return value

    # -- groups ----------------------------------------------------------------------------------------------------

    def group(self, item: Callable[[], T]) -> list[T]:
        """`(item item ...)`, which may be empty."""
        self.take(b"(")
        items: list[T] = []
        while not self.skip(b")"):
            if items:
                self.space()
            items.append(item())
        return items

    def flag(self) -> bytes:
        """A flag or keyword."""
        return b"\\" + self.atom() if self.skip(b"\\") else self.atom()

    def sequence_set(self) -> SequenceSet:
        """Numbers and ranges, or `$` (RFC 9051 §6.4.4.1)."""
        if self.skip(b"$"):
            return None
        raw = self._match(_SET, "a set of numbers")[0]
        ranges = []
        for piece in raw.split(b",", MAX_RANGES):
            low, _, high = piece.partition(b":")
            first = _set_number(low)
            last = _set_number(high) if high else first
            ranges.append((first, last) if first <= last else (last, first))
        if len(ranges) > MAX_RANGES:
            raise SyntaxFault("too many ranges in a set")
        return tuple(ranges)

    # -- dates -----------------------------------------------------------------------------------------------------

    def day(self) -> int:
        """A date, as days since the epoch."""
        match = self._match(_DATE, "a date")
        try:
            return (date(int(match[3]), _month(match[2]), int(match[1])) - date(1970, 1, 1)).days
        except ValueError as error:
            raise SyntaxFault("no such date") from error

    def date_time(self) -> int:
        """A date-time in quotes, as seconds since the epoch."""
        match = self._match(_DATE_TIME, "a date and time in quotes")
        zone = timedelta(hours=int(match[8]), minutes=int(match[9]))
        try:
            moment = datetime(
                int(match[3]), _month(match[2]), int(match[1]), int(match[4]), int(match[5]), min(int(match[6]), 59),
                tzinfo=timezone(-zone if match[7] == b"-" else zone),
            )  # fmt: skip
        except ValueError as error:
            raise SyntaxFault("no such date or time") from error
        return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())


def _month(name: bytes) -> int:
    try:
        return _MONTHS.index(name.lower()) + 1
    except ValueError as error:
        raise SyntaxFault("no such month") from error


def _set_number(raw: bytes) -> int:
    if raw == b"*":
        return STAR
    value = int(raw)
    if not 0 < value <= MAX_NUMBER:
        raise SyntaxFault("a number in a set is out of range")
    return value


def _utf8(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SyntaxFault("a string is not UTF-8") from error
