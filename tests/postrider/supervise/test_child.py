"""What a child does with the words of its supervisor, and without it."""

import asyncio
import os
import socket

import pytest

from postrider.supervise.channel import Channel, Drain, Load, Loaded, Ready
from postrider.supervise.child import obey


class Ended(Exception):
    """The process ended."""


class Noted:
    """Work that waits to start, and notes what it is told."""

    def __init__(self):
        self.may_start, self.told = asyncio.Event(), []

    async def start(self):
        await self.may_start.wait()

    async def load(self, generation):
        self.told.append(generation)

    async def drain(self, seconds):
        self.told.append(f"drain {seconds}")


@pytest.fixture
def ends(monkeypatch):
    def end(status):
        raise Ended(status)

    monkeypatch.setattr(os, "_exit", end)
    return socket.socketpair()


async def test_a_child_that_is_starting_ends_with_its_supervisor(ends):
    """What it waits for may never come: the writer has ended too."""
    near, far = ends
    far.close()
    async with asyncio.timeout(30):
        with pytest.raises(Ended):
            await obey(Noted(), near)


@pytest.mark.parametrize("early", [False, True])
async def test_words_are_obeyed_once_it_has_started(ends, early):
    near, far = ends
    supervisor, work = await Channel.open(far), Noted()
    running = asyncio.create_task(obey(work, near))
    heard = supervisor.words()
    if not early:
        work.may_start.set()
        assert await anext(heard) == Ready()
    supervisor.say(Load(7))
    supervisor.say(Drain(1.5))
    work.may_start.set()
    async with asyncio.timeout(30):
        await running
    assert work.told == [7, "drain 1.5"]
    assert [word async for word in heard] == [Ready()] * early + [Loaded(7)]
    supervisor.close()
