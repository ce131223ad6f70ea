"""SEARCH keys that a store can answer from its rows, as conditions."""

from __future__ import annotations

import math

from postrider.protocols.imap import search as s
from postrider.store.conditions import AllOf, AnyOf, Between, Condition, HasFlags, HasKeyword, Opposite

DAY = 86400
#: Terms of one condition: a store's expressions have their limits.
MOST = 200


def condition(key: s.Key, now: float) -> Condition | None:
    """The same as a condition, None where it takes more than rows; `now` in seconds since the epoch."""
    found = _condition(key, now)
    return found if found is not None and _terms(found) <= MOST else None


def _terms(found: Condition) -> int:
    match found:
        case AllOf(of) | AnyOf(of):
            return 1 + sum(map(_terms, of))
        case Opposite(of):
            return 1 + _terms(of)
    return 1


def _condition(key: s.Key, now: float) -> Condition | None:
    found: Condition | None = None
    match key:
        case s.And(keys):
            found = _several(AllOf, keys, now)
        case s.Or(left, right):
            found = _several(AnyOf, (left, right), now)
        case s.Not(inner):
            opposite = _condition(inner, now)
            found = None if opposite is None else Opposite(opposite)
        case s.HasFlags(bits):
            found = HasFlags(bits)
        case s.HasKeyword(keyword):
            found = HasKeyword(keyword)
        case s.Sized() | s.Within() | s.Dated():
            found = _between(key, now)
    return found


def _between(key: s.Sized | s.Within | s.Dated, now: float) -> Condition | None:
    match key:
        case s.Sized(larger, octets):
            return Between("size", low=octets + 1) if larger else Between("size", high=octets)
        case s.Within(younger, seconds):  # RFC 5032 §2
            edge = math.ceil(now - seconds)
            return Between("received", low=edge) if younger else Between("received", high=edge)
    if key.which == "sent":
        return None
    low, high = key.day * DAY, (key.day + 1) * DAY
    limits = {"BEFORE": (None, low), "ON": (low, high), "SINCE": (low, None)}[key.relation]
    return Between("received" if key.which == "received" else "saved", *limits)


def _several(kind: type[AllOf | AnyOf], keys: tuple[s.Key, ...], now: float) -> Condition | None:
    each = [_condition(key, now) for key in keys]
    found = tuple(one for one in each if one is not None)
    return kind(found) if len(found) == len(each) else None
