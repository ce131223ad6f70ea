"""SEARCH: the program of keys as values, and its parser (RFC 9051 §6.4.4, RFC 5032 WITHIN, RFC 7162 MODSEQ)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from postrider.protocols.imap import flags as f
from postrider.protocols.imap.grammar import Cursor, SequenceSet, SyntaxFault

#: Parentheses, NOT and OR within each other; keys of one program.
MAX_DEPTH = 150
MAX_KEYS = 500
CHARSETS = ("US-ASCII", "UTF-8")
RETURNS = frozenset({"MIN", "MAX", "ALL", "COUNT", "SAVE"})


class BadCharset(SyntaxFault):
    """The client's CHARSET is not one of ours: NO [BADCHARSET (...)]."""


@dataclass(frozen=True, slots=True)
class And:
    """All of these; none is ALL."""

    keys: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """One of two."""

    left: Key
    right: Key


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    key: Key


@dataclass(frozen=True, slots=True)
class InSet:
    """Message numbers or UIDs."""

    messages: SequenceSet
    by_uid: bool


@dataclass(frozen=True, slots=True)
class HasFlags:
    """All these system flags are set."""

    bits: int


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """The keyword is set, in any case."""

    keyword: str


@dataclass(frozen=True, slots=True)
class IsRecent:
    r"""\Recent, for this session (RFC 3501)."""


@dataclass(frozen=True, slots=True)
class Dated:
    """BEFORE, ON or SINCE a day (days since the epoch) of "received", "sent" (the Date field) or "saved"."""

    which: str
    relation: str
    day: int


@dataclass(frozen=True, slots=True)
class Within:
    """OLDER or YOUNGER than seconds (RFC 5032)."""

    younger: bool
    seconds: int


@dataclass(frozen=True, slots=True)
class Sized:
    """LARGER or SMALLER than octets."""

    larger: bool
    octets: int


@dataclass(frozen=True, slots=True)
class HeaderHas:
    """A header field contains the text; "" asks whether the field is there."""

    field: bytes
    text: str


@dataclass(frozen=True, slots=True)
class BodyHas:
    """The text is in the body, or with `header` anywhere in the message."""

    text: str
    header: bool


@dataclass(frozen=True, slots=True)
class ChangedSince:
    """The modseq is at least this (RFC 7162 §3.1.5)."""

    modseq: int


@dataclass(frozen=True, slots=True)
class HasId:
    """EMAILID or THREADID (RFC 8474)."""

    thread: bool
    id: str


