"""The background process: what may take its time, a job a row. It must never stand in the way of a 250."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from postrider.app import child, keeping, keys, maildirs
from postrider.contract.model import Snapshot
from postrider.model.ports import Clock
from postrider.net.system import SystemClock, SystemRandom
from postrider.store import open as stores
from postrider.store.client import RemoteStore
from postrider.store.keys import Keys
from postrider.store.search import indexer
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events
from postrider.telemetry.metrics import Metrics

#: Fronts and writer go first (nice(2)).
NICENESS = 10
#: Seconds before a job that failed is begun anew.
AGAIN = 10.0


@dataclass(frozen=True, slots=True)
class Around:
    """What a job may use."""

    settings: Settings
    store: RemoteStore
    #: The snapshot that is served at this moment.
    snapshot: Callable[[], Snapshot]
    clock: Clock
    events: Events
    metrics: Metrics
    #: Of accounts whose mail is encrypted.
    keys: Keys


#: A job works until it is cancelled; where it fails, it is begun anew a little later.
Job = Callable[[Around], Coroutine[None, None, None]]


async def index(around: Around) -> None:
    """Keep the search index up to date."""
    ports = indexer.Ports(
        directory=Path(around.settings.data),
        reader=around.store.reader,
        clock=around.clock,
        random=SystemRandom(),
        events=around.events,
        metrics=around.metrics,
        keys=around.keys,
    )
    await indexer.Indexer(ports).run()


#: All jobs: the name is what log events call it.
JOBS: Mapping[str, Job] = {
    "indexer": index,
    "janitor": keeping.keep,
    "maildirs": maildirs.keep,
}


def run(settings: Settings, index: int, end: socket.socket) -> int:
    """The process, from its first line to its exit status."""
    _give_way()
    return child.serve(f"background-{index}", settings, end, lambda events: BackgroundWork(settings, events))


def _give_way() -> None:
    os.nice(NICENESS)
    with suppress(OSError):  # where it is not allowed, being nice has to do
        # Where a processor is free it is used, where none is a 250 does not wait for it (sched(7)).
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


class BackgroundWork:
    """Runs the jobs side by side; one that fails stops no other."""

    def __init__(self, settings: Settings, events: Events, jobs: Mapping[str, Job] = JOBS) -> None:
        self._settings = settings
        self._events = events
        self._jobs = jobs
        self._snapshot = child.kept(settings)
        self._keys = keys.Followed(settings, self._snapshot, SystemClock())
        self._store: RemoteStore | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Connect to the writer, then begin all jobs."""
        settings = self._settings
        store = self._store = await stores.connect(
            settings.data, settings.socket, seconds=child.START_SECONDS, keys=self._keys.ring, makes=False
        )
        around = Around(
            settings, store, lambda: self._snapshot, SystemClock(), self._events, Metrics(), self._keys.ring.key
        )
        self._tasks = [asyncio.create_task(child.end_with_the_writer(store))]
        self._tasks += [asyncio.create_task(self._keep(name, job, around)) for name, job in self._jobs.items()]

    async def load(self, generation: int) -> None:
        """Jobs see the kept generation from their next look at it on."""
        self._snapshot = child.kept(self._settings, generation)
        self._keys.follow(self._snapshot)

    async def drain(self, seconds: float) -> None:
        """Stop the jobs where they are: each is begun anew at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._store:
            await self._store.close()

    async def _keep(self, name: str, job: Job, around: Around) -> None:
        while True:
            try:
                await job(around)
            except Exception:
                self._events.emit("server.failure", where=name, exc_info=True)
            await asyncio.sleep(AGAIN)
