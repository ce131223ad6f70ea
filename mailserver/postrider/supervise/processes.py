"""Starts children and waits for their words."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import multiprocessing
import os
import socket
import sys
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess

from postrider.supervise.channel import AnyWord, Channel, Loaded, Ready
from postrider.supervise.child import SAID_WHY
from postrider.supervise.settings import Settings


class ChildFailed(Exception):
    """A child did not come up; its own last event says why."""


class ChildSaidWhy(ChildFailed):
    """A child did not come up and told the reader why: nothing is to be added."""


@dataclass(slots=True)
class ChildProcess:
    """One running child, with what it has said so far."""

    name: str
    process: ForkServerProcess
    channel: Channel
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    #: Generation it serves, -1 before the first.
    loaded: int = -1
    _ended: asyncio.Task[int] | None = None

    async def come_up(self, seconds: float) -> None:
        """Wait until it serves. Raises ChildFailed when it ends first (ChildSaidWhy) or takes longer than `seconds`."""
        self._ended = asyncio.create_task(self._listen(), name=self.name)
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait([self._ended, ready], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self.ready.is_set():
            self.kill()
            if self._ended.done() and self._ended.result() == SAID_WHY:
                raise ChildSaidWhy(f"{self.name} cannot start")
            raise ChildFailed(f"{self.name} did not come up")

    async def ended(self) -> int:
        """Wait for its end; returns its exit status, negative for a signal."""
        return await asyncio.shield(self._ended) if self._ended else await _exit_status(self.process)

    async def _listen(self) -> int:
        async for word in self.channel.words():
            self._take(word)
        self.channel.close()
        return await _exit_status(self.process)

    def _take(self, word: AnyWord) -> None:
        match word:
            case Ready():
                self.ready.set()
            case Loaded(generation):
                self.loaded = generation
            case _:
                raise ValueError(f"a child does not say {word}")

    def kill(self) -> None:
        """End it now; it may be gone already."""
        self.process.kill()


class Nursery:
    """Starts the children out of one process that has imported everything they need.

    They start in milliseconds and share its memory, however many fronts there are.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # prometheus_client reads it when it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = settings.metrics
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["postrider.app.writer", "postrider.app.front", "postrider.app.background", "postrider.supervise.shared"]
        )

    async def start(self, name: str, index: int) -> ChildProcess:
        """Start a child that runs `postrider.app.NAME`; its end of the channel is handed over."""
        starting = asyncio.create_task(self._start(name, index))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:  # nobody would know of the child: it is not to outlive the group
            with contextlib.suppress(ChildFailed):
                child = await starting
                child.kill()
                child.channel.close()
            raise

    async def _start(self, name: str, index: int) -> ChildProcess:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = self._context.Process(
                target=enter, args=(name, index, theirs, self._settings), name=f"{name}-{index}", daemon=True
            )
            try:
                await asyncio.to_thread(process.start)
            except EOFError as error:
                raise ChildFailed(f"{process.name}: the process that starts children ended") from error
        return ChildProcess(process.name, process, await Channel.open(ours))


def enter(name: str, index: int, end: socket.socket, settings: Settings) -> None:
    """The first call in a child."""
    work = importlib.import_module(f"postrider.app.{name}")
    sys.exit(work.run(settings, index, end))


async def _exit_status(process: ForkServerProcess) -> int:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(process.sentinel, ended.set_result, None)
    try:
        await ended
    finally:
        loop.remove_reader(process.sentinel)
    process.join()
    return process.exitcode or 0
