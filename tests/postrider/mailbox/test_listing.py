"""LIST's patterns and attributes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postrider.mailbox.listing import Folders, listing
from postrider.mailbox.pattern import Pattern
from postrider.protocols.imap.events import List
from postrider.store.values import MailboxRow

NAMES = ("INBOX", "INBOX/Sub", "Sent", "Work", "Work/a", "Work/a/b", "a.b")


def folders(*subscribed: str) -> Folders:
    rows = [
        MailboxRow(at, name, 1, 1, 1, 0, 0, 0, 0, special_use="\\Sent" if name == "Sent" else "")
        for at, name in enumerate(NAMES, 1)
    ]
    return Folders(rows, frozenset(subscribed))


@pytest.mark.parametrize(
    ("reference", "pattern", "names"),
    [
        ("", "*", NAMES),
        ("", "%", ("INBOX", "Sent", "Work", "a.b")),
        ("", "%/%", ("INBOX/Sub", "Work/a")),
        ("", "inbox", ("INBOX",)),
        ("", "iNbOx/*", ("INBOX/Sub",)),
        ("", "inbox*", ()),
        ("Work/", "*", ("Work/a", "Work/a/b")),
        ("Work", "%", ("Work",)),
        ("", "a.b", ("a.b",)),
        ("", "axb", ()),
        ("", "W*b", ("Work/a/b",)),
        ("", "%*%*%*%*%*%*%*%*%*%*%*%*z", ()),
    ],
)
def test_patterns(reference: str, pattern: str, names: tuple[str, ...]) -> None:
    assert tuple(line.name for line in listing(folders(), List(reference, (pattern,)))) == names


def slow_match(pattern: str, name: str) -> bool:
    """The definition, without thought for speed."""
    if not pattern:
        return not name
    if pattern[0] in "*%":
        ends = range(len(name) + 1)
        return any(slow_match(pattern[1:], name[end:]) for end in ends if pattern[0] == "*" or "/" not in name[:end])
    return bool(name) and name[0] == pattern[0] and slow_match(pattern[1:], name[1:])


@settings(max_examples=300, deadline=None)
@given(st.text("ab/*%", max_size=8), st.text("ab/", max_size=8))
def test_patterns_match_by_their_definition(pattern: str, name: str) -> None:
    assert Pattern(pattern).matches(name) == slow_match(pattern, name)


def test_no_pattern_is_slow() -> None:
    assert not Pattern("*a" * 200 + "b").matches("a" * 1000)
    assert not Pattern("%a*a" * 100 + "b").matches("a/" * 500)


def test_attributes() -> None:
    shown = {line.name: line.attributes for line in listing(folders("Work"), List("", ("*",)))}
    assert shown["Work"] == ("\\HasChildren",)
    assert shown["Sent"] == ("\\HasNoChildren", "\\Sent")
    query = List("", ("*",), returns=frozenset({"SUBSCRIBED"}))
    assert ("\\HasChildren", "\\Subscribed") in {line.attributes for line in listing(folders("Work"), query)}


def test_lsub_shows_parents_only_for_percent() -> None:
    def lsub(pattern: str) -> dict[str, tuple[str, ...]]:
        query = List("", (pattern,), select=frozenset({"SUBSCRIBED"}), lsub=True)
        return {line.name: line.attributes for line in listing(folders("Work/a/b", "Sent"), query)}

    assert lsub("%") == {"Sent": (), "Work": ("\\Noselect",)}
    assert lsub("*") == {"Sent": (), "Work/a/b": ()}
