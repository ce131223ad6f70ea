"""The supervisor's process, from its first line to its exit status."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

import uvloop

from postrider.store import open as stores
from postrider.store.ports import Store
from postrider.supervise.group import Group, GroupFailed
from postrider.supervise.processes import ChildFailed, ChildSaidWhy
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events, level_of


def supervise(settings: Settings) -> int:
    """Run a process group until it ends; the exit status of the command."""
    _raise_file_limit()
    events = Events(level=level_of(settings.log_level), role="supervisor")
    events.emit("server.start", pid=os.getpid())
    failures: list[BaseException] = []
    try:
        uvloop.run(Group(settings, events, _Counters().read).run())
    except* (GroupFailed, ChildFailed, OSError) as failed:
        failures = _leaves(failed)
    for failure in (one for one in failures if not isinstance(one, ChildSaidWhy)):
        events.emit("server.failed", reason=str(failure))
    if not failures:
        events.emit("server.stop", pid=os.getpid())
    return 1 if failures else 0


def _raise_file_limit() -> None:
    """Each connection is an open file, and the usual soft limit of 1,024 is below our own; the children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


class _Counters:
    """Reads the store's counters as a front would, once the writer serves."""

    def __init__(self) -> None:
        self._store: Store | None = None

    async def read(self, settings: Settings) -> Mapping[str, int]:
        if self._store is None:
            self._store = await stores.connect(settings.data, settings.socket, seconds=1.0)
        return await self._store.reader.counters()
