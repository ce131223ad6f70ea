"""Carries out a plan in a cluster: creates, server-side applies of what differs, deletes, statuses.

It never writes what is there already, never touches a child of somebody else, and never overwrites generated material.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from postrider_operator import drift, material
from postrider_operator.client import ApiError, Client, Conflict, Forbidden, NotFound, Object, Unreachable, decode
from postrider_operator.crds import Served
from postrider_operator.metrics import Metrics
from postrider_operator.observed import Meta
from postrider_operator.paths import collection, path, status_path
from postrider_operator.picture import Picture
from postrider_operator.plan import names
from postrider_operator.plan.desired import (
    API_VERSIONS,
    CHILD_MANAGER,
    HASH,
    STATUS_MANAGER,
    Apply,
    Delete,
    Desired,
    Generate,
    LeafMaterial,
    StatusPatch,
)
from postrider_operator.secrets import Secrets
from postrider_operator.world import Ref

log = logging.getLogger(__name__)

Intent = TypeVar("Intent", Apply, Delete, Generate, StatusPatch)

#: Intents carried out at the same time; the client bounds the requests.
AT_ONCE = 16
#: Without these the server's pods would see a generation whose parts are missing.
PARTS = ("ConfigMap", "Secret")


class NotOurs(Exception):
    """A child's name is taken by an object that is not ours."""


@dataclass(slots=True)
class Outcome:
    """What became of a plan."""

    #: One line for each intent that failed.
    failures: list[str] = field(default_factory=list)
    #: Of these the children that cannot be made as planned, and why: trying again alone will not help.
    refused: list[tuple[Ref, str]] = field(default_factory=list)
    #: Somebody else has written since the world was read: read it and plan again.
    stale: bool = False
    #: Objects that were created.
    created: int = 0
    #: resourceVersion of the manifest, if it was written.
    manifest_version: str = ""


@dataclass(frozen=True, slots=True)
class _Verified:
    """A child was seen to be as its intent says, in this state."""

    hash: str
    fingerprint: tuple[object, ...]


