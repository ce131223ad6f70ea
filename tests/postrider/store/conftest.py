import asyncio
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import memory_disk
import pytest
from next_schema import migrate_further
from stored import MASTERS, StillClock

from postrider.store.open import Options, connect, keyring, memory, open_local, open_writer


@pytest.fixture
def clock():
    return StillClock()


@pytest.fixture
def options(clock):
    return Options(clock=clock, allow_tmpfs=True, measure_sync=False, wait=0, pack_size=256 * 1024)


@pytest.fixture
def data():
    """A data directory whose syncs cost nothing, where the machine has one."""
    with memory_disk.directory() as path:
        yield path


@pytest.fixture(scope="session")
def used():
    """Data directories that a store has been in: to copy one takes half as long as to make it."""
    made = {}
    with memory_disk.directory() as root, ThreadPoolExecutor(1) as beside:  # who asks has a loop that runs
        yield lambda *how: made.get(how) or made.setdefault(how, beside.submit(make_used, root, *how).result())


def make_used(root, blobs, pack_size, further):
    path = root / f"{blobs}-{pack_size}-{further}"
    path.mkdir()
    if further:
        migrate_further(path)

    async def use():
        await open_local(path, Options(allow_tmpfs=True, measure_sync=False, blobs=blobs, pack_size=pack_size)).close()

    asyncio.run(use())
    return path


@pytest.fixture(params=["memory", "sqlite", "maildir", "encrypted", "socket", "next schema"])
async def fronts(request, data, options, used):
    """Two fronts of one store; where the store has no processes they are one.

    On the next schema this program works after the release that follows it was rolled back.
    """
    if request.param not in ("memory", "encrypted"):
        blobs = "maildir" if request.param == "maildir" else ""
        shutil.copytree(used(blobs, options.pack_size, request.param == "next schema"), data, dirs_exist_ok=True)
    if request.param == "socket":
        server = open_writer(data, options)
        server.listen(data / "s")
        thread = threading.Thread(target=server.run)
        thread.start()
        both = [await connect(data, data / "s") for _ in range(2)]
        yield both
        for front in both:
            await front.close()
        server.stop()
        thread.join()
    else:
        if request.param == "encrypted":
            options = replace(options, keys=keyring(data, MASTERS))
        store = memory(options) if request.param == "memory" else open_local(data, options)
        yield [store, store]
        await store.close()


@pytest.fixture
def apart(request, fronts):
    """Whether each delivery has a body of its own."""
    return "maildir" in request.node.name or "encrypted" in request.node.name


@pytest.fixture
def store(fronts):
    """What tests write through."""
    return fronts[0]


@pytest.fixture
def reader(fronts):
    """What tests read through: a front that did not write."""
    return fronts[1].reader


@pytest.fixture
def commit(store):
    return store.writer.commit
