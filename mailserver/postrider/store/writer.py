"""The one that commits: what it is told, what it answers, and what one may choose about it.

`local` and `server` feed batches to it; the driver behind it makes them durable.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from postrider.model.ports import Clock
from postrider.store import transactions as t
from postrider.store.keyring import Keyring
from postrider.store.packs import PACK_SIZE
from postrider.store.values import Account
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Transactions of one batch, and octets of bodies held in memory for it.
MAX_BATCH = 256
MAX_BATCH_BYTES = 32 * 1024 * 1024
_EX_IOERR = 74  # sysexits.h


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return time.monotonic()


def _die() -> None:
    os._exit(_EX_IOERR)


@dataclass(frozen=True, slots=True)
class Options:
    """What one may choose about a store."""

    clock: Clock = field(default_factory=SystemClock)
    events: Events | None = None
    metrics: Metrics | None = None
    #: Intake stops below the smaller of the two: bytes, and parts of the filesystem.
    floor_bytes: int = 256 * 1024 * 1024
    floor_part: float = 0.02
    allow_tmpfs: bool = False
    #: What a fresh data directory is to keep bodies in, and an old one must (store.kind); "" takes what it has.
    blobs: str = ""
    #: What opens and seals what is encrypted; None: the directory's own keys, without a master key.
    keys: Keyring | None = None
    #: Seconds to wait for another writer to end, and how to wait.
    wait: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    pack_size: int = PACK_SIZE
    #: The WAL's length in bytes at which it is copied into the database.
    wal_size: int = 32 * 1024 * 1024
    #: Called after a sync failed; must not return.
    die: Callable[[], object] = _die
    measure_sync: bool = True


@dataclass(slots=True)
class Outcome:
    """What a batch did: a result or StoreError for each transaction, and whom to tell."""

    results: list[object]
    accounts: set[Account] = field(default_factory=set)
    queue: bool = False


def merged(outcomes: Sequence[Outcome]) -> Outcome:
    """What several batches did, as that of one."""
    return Outcome(
        [result for outcome in outcomes for result in outcome.results],
        {account for outcome in outcomes for account in outcome.accounts},
        any(outcome.queue for outcome in outcomes),
    )


class Committer(Protocol):
    """Holds a data directory for writing. Used from one thread."""

    def commit(self, txns: Sequence[t.Txn]) -> Outcome:
        """Run a batch. What it returns is durable; a refused transaction has changed nothing."""
        ...

    def between(self) -> float:
        """Housekeeping between two batches; seconds until there is more of it, 0 for now."""
        ...

    def close(self) -> None:
        """Let the data directory go."""
        ...
