"""The journal: changes of rows, as records in the packs, from which a database can be made again. Pure.

A *change record* has the rows that one committed batch changed, as they are after it, and the keys of those that are
gone. A *snapshot* is a run of *slices* with all rows, written beside the batches: slice 0 is the layout (tables with
their columns), each of the others shows some rows as they are after the batch it names, the last one says that it is.
Replaying the slices of the last whole snapshot and all changes since it began, in the order of `About.order`, gives
the database as it was after the last change.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from postrider.store.meta import Numbered

#: Tables that are not journaled, and why.
DERIVED: Mapping[str, str] = {
    "destination": "triggers keep it, from the rows of the queue",
    "domain_usage": "triggers keep it, from the rows of accounts",
    "journal": "about the journal itself",
    "log_size": "triggers keep it, from the rows it counts",
    "outbox": "what is not yet in the journal",
    "pack": "found by looking through the packs",
    "schema_version": "made with the tables",
}
#: Columns that are not, though their tables are: made anew from bodies when they are wanted (parse version).
DERIVED_COLUMNS: Mapping[str, frozenset[str]] = {"email": frozenset({"cached"})}


class About(Numbered, frozen=True, omit_defaults=True, gc=False):
    """Meta of a journal record. `snapshot` is 0 for changes, else the first batch that is not in the snapshot.

    `batch` of a slice is the last batch that it shows.
    """

    snapshot: int = msgspec.field(name="s", default=0)
    slice: int = msgspec.field(name="i", default=0)
    last: bool = msgspec.field(name="l", default=False)

    @property
    def order(self) -> tuple[int, int, int]:
        """Where it comes in a replay: a slice follows the batch that it shows the state after."""
        return self.batch, self.snapshot, self.slice

    def needed(self, snapshot: int) -> bool:
        """Whether a rebuild reads it when that snapshot is the last whole one: those begun later may become it."""
        return self.snapshot >= snapshot if self.snapshot else self.batch >= snapshot


class Table(msgspec.Struct, frozen=True, array_like=True):
    """One table of the layout: its journaled columns, and which of them are the key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


class Layout(msgspec.Struct, frozen=True, array_like=True):
    """What change records and slices leave out, since it is always the same."""

    tables: tuple[Table, ...]
    version: int = 1

    @property
    def crc(self) -> int:
        """Tells one layout from another."""
        return zlib.crc32(_encode(self))


class Changed(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one table: values in the order of the layout's columns, and keys of rows that are gone."""

    table: str
    rows: list[Any]
    gone: list[Any] = []


class Changes(msgspec.Struct, frozen=True, array_like=True):
    """A change record's payload, or a slice's. `ids`: the highest ids that were given out, by table."""

    tables: list[Changed]
    ids: dict[str, int] = {}


_encode = msgspec.msgpack.Encoder().encode
_about = msgspec.msgpack.Decoder(About).decode
_layout = msgspec.msgpack.Decoder(Layout).decode
_changes = msgspec.msgpack.Decoder(Changes).decode


def pack(value: About | Layout | Changes) -> bytes:
    """The bytes of a record's meta or payload."""
    return _encode(value)


def unpack_about(meta: bytes) -> About:
    """Raises msgspec.DecodeError."""
    return _about(meta)


def unpack_layout(payload: bytes) -> Layout:
    """Raises msgspec.DecodeError."""
    return _layout(payload)


def unpack_changes(payload: bytes) -> Changes:
    """Raises msgspec.DecodeError."""
    return _changes(payload)
