"""The table of commands: name, parser, states, capability, RFC; and the parsers that make events of arguments."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from postrider.protocols.imap import events as e
from postrider.protocols.imap.attributes import parse_items
from postrider.protocols.imap.flags import split_flags
from postrider.protocols.imap.grammar import Cursor, SyntaxFault
from postrider.protocols.imap.search import parse_program


class State(enum.Flag):
    """RFC 9051 §3."""

    NEW = enum.auto()  # not authenticated
    LOGGED_IN = enum.auto()
    SELECTED = enum.auto()
    ANY = NEW | LOGGED_IN | SELECTED
    USER = LOGGED_IN | SELECTED


#: What to say to a command that is not for this state.
WRONG_STATE: Mapping[State, str] = {
    State.NEW: "log in first",
    State.LOGGED_IN: "you are logged in, and no mailbox is selected",
    State.SELECTED: "you are logged in already",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One command. `parse` None: the engine answers it itself."""

    states: State
    rfc: str
    parse: Callable[[Cursor], e.Command] | None = None


LIST_SELECT = frozenset({"SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE"})
LIST_RETURN = frozenset({"SUBSCRIBED", "CHILDREN", "SPECIAL-USE"})
STATUS_ITEMS = frozenset(
    {"MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "SIZE", "HIGHESTMODSEQ", "MAILBOXID",
     "APPENDLIMIT"}
)  # fmt: skip
#: Patterns of one LIST, and wildcards in all of them together.
MAX_PATTERNS = 100
MAX_WILDCARDS = 200
#: Octets of one command with its literals, before and after login. RFC 7162 §4 wants 8,192 at least.
MAX_COMMAND_NEW = 16 * 1024
MAX_COMMAND = 64 * 1024


# -- folders -------------------------------------------------------------------------------------------------------


def _select(cursor: Cursor, *, read_only: bool) -> e.Select:
    cursor.space()
    mailbox = cursor.mailbox()
    condstore, qresync = False, None
    if cursor.skip(b" ("):
        while not cursor.skip(b")"):
            match cursor.word():
                case "CONDSTORE":
                    condstore = True
                case "QRESYNC":
                    cursor.space()
                    qresync = _resync(cursor)
                case _:
                    raise SyntaxFault("unknown parameter")
            cursor.skip(b" ")
    return e.Select(mailbox, read_only, condstore or qresync is not None, qresync)


def _resync(cursor: Cursor) -> e.Resync:
    cursor.take(b"(")
    uidvalidity = cursor.number()
    cursor.space()
    modseq = cursor.number64()
    known = None
    if cursor.skip(b" ") and not cursor.peek(b"("):
        known = cursor.sequence_set()
        cursor.skip(b" ")
    if cursor.skip(b"("):  # RFC 7162 §3.2.5.2: a hint about message numbers, which we do not need
        cursor.sequence_set()
        cursor.space()
        cursor.sequence_set()
        cursor.take(b")")
    cursor.take(b")")
    return e.Resync(uidvalidity, modseq, known)


def _create(cursor: Cursor) -> e.Create:
    cursor.space()
    mailbox, use = cursor.mailbox(), ""
    if cursor.skip(b" (USE ("):  # RFC 6154 §5.2
        cursor.at -= 1
        uses = cursor.group(cursor.flag)
        cursor.take(b")")
        if len(uses) > 1:
            raise SyntaxFault("one special use at most")
        use = uses[0].decode("ascii") if uses else ""
    return e.Create(mailbox, use)


def _delete(cursor: Cursor) -> e.Delete:
    cursor.space()
    return e.Delete(cursor.mailbox())


def _rename(cursor: Cursor) -> e.Rename:
    cursor.space()
    old = cursor.mailbox()
    cursor.space()
    return e.Rename(old, cursor.mailbox())


def _subscribe(cursor: Cursor, *, subscribed: bool) -> e.Subscribe:
    cursor.space()
    return e.Subscribe(cursor.mailbox(), subscribed)


def _list(cursor: Cursor) -> e.List:
    cursor.space()
    select, extended = frozenset[str](), False
    if cursor.peek(b"("):
        select, extended = frozenset(cursor.group(cursor.word)), True
        cursor.space()
    reference = cursor.mailbox()
    cursor.space()
    if cursor.peek(b"("):
        patterns, extended = tuple(cursor.group(cursor.list_mailbox)), True
    else:
        patterns = (cursor.list_mailbox(),)
    returns, status = set[str](), tuple[str, ...]()
    if cursor.skip(b" RETURN ("):
        extended = True
        while not cursor.skip(b")"):
            option = cursor.word()
            returns.add(option)
            if option == "STATUS":
                cursor.space()
                status = _status_items(cursor)
            cursor.skip(b" ")
    if not patterns or len(patterns) > MAX_PATTERNS:
        raise SyntaxFault("no pattern, or too many")
    if unknown := (select - LIST_SELECT) | (returns - LIST_RETURN - {"STATUS"}):
        raise SyntaxFault(f"unknown option {min(unknown)}")
    if "RECURSIVEMATCH" in select and not select & {"SUBSCRIBED", "SPECIAL-USE"}:
        raise SyntaxFault("RECURSIVEMATCH needs another selection option")  # RFC 9051 §6.3.9.1
    return _sparing(e.List(reference, patterns, select, frozenset(returns - {"STATUS"}), status, extended=extended))