Key = (
    And | Or | Not | InSet | HasFlags | HasKeyword | IsRecent | Dated | Within | Sized | HeaderHas | BodyHas
    | ChangedSince | HasId
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """What a SEARCH command asks: the key, and RETURN's options (None when it was not there)."""

    key: Key
    returns: frozenset[str] | None = None


def parse_program(cursor: Cursor) -> Program:
    """Everything behind `SEARCH `."""
    returns: frozenset[str] | None = None
    if cursor.skip(b"RETURN ("):
        cursor.at -= 1
        returns = frozenset(cursor.group(cursor.word))
        if unknown := returns - RETURNS:
            raise SyntaxFault(f"unknown result option {min(unknown)}")
        returns = returns or frozenset({"ALL"})
        cursor.space()
    if cursor.skip(b"CHARSET "):
        if cursor.astring().upper().decode("ascii", "replace") not in CHARSETS:
            raise BadCharset("this charset is not supported")
        cursor.space()
    keys = [_key(cursor, 0)]
    while not cursor.ended and cursor.skip(b" ") and not cursor.ended:
        keys.append(_key(cursor, 0))
    if sum(map(_size, keys)) > MAX_KEYS:
        raise SyntaxFault("the search has too many keys")
    return Program(keys[0] if len(keys) == 1 else And(tuple(keys)), returns)


def asks_modseq(key: Key) -> bool:
    """True when MODSEQ is among the keys: the result tells the highest one (RFC 7162 §3.1.5)."""
    match key:
        case And(keys):
            return any(asks_modseq(inner) for inner in keys)
        case Or(left, right):
            return asks_modseq(left) or asks_modseq(right)
        case Not(inner):
            return asks_modseq(inner)
    return isinstance(key, ChangedSince)


def _size(key: Key) -> int:
    """Keys in a key that hold no others."""
    match key:
        case And(keys):
            return max(1, sum(map(_size, keys)))  # ALL is one too
        case Or(left, right):
            return _size(left) + _size(right)
        case Not(inner):
            return _size(inner)
    return 1


def _key(cursor: Cursor, depth: int) -> Key:
    if depth > MAX_DEPTH:
        raise SyntaxFault("the search is nested too deeply")
    if cursor.skip(b"("):
        keys = [_key(cursor, depth + 1)]
        while not cursor.skip(b")"):
            cursor.space()
            keys.append(_key(cursor, depth + 1))
        return keys[0] if len(keys) == 1 else And(tuple(keys))
    if cursor.peek(b"$") or cursor.peek(b"*") or cursor.data[cursor.at : cursor.at + 1].isdigit():
        return InSet(cursor.sequence_set(), by_uid=False)
    name = cursor.word()
    if name == "NOT":
        cursor.space()
        return Not(_key(cursor, depth + 1))
    if name == "OR":
        cursor.space()
        left = _key(cursor, depth + 1)
        cursor.space()
        return Or(left, _key(cursor, depth + 1))
    if name in PLAIN_KEYS:
        return PLAIN_KEYS[name]
    if name not in KEYS_WITH_VALUE:
        raise SyntaxFault("unknown search key")
    cursor.space()
    return KEYS_WITH_VALUE[name](cursor)


def _keyword(cursor: Cursor) -> Key:
    return HasKeyword(cursor.atom().decode("ascii"))


def _header(cursor: Cursor) -> Key:
    field = cursor.astring()
    cursor.space()
    return HeaderHas(field.lower(), cursor.text())


def _modseq(cursor: Cursor) -> Key:
    if cursor.peek(b'"'):  # RFC 7162 §3.1.5: an entry name and type, which say nothing to us
        cursor.string()
        cursor.space()
        cursor.atom()
        cursor.space()
    return ChangedSince(cursor.number64())


def _dated(which: str, relation: str) -> Callable[[Cursor], Key]:
    return lambda cursor: Dated(which, relation, cursor.day())


def _field(name: bytes) -> Callable[[Cursor], Key]:
    return lambda cursor: HeaderHas(name, cursor.text())


#: RFC 9051 §6.4.4.
PLAIN_KEYS: Mapping[str, Key] = {
    "ALL": And(()),
    "ANSWERED": HasFlags(f.ANSWERED),
    "DELETED": HasFlags(f.DELETED),
    "DRAFT": HasFlags(f.DRAFT),
    "FLAGGED": HasFlags(f.FLAGGED),
    "SEEN": HasFlags(f.SEEN),
    "UNANSWERED": Not(HasFlags(f.ANSWERED)),
    "UNDELETED": Not(HasFlags(f.DELETED)),
    "UNDRAFT": Not(HasFlags(f.DRAFT)),
    "UNFLAGGED": Not(HasFlags(f.FLAGGED)),
    "UNSEEN": Not(HasFlags(f.SEEN)),
    "RECENT": IsRecent(),
    "OLD": Not(IsRecent()),
    "NEW": And((IsRecent(), Not(HasFlags(f.SEEN)))),
    # RFC 8514 §4.3: every message here has a save date.
    "SAVEDATESUPPORTED": And(()),
}

KEYS_WITH_VALUE: Mapping[str, Callable[[Cursor], Key]] = {
    "BCC": _field(b"bcc"),
    "CC": _field(b"cc"),
    "FROM": _field(b"from"),
    "SUBJECT": _field(b"subject"),
    "TO": _field(b"to"),
    "HEADER": _header,
    "BODY": lambda cursor: BodyHas(cursor.text(), header=False),
    "TEXT": lambda cursor: BodyHas(cursor.text(), header=True),
    "KEYWORD": _keyword,
    "UNKEYWORD": lambda cursor: Not(_keyword(cursor)),
    "BEFORE": _dated("received", "BEFORE"),
    "ON": _dated("received", "ON"),
    "SINCE": _dated("received", "SINCE"),
    "SENTBEFORE": _dated("sent", "BEFORE"),
    "SENTON": _dated("sent", "ON"),
    "SENTSINCE": _dated("sent", "SINCE"),
    "SAVEDBEFORE": _dated("saved", "BEFORE"),
    "SAVEDON": _dated("saved", "ON"),
    "SAVEDSINCE": _dated("saved", "SINCE"),
    "LARGER": lambda cursor: Sized(larger=True, octets=cursor.number64()),
    "SMALLER": lambda cursor: Sized(larger=False, octets=cursor.number64()),
    "OLDER": lambda cursor: Within(younger=False, seconds=cursor.number()),
    "YOUNGER": lambda cursor: Within(younger=True, seconds=cursor.number()),
    "UID": lambda cursor: InSet(cursor.sequence_set(), by_uid=True),
    "MODSEQ": _modseq,
    "EMAILID": lambda cursor: HasId(thread=False, id=cursor.atom().decode("ascii")),
    "THREADID": lambda cursor: HasId(thread=True, id=cursor.atom().decode("ascii")),
}
