"""What every child process does around its work: settings in, events out, an exit status at the end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import msgspec
import uvloop

from postrider.supervise.child import Work, obey
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events, level_of

#: Makes the work of a process from the group's settings and the process's index.
Make = Callable[[Settings, int, Events], Work]


def run(name: str, make: Make) -> int:
    """Run `python -m postrider.app.NAME INDEX DESCRIPTOR SETTINGS` (supervise.processes) until it has drained."""
    index, descriptor, encoded = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    settings = msgspec.json.decode(encoded, type=Settings)
    events = Events(level=level_of(settings.log_level), role=f"{name}-{index}")
    events.emit("server.start", pid=os.getpid())

    async def serve() -> None:
        await obey(make(settings, index, events), descriptor)

    try:
        uvloop.run(serve())
    except Exception:
        events.emit("server.failure", where=name, exc_info=True)
        return 1
    events.emit("server.stop", pid=os.getpid())
    return 0
