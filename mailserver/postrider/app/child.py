"""What every child process does around its work: events, an event loop, an exit status at the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import uvloop

from postrider.supervise.child import Work, obey
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events, level_of


def serve(name: str, settings: Settings, end: socket.socket, make: Callable[[Events], Work]) -> int:
    """Make the work of a process and do it until the supervisor, at the other end of the channel, drains it."""
    events = Events(level=level_of(settings.log_level), role=name)
    events.emit("server.start", pid=os.getpid())

    async def work() -> None:
        await obey(make(events), end)

    try:
        uvloop.run(work())
    except Exception:
        events.emit("server.failure", where=name, exc_info=True)
        return 1
    events.emit("server.stop", pid=os.getpid())
    return 0
