"""Leader election on a Lease, as client-go does it: one replica acts, another takes over when it stops renewing.

Clocks of two replicas are never compared: a holder is dead when its record has not changed for as long as it promised.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from postrider_operator.client import ApiError, Client, Conflict, Object, Unreachable, decode, micro_time

log = logging.getLogger(__name__)


class LostLease(Exception):
    """We could not renew in time; another replica may act from now on, so this process must end."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds: how long a lease is good without renewal, when the holder gives up, how often it renews, others look."""

    duration: float = 12.0
    deadline: float = 9.0
    retry: float = 2.0
    look: float = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Which Lease, and who we are in it."""

    namespace: str
    name: str
    identity: str

    @property
    def collection(self) -> str:
        """Path of the namespace's Leases."""
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    @property
    def path(self) -> str:
        """Path of the Lease."""
        return f"{self.collection}/{self.name}"


class Lease:
    """One candidate."""

    def __init__(self, client: Client, place: Place, terms: Terms = Terms()) -> None:
        self._client = client
        self._place = place
        self._terms = terms
        self._record: Object = {}
        self._changed_at = 0.0
        #: The Lease as we have read or written it last, to be written next; None: look first.
        self._mine: Object | None = None
        self.held = False

    async def lead(self, act: Callable[[], Awaitable[None]]) -> None:
        """Wait for the lease, then run `act` while it is renewed; give it back at the end.

        Raises LostLease when it could not be renewed in time; `act` is cancelled before.
        """
        await self._acquire()
        acting = asyncio.ensure_future(act())
        renewing = asyncio.ensure_future(self._renew())
        try:
            await asyncio.wait((acting, renewing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (acting, renewing):
                task.cancel()
            await asyncio.gather(acting, renewing, return_exceptions=True)
            lost = renewing.done() and not renewing.cancelled()
            self.held = False
            if not lost:
                await self._release()
        for task in (renewing, acting):
            if not task.cancelled():
                task.result()

    async def _acquire(self) -> None:
        loop = asyncio.get_running_loop()
        while not await self._try():
            ends = self._changed_at + float(self._record.get("leaseDurationSeconds") or 0) - loop.time()
            await asyncio.sleep(min(self._terms.look, ends) if ends > 0 else self._terms.look)
        self.held = True
        log.info("leading", extra={"identity": self._place.identity})

    async def _renew(self) -> None:
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(self._terms.retry)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(renewed + self._terms.deadline):
                    if await self._try():
                        renewed = loop.time()
            if loop.time() - renewed >= self._terms.deadline:
                raise LostLease(f"lease {self._place.name} not renewed for {self._terms.deadline} s")

    async def _try(self) -> bool:
        """Take or renew it if it is ours or free; whether it is ours now."""
        try:
            if self._mine is None and not await self._look():
                return False
            await self._write()
        except Conflict:  # somebody was faster, or has touched it: look again
            self._mine = None
            return False
        except (ApiError, Unreachable) as error:
            self._mine = None
            log.warning("lease failed", extra={"error": str(error)})
            return False
        return True

    async def _look(self) -> bool:
        """Read the record; whether it can be taken."""
        found = await self._client.find(self._place.path)
        if found is None:
            self._mine = self._fresh()
            return True
        now = asyncio.get_running_loop().time()
        if found["spec"] != self._record:
            self._record, self._changed_at = found["spec"], now
        if self._taken(now):
            return False
        self._mine = found
        return True

    async def _write(self) -> None:
        """Put our name and the present time into the record."""
        lease = self._mine or self._fresh()
        lease["spec"] = self._spec(lease["spec"])
        if "resourceVersion" in lease["metadata"]:
            written = await self._client.replace(self._place.path, lease)
        else:
            written = await self._client.create(self._place.collection, lease)
        self._mine = decode(written)
        self._record = self._mine["spec"]

    def _taken(self, now: float) -> bool:
        holder = self._record.get("holderIdentity") or ""
        if holder in ("", self._place.identity):
            return False
        return now < self._changed_at + float(self._record.get("leaseDurationSeconds") or 0)

    def _fresh(self) -> Object:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._place.name, "namespace": self._place.namespace},
            "spec": {},
        }

    def _spec(self, before: Object) -> Object:
        now = micro_time()
        mine = before.get("holderIdentity") == self._place.identity
        changes = int(before.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._place.identity,
            "leaseDurationSeconds": max(1, round(self._terms.duration)),
            "acquireTime": before.get("acquireTime") or now if mine else now,
            "renewTime": now,
            "leaseTransitions": changes if mine or not before else changes + 1,
        }

    async def _release(self) -> None:
        """Give it back, so that another replica need not wait; a failure only costs that wait."""
        with contextlib.suppress(ApiError, Unreachable, TimeoutError):
            async with asyncio.timeout(3):
                found = await self._client.find(self._place.path)
                if found is not None and found["spec"].get("holderIdentity") == self._place.identity:
                    found["spec"].update(holderIdentity="", leaseDurationSeconds=1, renewTime=micro_time())
                    await self._client.replace(self._place.path, found)
