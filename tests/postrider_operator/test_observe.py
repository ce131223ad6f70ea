"""What pods say of themselves is read whole, and nothing that is too long."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from aiohttp import web

from postrider.contract import report
from postrider_operator.metrics import Metrics
from postrider_operator.observe import MAX_STATUS, Observer
from postrider_operator.picture import Picture
from postrider_operator.plan.desired import SERVER_LABEL
from postrider_operator.world import Pod

POD = {
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "1", "labels": {SERVER_LABEL: "s"}},
    "status": {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
}


def refused(reason: str) -> bytes:
    return report.encode(report.Status(loaded=6, refused=report.Refusal(generation=7, reason=reason)))


async def said(connect: Any, serve: Any, pieces: list[bytes]) -> Pod:
    """What is known of a pod whose /status comes in pieces."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            for _ in range(50):  # the reader has its turn before the next piece
                await asyncio.sleep(0)
        return response

    picture = Picture()
    picture.put("Pod", msgspec.json.encode(POD))
    observer = Observer(await connect(answer), picture, lambda _: None, Metrics())
    observer.port = await serve(answer)
    try:
        (pod,) = await observer.pods(("ns", "s"))
    finally:
        await observer.close()
    return pod


@pytest.mark.parametrize("cut", [1, 40, 4000])
async def test_a_status_may_come_in_pieces(connect: Any, serve: Any, cut: int) -> None:
    whole = refused("x" * 5000)
    pod = await said(connect, serve, [whole[:cut], whole[cut:]])
    assert (pod.loaded, pod.refused, len(pod.refusal)) == (6, 7, 5000)


async def test_a_status_without_end_is_none(connect: Any, serve: Any) -> None:
    pod = await said(connect, serve, [refused("x" * MAX_STATUS)])
    assert (pod.loaded, pod.refused, pod.readable) == (0, 0, ())
