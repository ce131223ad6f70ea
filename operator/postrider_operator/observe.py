"""What the servers' pods say of themselves: their /status, asked quickly while a generation is on its way.

It is also what makes the kubelet bring a new generation to the pods at once, by an annotation on each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp

from postrider.contract import report
from postrider_operator import observed
from postrider_operator.client import ApiError, Client, NotFound, Unreachable
from postrider_operator.metrics import Metrics
from postrider_operator.paths import path
from postrider_operator.picture import Picture
from postrider_operator.plan.desired import CHILD_MANAGER, POD_GENERATION, SERVER_LABEL
from postrider_operator.world import Pod, Ref

log = logging.getLogger(__name__)

#: Namespace and name of a MailServer.
Key = tuple[str, str]

#: Seconds between two looks while a generation is pending (growing), and otherwise.
QUICK, QUICKEST, SLOW = 1.0, 0.1, 10.0
#: Seconds until a pod is asked again to renew its files; doubles up to the longest.
REPEAT, LONGEST_REPEAT = 1.0, 60.0
#: Seconds a pod has to answer.
PATIENCE = 2.0
#: What /status may say, in bytes.
MAX_STATUS = 256 * 1024


@dataclass(slots=True)
class _Server:
    generation: int = 0
    #: Reports by uid of the pod.
    reports: dict[str, report.Status] = field(default_factory=dict)
    #: uid of a pod -> (generation it was asked to load, how often, when it may be asked again).
    asked: dict[str, tuple[int, int, float]] = field(default_factory=dict)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def reached(self, pod: observed.Pod) -> bool:
        """Whether the pod has answered."""
        said = self.reports.get(pod.metadata.uid)
        return said is not None and bool(said.readable)


class Observer:
    """Follows the pods of every MailServer and calls `changed(key)` when one says something new."""

    def __init__(self, client: Client, picture: Picture, changed: Callable[[Key], None], metrics: Metrics) -> None:
        self._client = client
        self._picture = picture
        self._changed = changed
        self._metrics = metrics
        self._servers: dict[Key, _Server] = {}
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE), trust_env=False)
        self.port = 8080

    async def close(self) -> None:
        """Stop following."""
        for key in list(self._servers):
            self.forget(key)
        await self._session.close()

    def forget(self, key: Key) -> None:
        """The MailServer is gone."""
        server = self._servers.pop(key, None)
        if server is not None and server.task is not None:
            server.task.cancel()
        if server is not None and server.generation:
            self._metrics.forget("postrider_operator_generation", *key)
            self._metrics.forget("postrider_operator_loaded", *key)

    async def pods(self, key: Key) -> tuple[Pod, ...]:
        """The pods and what they last said; one that was never asked is asked now."""
        server = self._servers.setdefault(key, _Server())
        found = self._pods(key)
        await asyncio.gather(*(self._ask(key, server, p) for p in found if p.metadata.uid not in server.reports))
        return tuple(_pod(item, server.reports.get(item.metadata.uid)) for item in found)

    def want(self, key: Key, generation: int) -> None:
        """This generation has been published: bring it to the pods, and follow them."""
        server = self._servers.setdefault(key, _Server())
        server.generation = generation
        self._metrics.observe("postrider_operator_generation", generation, namespace=key[0], server=key[1])
        if server.task is None or server.task.done():
            server.task = asyncio.create_task(self._follow(key, server))
        server.wake.set()

    async def settled(self, key: Key, seconds: float) -> None:
        """Wait until every ready pod serves the wanted generation, at most so long."""
        server = self._servers[key]
        try:
            async with asyncio.timeout(seconds):
                while self._behind(key, server, ready=True):
                    server.news.clear()
                    await server.news.wait()
        except TimeoutError:
            return

    def _pods(self, key: Key) -> list[observed.Pod]:
        found = (pod for pod in self._picture.within("Pod", key[0]) if pod.metadata.labels.get(SERVER_LABEL) == key[1])
        return sorted(found, key=lambda pod: str(pod.metadata.name))

    def _behind(self, key: Key, server: _Server, *, ready: bool) -> list[observed.Pod]:
        """Pods that do not serve the wanted generation, nor have refused it."""
        return [
            pod
            for pod in self._pods(key)
            if pod.status.pod_ip
            and (pod.ready or not ready)
            and not pod.metadata.deletion_timestamp
            and not _has(server.reports.get(pod.metadata.uid), server.generation)
        ]

    async def _follow(self, key: Key, server: _Server) -> None:
        """Ask the pods, quickly while one is behind."""
        pause = QUICKEST
        while True:
            behind = self._behind(key, server, ready=False)
            # A pod that has not answered yet is starting, and starts with the present files.
            await asyncio.gather(*(self._bring(pod, server) for pod in behind if pod.ready or server.reached(pod)))
            pause = min(pause * 1.5, QUICK) if behind else SLOW
            try:
                async with asyncio.timeout(pause):
                    await server.wake.wait()
                pause = QUICKEST
            except TimeoutError:
                pass
            server.wake.clear()
            await asyncio.gather(*(self._ask(key, server, pod) for pod in self._pods(key)))
            self._tidy(key, server)

    def _tidy(self, key: Key, server: _Server) -> None:
        """Forget pods that are gone; show in the metrics how far the others are."""
        pods = self._pods(key)
        there = {pod.metadata.uid for pod in pods}
        for uid in server.reports.keys() - there:
            del server.reports[uid]
        for uid in server.asked.keys() - there:
            del server.asked[uid]
        loaded = [
            server.reports[p.metadata.uid].loaded or 0 for p in pods if p.ready and p.metadata.uid in server.reports
        ]
        self._metrics.observe("postrider_operator_loaded", min(loaded, default=0), namespace=key[0], server=key[1])

    async def _bring(self, pod: observed.Pod, server: _Server) -> None:
        """Patch the pod's annotation, which makes the kubelet renew its files, unless that was done just now."""
        now = asyncio.get_running_loop().time()
        generation, times, again = server.asked.get(pod.metadata.uid, (0, 0, 0.0))
        if generation != server.generation:
            times = 0
        elif now < again:
            return
        pause = min(REPEAT * 2.0 ** min(times, 10), LONGEST_REPEAT)
        server.asked[pod.metadata.uid] = (server.generation, times + 1, now + pause)
        # The same value again would be no change, and no change wakes no kubelet.
        value = f"{server.generation}.{times}" if times else str(server.generation)
        ref = Ref("Pod", pod.metadata.namespace, pod.metadata.name)
        log.debug("pod asked to renew its files", extra={"pod": ref.name, "value": value})
        try:
            await self._client.merge(
                path(ref), {"metadata": {"annotations": {POD_GENERATION: value}}}, manager=CHILD_MANAGER
            )
        except NotFound:
            return
        except (ApiError, Unreachable) as error:
            log.warning("pod not asked to renew its files", extra={"pod": str(ref), "error": str(error)})

    async def _ask(self, key: Key, server: _Server, pod: observed.Pod) -> None:
        """GET /status; what cannot be reached keeps its last report while it counts as ready, else has none."""
        address = pod.status.pod_ip
        if not address:
            return
        host = f"[{address}]" if ":" in address else address
        said: report.Status | None = None
        try:
            async with self._session.get(f"http://{host}:{self.port}/status") as response:
                if response.status == 200:
                    said = report.decode(await _whole(response.content))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            log.debug("no status", extra={"pod": pod.metadata.name, "error": str(error)})
        uid = pod.metadata.uid
        before = server.reports.get(uid)
        if said is None:
            if pod.ready and before is not None:
                return
            said = report.Status(readable=())
        server.reports[uid] = said
        if said != before:
            log.debug("pod says", extra={"pod": pod.metadata.name, "loaded": said.loaded, "pending": said.pending})
            server.news.set()
            if before is not None:
                self._changed(key)


async def _whole(content: aiohttp.StreamReader) -> bytes:
    """All of an answer, in however many pieces it comes. Raises ValueError when it is too long for a status."""
    answer = bytearray()
    async for piece in content.iter_any():
        answer += piece
        if len(answer) > MAX_STATUS:
            raise ValueError(f"more than {MAX_STATUS} bytes")
    return bytes(answer)


def _has(said: report.Status | None, generation: int) -> bool:
    if said is None:
        return False
    refused = said.refused.generation if said.refused is not None else 0
    return (said.loaded or 0) >= generation or refused >= generation


def _pod(item: observed.Pod, said: report.Status | None) -> Pod:
    said = said or report.Status(readable=())
    return Pod(
        name=item.metadata.name,
        uid=item.metadata.uid,
        ready=item.ready,
        loaded=said.loaded or 0,
        refused=said.refused.generation if said.refused is not None else 0,
        refusal=said.refused.reason if said.refused is not None else "",
        readable=said.readable,
        revision=item.metadata.labels.get("controller-revision-hash", ""),
        trouble=item.trouble,
    )
