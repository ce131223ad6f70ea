"""Starts children and waits for their words."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from postrider.supervise.channel import AnyWord, Channel, Loaded, Ready
from postrider.supervise.settings import Settings


class ChildFailed(Exception):
    """A child did not come up; its own last event says why."""


@dataclass(slots=True)
class ChildProcess:
    """One running child, with what it has said so far."""

    name: str
    process: asyncio.subprocess.Process
    channel: Channel
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    #: Generation it serves, -1 before the first.
    loaded: int = -1
    _ended: asyncio.Task[int] | None = None

    async def come_up(self, seconds: float) -> None:
        """Wait until it serves. Raises ChildFailed when it ends first or takes longer than `seconds`."""
        self._ended = asyncio.create_task(self._listen(), name=self.name)
        ready = asyncio.create_task(self.ready.wait())
        await asyncio.wait([self._ended, ready], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self.ready.is_set():
            self.kill()
            raise ChildFailed(f"{self.name} did not come up")

    async def ended(self) -> int:
        """Wait for its end; returns its exit status, negative for a signal."""
        return await asyncio.shield(self._ended) if self._ended else await self.process.wait()

    async def _listen(self) -> int:
        async for word in self.channel.words():
            self._take(word)
        self.channel.close()
        return await self.process.wait()

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
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


async def start(name: str, index: int, settings: Settings, environment: Mapping[str, str]) -> ChildProcess:
    """Start `python -m postrider.app.NAME INDEX DESCRIPTOR SETTINGS`; the descriptor is its end of the channel."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            f"postrider.app.{name}",
            str(index),
            str(theirs.fileno()),
            msgspec.json.encode(settings).decode(),
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env=environment,
        )
    return ChildProcess(f"{name}-{index}", process, await Channel.open(ours))
