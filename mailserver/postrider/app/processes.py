"""What each process runs, from its first line to its exit status."""

from __future__ import annotations

import logging
import os
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec
import uvloop

from postrider.app.front import FrontWork
from postrider.app.writer import WriterWork
from postrider.store import open as stores
from postrider.store.ports import Store
from postrider.supervise.child import obey
from postrider.supervise.group import Group, GroupFailed
from postrider.supervise.processes import ChildFailed
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events

_LEVELS = {name.lower(): number for name, number in logging.getLevelNamesMapping().items()}


def supervise(settings: Settings) -> int:
    """Run a process group until it ends; the exit status of the command."""
    events = _events(settings, "supervisor")
    events.emit("server.start", pid=os.getpid())
    failures: list[BaseException] = []
    try:
        _run(Group(settings, events, _Counters(settings).read).run())
    except* (GroupFailed, ChildFailed, OSError) as failed:
        failures = _leaves(failed)
    for failure in failures:
        events.emit("server.failed", reason=str(failure))
    if not failures:
        events.emit("server.stop", pid=os.getpid())
    return 1 if failures else 0


def child(name: str, index: int, descriptor: int, encoded: str) -> int:
    """Run a child of the supervisor until it has drained; its exit status."""
    settings = msgspec.json.decode(encoded, type=Settings)
    events = _events(settings, f"{name}-{index}")
    events.emit("server.start", pid=os.getpid())
    try:
        _run(_serve(name, index, descriptor, settings, events))
    except Exception:
        events.emit("server.failure", where=name, exc_info=True)
        return 1
    events.emit("server.stop", pid=os.getpid())
    return 0


async def _serve(name: str, index: int, descriptor: int, settings: Settings, events: Events) -> None:
    work = WriterWork(settings, events) if name == "writer" else FrontWork(settings, index, events)
    await obey(work, descriptor)


def _run(main: Coroutine[Any, Any, None]) -> None:
    uvloop.run(main)


def _events(settings: Settings, role: str) -> Events:
    return Events(level=_LEVELS.get(settings.log_level, logging.INFO), role=role)


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


class _Counters:
    """Reads the store's counters as a front would, once the writer serves."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: Store | None = None

    async def read(self) -> Mapping[str, int]:
        if self._store is None:
            self._store = await stores.connect(self._settings.data, self._settings.socket, seconds=1.0)
        return await self._store.reader.counters()
