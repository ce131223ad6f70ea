"""What fronts and the writer say to each other: frames of a length and MessagePack, told apart by ids.

A frame is its length (4 octets, little-endian) and a value. The front sends Asked; the writer sends Answered or
Refused for each, in any order, and Hinted to every front after a batch. Nothing of it is ever stored.
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


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """A transaction to run."""

    id: int
    txn: t.AnyTxn


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
asked: msgspec.msgpack.Decoder[Asked] = msgspec.msgpack.Decoder(Asked)
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
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The values that are whole now. Raises BadFrame."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= 4:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME:
                raise BadFrame(f"a frame of {length} octets")
            if len(buffer) - start - 4 < length:
                break
            yield bytes(memoryview(buffer)[start + 4 : start + 4 + length])
            start += 4 + length
        del buffer[:start]
