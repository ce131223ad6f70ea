"""What fronts and the writer say to each other: frames of a length and MessagePack, told apart by ids.

A frame is its length (4 octets, little-endian) and a value. The front sends Asked, and Watched for the accounts it
wants to hear of; the writer sends Answered or Refused for each Asked, in any order, and Hinted after a batch that
changed what the front watches. Nothing of it is ever stored.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from postrider.store import transactions as t
from postrider.store.values import Account, QueueRow

#: Larger bodies go by the path of their spool file.
MAX_FRAME = 64 * 1024 * 1024
_LENGTH = struct.Struct("<I")


class Asked(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A transaction to run."""

    id: int
    txn: t.AnyTxn


class Watched(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """Hints about the account are wanted, or no longer. The first comes at once: it may have changed before."""

    account: Account
    on: bool


class Answered(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """It is durable; `result` is of the type that belongs to the transaction."""

    id: int
    result: msgspec.Raw


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """It changed nothing."""

    id: int
    reason: t.Reason
    text: str


class Hinted(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """These accounts changed, or the queue did."""

    accounts: tuple[Account, ...]
    queue: bool


RESULTS: Mapping[type[t.Txn], Any] = {
    t.Intake: t.IntakeDone,
    t.Append: t.Uids,
    t.Copy: t.Uids,
    t.Replace: t.Uids,
    t.Undelete: t.Uids,
    t.BeginCopy: t.CopyBegun,
    t.StageCopy: t.Staged,
    t.FinishCopy: t.CopyFinished,
    t.Collect: t.Collected,
    t.Expire: t.Collected,
    t.PruneTombstones: t.Pruned,
    t.PutThing: t.Put,
    t.SetFlags: t.FlagsSet,
    t.Expunge: t.Expunged,
    t.CreateMailbox: t.Made,
    t.TouchRecent: t.Recent,
    t.Claim: tuple[QueueRow, ...],
}

_encode = msgspec.msgpack.Encoder().encode
asked: msgspec.msgpack.Decoder[Asked | Watched] = msgspec.msgpack.Decoder(Asked | Watched)
told: msgspec.msgpack.Decoder[Answered | Refused | Hinted] = msgspec.msgpack.Decoder(Answered | Refused | Hinted)
_results: Mapping[Any, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(RESULTS.get(kind, t.Done)) for kind in t.Txn.__subclasses__()
}


class BadFrame(Exception):
    """The other side does not speak this protocol."""


def frame(value: msgspec.Struct) -> bytes:
    """The bytes of one value."""
    data = _encode(value)
    return _LENGTH.pack(len(data)) + data


def answer(number: int, result: object) -> bytes:
    """The frame for a transaction's result or StoreError."""
    if isinstance(result, t.StoreError):
        return frame(Refused(number, result.reason, str(result)))
    return frame(Answered(number, msgspec.Raw(_encode(result))))


def result_of(txn: t.Txn, result: msgspec.Raw) -> Any:
    """The result of a transaction from its answer."""
    return _results[type(txn)].decode(result)


class Frames:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._held = bytearray()  # the beginning of a frame

    def feed(self, data: bytes | memoryview) -> Iterator[memoryview]:
        """The values that are whole now, each good until the next is asked for. Raises BadFrame."""
        source: bytes | bytearray | memoryview = data
        if self._held:
            self._held += data
            source = self._held
        view, start = memoryview(source), 0
        while len(view) - start >= 4:
            (length,) = _LENGTH.unpack_from(view, start)
            if length > MAX_FRAME:
                raise BadFrame(f"a frame of {length} octets")
            end = start + 4 + length
            if end > len(view):
                break
            yield view[start + 4 : end]
            start = end
        if start or source is not self._held:
            self._held = bytearray(view[start:])
