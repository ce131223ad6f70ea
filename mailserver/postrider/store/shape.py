"""What all transactions have in common: their shape on the wire, and how the store says yes and no."""

from __future__ import annotations

import enum

import msgspec

from postrider.store.values import Value


class Txn(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The common shape of transactions: tagged with the class name on the wire."""


class Reason(enum.StrEnum):
    """Why the store said no."""

    NO_MAILBOX = "no-mailbox"
    NO_MESSAGE = "no-message"  # what was to be replaced is gone
    EXISTS = "exists"
    HAS_CHILDREN = "has-children"  # folders lie below it
    OVER_QUOTA = "over-quota"
    NO_SPACE = "no-space"  # below the floor of free space: 452 4.3.1
    WRITE_FAILED = "write-failed"  # EIO at write; nothing of this transaction was kept: 451
    FENCED = "fenced"  # the claim belongs to somebody else by now
    CONFLICT = "conflict"  # it was changed meanwhile: read it again
    AGAIN = "again"  # a staged copy was overtaken: begin it again
    BUSY = "busy"  # another large copy into this folder is under way
    HELD = "held"  # the account is under legal hold
    LIMIT = "limit"  # too many of them, or too large
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"  # the writer is going or gone


class StoreError(Exception):
    """A transaction was refused; `reason` says why, the message says it to an operator."""

    def __init__(self, reason: Reason, text: str = "") -> None:
        super().__init__(text or reason.value)
        self.reason = reason


class Done(Value, frozen=True):
    """It is durable."""
