"""Work on the files of a data directory, for commands: verify, rebuild, compact."""

from __future__ import annotations

from pathlib import Path

from postrider.app import keys
from postrider.ingest.content import content
from postrider.net.system import SystemClock
from postrider.store import directory
from postrider.store import open as stores
from postrider.store.directory import CannotOpen
from postrider.store.open import Rebuilt, Verified
from postrider.store.survey import Progress
from postrider.telemetry.events import Events, level_of

__all__ = ["Rebuilt", "Verified", "compact", "rebuild", "verify"]

#: Seconds to wait for a server that is just ending.
_WAIT = 10.0


def verify(data: Path, progress: Progress) -> Verified:
    """Look at every record and row, whether a server runs or not. Raises CannotOpen, OSError."""
    if not directory.database_path(data).exists():
        raise CannotOpen(f"{data} has no database: `store rebuild` makes it from the packs, if it ever had one")
    return stores.verify(data, progress, keys.of_tool(data, SystemClock()))


def rebuild(data: Path, progress: Progress) -> Rebuilt:
    """Make the database again from the packs. Raises CannotOpen, OSError."""
    if not any(directory.packs_directory(data).glob("*.pack")):
        raise CannotOpen(f"{data} has no packs to make a database from")
    directory.check_owner(data, directory.packs_directory(data))
    clock = SystemClock()
    options = stores.Options(clock=clock, wait=_WAIT, keys=keys.of_tool(data, clock))
    return stores.rebuild(data, content, progress, options)


def compact(data: Path, dead_part: float) -> tuple[int, int]:
    """Compact packs of which a larger part is dead; octets before and after. Raises CannotOpen, OSError."""
    if not directory.database_path(data).exists():
        raise CannotOpen(f"{data} is not a data directory: there is no database in it")
    directory.check_owner(data, directory.database_path(data))
    events = Events(level=level_of("error"), role="tool")
    options = stores.Options(clock=SystemClock(), events=events, allow_tmpfs=True, wait=_WAIT, measure_sync=False)
    try:
        return stores.compact(data, options, dead_part)
    except stores.WrongDatabase as error:
        raise CannotOpen(str(error)) from error
