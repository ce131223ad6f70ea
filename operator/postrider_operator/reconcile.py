"""Brings MailServers to what is declared: a keyed queue with debounce and backoff, and world, plan, apply, status."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from postrider.contract.files import BadSnapshot
from postrider_operator.apply import Applier, Outcome
from postrider_operator.assemble import Assembler, Sources
from postrider_operator.client import ApiError, Unreachable
from postrider_operator.dirty import Dirty
from postrider_operator.events import Recorder
from postrider_operator.kinds import BY_NAME, Resource
from postrider_operator.metrics import Metrics
from postrider_operator.picture import Picture
from postrider_operator.plan import known_names, plan
from postrider_operator.plan.desired import SERVER_LABEL, Desired
from postrider_operator.plan.mine import DEFAULT_SERVER
from postrider_operator.secrets import ABSENT
from postrider_operator.world import Ref, World

log = logging.getLogger(__name__)

#: Namespace and name of a MailServer.
Key = tuple[str, str]

#: Times a plan is made anew at once because material was created or somebody else wrote meanwhile.
PASSES = 6
#: Seconds the pods have to load a new generation before statuses are written: one write instead of two, mostly.
#: Many statuses are worth a longer wait.
SETTLE, SETTLE_EACH, LONGEST_SETTLE = 2.0, 0.005, 10.0
#: Failures told in one log line.
TOLD = 5


class Interest:
    """Which objects matter to which MailServer: turns what was seen into keys."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._names: dict[Key, frozenset[Ref]] = {}

    def note(self, key: Key, refs: frozenset[Ref]) -> None:
        """From now on these objects matter to a MailServer."""
        self._names[key] = refs

    def forget(self, key: Key) -> None:
        """Nothing matters to it any more."""
        self._names.pop(key, None)

    def keys(self, namespace: str) -> set[Key]:
        """Every MailServer there is, is spoken of, or was: the default one tells objects without any."""
        found = {server.name for server in self._picture.servers(namespace)}
        found |= {domain.spec.server_ref.name for domain in self._picture.domains(namespace)}
        found |= {name for place, name in self._names if place == namespace}
        return {(namespace, name) for name in found | {DEFAULT_SERVER}}

    def touched(self, kind: str, item: Any) -> Iterable[Key]:
        """MailServers to whom an object matters."""
        meta = item.metadata
        if kind in BY_NAME:
            return self.keys(meta.namespace)
        owner = meta.labels.get(SERVER_LABEL, "")
        ref = Ref(kind, meta.namespace, meta.name)
        found = {key for key, refs in self._names.items() if key[0] == meta.namespace and ref in refs}
        return found | {(meta.namespace, owner)} if owner else found


@dataclass(frozen=True, slots=True)
class Hands:
    """What carries plans out and tells of it."""

    applier: Applier
    recorder: Recorder
    metrics: Metrics


