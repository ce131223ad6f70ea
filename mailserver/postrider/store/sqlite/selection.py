"""Conditions as SQL: which messages of a folder they hold for, without a value for each row."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Any

import apsw

from postrider.store.conditions import AllOf, AnyOf, Between, Condition, HasFlags, HasKeyword, Opposite

_COLUMNS = {"size": "message.size", "received": "received", "saved": "saved"}

#: An expression and what is bound in it.
Expression = tuple[str, list[Any]]


def select(db: apsw.Connection, folder: tuple[int, int], condition: Condition, span: tuple[int, int]) -> array[int]:
    """UIDs of a folder (account and mailbox) in a span, both ends included, for which the condition holds; rising."""
    where, bound = _expression(condition)
    email = " CROSS JOIN email ON email.id = email_id" if _asks_received(condition) else ""
    rows: Any = db.execute(
        f"SELECT uid FROM mailbox CROSS JOIN message ON message.account_id = mailbox.account_id"
        f" AND mailbox_id = mailbox.id AND uid NOT BETWEEN hidden_first AND hidden_last{email}"
        f" WHERE mailbox.account_id = ? AND mailbox.id = ? AND uid BETWEEN ? AND ? AND {where} ORDER BY uid",
        (*folder, *span, *bound),
    )
    return array("I", (uid for (uid,) in rows))


def _expression(condition: Condition) -> Expression:
    match condition:
        case AllOf(of):
            return _joined("AND", "1", of)
        case AnyOf(of):
            return _joined("OR", "0", of)
        case Opposite(of):
            inner, bound = _expression(of)
            return f"NOT {inner}", bound
        case HasFlags(bits):
            return "flags & ? = ?", [bits, bits]
        case HasKeyword(keyword):
            return "instr(' ' || lower(keywords) || ' ', ?)", [f" {keyword.lower()} "]
        case Between(what, low, high):
            column = _COLUMNS[what]
            limits = [(f"{column} >= ?", low), (f"{column} < ?", high)]
            given = [(sql, limit) for sql, limit in limits if limit is not None]
            return f"({' AND '.join(sql for sql, _ in given) or '1'})", [limit for _, limit in given]


def _joined(operator: str, empty: str, conditions: Iterable[Condition]) -> Expression:
    each = [_expression(condition) for condition in conditions]
    return f"({f' {operator} '.join(sql for sql, _ in each) or empty})", [value for _, bound in each for value in bound]


def _asks_received(condition: Condition) -> bool:
    match condition:
        case AllOf(of) | AnyOf(of):
            return any(map(_asks_received, of))
        case Opposite(of):
            return _asks_received(of)
    return isinstance(condition, Between) and condition.what == "received"
