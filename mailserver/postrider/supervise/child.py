"""The child's side: say ready, obey words, end with the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Protocol

from postrider.supervise.channel import Channel, Drain, Load, Loaded, Ready

#: Exit status of a child that cannot start, for a reason that its last event tells in words.
SAID_WHY = os.EX_CONFIG


class Work(Protocol):
    """What a child process does."""

    async def start(self) -> None:
        """Open everything; when it returns the child is serving."""
        ...

    async def load(self, generation: int) -> None:
        """Serve the generation that lies in the kept snapshot."""
        ...

    async def drain(self, seconds: float) -> None:
        """Take nothing new, finish what is under way, close."""
        ...


async def obey(work: Work, end: socket.socket) -> None:
    """Run one child until it has drained.

    The lifeline's end is the supervisor's death: the process ends at once, though it still were starting.
    """
    loop = asyncio.get_running_loop()
    # A terminal's Ctrl-C goes to the whole group; only the supervisor acts on it, and drains us.
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, lambda: None)
    channel = await Channel.open(end)
    words = channel.words()
    first = asyncio.create_task(anext(words, None))
    starting = asyncio.create_task(work.start())
    await asyncio.wait([first, starting], return_when=asyncio.FIRST_COMPLETED)
    if starting.done() or await first:
        await starting
        channel.say(Ready())
    word = await first
    while word:
        match word:
            case Load(generation):
                await work.load(generation)
                channel.say(Loaded(generation))
            case Drain(seconds):
                await work.drain(seconds)
                channel.close()
                return
            case _:
                raise ValueError(f"a supervisor does not say {word}")
        word = await anext(words, None)
    os._exit(os.EX_UNAVAILABLE)
