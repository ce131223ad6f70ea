"""Conditions on what of a message is in its rows: a store tests them by itself, without making values of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class AllOf:
    """All of these; of none it is true."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these."""

    of: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Opposite:
    """Not this."""

    of: Condition


@dataclass(frozen=True, slots=True)
class HasFlags:
    """All these system flags are set."""

    bits: int


@dataclass(frozen=True, slots=True)
class HasKeyword:
    """The keyword is set, in any case; it is ASCII without spaces."""

    keyword: str


@dataclass(frozen=True, slots=True)
class Between:
    """A number (octets, seconds since the epoch) is at least `low` and below `high`; None: no limit."""

    what: Literal["size", "received", "saved"]
    low: int | None = None
    high: int | None = None


Condition = AllOf | AnyOf | Opposite | HasFlags | HasKeyword | Between


class Row(Protocol):
    """What conditions are about: values.MessageRow, for one."""

    @property
    def flags(self) -> int: ...  # noqa: D102
    @property
    def keywords(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def received(self) -> int: ...  # noqa: D102
    @property
    def saved(self) -> int: ...  # noqa: D102


def holds(condition: Condition, row: Row) -> bool:
    """Whether a row is as the condition says."""
    match condition:
        case AllOf(of):
            return all(holds(each, row) for each in of)
        case AnyOf(of):
            return any(holds(each, row) for each in of)
        case Opposite(of):
            return not holds(of, row)
        case HasFlags(bits):
            return row.flags & bits == bits
        case HasKeyword(keyword):
            return keyword.lower() in map(str.lower, row.keywords)
        case Between(what, low, high):
            number: int = getattr(row, what)
            return (low is None or low <= number) and (high is None or number < high)