class Reconciler:
    """Works on dirty MailServers, one at a time each, while it runs; marks can be made at any time."""

    def __init__(self, picture: Picture, hands: Hands, *, resync: float) -> None:
        self._picture = picture
        self._hands = hands
        self._resync = resync
        self._dirty: Dirty[Key] = Dirty()
        self._wake = asyncio.Event()
        self._interest = Interest(picture)
        self._last_turn: float | None = None

    def seen(self, kind: str, before: Any, now: Any) -> None:
        """The picture changed: mark whom it matters to."""
        item = now if now is not None else before
        if before is not None and now is not None and self._own_status(kind, before, now):
            return
        for key in self._interest.touched(kind, item):
            self.mark(key)

    def mark(self, key: Key, after: float | None = None) -> None:
        """A MailServer is to be looked at soon, or in `after` seconds."""
        self._dirty.mark(key, asyncio.get_running_loop().time(), after=after)
        self._wake.set()

    def mark_all(self) -> None:
        """Every MailServer is to be looked at soon."""
        spaces = {item.metadata.namespace for kind in BY_NAME for item in self._picture.within(kind, "")}
        for namespace in spaces:
            for key in self._interest.keys(namespace):
                self.mark(key)

    def stuck(self) -> str:
        """What keeps the loop from turning, "" while it turns, or need not because another replica leads."""
        if self._last_turn is None:
            return ""
        idle = time.monotonic() - self._last_turn
        return f"the queue has not been looked at for {idle:.0f} s" if idle > 120 else ""

    async def run(self, assembler: Assembler, sources: Sources) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look_at_everything(sources))
            while True:
                self._last_turn = time.monotonic()
                self._wake.clear()
                now = asyncio.get_running_loop().time()
                key = self._dirty.take(now)
                if key is not None:
                    tasks.create_task(self._work(key, assembler, sources))
                    continue
                self._measure()
                due = self._dirty.next_due()
                await self._idle(30.0 if due is None else min(30.0, due - now))

    def _measure(self) -> None:
        self._hands.metrics.observe("postrider_operator_dirty", len(self._dirty))
        for kind in self._picture.kinds():
            self._hands.metrics.observe("postrider_operator_objects", self._picture.count(kind), kind=kind)

    async def _idle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _look_at_everything(self, sources: Sources) -> None:
        while True:
            self.mark_all()
            await asyncio.sleep(self._resync)
            sources.secrets.expire()
            self._hands.applier.doubt()

    async def _work(self, key: Key, assembler: Assembler, sources: Sources) -> None:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        extra: dict[str, object] = {"namespace": key[0], "server": key[1]}
        try:
            failures = await self._reconcile(key, assembler, sources)
        except (ApiError, Unreachable) as error:
            failures = [str(error)]
        except Exception:  # a bug must not stop the other MailServers; it is told with its stack
            log.exception("reconcile failed", extra=extra)
            failures = ["unexpected error"]
        took = time.monotonic() - began
        self._hands.metrics.observe("postrider_operator_reconcile_seconds", took)
        self._hands.metrics.count("postrider_operator_reconciles_total", result="error" if failures else "ok")
        if failures:
            pause = self._dirty.failed(key, loop.time())
            log.warning("not everything done", extra={**extra, "failures": failures[:TOLD], "again": pause})
        else:
            self._dirty.done(key)
            log.info("reconciled", extra={**extra, "seconds": round(took, 3)})
        self._wake.set()

    async def _reconcile(self, key: Key, assembler: Assembler, sources: Sources) -> list[str]:
        """One round; what failed."""
        made = Outcome()
        world, desired = await self._planned(key, assembler)
        for _ in range(PASSES):
            made = await self._hands.applier.generate(desired)
            if not made.created and not made.stale:
                break
            world, desired = await self._planned(key, assembler)
        done = await self._hands.applier.children(desired)
        failures = made.failures + done.failures
        await self._remember(key, desired, done, sources)
        if done.stale:
            sources.published.forget(key)
            self.mark(key)
            return failures
        if desired.generation:
            sources.observer.want(key, desired.generation)
            if done.manifest_version:
                wait = min(SETTLE + SETTLE_EACH * len(desired.statuses), LONGEST_SETTLE)
                await sources.observer.settled(key, wait)
                world, desired = await self._planned(key, assembler)
        if refused := sorted({*made.refused, *done.refused}, key=str):  # for what the statuses say of it
            desired = await asyncio.to_thread(plan, replace(world, refused=tuple(refused)))
        told = await self._hands.applier.statuses(desired)
        failures += told.failures
        if told.stale:
            self.mark(key)
        for event in desired.events:
            self._hands.recorder.record(event)
        sources.lookups.want(key, desired.questions)
        if desired.again is not None:
            self.mark(key, max(1.0, desired.again))
        self._tidy(key, world, sources)
        return failures

    async def _planned(self, key: Key, assembler: Assembler) -> tuple[World, Desired]:
        world = await assembler.world(key)
        self._interest.note(key, known_names(world))
        return world, await asyncio.to_thread(plan, world)

    async def _remember(self, key: Key, desired: Desired, done: Outcome, sources: Sources) -> None:
        if not done.manifest_version or not desired.files:
            return
        try:
            await sources.published.wrote(key, desired.files, done.manifest_version)
        except BadSnapshot:
            log.exception("published what cannot be read", extra={"namespace": key[0], "server": key[1]})
            sources.published.forget(key)

    def _tidy(self, key: Key, world: World, sources: Sources) -> None:
        """Look again for Secrets no watch tells of; forget what is known of a MailServer that is gone."""
        if sources.secrets.absent(key[0]):
            self.mark(key, ABSENT)
        if world.server is not None:
            return
        sources.observer.forget(key)
        sources.published.forget(key)
        if not (world.domains or world.mailboxes or world.aliases or world.keys):
            self._interest.forget(key)

    def _own_status(self, kind: str, before: Any, now: Any) -> bool:
        """Whether all that changed is a status that we are writing ourselves at this moment."""
        if not isinstance(now, Resource) or before.metadata.uid != now.metadata.uid:
            return False
        ref = Ref(kind, now.metadata.namespace, now.metadata.name)
        if ref not in self._hands.applier.in_flight:
            return False
        one, other = before.metadata, now.metadata
        return (one.generation, one.deletion_timestamp, one.finalizers, one.annotations) == (
            other.generation,
            other.deletion_timestamp,
            other.finalizers,
            other.annotations,
        )
