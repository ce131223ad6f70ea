"""Children as the supervisor starts them."""

import asyncio
import multiprocessing
import threading

import pytest

from postrider.supervise.processes import Nursery
from postrider.supervise.settings import Settings


class Starting:
    """In the place of multiprocessing's context: a process that takes until `go` to start."""

    def __init__(self):
        self.begun, self.go = threading.Event(), threading.Event()
        self.killed = []

    def set_forkserver_preload(self, modules):
        """Nothing is imported."""

    def Process(self, *, name, **_):  # noqa: N802 -- as multiprocessing calls it
        self.name = name
        return self

    def start(self):
        self.begun.set()
        assert self.go.wait(30)

    def kill(self):
        self.killed.append(self.name)


async def test_a_child_that_nobody_waits_for_any_more_does_not_live_on(monkeypatch, tmp_path):
    """SIGTERM at the moment when it is being started: without that it would go on in a directory that is removed."""
    starting = Starting()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    monkeypatch.setattr(multiprocessing, "get_context", lambda _: starting)
    nursery = Nursery(Settings(snapshot="", data="", ports={}, runtime=str(tmp_path)))
    waiting = asyncio.create_task(nursery.start("front", 1))
    await asyncio.to_thread(starting.begun.wait)
    waiting.cancel()
    await asyncio.sleep(0)
    starting.go.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert starting.killed == ["front-1"]
