"""Jobs of the background process: one that fails is told and begun anew, and stops no other."""

import asyncio
import io
import json
import os

import pytest

from postrider.app import background
from postrider.contract import files
from postrider.contract.model import Server, Snapshot
from postrider.store import open as stores
from postrider.supervise.settings import Settings
from postrider.telemetry.events import Events


@pytest.fixture
def settings(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    settings = Settings(snapshot="", data=str(data), runtime=str(tmp_path), ports={})
    files.write_directory(data / "snapshot", Snapshot(server=Server(hostname="mx.one.test"), generation=7))
    return settings


@pytest.fixture
async def writer(settings):
    options = stores.Options(allow_tmpfs=True, measure_sync=False)
    server = stores.open_writer(settings.data, options)
    server.listen(settings.socket)
    task = asyncio.create_task(asyncio.to_thread(server.run))
    yield
    server.stop()
    await task


async def test_a_job_that_fails_is_begun_anew_and_stops_no_other(settings, writer, monkeypatch):
    monkeypatch.setattr(background, "AGAIN", 0.01)
    begun, seen, log = [], [], io.StringIO()
    enough = asyncio.Event()

    async def failing(around):
        begun.append(around.snapshot().generation)
        if len(begun) == 3:
            enough.set()
            await asyncio.Event().wait()
        raise ZeroDivisionError

    async def other(around):
        seen.append(await around.store.reader.counters())
        await asyncio.Event().wait()

    work = background.BackgroundWork(settings, Events(log), {"failing": failing, "other": other})
    await work.start()
    await enough.wait()
    await work.load(7)
    await work.drain(1)
    assert begun == [7, 7, 7]
    assert len(seen) == 1
    failures = [row for row in map(json.loads, log.getvalue().splitlines()) if row["event"] == "server.failure"]
    assert [row["where"] for row in failures] == ["failing", "failing"]
    assert "ZeroDivisionError" in log.getvalue()


async def test_a_generation_that_is_not_there_is_not_loaded(settings, writer):
    work = background.BackgroundWork(settings, Events(io.StringIO()), {})
    with pytest.raises(background.child.NoSnapshot):
        await work.load(8)


def test_fronts_and_writer_go_first(monkeypatch):
    """Whole servers are tested without: see busy_machine."""
    asked = []
    monkeypatch.setattr(os, "nice", asked.append)
    monkeypatch.setattr(os, "sched_setscheduler", lambda _pid, policy, _param: asked.append(policy))
    background._give_way()
    assert asked == [background.NICENESS, os.SCHED_IDLE]
