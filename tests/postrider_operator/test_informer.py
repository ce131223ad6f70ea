"""An informer follows its collection through watches that end, and never asks as fast as it is answered."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from postrider_operator.informer import Cache, Informer, Source
from postrider_operator.observed import MetaOnly, reader


def row(name: str, version: int) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", "uid": f"u-{name}", "resourceVersion": str(version)}}


def line(kind: str, name: str, version: int) -> bytes:
    return json.dumps({"type": kind, "object": row(name, version)}).encode() + b"\n"


async def test_watches_that_say_nothing_are_asked_ever_more_slowly(connect: Any) -> None:
    loop = asyncio.get_running_loop()
    told = [line("ADDED", "b", 2), b"", b"", line("DELETED", "a", 3)]
    asked: list[tuple[float, str]] = []
    all_told, ended = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": [row("a", 1)]})
        asked.append((loop.time(), request.query["resourceVersion"]))
        if len(asked) > len(told):
            all_told.set()
            await ended.wait()
            return web.Response()
        return web.Response(body=told[len(asked) - 1])

    cache: Cache[MetaOnly] = Cache()
    changes: list[tuple[bool, bool]] = []
    informer = Informer(
        await connect(answer),
        Source("/api/v1/things", reader(MetaOnly)),
        cache,
        lambda before, now: changes.append((before is None, now is None)),
    )
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(30):
        await all_told.wait()
    task.cancel()
    ended.set()
    assert [version for _, version in asked] == ["1", "2", "2", "2", "3"]
    assert set(cache.items) == {("ns", "b")}
    assert changes == [(True, False), (True, False), (False, True)]
    (_, second, third, fourth, _) = [at for at, _ in asked]
    assert third - second >= 0.4
    assert fourth - third >= 0.8
