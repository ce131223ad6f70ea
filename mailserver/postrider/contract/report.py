"""What a server says of its snapshot: which generation it serves, which it waits for, which it refused and why."""

from __future__ import annotations

import msgspec

from postrider.contract.model import READABLE, Row


class RefusedRow(Row, frozen=True):
    """One object a generation was refused for (contract.check.Problem without its advice)."""

    kind: str
    namespace: str
    name: str
    reason: str
    message: str


class Refusal(Row, frozen=True):
    """A generation that will not be served."""

    generation: int
    reason: str
    rows: tuple[RefusedRow, ...] = ()


class Status(Row, frozen=True):
    """The answer of GET /status."""

    #: The generation being served; None before the first.
    loaded: int | None = None
    #: A newer one of which parts are missing.
    pending: int | None = None
    #: Why it is pending: the part that has not arrived.
    waiting_for: str = ""
    #: The newest one refused; stays until a later generation is loaded.
    refused: Refusal | None = None
    #: Snapshot versions this server reads.
    readable: tuple[int, ...] = READABLE


class _Wire(msgspec.Struct, frozen=True):
    """Status with every field written, for readers without our defaults."""

    loaded: int | None
    pending: int | None
    waiting_for: str
    refused: Refusal | None
    readable: tuple[int, ...]


def encode(status: Status) -> bytes:
    """Status as JSON, all fields present."""
    return msgspec.json.encode(
        _Wire(status.loaded, status.pending, status.waiting_for, status.refused, status.readable)
    )


def decode(content: bytes) -> Status:
    """JSON to Status; unknown fields are ignored. Raises ValueError."""
    try:
        return msgspec.json.decode(content, type=Status)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a status: {error}") from error