def _lsub(cursor: Cursor) -> e.List:
    cursor.space()
    reference = cursor.mailbox()
    cursor.space()
    return _sparing(e.List(reference, (cursor.list_mailbox(),), select=frozenset({"SUBSCRIBED"}), lsub=True))


def _sparing(event: e.List) -> e.List:
    if event.wildcards > MAX_WILDCARDS:
        raise SyntaxFault("too many wildcards")
    return event


def _status(cursor: Cursor) -> e.Status:
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    return e.Status(mailbox, _status_items(cursor))


def _status_items(cursor: Cursor) -> tuple[str, ...]:
    items = tuple(dict.fromkeys(cursor.group(cursor.word)))
    if not items or not STATUS_ITEMS.issuperset(items):
        raise SyntaxFault("no status item, or an unknown one")
    return items


# -- messages ------------------------------------------------------------------------------------------------------


def _search(cursor: Cursor, *, by_uid: bool) -> e.Search:
    cursor.space()
    program = parse_program(cursor)
    return e.Search(program.key, by_uid, program.returns)


def _fetch(cursor: Cursor, *, by_uid: bool) -> e.Fetch:
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    items = parse_items(cursor)
    changed_since, vanished = None, False
    if cursor.skip(b" ("):
        while not cursor.skip(b")"):
            match cursor.word():
                case "CHANGEDSINCE":
                    cursor.space()
                    changed_since = cursor.number64()
                case "VANISHED":
                    vanished = True
                case _:
                    raise SyntaxFault("unknown parameter")
            cursor.skip(b" ")
    if vanished and (changed_since is None or not by_uid):
        raise SyntaxFault("VANISHED needs UID FETCH and CHANGEDSINCE")  # RFC 7162 §3.2.6
    return e.Fetch(messages, by_uid, items, changed_since, vanished)


_WAYS: Mapping[str, tuple[e.StoreWay, bool]] = {
    "FLAGS": (e.StoreWay.REPLACE, False),
    "+FLAGS": (e.StoreWay.ADD, False),
    "-FLAGS": (e.StoreWay.REMOVE, False),
    "FLAGS.SILENT": (e.StoreWay.REPLACE, True),
    "+FLAGS.SILENT": (e.StoreWay.ADD, True),
    "-FLAGS.SILENT": (e.StoreWay.REMOVE, True),
}


def _store(cursor: Cursor, *, by_uid: bool) -> e.Store:
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    unchanged_since = None
    if cursor.skip(b"(UNCHANGEDSINCE "):
        unchanged_since = cursor.number64()
        cursor.take(b")")
        cursor.space()
    name = cursor.word()
    if name not in _WAYS:
        raise SyntaxFault("STORE takes FLAGS, +FLAGS or -FLAGS")
    way, silent = _WAYS[name]
    cursor.space()
    bits, keywords = flags_of(_flags(cursor))
    return e.Store(messages, by_uid, way, bits, keywords, silent, unchanged_since)


def _flags(cursor: Cursor) -> list[bytes]:
    if cursor.peek(b"("):
        return cursor.group(cursor.flag)
    names = [cursor.flag()]
    while not cursor.ended and cursor.skip(b" ") and not cursor.ended:
        names.append(cursor.flag())
    return names


def flags_of(names: list[bytes]) -> tuple[int, tuple[str, ...]]:
    """Bits and keywords. Raises SyntaxFault."""
    try:
        return split_flags(names)
    except ValueError as error:
        raise SyntaxFault(str(error)) from error


def _copy(cursor: Cursor, *, by_uid: bool, move: bool) -> e.Copy:
    cursor.space()
    messages = cursor.sequence_set()
    cursor.space()
    return e.Copy(messages, by_uid, cursor.mailbox(), move)


def _expunge_uids(cursor: Cursor) -> e.Expunge:
    cursor.space()
    return e.Expunge(cursor.sequence_set(), by_uid=True)


# -- the tables ----------------------------------------------------------------------------------------------------

