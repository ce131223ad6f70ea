"""LIST and LSUB: which folders a pattern shows, and with which attributes (RFC 9051 §6.3.9, RFC 3501 §6.3.9). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from postrider.mailbox.names import INBOX, SEPARATOR
from postrider.protocols.imap.events import List
from postrider.protocols.imap.responses import Listed
from postrider.store.values import MailboxRow


@dataclass(frozen=True, slots=True)
class Folders:
    """An account's folders and subscribed names."""

    rows: Sequence[MailboxRow]
    subscriptions: frozenset[str]


def listing(folders: Folders, query: List) -> list[Listed]:
    """The lines of a LIST or LSUB, by name."""
    pattern = _pattern(query)
    if query.lsub:
        return list(_lsub(folders, pattern))
    rows = {row.name: row for row in folders.rows}
    names = set(rows)
    if "SUBSCRIBED" in query.select:
        names |= folders.subscriptions  # RFC 9051 §6.3.9.1: those that are gone are shown too
    parents = {parent for name in rows for parent in above(name)}
    lines = []
    for name in sorted(names):
        if not pattern.fullmatch(name):
            continue
        selected = _selected(name, rows.get(name), folders, query)
        info = _child_info(name, folders, query)
        if selected or info:
            lines.append(Listed(name, _attributes(name, rows.get(name), name in parents, folders, query), info))
    return lines


def above(name: str) -> Iterator[str]:
    """The names above a name, topmost first."""
    at = name.find(SEPARATOR)
    while at >= 0:
        yield name[:at]
        at = name.find(SEPARATOR, at + 1)


def _pattern(query: List) -> re.Pattern[str]:
    """`*` is anything, `%` anything within a level; INBOX in any case."""
    alternatives = []
    for pattern in query.patterns:
        whole = query.reference + pattern
        top, slash, rest = whole.partition(SEPARATOR)
        if top.upper() == INBOX:
            whole = INBOX + slash + rest
        pieces = re.split(r"([*%]+)", whole)
        alternatives.append("".join(_piece(piece) for piece in pieces))
    return re.compile("|".join(f"(?:{one})" for one in alternatives), re.DOTALL)


def _piece(piece: str) -> str:
    # Wildcards in a row are one, or a stranger could make the match slow.
    if piece and not piece.strip("*%"):
        return ".*" if "*" in piece else f"[^{SEPARATOR}]*"
    return re.escape(piece)


def _selected(name: str, row: MailboxRow | None, folders: Folders, query: List) -> bool:
    if "SUBSCRIBED" in query.select and name not in folders.subscriptions:
        return False
    return "SPECIAL-USE" not in query.select or (row is not None and bool(row.special_use))


def _child_info(name: str, folders: Folders, query: List) -> tuple[str, ...]:
    """RFC 9051 §6.3.9.2: a folder below, not shown for itself, meets the selection."""
    if "RECURSIVEMATCH" not in query.select:
        return ()
    below = name + SEPARATOR
    found = []
    if "SUBSCRIBED" in query.select and any(other.startswith(below) for other in folders.subscriptions):
        found.append("SUBSCRIBED")
    if "SPECIAL-USE" in query.select and any(row.special_use and row.name.startswith(below) for row in folders.rows):
        found.append("SPECIAL-USE")
    return tuple(found)


def _attributes(
    name: str, row: MailboxRow | None, has_children: bool, folders: Folders, query: List
) -> tuple[str, ...]:
    found = ["\\HasChildren" if has_children else "\\HasNoChildren"]
    if row is None:
        found.insert(0, "\\NonExistent")
    elif row.special_use:
        found.append(row.special_use)
    if name in folders.subscriptions and "SUBSCRIBED" in query.select | query.returns:
        found.append("\\Subscribed")
    return tuple(found)


def _lsub(folders: Folders, pattern: re.Pattern[str]) -> Iterator[Listed]:
    # RFC 3501 §6.3.9: a name above a subscribed one, itself not subscribed, is shown with \Noselect.
    shown = dict.fromkeys(folders.subscriptions, False)
    for name in folders.subscriptions:
        for parent in above(name):
            if not pattern.fullmatch(name):
                shown.setdefault(parent, True)
    for name in sorted(shown):
        if pattern.fullmatch(name):
            yield Listed(name, ("\\Noselect",) if shown[name] else ())
