"""The supervisor's HTTP: /livez, /readyz, /status for the operator, /metrics of all processes added up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from postrider.contract.report import Status, encode


@dataclass(frozen=True, slots=True)
class Health:
    """What the answers are made from."""

    #: "" when every process serves, else what is missing.
    missing: Callable[[], str]
    status: Callable[[], Status]
    #: The store's counters: rows that survive every crash, as a process's own would not.
    counters: Callable[[], Awaitable[Mapping[str, int]]]
    metrics_directory: str


def probes(health: Health) -> Starlette:
    """The application of the health listener."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        missing = health.missing()
        return PlainTextResponse(f"{missing}\n", 503) if missing else PlainTextResponse("ok\n")

    async def status(_: Request) -> Response:
        return Response(encode(health.status()), media_type="application/json")

    return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/status", status)])


def metrics(health: Health) -> Starlette:
    """The application of the metrics listener."""

    async def read(_: Request) -> Response:
        registry = CollectorRegistry()
        registry.register(_Processes(health.metrics_directory))
        registry.register(_StoreCounters(await health.counters()))
        text = await asyncio.to_thread(generate_latest, registry)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def root(_: Request) -> Response:
        return JSONResponse({"metrics": "/metrics"})

    return Starlette(routes=[Route("/metrics", read), Route("/", root)])


def forget(directory: str, pid: int | None) -> None:
    """A process is dead: its gauges (open connections, say) count no more, its counters do."""
    mark_process_dead(pid, directory)  # type: ignore[no-untyped-call]


class _Processes(Collector):
    """What all processes counted; a file that one of them is making at this moment has not even a length yet."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def collect(self) -> Iterator[Metric]:
        files = [str(file) for file in Path(self._directory).glob("*.db") if _has_begun(file)]
        yield from MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]


def _has_begun(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except FileNotFoundError:  # its process is dead
        return False


class _StoreCounters(Collector):
    """Counters that live in the database, in units of routed deliveries."""

    def __init__(self, rows: Mapping[str, int]) -> None:
        self._rows = rows

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        text = "Routed deliveries, by what became of them; accepted is the sum of the others and of the queue."
        family = CounterMetricFamily("postrider_deliveries", text, labels=["outcome"])
        for outcome, number in self._rows.items():
            if outcome != "queued":
                family.add_metric([outcome], number)
        yield family
        queued = GaugeMetricFamily("postrider_queue_recipients", "Recipients waiting in the queue.")
        queued.add_metric([], self._rows.get("queued", 0))
        yield queued


async def serve(app: Starlette, end: socket.socket) -> None:
    """Serve an application on a bound socket until cancelled."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", limit_concurrency=64)
    await _Server(config).serve(sockets=[end])


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone: they are the supervisor's."""
        yield