COMMANDS: Mapping[str, Row] = {
    "CAPABILITY": Row(State.ANY, "RFC 9051 §6.1.1"),
    "NOOP": Row(State.ANY, "RFC 9051 §6.1.2", lambda _: e.Noop()),
    "LOGOUT": Row(State.ANY, "RFC 9051 §6.1.3"),
    "ID": Row(State.ANY, "RFC 2971 §3.1"),
    "STARTTLS": Row(State.NEW, "RFC 9051 §6.2.1"),
    "AUTHENTICATE": Row(State.NEW, "RFC 9051 §6.2.2"),
    "LOGIN": Row(State.NEW, "RFC 9051 §6.2.3"),
    "ENABLE": Row(State.USER, "RFC 9051 §6.3.1"),
    "SELECT": Row(State.USER, "RFC 9051 §6.3.2", lambda c: _select(c, read_only=False)),
    "EXAMINE": Row(State.USER, "RFC 9051 §6.3.3", lambda c: _select(c, read_only=True)),
    "CREATE": Row(State.USER, "RFC 9051 §6.3.4", _create),
    "DELETE": Row(State.USER, "RFC 9051 §6.3.5", _delete),
    "RENAME": Row(State.USER, "RFC 9051 §6.3.6", _rename),
    "SUBSCRIBE": Row(State.USER, "RFC 9051 §6.3.7", lambda c: _subscribe(c, subscribed=True)),
    "UNSUBSCRIBE": Row(State.USER, "RFC 9051 §6.3.8", lambda c: _subscribe(c, subscribed=False)),
    "LIST": Row(State.USER, "RFC 9051 §6.3.9", _list),
    "LSUB": Row(State.USER, "RFC 3501 §6.3.9", _lsub),
    "NAMESPACE": Row(State.USER, "RFC 9051 §6.3.10", lambda _: e.Namespace()),
    "STATUS": Row(State.USER, "RFC 9051 §6.3.11", _status),
    "APPEND": Row(State.USER, "RFC 9051 §6.3.12"),
    "IDLE": Row(State.USER, "RFC 9051 §6.3.13"),
    "CHECK": Row(State.SELECTED, "RFC 3501 §6.4.1", lambda _: e.Noop()),
    "CLOSE": Row(State.SELECTED, "RFC 9051 §6.4.1", lambda _: e.Close(expunge=True)),
    "UNSELECT": Row(State.SELECTED, "RFC 9051 §6.4.2", lambda _: e.Close(expunge=False)),
    "EXPUNGE": Row(State.SELECTED, "RFC 9051 §6.4.3", lambda _: e.Expunge()),
    "SEARCH": Row(State.SELECTED, "RFC 9051 §6.4.4", lambda c: _search(c, by_uid=False)),
    "FETCH": Row(State.SELECTED, "RFC 9051 §6.4.5", lambda c: _fetch(c, by_uid=False)),
    "STORE": Row(State.SELECTED, "RFC 9051 §6.4.6", lambda c: _store(c, by_uid=False)),
    "COPY": Row(State.SELECTED, "RFC 9051 §6.4.7", lambda c: _copy(c, by_uid=False, move=False)),
    "MOVE": Row(State.SELECTED, "RFC 9051 §6.4.8", lambda c: _copy(c, by_uid=False, move=True)),
    "UID EXPUNGE": Row(State.SELECTED, "RFC 9051 §6.4.9", _expunge_uids),
    "UID SEARCH": Row(State.SELECTED, "RFC 9051 §6.4.9", lambda c: _search(c, by_uid=True)),
    "UID FETCH": Row(State.SELECTED, "RFC 9051 §6.4.9", lambda c: _fetch(c, by_uid=True)),
    "UID STORE": Row(State.SELECTED, "RFC 9051 §6.4.9", lambda c: _store(c, by_uid=True)),
    "UID COPY": Row(State.SELECTED, "RFC 9051 §6.4.9", lambda c: _copy(c, by_uid=True, move=False)),
    "UID MOVE": Row(State.SELECTED, "RFC 9051 §6.4.9", lambda c: _copy(c, by_uid=True, move=True)),
}

#: What ENABLE knows (RFC 5161), and what each brings with it.
ENABLES: Mapping[str, frozenset[str]] = {
    "IMAP4REV2": frozenset({"IMAP4rev2"}),
    "UTF8=ACCEPT": frozenset({"UTF8=ACCEPT"}),
    "CONDSTORE": frozenset({"CONDSTORE"}),
    "QRESYNC": frozenset({"QRESYNC", "CONDSTORE"}),  # RFC 7162 §3.2.3
}

#: Capabilities by when they are said: before login, after login.
CAPABILITIES = ("IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ID", "ENABLE")
CAPABILITIES_USER = (
    "IMAP4rev1", "IMAP4rev2", "LITERAL+", "ID", "ENABLE", "IDLE", "NAMESPACE", "UIDPLUS", "MOVE", "UNSELECT",
    "CHILDREN", "SPECIAL-USE", "CREATE-SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE", "ESEARCH",
    "SEARCHRES", "CONDSTORE", "QRESYNC", "UTF8=ACCEPT", "WITHIN", "MULTIAPPEND", "BINARY", "OBJECTID", "SAVEDATE",
    "PREVIEW",
)  # fmt: skip


def parse_append(cursor: Cursor, mailbox: str) -> e.AppendMessage:
    """The options in front of a message's literal (RFC 9051 §6.3.12); the size is not known here yet."""
    flags: list[bytes] = []
    received = None
    if cursor.peek(b"("):
        flags = [name for name in cursor.group(cursor.flag) if name.lower() != b"\\recent"]
        cursor.space()
    if cursor.peek(b'"'):
        received = cursor.date_time()
        cursor.space()
    bits, keywords = flags_of(flags)
    return e.AppendMessage(mailbox, bits, keywords, received, size=0)
