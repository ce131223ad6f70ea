"""What every child process does around its work: events, an event loop, an exit status at the end."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvloop

from postrider.contract import files
from postrider.contract.model import Snapshot
from postrider.store.client import RemoteStore
from postrider.store.directory import CannotOpen
from postrider.store.open import WrongDatabase
from postrider.supervise.child import SAID_WHY, Work, obey
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events, level_of

#: Seconds to wait for the writer, which serves already when others are started.
START_SECONDS = 60.0


class NoSnapshot(Exception):
    """The kept snapshot is not there or not whole; the supervisor writes it before it starts who reads it."""


#: Objects made before the collector looks at the young ones.
_YOUNG = 10_000


def _calm_collector() -> None:
    """Cyclic garbage is rare here: what was imported is never looked at again, the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 50)


def _take_name(name: str) -> None:
    """Let ps and top tell the processes apart: all of them come from one command line. Some systems forbid it."""
    with suppress(OSError):
        Path("/proc/self/comm").write_text(f"pr-{name}")  # 15 characters are shown (proc(5))


def serve(name: str, settings: Settings, end: socket.socket, make: Callable[[Events], Work]) -> int:
    """Make the work of a process and do it until the supervisor, at the other end of the channel, drains it."""
    _calm_collector()
    _take_name(name)
    events = Events(level=level_of(settings.log_level), role=name)
    events.emit("server.start", pid=os.getpid())

    async def work() -> None:
        try:
            await obey(make(events), end)
        except (CannotOpen, WrongDatabase):
            raise
        except Exception:
            events.emit("server.failure", where=name, exc_info=True)
            os._exit(1)  # at once: a thread that goes on would hold the data directory

    try:
        uvloop.run(work())
    except (CannotOpen, WrongDatabase) as error:  # the message is for whoever runs the server; a stack is not
        events.emit("server.failed", reason=str(error))
        return SAID_WHY
    events.emit("server.stop", pid=os.getpid())
    return 0


def kept(settings: Settings, generation: int = 0) -> Snapshot:
    """The snapshot the supervisor kept, of this generation or a later one. Raises NoSnapshot, BadSnapshot."""
    found = files.read_kept(Path(settings.kept_snapshot))
    if isinstance(found, files.Pending):
        raise NoSnapshot(found.reason)
    if found.generation < generation:
        raise NoSnapshot(f"generation {generation} was announced, {found.generation} is there")
    return found


async def end_with_the_writer(store: RemoteStore) -> None:
    """Without the writer nothing can be acknowledged or changed; the supervisor ends the group anyway."""
    await store.lost.wait()
    os._exit(os.EX_UNAVAILABLE)


def make_empty(spool: Path) -> None:
    """Spool files are not synced and belong to nobody after a restart."""
    for directory in (spool.parent, spool):
        directory.mkdir(mode=0o700, exist_ok=True)
    for left in spool.iterdir():
        left.unlink()
