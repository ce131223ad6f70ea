"""The writer's process: the one that commits."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from postrider.app import child, keys
from postrider.contract.files import BadSnapshot
from postrider.net.system import SystemClock
from postrider.store import open as stores
from postrider.store.blobs import SyncFailed
from postrider.store.directory import CannotOpen
from postrider.store.keys import QUEUE
from postrider.store.kind import PACKS
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Seconds between two looks for master keys that are missing, and accounts that are named for one.
_KEYS_EVERY = 15.0
_TOLD = 20


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
        self._minding: asyncio.Task[None] | None = None
        self._metrics = Metrics()
        self._keys = keys.Followed(settings, None, SystemClock())
        self._missing: Mapping[str, Sequence[str]] = {}

    async def start(self) -> None:
        """Open the store, which may wait for another writer to leave, and accept fronts."""
        options = stores.Options(
            clock=SystemClock(),
            events=self._events,
            metrics=self._metrics,
            allow_tmpfs=self._settings.allow_tmpfs,
            wait=self._settings.lock_seconds,
            blobs=self._settings.storage.blobs,
            keys=self._keys.ring,
        )
        if self._keys.ring.on and not self._settings.storage.encryption_keys:
            raise CannotOpen(
                f"{self._settings.data} is encrypted, and storage.encryption names no keys: it cannot be switched off"
            )
        self._server = await asyncio.to_thread(stores.open_writer, Path(self._settings.data), options)
        self._server.listen(self._settings.socket)
        self._loop = asyncio.create_task(asyncio.to_thread(self._server.run))
        self._loop.add_done_callback(self._ended)
        self._minding = asyncio.create_task(self._mind_keys())

    async def load(self, generation: int) -> None:
        """Of what is declared the keys concern the writer."""
        try:
            snapshot = child.kept(self._settings, generation)
        except (child.NoSnapshot, BadSnapshot, OSError):  # no reason to end the group: the keys go on as they are
            self._events.emit("server.failure", where="keys", exc_info=True)
            return
        if self._settings.storage.blobs == PACKS:  # files for other programs are not encrypted (contract.check)
            self._keys.follow(snapshot)
            await self._rotate()

    async def drain(self, seconds: float) -> None:
        """Answer what was received, then let the data directory go."""
        if self._minding:
            self._minding.cancel()
        if self._server and self._loop:
            self._loop.remove_done_callback(self._ended)
            self._server.stop()
            async with asyncio.timeout(seconds):
                await self._loop

    async def _mind_keys(self) -> None:
        """Wrap keys anew where there is a newer master key; look again as long as one is missing."""
        while True:
            await self._rotate()
            await asyncio.sleep(_KEYS_EVERY)
            if self._missing:
                await asyncio.to_thread(self._keys.look)

    async def _rotate(self) -> None:
        if not self._keys.ring.on:
            return
        try:
            await asyncio.to_thread(keys.note_source, self._settings)
            done = await asyncio.to_thread(self._keys.ring.rotate)
        except OSError as error:  # it is tried again
            self._events.emit("store.write_failed", error=f"keys: {error}")
            return
        except SyncFailed as error:
            self._events.emit("store.fatal", error=str(error))
            os._exit(os.EX_IOERR)
        if done.wrapped:
            self._events.emit("store.keys_wrapped", keys=done.wrapped)
        if done.missing != self._missing:
            for master, accounts in done.missing.items():
                told = ["the queue" if account == QUEUE else account for account in accounts[:_TOLD]]
                self._events.emit("store.keys_missing", master=master, keys=len(accounts), accounts=told)
        self._missing = done.missing
        self._metrics.observe("postrider_store_keys_missing", sum(map(len, done.missing.values())))

    def _ended(self, loop: asyncio.Task[None]) -> None:
        """The commit loop ended by itself: so does the process, and with it the group."""
        self._events.emit("server.failure", where="writer", exc_info=loop.exception())
        os._exit(os.EX_SOFTWARE)
