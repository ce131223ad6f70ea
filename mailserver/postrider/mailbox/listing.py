"""LIST and LSUB: which folders a pattern shows, and with which attributes (RFC 9051 §6.3.9, RFC 3501 §6.3.9). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from postrider.mailbox.names import SEPARATOR
from postrider.mailbox.pattern import Pattern
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
    patterns = [Pattern(query.reference + pattern) for pattern in query.patterns]
    if query.lsub:
        return list(_lsub(folders, patterns))
    rows = {row.name: row for row in folders.rows}
    names = set(rows)
    if "SUBSCRIBED" in query.select:
        names |= folders.subscriptions  # RFC 9051 §6.3.9.1: those that are gone are shown too
    parents = _parents(rows)
    infos = _child_infos(folders, query)
    lines = []
    for name in sorted(names):
        if not any(pattern.matches(name) for pattern in patterns):
            continue
        info = tuple(option for option, below in infos.items() if name in below)
        if info or _selected(name, rows.get(name), folders, query):
            lines.append(Listed(name, _attributes(name, rows.get(name), name in parents, folders, query), info))
    return lines


def above(name: str) -> Iterator[str]:
    """The names above a name, topmost first."""
    at = name.find(SEPARATOR)
    while at >= 0:
        yield name[:at]
        at = name.find(SEPARATOR, at + 1)


def _parents(names: Iterable[str]) -> set[str]:
    return {parent for name in names for parent in above(name)}


def _selected(name: str, row: MailboxRow | None, folders: Folders, query: List) -> bool:
    if "SUBSCRIBED" in query.select and name not in folders.subscriptions:
        return False
    return "SPECIAL-USE" not in query.select or (row is not None and bool(row.special_use))


def _child_infos(folders: Folders, query: List) -> dict[str, set[str]]:
    """RFC 9051 §6.3.9.2: for each selection the folders that have one below them that meets it."""
    if "RECURSIVEMATCH" not in query.select:
        return {}
    special = [row.name for row in folders.rows if row.special_use]
    meeting = {"SUBSCRIBED": folders.subscriptions, "SPECIAL-USE": special}
    return {option: _parents(names) for option, names in meeting.items() if option in query.select}


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


def _lsub(folders: Folders, patterns: Sequence[Pattern]) -> Iterator[Listed]:
    # RFC 3501 §6.3.9: a name above a subscribed one, itself not subscribed, is shown with \Noselect.
    def shown(name: str) -> bool:
        return any(pattern.matches(name) for pattern in patterns)

    names = dict.fromkeys(folders.subscriptions, False)
    for parent in _parents(name for name in folders.subscriptions if not shown(name)):
        names.setdefault(parent, True)
    for name in sorted(filter(shown, names)):
        yield Listed(name, ("\\Noselect",) if names[name] else ())
