"""Kubernetes Events about our objects: the same one again within minutes is counted in a series, not written anew."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from dataclasses import dataclass

from postrider_operator.client import ApiError, Client, Forbidden, NotFound, Object, Unreachable, micro_time
from postrider_operator.metrics import Metrics
from postrider_operator.plan.desired import API_VERSIONS, Event

log = logging.getLogger(__name__)

REPORTER = "postrider.dev/operator"
#: Seconds within which the same event joins its series.
SERIES = 360.0
#: Seconds between two writes of one series.
SERIES_PAUSE = 30.0
#: Events waiting to be written, at most; a storm loses the newest, not the operator's memory.
WAITING = 1000
#: Events remembered for their series.
REMEMBERED = 4096
#: `note` of events.k8s.io/v1 may hold this many bytes.
NOTE_BYTES = 1024


@dataclass(slots=True)
class _Series:
    name: str
    count: int = 1
    seen: float = 0.0
    written: float = 0.0


class Recorder:
    """Takes events at once and writes them in its own time; losing one is logged and harms nothing."""

    def __init__(self, client: Client, identity: str, metrics: Metrics) -> None:
        self._client = client
        self._identity = identity
        self._metrics = metrics
        self._series: OrderedDict[str, _Series] = OrderedDict()
        self._waiting: asyncio.Queue[Event] = asyncio.Queue(WAITING)

    def record(self, event: Event) -> None:
        """Have an event written soon."""
        try:
            self._waiting.put_nowait(event)
        except asyncio.QueueFull:
            log.warning("event dropped", extra={"object": str(event.ref), "reason": event.reason})

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            event = await self._waiting.get()
            try:
                await self._write(event, asyncio.get_running_loop().time())
            except (ApiError, Unreachable) as error:
                if isinstance(error, Forbidden) and error.terminating:
                    continue
                self._metrics.count("postrider_operator_writes_total", kind="Event", verb="create", result="error")
                log.warning("event not written", extra={"object": str(event.ref), "error": str(error)})

    async def _write(self, event: Event, now: float) -> None:
        key = _key(event)
        series = self._series.get(key)
        if series is None or now - series.seen > SERIES:
            await self._create(event, key, now)
            return
        series.count += 1
        series.seen = now
        if now - series.written < SERIES_PAUSE:
            return
        series.written = now
        body = {"series": {"count": series.count, "lastObservedTime": micro_time()}}
        try:
            await self._client.merge(f"{_path(event)}/{series.name}", body, manager=REPORTER)
            self._metrics.count("postrider_operator_writes_total", kind="Event", verb="merge", result="ok")
        except NotFound:  # expired meanwhile
            await self._create(event, key, now)

    async def _create(self, event: Event, key: str, now: float) -> None:
        name = f"{event.ref.name[:200].rstrip('-.')}.{hashlib.sha256(f'{key}{micro_time()}'.encode()).hexdigest()[:16]}"
        await self._client.create(_path(event), self._body(event, name))
        self._metrics.count("postrider_operator_writes_total", kind="Event", verb="create", result="ok")
        self._series[key] = _Series(name, seen=now, written=now)
        self._series.move_to_end(key)
        while len(self._series) > REMEMBERED:
            self._series.popitem(last=False)

    def _body(self, event: Event, name: str) -> Object:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": event.ref.namespace},
            "eventTime": micro_time(),
            "reportingController": REPORTER,
            "reportingInstance": self._identity[:128],
            "action": "Reconcile",
            "type": event.type,
            "reason": event.reason,
            "note": event.message.encode()[:NOTE_BYTES].decode(errors="ignore"),
            "regarding": {
                "apiVersion": API_VERSIONS[event.ref.kind],
                "kind": event.ref.kind,
                "namespace": event.ref.namespace,
                "name": event.ref.name,
                "uid": event.uid,
            },
        }


def _path(event: Event) -> str:
    return f"/apis/events.k8s.io/v1/namespaces/{event.ref.namespace}/events"


def _key(event: Event) -> str:
    return "\0".join((event.uid, str(event.ref), event.type, event.reason, event.message))
