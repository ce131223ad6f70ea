"""The supervisor: starts the group, watches the snapshot, answers probes, drains, and never restarts a writer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from postrider.contract.model import Snapshot
from postrider.ops.snapshot import SnapshotWatch
from postrider.supervise import health, sockets
from postrider.supervise.channel import Drain, Load
from postrider.supervise.processes import ChildFailed, ChildProcess, Nursery
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events

#: Seconds between looks at the snapshot's directory.
LOOK_EVERY = 0.2
#: Seconds a front or the background process has to come up.
START_SECONDS = 90.0
#: Seconds the writer has to open the store, once no other one is at work in the data directory. A migration, or the
#: recovery after a crash, that is cut short begins anew at the next start.
OPEN_SECONDS = 600.0
#: Seconds before a front or the background process that died is started again.
RESTART = 1.0

#: Reads the store's counters; given by app, which opens stores.
Counters = Callable[[Settings], Awaitable[Mapping[str, int]]]


class GroupFailed(Exception):
    """The group cannot go on; the message says why."""


@dataclass(slots=True)
class Group:
    """One process group, from start to its exit status."""

    settings: Settings
    events: Events
    counters: Counters
    _writer: ChildProcess | None = None
    _fronts: dict[int, ChildProcess] = field(default_factory=dict)
    _background: ChildProcess | None = None
    _snapshot: Snapshot | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)
    #: It is known how mail is to be kept.
    _declared: asyncio.Event = field(default_factory=asyncio.Event)
    #: The writer holds the data directory's lock: no other group is at work in it.
    _ours: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. Raises GroupFailed when a process that matters ended by itself."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        if self.settings.end_with_stdin:
            # The children read the end of their lifelines and end too; what was acknowledged is durable.
            loop.add_reader(0, os._exit, os.EX_UNAVAILABLE)
        Path(self.settings.data).mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="postrider-") as runtime:
            held = sockets.reserve(self.settings.address, self.settings.ports)
            try:
                ports = {name: end.getsockname()[1] for name, end in held.items()}
                self.settings = msgspec.structs.replace(self.settings, ports=ports, runtime=runtime)
                Path(self.settings.metrics).mkdir()
                await self._serve(held)
            finally:
                for child in self._children():
                    child.kill()
                self._let_go()
                for end in held.values():
                    end.close()

    async def _serve(self, held: Mapping[str, socket.socket]) -> None:
        watch = SnapshotWatch(
            source=Path(self.settings.snapshot),
            kept=Path(self.settings.kept_snapshot),
            events=self.events,
            deliver=self._deliver,
        )
        answers = health.Health(
            self._missing, lambda: watch.status(self._loaded()), self._counted, self.settings.metrics
        )
        tasks: list[asyncio.Task[None]] = [
            asyncio.create_task(health.serve(health.probes(answers), held["health"])),
            asyncio.create_task(health.serve(health.metrics(answers), held["metrics"])),
            asyncio.create_task(self._look(watch)),
            asyncio.create_task(self._processes()),
        ]
        stop = asyncio.create_task(self._stopped())
        try:
            done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await self._drain()
        finally:
            for task in (stop, *tasks):
                task.cancel()
            await asyncio.gather(stop, *tasks, return_exceptions=True)

    async def _stopped(self) -> None:
        await self._stop.wait()

    # -- the snapshot --------------------------------------------------------------------------------------------

    async def _look(self, watch: SnapshotWatch) -> None:
        while not self._declared.is_set():
            self._peek(watch)
            await asyncio.sleep(0 if self._declared.is_set() else LOOK_EVERY)
        await self._ours.wait()
        restored = False
        while True:
            try:
                watch.look()
            except Exception:  # what is served goes on being served, whatever the directory holds
                self.events.emit("server.failure", where="snapshot", exc_info=True)
            if self._snapshot is None and not restored:
                watch.restore()
                restored = True
            await asyncio.sleep(LOOK_EVERY)

    def _peek(self, watch: SnapshotWatch) -> None:
        """The writer must know how mail is to be kept before it opens the store, and nothing is kept before that."""
        found = watch.peek()
        if found is not None:
            self.settings = msgspec.structs.replace(self.settings, storage=found.server.storage)
            self._declared.set()

    def _deliver(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._news.set()
        for child in self._children():
            if child.ready.is_set():
                child.channel.say(Load(snapshot.generation))

    def _loaded(self) -> int | None:
        """The generation that every front serves, and the writer has the keys of."""
        loaded = [child.loaded for child in (*self._fronts.values(), self._writer) if child]
        return min(loaded) if loaded and min(loaded) >= 0 else None

    async def _counted(self) -> Mapping[str, int]:
        """The store's counters; none before it is open."""
        return await self.counters(self.settings) if self._ours.is_set() else {}

    # -- the processes -------------------------------------------------------------------------------------------

    async def _processes(self) -> None:
        """Start everything and watch it; returns only by exception. Fronts wait for the writer's socket."""
        await self._declared.wait()
        nursery = Nursery(self.settings)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_writer(nursery))
            await self._news.wait()
            for index in range(self.settings.fronts):
                group.create_task(self._keep_front(index, nursery))
            group.create_task(self._keep_background(nursery))
            group.create_task(self._tell_ready())

    async def _keep_writer(self, nursery: Nursery) -> None:
        writer = self._writer = await nursery.start("writer", 0)
        await writer.come_up(self.settings.lock_seconds + OPEN_SECONDS)
        self._take_over()
        status = await writer.ended()
        if not self._stop.is_set():
            # After a failed sync nobody knows what the disk holds: a start from outside goes through recovery.
            raise GroupFailed(f"the writer ended with status {status}: the group ends")

    def _take_over(self) -> None:
        """The data directory is ours: what the runtime directory of a group that was killed held is rubbish now."""
        note = Path(self.settings.data) / "runtime"
        if note.is_symlink():
            shutil.rmtree(note.readlink(), ignore_errors=True)
            note.unlink()
        note.symlink_to(self.settings.runtime)
        self._ours.set()

    def _let_go(self) -> None:
        """Nobody is led to a runtime directory that is gone."""
        note = Path(self.settings.data) / "runtime"
        if self._ours.is_set() and note.is_symlink() and note.readlink() == Path(self.settings.runtime):
            note.unlink()

    async def _keep_front(self, index: int, nursery: Nursery) -> None:
        while not self._stop.is_set():
            front = self._fronts[index] = await nursery.start("front", index)
            await front.come_up(START_SECONDS)
            await self._accompany(front)
            del self._fronts[index]
            if not self._stop.is_set():
                await asyncio.sleep(RESTART)

    async def _keep_background(self, nursery: Nursery) -> None:
        """Nobody waits for it: where it does not come up, the group serves without."""
        while not self._stop.is_set():
            background = self._background = await nursery.start("background", 0)
            try:
                await background.come_up(START_SECONDS)
            except ChildFailed as failed:
                self.events.emit("server.process_ended", process=background.name, status=str(failed))
            else:
                await self._accompany(background)
            if not self._stop.is_set():
                await asyncio.sleep(RESTART)

    async def _accompany(self, child: ChildProcess) -> None:
        """From its readiness to its end."""
        if self._snapshot is not None:
            child.channel.say(Load(self._snapshot.generation))
        status = await child.ended()
        health.forget(self.settings.metrics, child.process.pid)
        if not self._stop.is_set():
            self.events.emit("server.process_ended", process=child.name, status=status)

    def _children(self) -> list[ChildProcess]:
        return [child for child in (*self._fronts.values(), self._background, self._writer) if child]

    def _missing(self) -> str:
        if self._stop.is_set():
            return "draining"
        if self._snapshot is None:
            return "no snapshot yet"
        waiting = self.settings.fronts - sum(front.loaded >= 0 for front in self._fronts.values())
        return f"{waiting} of {self.settings.fronts} fronts not serving yet" if waiting else ""

    async def _tell_ready(self) -> None:
        """Write the ready file once everything serves."""
        while self._missing():  # noqa: ASYNC110 -- several processes take part
            await asyncio.sleep(0.02)
        listeners = {name: _authority(self.settings.address, port) for name, port in self.settings.ports.items()}
        self.events.emit("server.ready", listeners=listeners)
        if self.settings.ready_file:
            target = Path(self.settings.ready_file)
            draft = target.with_name(f".{target.name}.draft")
            draft.write_text(json.dumps({"listeners": listeners}, indent=2) + "\n")
            draft.rename(target)

    # -- the end -------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """The writer last: what the others accept still needs it."""
        seconds = self.settings.drain_seconds
        await self._end([child for child in self._children() if child is not self._writer], seconds)
        if self._writer:
            await self._end([self._writer], seconds)

    async def _end(self, children: list[ChildProcess], seconds: float) -> None:
        for child in children:
            child.channel.say(Drain(seconds))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds + 2):
                await asyncio.gather(*(child.ended() for child in children))


def _authority(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
