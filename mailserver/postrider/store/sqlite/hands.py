"""What housekeeping works on, and what it may do with the writer it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import apsw

from postrider.model.ports import Clock
from postrider.store.packs import Packs
from postrider.store.sqlite.journal import Journal
from postrider.store.sqlite.sealing import Sealing
from postrider.store.sqlite.transaction import Running

#: Runs a transaction of the writer's own.
Transact = Callable[[Callable[[Running], None]], None]


@dataclass(frozen=True, slots=True)
class Store:
    """One data directory: its database, with its path, and its packs."""

    db: apsw.Connection
    path: Path
    packs: Packs
    journal: Journal
    sealing: Sealing


@dataclass(frozen=True, slots=True)
class Hands:
    """What it may do."""

    #: Run a transaction: one that is durable when it returns; one that is durable with the next that is.
    transact: Transact
    unsynced: Transact
    #: Clear away so many rows of what was removed; false when there was nothing to do.
    clear: Callable[[int], bool]
    #: Whether there is space enough.
    space: Callable[[], bool]
    #: A sync failed; something could not be written, which is to be told.
    fatal: Callable[[Exception], NoReturn]
    failed: Callable[[Exception], object]
    #: A portion of some job took so many seconds.
    observe: Callable[[str, float], object]
    clock: Clock
