"""Keywords of messages: which are the same, and what a STORE makes of them. Pure.

Case tells none apart in IMAP (RFC 8621 §4.1.1); the spelling that was there first stays.
"""

from __future__ import annotations

from collections.abc import Iterable

from postrider.store.transactions import MAX_KEYWORDS, FlagChange, Reason, StoreError


def distinct(words: Iterable[str]) -> tuple[str, ...]:
    """Each once, in order. Raises StoreError(INVALID) for one that is empty or contains a space."""
    found: dict[str, str] = {}
    for word in words:
        if not word or " " in word:
            raise StoreError(Reason.INVALID, "a keyword is empty or contains a space")
        found.setdefault(word.lower(), word)
    return tuple(sorted(found.values()))


def edited(has: Iterable[str], change: FlagChange, words: Iterable[str]) -> tuple[str, ...]:
    """What a message has after a STORE of distinct words, in order.

    Raises StoreError(LIMIT) when it would have more than before, and more than MAX_KEYWORDS.
    """
    held = tuple(has)
    known = {word.lower(): word for word in held}
    named = {word.lower(): known.get(word.lower(), word) for word in words}
    if change is FlagChange.ADD:
        new = {*held, *named.values()}
    elif change is FlagChange.REMOVE:
        new = {word for word in held if word.lower() not in named}
    else:
        new = set(named.values())
    if len(new) > max(MAX_KEYWORDS, len(held)):
        raise StoreError(Reason.LIMIT, f"a message has at most {MAX_KEYWORDS} keywords")
    return tuple(sorted(new))
