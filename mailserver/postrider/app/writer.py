"""The writer's process: the one that commits."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

from postrider.app import child
from postrider.net.system import SystemClock
from postrider.store import open as stores
from postrider.store.directory import CannotOpen
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics


def run(settings: Settings, index: int, end: socket.socket) -> int:
    """The process, from its first line to its exit status."""
    return child.serve(f"writer-{index}", settings, end, lambda events: WriterWork(settings, events))


class WriterWork:
    """Serves fronts until it is drained. Its commit loop has a thread of its own; this one hears the supervisor."""

    def __init__(self, settings: Settings, events: Events) -> None:
        self._settings = settings
        self._events = events
        self._server: stores.WriterServer | None = None
        self._loop: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store, which may wait for another writer to leave, and accept fronts."""
        options = stores.Options(
            clock=SystemClock(),
            events=self._events,
            metrics=Metrics(),
            allow_tmpfs=self._settings.allow_tmpfs,
            wait=self._settings.lock_seconds,
            blobs=self._settings.storage.blobs,
        )
        if self._settings.storage.encryption_keys:
            raise CannotOpen("this release cannot encrypt: take storage.encryption out, or use one that can")
        self._server = await asyncio.to_thread(stores.open_writer, Path(self._settings.data), options)
        self._server.listen(self._settings.socket)
        self._loop = asyncio.create_task(asyncio.to_thread(self._server.run))
        self._loop.add_done_callback(self._ended)

    async def load(self, generation: int) -> None:
        """Nothing declared concerns the writer."""

    async def drain(self, seconds: float) -> None:
        """Answer what was received, then let the data directory go."""
        if self._server and self._loop:
            self._loop.remove_done_callback(self._ended)
            self._server.stop()
            async with asyncio.timeout(seconds):
                await self._loop

    def _ended(self, loop: asyncio.Task[None]) -> None:
        """The commit loop ended by itself: so does the process, and with it the group."""
        self._events.emit("server.failure", where="writer", exc_info=loop.exception())
        os._exit(os.EX_SOFTWARE)