class Applier:
    """Carries out plans; remembers which children it has seen to be right."""

    def __init__(self, client: Client, picture: Picture, secrets: Secrets, metrics: Metrics) -> None:
        #: What the served CRDs know.
        self.schemas = Served()
        self._client = client
        self._picture = picture
        self._secrets = secrets
        self._metrics = metrics
        self._verified: dict[Ref, _Verified] = {}
        #: Objects whose status is being written: what a watch says of their status is our own doing.
        self.in_flight: set[Ref] = set()

    def doubt(self) -> None:
        """Look at every child again before it is called right: for kinds that no watch tells of."""
        self._verified = {ref: seen for ref, seen in self._verified.items() if ref.kind != "Secret"}

    def seen(self, kind: str, before: Any, now: Any) -> None:
        """A listener of the picture: forgets children that are gone."""
        if now is None:
            self._verified.pop(Ref(kind, before.metadata.namespace, before.metadata.name), None)

    async def generate(self, desired: Desired) -> Outcome:
        """Carry out the creates alone."""
        outcome = Outcome()
        await self._all(desired.generates, self._generate, outcome)
        return outcome

    async def children(self, desired: Desired) -> Outcome:
        """Carry out applies, the manifest last, and deletes."""
        outcome = Outcome()
        parts = [intent for intent in desired.applies if not _is_manifest(intent)]
        await self._all(parts, self._apply, outcome)
        if not any(line.startswith(PARTS) for line in outcome.failures):
            await self._all([a for a in desired.applies if _is_manifest(a)], self._apply, outcome)
        await self._all(desired.deletes, self._delete, outcome)
        return outcome

    async def statuses(self, desired: Desired) -> Outcome:
        """Carry out statuses."""
        outcome = Outcome()
        await self._all(desired.statuses, self._status, outcome)
        return outcome

    async def _all(
        self, intents: Iterable[Intent], act: Callable[[Intent, Outcome], Awaitable[None]], outcome: Outcome
    ) -> None:
        """Each intent on its own: the failure of one is noted and stops no other."""
        waiting = iter(intents)

        async def work() -> None:
            for intent in waiting:
                verb = type(intent).__name__.lower()
                try:
                    await act(intent, outcome)
                except Conflict as error:
                    outcome.stale = True
                    self._count(intent.ref, verb, "conflict")
                    log.info("stale", extra={"object": str(intent.ref), "error": str(error)})
                except (ApiError, Unreachable, NotOurs) as error:
                    if isinstance(error, Forbidden) and error.terminating:
                        continue
                    self._count(intent.ref, verb, "error")
                    outcome.failures.append(_line(intent.ref, error))
                    if isinstance(error, ApiError):
                        outcome.refused.append((intent.ref, error.message or str(error)))

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _generate(self, intent: Generate, outcome: Outcome) -> None:
        ref = intent.ref
        authority = None
        if isinstance(intent.material, LeafMaterial):
            authority = self._secrets.known(ref.namespace, intent.material.ca)
        data = None if authority is None else authority.data
        try:
            body = await asyncio.to_thread(material.fill, intent, data, time.time())
            if intent.replaces:
                raw = await self._client.replace(path(ref), body)
            else:
                raw = await self._client.create(collection(ref.kind, ref.namespace), body)
        except Conflict:
            found = await self._client.read(path(ref))
            if found is not None:
                self._created(ref, found)  # what is there is used
            outcome.stale = True
            return
        except ValueError as error:  # the authority is damaged or gone
            outcome.failures.append(_line(ref, error))
            outcome.refused.append((ref, str(error)))
            return
        self._created(ref, raw)
        outcome.created += 1
        self._count(ref, "generate", "ok")

    async def _apply(self, intent: Apply, outcome: Outcome) -> None:
        meta = self._picture.meta(intent.ref)
        known = self._verified.get(intent.ref)
        if meta is not None and known is not None and known == _Verified(intent.hash, meta.fingerprint):
            self._metrics.count("postrider_operator_skipped_total", kind=intent.ref.kind)
            return
        if await self._is_right(intent, meta):
            self._metrics.count("postrider_operator_skipped_total", kind=intent.ref.kind)
            return
        raw = await self._client.apply(path(intent.ref), intent.object, manager=CHILD_MANAGER)
        self._count(intent.ref, "apply", "ok")
        self._verify(intent, raw)
        if _is_manifest(intent):
            outcome.manifest_version = self._version(intent.ref)

    async def _is_right(self, intent: Apply, meta: Meta | None) -> bool:
        """Look at the live object. Raises NotOurs."""
        if meta is not None and names.is_ours(meta.labels) and meta.annotations.get(HASH) != intent.hash:
            return False  # the intent is another one: no need to look
        raw = await self._client.read(path(intent.ref))
        if raw is None:
            self._picture.drop(intent.ref)
            return False
        live = decode(raw)
        if not names.is_ours(live["metadata"].get("labels") or {}):
            self._keep(intent.ref, raw)
            raise NotOurs("exists and is not ours")
        if not drift.as_applied(live, intent.object):
            return False
        self._verify(intent, raw)
        return True

    def _verify(self, intent: Apply, raw: bytes) -> None:
        self._keep(intent.ref, raw)
        meta = self._picture.meta(intent.ref)
        if meta is not None:
            self._verified[intent.ref] = _Verified(intent.hash, meta.fingerprint)

    async def _delete(self, intent: Delete, _: Outcome) -> None:
        await self._client.delete(path(intent.ref), uid=intent.uid, orphan=intent.orphan)
        self._verified.pop(intent.ref, None)
        self._count(intent.ref, "delete", "ok")

    async def _status(self, intent: StatusPatch, _: Outcome) -> None:
        ref = intent.ref
        body: Object = {
            "apiVersion": API_VERSIONS[ref.kind],
            "kind": ref.kind,
            "metadata": {"name": ref.name, "namespace": ref.namespace, "uid": intent.uid},
            "status": self.schemas.pruned(ref.kind, intent.status),
        }
        self.in_flight.add(ref)
        try:
            raw = await self._client.apply(status_path(ref), body, manager=STATUS_MANAGER)
        except NotFound:  # it went meanwhile; the watch tells
            return
        finally:
            self.in_flight.discard(ref)
        self._picture.take(ref.kind, raw)
        self._count(ref, "status", "ok")

    def _created(self, ref: Ref, raw: bytes) -> None:
        self._picture.take(ref.kind, raw)
        if ref.kind == "Secret":
            self._secrets.keep(ref.namespace, raw)

    def _keep(self, ref: Ref, raw: bytes) -> None:
        self._picture.take(ref.kind, raw)
        if ref.kind == "Secret":
            self._secrets.refresh(ref.namespace, raw)

    def _version(self, ref: Ref) -> str:
        meta = self._picture.meta(ref)
        return meta.resource_version if meta is not None else ""

    def _count(self, ref: Ref, verb: str, result: str) -> None:
        self._metrics.count("postrider_operator_writes_total", kind=ref.kind, verb=verb, result=result)


def _line(ref: Ref, error: Exception) -> str:
    return f"{ref.kind} {ref.namespace}/{ref.name}: {error}"


def _is_manifest(intent: Apply) -> bool:
    return intent.ref.kind == "ConfigMap" and intent.ref.name.endswith("-manifest")
