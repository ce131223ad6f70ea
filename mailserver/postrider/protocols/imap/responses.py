"""What the server says: strings, sets, and the untagged responses of folders and searches (RFC 9051 §7)."""

from __future__ import annotations

import enum
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from postrider.model.runs import Run, runs_of
from postrider.protocols.imap.flags import SYSTEM_FLAGS
from postrider.protocols.imap.names import encode_name

CRLF = b"\r\n"
_ATOM = re.compile(rb"[^\x00-\x20(){%*\"\\\]\x7f-\xff]+")
_QUOTABLE = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]{0,1000}")
_QUOTABLE_UTF8 = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\xff]{0,1000}")


class Status(enum.Enum):
    """How a command ended (RFC 9051 §7.1)."""

    OK = b"OK"
    NO = b"NO"
    BAD = b"BAD"


# -- words ---------------------------------------------------------------------------------------------------------


def string(value: bytes, *, utf8: bool = False) -> bytes:
    """A quoted string, or a literal where quoting cannot say it. NUL, which no string can say, is left out."""
    if (_QUOTABLE_UTF8 if utf8 else _QUOTABLE).fullmatch(value):
        if b"\\" in value or b'"' in value:
            value = value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        return b'"%b"' % value
    value = value.replace(b"\x00", b"")
    return b"{%d}\r\n%b" % (len(value), value)


def nstring(value: bytes | None) -> bytes:
    """A string, or NIL for None."""
    return b"NIL" if value is None else string(value)


def mailbox_name(name: str, *, utf8: bool) -> bytes:
    """A mailbox name: an atom where it is one, else a string, in the encoding the client has enabled."""
    raw = encode_name(name, utf8=utf8)
    if _ATOM.fullmatch(raw) and raw.upper() != b"NIL":
        return raw
    return string(raw, utf8=utf8)


def compact_set(numbers: Iterable[int]) -> bytes:
    """Ascending numbers as `1:4,7`. Numbers that are given in another order come out in that order (COPYUID)."""
    return set_of(runs_of(numbers))


def set_of(runs: Iterable[Run]) -> bytes:
    """The same of runs."""
    return b",".join([b"%d" % first if first == last else b"%d:%d" % (first, last) for first, last in runs])


def ok_code(code: bytes, text: bytes) -> bytes:
    """An untagged OK with a response code."""
    return b"* OK [%b] %b\r\n" % (code, text)


# -- folders -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opened:
    """What SELECT tells (RFC 9051 §6.3.2). `recent` is None for those who have enabled IMAP4rev2."""

    exists: int
    uidvalidity: int
    uidnext: int
    modseq: int
    read_only: bool
    keywords: Sequence[str] = ()
    recent: int | None = None
    mailbox_id: str = ""


def opened(mailbox: Opened) -> bytes:
    """The untagged responses of SELECT and EXAMINE."""
    flags = b" ".join((*SYSTEM_FLAGS, *(word.encode("ascii", "replace") for word in mailbox.keywords)))
    lines = [
        b"* %d EXISTS\r\n" % mailbox.exists,
        b"* FLAGS (%b)\r\n" % flags,
        ok_code(b"PERMANENTFLAGS ()", b"Read-only mailbox")
        if mailbox.read_only
        else ok_code(b"PERMANENTFLAGS (%b \\*)" % flags, b"Flags kept"),
        ok_code(b"UIDVALIDITY %d" % mailbox.uidvalidity, b"UIDs valid"),
        ok_code(b"UIDNEXT %d" % mailbox.uidnext, b"Predicted next UID"),
        ok_code(b"HIGHESTMODSEQ %d" % mailbox.modseq, b"Highest"),
    ]
    if mailbox.recent is not None:
        lines.insert(1, b"* %d RECENT\r\n" % mailbox.recent)
    if mailbox.mailbox_id:
        lines.append(ok_code(b"MAILBOXID (%b)" % mailbox.mailbox_id.encode(), b"Ok"))  # RFC 8474 §4.2
    return b"".join(lines)


@dataclass(frozen=True, slots=True)
class Listed:
    """One line of LIST or LSUB."""

    name: str
    attributes: tuple[str, ...] = ()
    #: RFC 9051 §6.3.9.2 CHILDINFO of RECURSIVEMATCH.
    child_info: tuple[str, ...] = ()


def listed(line: Listed, *, utf8: bool, lsub: bool = False) -> bytes:
    """An untagged LIST or LSUB."""
    info = b""
    if line.child_info:
        options = b" ".join(string(option.encode()) for option in line.child_info)
        info = b' ("CHILDINFO" (%b))' % options
    attributes = " ".join(line.attributes).encode()
    verb = b"LSUB" if lsub else b"LIST"
    return b'* %b (%b) "/" %b%b\r\n' % (verb, attributes, mailbox_name(line.name, utf8=utf8), info)


#: The hierarchy separator, answer to LIST "" "" (RFC 9051 §6.3.9).
SEPARATOR_LIST = b'* LIST (\\Noselect) "/" ""\r\n'
SEPARATOR_LSUB = b'* LSUB (\\Noselect) "/" ""\r\n'
#: One personal namespace, nothing shared (RFC 9051 §6.3.10).
NAMESPACE = b'* NAMESPACE (("" "/")) NIL NIL\r\n'


def status(name: str, items: Iterable[tuple[str, int | str]], *, utf8: bool) -> bytes:
    """An untagged STATUS; a text value is an object id."""
    words = " ".join(f"{key} ({value})" if isinstance(value, str) else f"{key} {value}" for key, value in items)
    return b"* STATUS %b (%b)\r\n" % (mailbox_name(name, utf8=utf8), words.encode())


# -- searches ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: message numbers or UIDs in ascending order, and the highest modseq among them if asked."""

    numbers: array[int]
    by_uid: bool
    modseq: int | None = None


def search(found: Found) -> bytes:
    """The untagged SEARCH of RFC 3501 §7.2.5."""
    numbers = "".join(f" {number}" for number in found.numbers).encode()
    modseq = b" (MODSEQ %d)" % found.modseq if found.modseq is not None and found.numbers else b""
    return b"* SEARCH%b%b\r\n" % (numbers, modseq)


def esearch(found: Found, returns: frozenset[str], tag: bytes) -> bytes:
    """The untagged ESEARCH of RFC 9051 §7.3.4."""
    parts = [b"* ESEARCH (TAG %b)" % string(tag)]
    if found.by_uid:
        parts.append(b" UID")
    if "COUNT" in returns:
        parts.append(b" COUNT %d" % len(found.numbers))
    if found.numbers:  # RFC 9051 §7.3.4: nothing found leaves MIN, MAX and ALL out
        if "MIN" in returns:
            parts.append(b" MIN %d" % found.numbers[0])
        if "MAX" in returns:
            parts.append(b" MAX %d" % found.numbers[-1])
        if "ALL" in returns:
            parts.append(b" ALL %b" % compact_set(found.numbers))
        if found.modseq is not None:
            parts.append(b" MODSEQ %d" % found.modseq)
    return b"".join(parts) + CRLF
